"""The contenders: the ways to read a stream that are compared.

Each opens all streams of a plan at once, reads every event, and reports to the tally. They differ only in the code that
turns bytes into events. Each imports what it needs inside its function, so that a missing package, or a slow import,
affects no other contender.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import attrs
from _plan import Plan

CHAT_REQUEST: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Name a river."}]}
_RESPONSES_REQUEST: dict[str, Any] = {"model": "gpt-4o", "input": "Name a river."}
_READ_SIZE = 64 * 1024


class Tally:
    """Counts streams. Calls back when all have received their opening events, and when all have ended.

    Attributes:
        note: the function to call with the text of every event, or None. Only for chat completions.
    """

    def __init__(
        self,
        streams: int,
        on_first: Callable[[], object],
        on_last: Callable[[], object],
        note: Callable[[str], object] | None = None,
    ) -> None:
        self.note = note
        self._to_begin = self._to_end = streams
        self._on_first, self._on_last = on_first, on_last
        self._lock = threading.Lock()  # blocking contenders read each stream in a thread

    def first(self) -> None:
        """Record that one stream's opening events have arrived."""
        with self._lock:
            self._to_begin -= 1
            if not self._to_begin:
                self._on_first()

    def last(self) -> None:
        """Record that one stream's last event has arrived."""
        with self._lock:
            self._to_end -= 1
            if not self._to_end:
                self._on_last()


Run = Callable[[str, Plan, Tally], Awaitable[None]]
RunBlocking = Callable[[str, Plan, Tally], None]


@attrs.frozen
class Contender:
    """One way to read a stream.

    Attributes:
        run: the function that reads all streams of a plan from a base URL to their end.
        needs: the package that must be installed.
        loop: `trio` or `asyncio`; empty for a blocking contender, which reads each stream in a thread.
        repeats: the largest number of repeats, for contenders that take ten times as long as the others.
    """

    run: Run | RunBlocking
    needs: str
    loop: str = "trio"
    repeats: int = 1000


def _chat_text(chunk: Any) -> str:
    return chunk.choices[0].delta.content  # type: ignore[no-any-return]


def _responses_text(event: Any) -> str:
    return event.delta  # type: ignore[no-any-return]


_TEXT_OF: dict[str, Callable[[Any], str]] = {"chat": _chat_text, "responses": _responses_text}
_TEXT_OF_RAW: dict[str, Callable[[Any], str]] = {
    "chat": lambda raw: raw["choices"][0]["delta"]["content"],
    "responses": lambda raw: raw["delta"],
}


async def _read_events(events: AsyncIterator[Any], plan: Plan, tally: Tally) -> None:
    """Read one stream, event by event, and the text of each event, as a program would."""
    for _ in plan.wire.opening:
        await anext(events)
    tally.first()
    left, note, text_of = plan.events, tally.note, _TEXT_OF[plan.api]
    async for event in events:
        if left > 0:
            text = text_of(event)
            if note is not None:
                note(text)
        left -= 1
        if not left:
            tally.last()


async def _trio_openai(url: str, plan: Plan, tally: Tally) -> None:
    import trio

    from trio_openai import TrioOpenAI

    async with TrioOpenAI(base_url=url, api_key="benchmark", max_connections=plan.streams) as client:

        async def read() -> None:
            async with stream_of(client, plan) as stream:
                await _read_events(aiter(stream), plan, tally)

        async with trio.open_nursery() as nursery:
            for _ in range(plan.streams):
                nursery.start_soon(read)


def stream_of(client: Any, plan: Plan) -> Any:
    """Return the context manager of one stream of this library's client."""
    if plan.api == "responses":
        return client.responses.stream(**_RESPONSES_REQUEST)
    return client.chat.completions.stream(**CHAT_REQUEST)


async def _trio_openai_h11(url: str, plan: Plan, tally: Tally) -> None:
    import h11_parser

    from trio_openai._http import transport as _transport

    # This process measures only this contender, so the patch affects no other.
    _transport.ResponseParser = h11_parser.ResponseParser  # type: ignore[attr-defined,assignment]
    await _trio_openai(url, plan, tally)


async def _openai_on_trio(url: str, plan: Plan, tally: Tally) -> None:
    import trio

    async with _openai_client(url, plan) as client, trio.open_nursery() as nursery:
        for _ in range(plan.streams):
            nursery.start_soon(_read_openai, client, plan, tally)


async def _openai_on_asyncio(url: str, plan: Plan, tally: Tally) -> None:
    async with _openai_client(url, plan) as client, asyncio.TaskGroup() as group:
        for _ in range(plan.streams):
            group.create_task(_read_openai(client, plan, tally))


def _openai_client(url: str, plan: Plan) -> Any:
    """Return a client with default settings, except for a larger pool if the plan needs more than 1,000 connections."""
    import httpx2
    import openai

    options: dict[str, Any] = {}
    if plan.streams > (openai.DEFAULT_CONNECTION_LIMITS.max_connections or plan.streams):
        limits = httpx2.Limits(max_connections=plan.streams, max_keepalive_connections=100)
        options["http_client"] = openai.DefaultAsyncHttpxClient(limits=limits)
    return openai.AsyncOpenAI(base_url=url, api_key="benchmark", **options)


