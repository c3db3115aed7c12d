"""Measure what each step costs on the way of an event, from the bytes of a read to the field that a program reads.

    python benchmarks/stages.py [--quick] [--json FILE] [--repeats N]

Everything runs in one process, and the reads come from memory. So this leaves out the socket, the kernel and waiting,
and finds differences of a tenth of a microsecond, which `stream.py` cannot see. From the third row on, each row has the
steps of the rows above it as well; the whole client also has HTTP's framing. An event that comes alone takes a shorter
way from the lifecycle on. The figures are the smallest of some runs, since other programs only make a run slower.

The second table compares ways to decode the JSON of 20 chunks, of which the library uses the first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import attrs
import orjson
import trio
from _canned import ReadyStream, client_of
from _contenders import stream_of
from _machine import cores, pin
from _plan import Plan
from _report import Table, parser, publish, table
from _wire import CHAT, HEAD, WIRES, chunked

from trio_openai._http.http1 import ResponseParser
from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai._wire.json import loader_for
from trio_openai._wire.lifecycle import Decision, Lifecycle
from trio_openai._wire.sse import SSEParser

_PROTOCOLS: dict[str, Callable[[], Any]] = {"chat": ChatProtocol, "responses": ResponseProtocol}
_FIELDS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda event: event.choices[0].delta.content,
    "responses": lambda event: event.delta,
}
_EVENTS, _QUICK_EVENTS = 6_000, 400
_TOGETHER = (1, 20)
_REPEATS = 9


class Stages:
    """The steps of one API's events, with a number of events in each read."""

    def __init__(self, api: str, together: int, events: int) -> None:
        self.api, self.wire, self.events = api, WIRES[api], events
        written = [self.wire.event(number, " river") for number in range(events)]
        self.reads = [b"".join(written[at : at + together]) for at in range(0, events, together)]
        self.pieces = [b"".join(map(chunked, written[at : at + together])) for at in range(0, events, together)]

    def bare(self) -> float:
        began = time.process_time()
        for data in self.pieces:
            for block in data.split(b"\n\n")[:-1]:
                orjson.loads(block[block.find(b"{") :])
        return time.process_time() - began

    def framing(self) -> float:
        parser = ResponseParser()
        parser.receive_data(HEAD)
        began = time.process_time()
        for data in self.pieces:
            parser.receive_data(data)
            parser.take_body()
        return time.process_time() - began

    def messages(self, *, decoded: bool = False, typed: bool = False) -> float:
        parser, make = SSEParser(words=True, pieces=True), _PROTOCOLS[self.api]().event
        began = time.process_time()
        for data in self.reads:
            parser.receive_data(data)
            messages = parser.next_events(32)
            if decoded:
                loads: Any = loader_for([text or b"" for text, _ in messages])
                for text, name in messages:
                    raw = loads(text)
                    if typed:
                        make(raw, name)
        return time.process_time() - began

    def decoded(self) -> float:
        return self.messages(decoded=True)

    def typed(self) -> float:
        return self.messages(decoded=True, typed=True)

    def pulled(self, *, added: bool = False) -> float:
        lifecycle: Lifecycle[Any, Any] = Lifecycle(_PROTOCOLS[self.api])
        lifecycle.receive_head("text/event-stream")
        for data in self.wire.opening:
            lifecycle.receive_data(data)
            lifecycle.next()
        lifecycle.decoder.add_up()
        following = lifecycle.next
        began = time.process_time()
        for data in self.reads:
            lifecycle.receive_data(data)
            while following() is not Decision.READ:
                pass
            if added:
                lifecycle.decoder.add_up()
            else:
                lifecycle.decoder._to_add.clear()  # type: ignore[attr-defined]
        return time.process_time() - began

    def added(self) -> float:
        return self.pulled(added=True)

    def whole(self) -> float:
        return trio.run(self._read, lambda _: None)

    def used(self) -> float:
        return trio.run(self._read, _FIELDS[self.api])

    async def _read(self, use: Callable[[Any], Any]) -> float:
        plan, pieces = Plan(1, self.events, 1, "free", self.api), [self.wire.beginning, *self.pieces]
        async with client_of(pieces, trio.Event(), ReadyStream) as client, stream_of(client, plan) as stream:
            for _ in self.wire.opening:
                await anext(stream)
            began, left = time.process_time(), self.events
            async for event in stream:
                use(event)
                left -= 1
                if not left:
                    break
            return time.process_time() - began


