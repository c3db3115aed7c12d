"""A chat stream and a Responses stream with something of everything, and ways to spoil them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import strategies as st

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai._wire.lifecycle import Decision, Lifecycle, Verdict
from trio_openai._wire.protocol import Ending
from trio_openai.errors import APIError

Json = dict[str, Any]
Path = tuple[str | int, ...]

CLEAN = ""  # the body ended as HTTP announced
BROKEN = "the connection was reset"  # the body did not end as HTTP announced


FINISHED = (Decision.END, Decision.FAIL, Decision.CLOSED)


class Played:
    """A lifecycle that was driven to the end of a body, and what came out of it."""

    def __init__(
        self,
        protocol: Any,
        pieces: Iterable[bytes],
        cut_by: str | None = CLEAN,
        content_type: str = "text/event-stream",
    ) -> None:
        self.lifecycle: Lifecycle[Any, Any] = Lifecycle(lambda: protocol)
        self.events: list[Any] = []
        self.text = ""
        self.error: APIError | None = None
        self.lifecycle.receive_head(content_type)
        try:
            for piece in pieces:
                self.lifecycle.receive_data(piece)
                self._pull()
            if cut_by is not None:
                self.lifecycle.receive_end(cut_by=cut_by)
                self._pull()
        except APIError as error:
            self.error = error

    def _pull(self) -> None:
        """Take events until there are no more without more bytes."""
        while (step := self.pull()) is not Decision.READ and step not in FINISHED:
            self.events.append(step)
            self.text += self.lifecycle.text_delta

    def pull(self) -> Any:
        """Return the next event, or the decision to read or to finish."""
        while isinstance(step := self.lifecycle.next(), Decision):
            if step is Decision.RELEASE:
                self.lifecycle.released(0.0, 0.0, 0.0)
            elif step is Decision.FAIL:
                assert self.lifecycle.error is not None
                raise self.lifecycle.error
            elif step is not Decision.PAUSE:
                return step
        return step

    @property
    def decoder(self) -> Any:
        return self.lifecycle.decoder

    @property
    def protocol(self) -> Any:
        return self.lifecycle.protocol

    @property
    def raws(self) -> list[Any]:
        return [event.raw for event in self.events]

    @property
    def verdict(self) -> Verdict:
        return self.lifecycle.verdict

    @property
    def snapshot(self) -> Any:
        return self.lifecycle.snapshot()


def made(protocol: Any, raw: Json) -> Any:
    """Return the event that a protocol makes of a JSON object, also if it ends the stream."""
    event = protocol.event(raw, "")
    return event.event if isinstance(event, Ending) else event


def chat(*pieces: bytes, n: int = 1, **options: Any) -> Played:
    return Played(ChatProtocol(n), pieces, **options)


def responses(*pieces: bytes, **options: Any) -> Played:
    return Played(ResponseProtocol(), pieces, **options)


def sse(data: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"{head}data: {text}\n\n".encode()


def chunk(content: str | None = None, finish: str | None = None, index: int = 0, **more: Any) -> Json:
    delta = {} if content is None else {"content": content}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


def delta(index: int = 0, **fields: Any) -> Json:
    return {"id": "c1", "choices": [{"index": index, "delta": fields, "finish_reason": None}]}


DONE = b"data: [DONE]\n\n"

_LOGPROB = {
    "token": "a",
    "bytes": [97],
    "logprob": -0.5,
    "top_logprobs": [{"token": "a", "bytes": [97], "logprob": -0.5}],
}

FULL_CHAT: list[Json] = [
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "system_fingerprint": "fp",
        "service_tier": "default",
        "usage": None,
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": "", "refusal": None},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
    },
    delta(
        reasoning_content="hm", reasoning="hm", reasoning_details=[{"type": "reasoning.text", "index": 0, "text": "h"}]
    ),
    delta(content="Hé"),
    delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}, {"type": "text", "text": "x"}]),
    delta(refusal="no"),
    delta(annotations=[{"type": "url_citation", "url_citation": {"url": "u", "start_index": 0}}]),
    {"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [_LOGPROB], "refusal": [_LOGPROB]}}]},
    delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]),
    delta(
        tool_calls=[
            {"index": 0, "function": {"arguments": "{}"}},
            {"id": "call_2", "custom": {"name": "g", "input": "i"}},
        ]
    ),
    delta(function_call={"name": "f", "arguments": "{}"}),
    delta(audio={"id": "a", "data": "QQ==", "transcript": "t", "expires_at": 1}),
    {"choices": [{"index": 1, "delta": {"content": "second"}, "finish_reason": "length"}]},
    {
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "x_groq": {"id": "r", "usage": {"total_tokens": 3}},
    },
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 2,
            "total_tokens": 3,
            "completion_tokens_details": {"reasoning_tokens": 1},
            "prompt_tokens_details": {"cached_tokens": 1},
        },
    },
]


def _family(name: str, whole: str, text: str, **at: Any) -> list[Json]:
    delta = {"type": f"response.{name}.delta", **at, "delta": text}
    return [delta, {"type": f"response.{name}.done", **at, whole: text}]


_MESSAGE = {"output_index": 0, "item_id": "m1", "content_index": 0}
_REASONING = {"output_index": 1, "item_id": "rs1"}
_ANNOTATION = {"type": "url_citation", "url": "u", "start_index": 0, "end_index": 2, "title": "t"}
_OUTPUT = [
    {
        "type": "message",
        "id": "m1",
        "role": "assistant",
        "status": "completed",
        "content": [
            {"type": "output_text", "text": "Hé", "annotations": [_ANNOTATION], "logprobs": []},
            {"type": "refusal", "refusal": "no"},
        ],
    },
    {"type": "reasoning", "id": "rs1", "summary": [{"type": "summary_text", "text": "hm"}], "content": []},
    {"type": "function_call", "id": "fc1", "call_id": "call_1", "name": "f", "arguments": "{}", "status": "completed"},
    {"type": "shell_call", "id": "sh1", "action": {"commands": ["ls"], "timeout_ms": 1}},
    {"type": "apply_patch_call", "id": "ap1", "operation": {"type": "update_file", "diff": "@@", "path": "p"}},
    {"type": "code_interpreter_call", "id": "ci1", "code": "1", "outputs": [{"type": "logs", "logs": "1"}]},
    {
        "type": "mcp_call",
        "id": "mcp1",
        "name": "g",
        "server_label": "s",
        "arguments": "{}",
        "output": "o",
        "error": None,
    },
    {"type": "custom_tool_call", "id": "ct1", "call_id": "call_2", "name": "h", "input": "i"},
]
_STARTED = {"id": "r1", "object": "response", "created_at": 1.0, "status": "in_progress", "model": "m", "output": []}
_USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 3,
}

FULL_RESPONSES: list[Json] = [
    {"type": "response.created", "sequence_number": 0, "response": _STARTED},
    {"type": "response.in_progress", "response": _STARTED},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m1", "content": []}},
    {"type": "response.content_part.added", **_MESSAGE, "part": {"type": "output_text", "text": "", "annotations": []}},
    *_family("output_text", "text", "Hé", **_MESSAGE),
    {
        "type": "response.output_text.annotation.added",
        **_MESSAGE,
        "annotation_index": 0,
        "annotation": _ANNOTATION,
    },
    {"type": "response.content_part.done", **_MESSAGE, "part": {"type": "output_text", "text": "Hé"}},
    *_family("refusal", "refusal", "no", **{**_MESSAGE, "content_index": 1}),
    {"type": "response.output_item.done", "output_index": 0, "item": _OUTPUT[0]},
    {
        "type": "response.reasoning_summary_part.added",
        **_REASONING,
        "summary_index": 0,
        "part": {"type": "summary_text"},
    },
    *_family("reasoning_summary_text", "text", "hm", **_REASONING, summary_index=0),
    {"type": "response.reasoning_summary_part.done", **_REASONING, "summary_index": 0, "part": {"text": "hm"}},
    *_family("reasoning_text", "text", "hm", **_REASONING, content_index=0),
    {"type": "response.output_item.added", "output_index": 2, "item": {**_OUTPUT[2], "arguments": ""}},
    *_family("function_call_arguments", "arguments", "{}", output_index=2, item_id="fc1"),
    *_family("shell_call_command", "command", "ls", output_index=3, command_index=0),
    *_family("apply_patch_call_operation_diff", "diff", "@@", output_index=4, item_id="ap1"),
    *_family("code_interpreter_call_code", "code", "1", output_index=5, item_id="ci1"),
    *_family("mcp_call_arguments", "arguments", "{}", output_index=6, item_id="mcp1"),
    *_family("custom_tool_call_input", "input", "i", item_id="ct1"),
    {"type": "response.output_item.done", "item": _OUTPUT[7]},
    {"type": "response.web_search_call.searching", "item_id": "ws1", "output_index": 8},
    {"type": "keepalive", "sequence_number": 40},
    {
        "type": "response.completed",
        "sequence_number": 41,
        "response": {**_STARTED, "status": "completed", "output": _OUTPUT, "usage": _USAGE, "error": None},
    },
]


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of all values inside a JSON value, and of the value itself."""
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, (*path, index))


def spoiled(raw: Json, path: Path, value: object) -> Any:
    """Return a copy with another value at a path."""
    if not path:
        return value
    raw = copy.deepcopy(raw)
    place: Any = raw
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return raw


ODD_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 10**12, 1.5, -0.0, float("nan"), float("inf")),
    *("", "text", "\ud83e", "\0", [], [None], [[]], ["a"], [{}], [[{}]], [1, "a", {"type": 3}]),
    *({}, {"": None}, {"type": "text"}, {"type": [], "id": {}, "index": "0", "text": 5}, {"a": {"b": [None]}}),
]  # fmt: skip
"""One of each kind, and what lies near what belongs there."""

texts = st.text(st.characters(exclude_categories=()), max_size=5)  # with half surrogate pairs
any_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def spoiled_streams(draw: st.DrawFn, stream: list[Json]) -> list[Any]:
    """Generate the stream with up to five values replaced, and perhaps in another order."""
    stream = list(draw(st.permutations(stream))) if draw(st.booleans()) else list(stream)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(stream) - 1))
        places = list(paths(stream[at]))[1:]
        if places:
            stream[at] = spoiled(
                stream[at], draw(st.sampled_from(places)), draw(any_json | st.sampled_from(ODD_VALUES))
            )
    return stream