async def _read_openai(client: Any, plan: Plan, tally: Tally) -> None:
    if plan.api == "responses":
        stream = await client.responses.create(**_RESPONSES_REQUEST, stream=True)
    else:
        stream = await client.chat.completions.create(**CHAT_REQUEST, stream=True)
    async with stream:
        await _read_events(aiter(stream), plan, tally)


def _sync_openai(url: str, plan: Plan, tally: Tally) -> None:
    from trio_openai.sync import SyncOpenAI

    with SyncOpenAI(base_url=url, api_key="benchmark", max_connections=plan.streams) as client:

        def read() -> None:
            with stream_of(client, plan) as stream:
                _read_blocking(stream, plan, tally)

        _in_threads(read, plan.streams)


def _openai_blocking(url: str, plan: Plan, tally: Tally) -> None:
    import openai

    with openai.OpenAI(base_url=url, api_key="benchmark") as client:

        def read() -> None:
            with client.chat.completions.create(**CHAT_REQUEST, stream=True) as stream:
                _read_blocking(stream, plan, tally)

        _in_threads(read, plan.streams)


def _in_threads(read: Callable[[], None], count: int) -> None:
    """Read `count` streams at the same time, one in this thread and each other one in a new thread."""
    threads = [threading.Thread(target=read) for _ in range(count - 1)]
    for thread in threads:
        thread.start()
    read()
    for thread in threads:
        thread.join()


def _read_blocking(events: Iterator[object], plan: Plan, tally: Tally) -> None:
    """Read one stream, event by event, and the text of each event."""
    for _ in plan.wire.opening:
        next(events)
    tally.first()
    left, text_of = plan.events, _TEXT_OF[plan.api]
    for event in events:
        if left > 0:
            text_of(event)
        left -= 1
        if not left:
            tally.last()


async def _httpx_raw(url: str, plan: Plan, tally: Tally) -> None:
    import httpx
    import trio

    limits = httpx.Limits(max_connections=plan.streams)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def read() -> None:
            async with client.stream("POST", url + plan.wire.endpoint, json=CHAT_REQUEST) as response:
                await _read_pieces(response.aiter_raw(), plan, tally)

        async with trio.open_nursery() as nursery:
            for _ in range(plan.streams):
                nursery.start_soon(read)


async def _read_pieces(pieces: AsyncIterator[bytes], plan: Plan, tally: Tally) -> None:
    """Read one body, by its number of bytes, since the pieces do not match events."""
    left = sum(map(len, plan.wire.opening))
    while left > 0:
        left -= len(await anext(pieces))
    tally.first()
    left += plan.events * plan.wire.event_size
    while left > 0:
        left -= len(await anext(pieces))
    tally.last()
    async for _ in pieces:
        pass


async def _bare_socket(url: str, plan: Plan, tally: Tally) -> None:
    import trio

    async with trio.open_nursery() as nursery:
        for _ in range(plan.streams):
            nursery.start_soon(_read_socket, url, plan, tally)


async def _read_socket(url: str, plan: Plan, tally: Tally) -> None:
    """Read one stream with the least possible work: split at empty lines, decode each event, and look up its text."""
    import orjson
    import trio

    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    request = f"POST /{path}{plan.wire.endpoint} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n"
    loads, note, text_of, rest = orjson.loads, tally.note, _TEXT_OF_RAW[plan.api], b""
    async with await trio.open_tcp_stream(name, int(port)) as stream:
        await stream.send_all(request.encode())
        for count, arrived in ((len(plan.wire.opening), tally.first), (plan.events, tally.last)):
            left, is_measured = count, arrived == tally.last
            while left > 0:
                data = await stream.receive_some(_READ_SIZE)
                if not data:
                    raise EOFError("the server closed the connection too early")
                *blocks, rest = (rest + data).split(b"\n\n")
                for block in blocks:
                    raw = loads(block[block.find(b"{") :])
                    if is_measured and left > 0:
                        text = text_of(raw)
                        if note is not None:
                            note(text)
                    left -= 1
            arrived()
        async for _ in stream:
            pass


LIBRARY = "trio_openai"
SYNC = "trio_openai.sync"
OPENAI = "openai.AsyncOpenAI, trio"
ASYNCIO = "openai.AsyncOpenAI, asyncio"
OPENAI_BLOCKING = "openai.OpenAI"
H11 = "trio_openai (h11)"
BARE = "bare trio socket + orjson"

CONTENDERS: dict[str, Contender] = {
    LIBRARY: Contender(_trio_openai, "trio_openai"),
    H11: Contender(_trio_openai_h11, "h11"),
    OPENAI: Contender(_openai_on_trio, "openai", repeats=2),
    ASYNCIO: Contender(_openai_on_asyncio, "openai", loop="asyncio", repeats=2),
    SYNC: Contender(_sync_openai, "trio_openai", loop=""),
    OPENAI_BLOCKING: Contender(_openai_blocking, "openai", loop=""),
    "httpx aiter_raw": Contender(_httpx_raw, "httpx"),
    BARE: Contender(_bare_socket, "orjson"),
}