_STEPS: dict[str, Callable[[Stages], float]] = {
    "split and decoded, as by a bare socket": Stages.bare,
    "HTTP's framing, alone": Stages.framing,
    "the server-sent events": Stages.messages,
    "their JSON": Stages.decoded,
    "their typed events": Stages.typed,
    "one by one from the lifecycle": Stages.pulled,
    "added to the snapshot": Stages.added,
    "the whole client": Stages.whole,
    "and their text read": Stages.used,
}


# Ways to decode.


def ways_to_decode() -> dict[str, Callable[[list[bytes]], object]]:
    """Return the ways to decode the JSON of some chunks."""
    ways: dict[str, Callable[[list[bytes]], object]] = {
        "orjson, one by one": lambda texts: [orjson.loads(text) for text in texts],
        "orjson, joined as one array": lambda texts: orjson.loads(b"[" + b",".join(texts) + b"]"),
    }
    try:
        import msgspec
    except ImportError:
        return ways
    decode, decode_attrs = msgspec.json.decode, msgspec.json.Decoder(_Chunk).decode
    ways["msgspec, one by one"] = lambda texts: [decode(text) for text in texts]
    ways["msgspec, into attrs classes of all fields"] = lambda texts: [decode_attrs(text) for text in texts]
    return ways


@attrs.define
class _Delta:
    content: str | None = None


@attrs.define
class _Choice:
    index: int | None = None
    delta: _Delta = attrs.field(factory=_Delta)
    finish_reason: str | None = None
    logprobs: Any = None


@attrs.define
class _Chunk:
    id: str | None = None
    choices: list[_Choice] = attrs.field(factory=list[_Choice])
    created: int | None = None
    model: str | None = None
    object: str | None = None
    usage: Any = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    obfuscation: str | None = None


def decoding(way: Callable[[list[bytes]], object], events: int) -> float:
    """Return the CPU seconds to decode the JSON of this many chunks, 20 at once."""
    texts = [CHAT.event(number, " river")[len("data: ") : -2] for number in range(20)]
    began = time.process_time()
    for _ in range(events // 20):
        way(texts)
    return time.process_time() - began


def main() -> int:
    """Run the command."""
    args = parser(__doc__, _REPEATS).parse_args()
    pin(cores()[0])
    events, repeats = (_QUICK_EVENTS, 1) if args.quick else (_EVENTS, args.repeats or _REPEATS)
    cases = [Stages(api, together, events) for api in _PROTOCOLS for together in _TOGETHER]
    ways = ways_to_decode()
    steps: dict[str, list[float]] = {name: [9.0] * len(cases) for name in _STEPS}
    decoded: dict[str, float] = dict.fromkeys(ways, 9.0)
    for _ in range(repeats):
        for name, step in _STEPS.items():
            steps[name] = [min(least, step(case)) for least, case in zip(steps[name], cases, strict=True)]
        decoded = {name: min(least, decoding(ways[name], events)) for name, least in decoded.items()}
    rows = [["", *(f"{case.api}, {together} a read" for case, together in zip(cases, _TOGETHER * 2, strict=True))]]
    rows += [[name, *(f"{value / events * 1e6:.2f}" for value in values)] for name, values in steps.items()]
    ways_rows = [["", "µs"], *([name, f"{value / events * 1e6:.2f}"] for name, value in decoded.items())]
    tables = {
        "steps": Table("µs of CPU per event, up to and including a step", table(rows)),
        "decoding": Table("µs of CPU to decode a chunk, 20 at once", table(ways_rows)),
    }
    results: list[dict[str, Any]] = [{"step": name, "seconds": values} for name, values in steps.items()]
    results += [{"way": name, "seconds": value} for name, value in decoded.items()]
    publish("The way of an event", tables, results, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
