"""The final snapshots of openai and of this library for the same bodies, compared field by field.

`DIFFERENCES` and `REFUSED` list the known differences and say why our result is right. Any other difference fails the
test. The bodies are written here, or are recordings from the folder `TRIO_OPENAI_CORPUS` (see `test_corpus.py`).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
from test_corpus import FOLDER, files

from trio_openai import APIError, TrioOpenAI
from trio_openai.testing import Reply
from trio_openai.types import WireObject

pytestmark = pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="openai is not installed")


def chunk(delta: dict[str, Any], *, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": [choice], **more}


def call(index: int, **function: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "id": f"call_{index}", "type": "function", "function": function}]}


def more(index: int, arguments: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}


TOOLS = [
    chunk({"role": "assistant", "content": None}),
    *(chunk(delta) for delta in (call(0, name="a", arguments=""), more(0, '{"x":'), call(1, name="b", arguments=""))),
    *(chunk(delta) for delta in (more(1, "{}"), more(0, " 1}"))),
    chunk({}, finish="tool_calls"),
]
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
OWN: dict[str, Reply] = {
    "chat/text": Reply.chat("Hello there, friend!"),
    "chat/tools": Reply.sse(*TOOLS),
    "chat/refusal": Reply.sse(chunk({"role": "assistant", "refusal": "I "}), chunk({"refusal": "no"}, finish="stop")),
    "chat/two choices": Reply.sse(
        *(chunk({"role": "assistant", "content": "ab"[i]}, index=i) for i in (0, 1)),
        *(chunk({"content": "xy"[i]}, index=i, finish="stop") for i in (0, 1)),
        chunk({}, usage=USAGE) | {"choices": []},
    ),
    "responses/text": Reply.response("Hello there, friend!"),
}

# The known differences: the path of the field, a check of both values, and why our value is right.


def is_repeated(ours: Any, theirs: Any) -> bool:
    return bool(ours) and theirs == ours * (len(theirs) // len(ours))


def is_theirs_alone(ours: Any, theirs: Any) -> bool:
    return ours is None


def is_ours_alone(ours: Any, theirs: Any) -> bool:
    return theirs is None


def is_ours_or_theirs(ours: Any, theirs: Any) -> bool:
    return ours is None or theirs is None


DIFFERENCES: list[tuple[str, Callable[[Any, Any], bool], str]] = [
    (
        r"choices\[\]\.message\.role",
        is_repeated,
        "servers repeat the role in every chunk, and openai concatenates the repetitions",
    ),
    (r".*\.tool_calls\[\]\.(id|function\.name)", is_repeated, "openai concatenates repeated ids and names, like roles"),
    (
        r".*\.tool_calls\[\]\.index",
        is_theirs_alone,
        "the index is a position in the stream, and plain answers have no index",
    ),
    (r"service_tier|system_fingerprint", is_ours_alone, "openai drops fields that are missing in the last chunk"),
    (
        r"timings|p|choices\[\]\.native_finish_reason",
        is_ours_alone,
        "these are extensions of one server, and openai keeps only those of the first chunk",
    ),
    (r"x_groq\.\w+", is_ours_or_theirs, "the last value counts, and openai keeps the first"),
    (r".*\.function\.arguments", is_ours_alone, "the arguments were always null, which we read as an empty text"),
]

# The errors of openai for bodies that we read: the name of the error, and why our result is right.
REFUSED = {
    "LengthFinishReasonError": "an answer that stops at the token limit is valid, and its finish reason is length",
    "RuntimeError": "openai requires one response id in all events, and some servers change it",
    "JSONDecodeError": "the body is invalid; we raise an APIError with the partial result",
    "APIError": "the server reported an error; we raise it too, or return the failed response",
}


@attrs.frozen
class Body:
    kind: str
    content: bytes

    @classmethod
    def of(cls, name: str) -> Body:
        if name in OWN:
            pieces = [step for step in OWN[name].body if isinstance(step, bytes)]
            return cls(name.partition("/")[0], b"".join(pieces))
        assert FOLDER is not None
        return cls(name.partition("/")[0], (Path(FOLDER) / name).read_bytes())


async def ours(body: Body) -> WireObject | None:
    """Return our snapshot of a body, even if the stream ends with an error."""
    headers = {"content-type": "text/event-stream"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, content=body.content))
    http = httpx.AsyncClient(transport=transport)
    async with TrioOpenAI(api_key="k", http_client=http, max_retries=0) as client:
        try:
            if body.kind == "chat":
                async with client.chat.completions.stream(model="m", messages=[]) as chat:
                    return await chat.get_final_completion()
            async with client.responses.stream(model="m", input="") as response:
                return await response.get_final_response()
        except APIError as error:
            return error.partial


def theirs(body: Body) -> dict[str, Any]:
    """Return openai's snapshot of a body, as plain JSON values."""
    import httpx2
    import openai

    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=body.content))
    with openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0) as client:
        if body.kind == "chat":
            with client.chat.completions.stream(model="m", messages=[]) as chat:
                return chat.get_final_completion().model_dump(warnings=False)
        with client.responses.stream(model="m", input="") as response:
            return response.get_final_response().model_dump(warnings=False)


def plain(value: Any) -> Any:
    """Convert one of our objects to plain values, and include the unknown fields, which only `raw` has."""
    if isinstance(value, WireObject):
        fields = {field.name: getattr(value, field.name) for field in attrs.fields(type(value)) if field.name != "raw"}
        return plain({**value.raw, **fields})
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the paths at which two values differ. A null or an empty list counts as absent."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted({*ours, *theirs}):
            yield from differences(ours.get(name), theirs.get(name), f"{path}.{name}" if path else name)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for one, other in zip(ours, theirs, strict=True):
            yield from differences(one, other, f"{path}[]")
    elif ours != theirs and not (ours in (None, []) and theirs in (None, [])):
        yield path, ours, theirs


def is_explained(path: str, ours: Any, theirs: Any) -> bool:
    return any(re.fullmatch(where, path) and holds(ours, theirs) for where, holds, _ in DIFFERENCES)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", [*OWN, *files()])
def test_both_clients_build_the_same_snapshot(name: str) -> None:
    body = Body.of(name)
    made = trio.run(ours, body)
    try:
        other = theirs(body)
    except Exception as error:  # noqa: BLE001 - every error of openai must be listed in `REFUSED`
        refused = type(error).__name__
    else:
        assert not [found for found in differences(plain(made), other) if not is_explained(*found)]
        return
    assert name not in OWN
    assert refused in REFUSED
    assert made is not None or refused in ("APIError", "JSONDecodeError")


def test_the_comparison_sees_a_difference() -> None:
    made = plain(trio.run(ours, Body.of("chat/tools")))
    made["choices"][0]["message"]["tool_calls"][1]["function"]["arguments"] = "{ }"
    found = [where for where in differences(made, theirs(Body.of("chat/tools"))) if not is_explained(*where)]
    assert found == [("choices[].message.tool_calls[].function.arguments", "{ }", "{}")]
