"""Recordings of real response bodies, served whole, in slices and truncated at random, read by the public API.

The recordings are not in the repository: `TRIO_OPENAI_CORPUS` names a folder with `INDEX.tsv` (a header, and a row for
each body, with its `file`), `chat/*.sse` and `responses/*.sse`.
"""

from __future__ import annotations

import csv
import json
import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from trio_openai import APIError, APIResponseValidationError, StreamTruncatedError
from trio_openai.testing import Reply, ScriptedServer

FOLDER = os.environ.get("TRIO_OPENAI_CORPUS")
CUTS = 12  # random truncations of each body
TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def files() -> list[str]:
    if FOLDER is None:
        return []
    with (Path(FOLDER) / "INDEX.tsv").open(newline="") as index:
        return [row["file"] for row in csv.DictReader(index, delimiter="\t")]


recordings = pytest.mark.parametrize("file", files() or [pytest.param("", id="none")])
pytestmark = pytest.mark.skipif(FOLDER is None, reason="TRIO_OPENAI_CORPUS names no folder of recordings")


@attrs.frozen
class Recording:
    """A response body and the events in it, found by simple code that is independent of the library.

    Attributes:
        objects: The JSON objects before the first invalid line, or before the end.
        broken: Whether there is an invalid line before the end.
        ends: The position in the body at which the line of each object ends.
        done_at: The position at which the line of `[DONE]` begins, or None.
    """

    kind: str
    body: bytes
    objects: list[Any] = attrs.field(factory=list)
    ends: list[int] = attrs.field(factory=list)
    broken: bool = False
    done_at: int | None = None

    @property
    def has_error(self) -> bool:
        return any(raw.get("error") for raw in self.objects) or any(raw.get("type") == "error" for raw in self.objects)


def lines_of(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Return the data lines of a body, and where each begins. A recorded event has one line, ended by LF or CR LF."""
    at = 0
    for line in body.splitlines(keepends=True):
        if line.startswith(b"data:"):
            yield line.removeprefix(b"data:").strip(), at
        at += len(line)


def read(file: str) -> Recording:
    assert FOLDER is not None
    body = (Path(FOLDER) / file).read_bytes()
    recording = Recording(file.partition("/")[0], body)
    for data, at in lines_of(body):
        if data.startswith(b"[DONE]"):
            return attrs.evolve(recording, done_at=at)
        if not data or data.startswith(b":"):
            continue
        try:
            recording.objects.append(json.loads(data))
        except ValueError:
            return attrs.evolve(recording, broken=True)
        recording.ends.append(body.index(data, at) + len(data))
        if recording.kind == "responses" and recording.objects[-1].get("type") in TERMINAL:
            break
    return recording


# --------------------------------------------------------------------- the expected snapshot, computed independently


def text_of_chat(objects: list[Any], index: int = 0) -> str:
    pieces = []
    for choice in choices_of(objects, index):
        content = (choice.get("delta") or {}).get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        pieces += [part["text"] for part in parts if part.get("text")]
    return "".join(pieces)


def choices_of(objects: list[Any], index: int) -> list[Any]:
    return [choice for raw in objects for choice in raw.get("choices") or [] if choice.get("index", 0) == index]


def calls_of_chat(objects: list[Any], index: int) -> list[tuple[str, str, str]]:
    calls: dict[Any, list[str]] = {}
    for choice in choices_of(objects, index):
        for number, piece in enumerate((choice.get("delta") or {}).get("tool_calls") or []):
            call = calls.setdefault(piece.get("index", number), ["", "", ""])
            function = piece.get("function") or {}
            call[0] = call[0] or piece.get("id") or ""
            call[1] = call[1] or function.get("name") or ""
            call[2] += function.get("arguments") or ""
    return [(call[0], call[1], call[2]) for _, call in sorted(calls.items())]


def usage_of_chat(objects: list[Any]) -> Any:
    found = [raw.get("usage") or (raw.get("x_groq") or {}).get("usage") for raw in objects]
    return next((usage for usage in reversed(found) if usage and usage.get("total_tokens")), None)


def check_completion(completion: Any, objects: list[Any]) -> None:
    for choice in completion.choices:
        seen = choices_of(objects, choice.index)
        assert (choice.message.content or "") == text_of_chat(objects, choice.index)
        calls = choice.message.tool_calls or []
        made = [(call.id or "", call.function.name or "", call.function.arguments or "") for call in calls]
        assert made == calls_of_chat(objects, choice.index)
        reasons = [c.get("finish_reason") for c in seen if c.get("finish_reason")]
        assert choice.finish_reason == (reasons[-1] if reasons else None)
        tokens = [t for c in seen for t in (c.get("logprobs") or {}).get("content") or []]
        assert [token.raw for token in (choice.logprobs and choice.logprobs.content) or []] == tokens
        for name in ("refusal", "reasoning", "reasoning_content"):
            texts = [(c.get("delta") or {}).get(name) for c in seen]
            if all(text is None or isinstance(text, str) for text in texts) and any(texts):
                assert getattr(choice.message, name) == "".join(text or "" for text in texts)
    assert {choice.index for choice in completion.choices} == {
        choice.get("index", 0) for raw in objects for choice in raw.get("choices") or []
    }
    usage = usage_of_chat(objects)
    assert (completion.usage and completion.usage.raw) == usage


def text_of_response(objects: list[Any]) -> str:
    """Return the text of the deltas, or of the items if there are no deltas."""
    deltas = [raw["delta"] for raw in objects if raw.get("type") == "response.output_text.delta"]
    return "".join(deltas) or "".join(
        part.get("text", "")
        for raw in objects
        if raw.get("type") == "response.output_item.done" and raw["item"].get("type") == "message"
        for part in raw["item"].get("content") or []
    )


def check_response(response: Any, objects: list[Any]) -> None:
    last = objects[-1]["response"] if objects[-1].get("type") in TERMINAL else None
    if last and last.get("output"):
        assert response.raw == last
        assert [item.raw for item in response.output] == last["output"]
    elif last:
        assert {**response.raw, "output": None} == {**objects[0].get("response", {}), **last, "output": None}
    items = [raw["item"] for raw in objects if raw.get("type") == "response.output_item.done"]
    if last is not None and items:
        assert len(response.output) == len(items)
        assert sorted(item.type for item in response.output) == sorted(item["type"] for item in items)
        calls = [item["arguments"] for item in items if item["type"] == "function_call"]
        assert [item.arguments for item in response.output if item.type == "function_call"] == calls
    assert response.output_text == text_of_response(objects)


def check_whole(recording: Recording, snapshot: Any) -> None:
    (check_completion if recording.kind == "chat" else check_response)(snapshot, recording.objects)


# --------------------------------------------------------------------------------------------- serving and reading


def reply_of(body: bytes, seed: random.Random | None = None) -> Reply:
    cuts = sorted(seed.sample(range(len(body) + 1), min(len(body), 60))) if seed else []
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]
    return Reply(headers={"content-type": "text/event-stream", "x-request-id": "req_1"}, body=pieces)


@attrs.define
class Heard:
    raws: list[Any] = attrs.field(factory=list)
    text: str = ""
    snapshot: Any = None
    final: Any = None
    verdict: Any = None
    error: APIError | None = None


async def listen(client: Any, kind: str, *, as_text: bool = False) -> Heard:
    heard = Heard()
    params = {"model": "m", "messages": []} if kind == "chat" else {"model": "m", "input": "Hi"}
    endpoint = client.chat.completions if kind == "chat" else client.responses
    async with endpoint.stream(**params) as stream:
        try:
            if as_text:
                async for text in stream.text_deltas:
                    heard.text += text
            else:
                async for event in stream:
                    heard.raws.append(event.raw)
            heard.final = await (stream.get_final_completion() if kind == "chat" else stream.get_final_response())
        except APIError as error:
            heard.error = error
        heard.snapshot, heard.verdict = stream.snapshot, stream.verdict
    return heard


async def serve(replies: list[Reply], kind: str, *, texts: bool = False) -> list[Heard]:
    """Serve each reply to a separate stream, one after the other, and check that no connection stays open."""
    async with trio.open_nursery() as nursery:
        server = ScriptedServer(replies)
        await server.start(nursery, memory=True)
        with trio.fail_after(30):
            async with server.client(max_retries=0) as client:
                heard = [await listen(client, kind, as_text=texts) for _ in replies]
            await server.wait_closed()
        assert server.statistics().connections == 0
        assert len(server.requests) == len(replies)
        await server.aclose()
    return heard


@recordings
async def test_a_recording_gives_the_same_result_however_it_is_sliced(file: str) -> None:
    recording = read(file)
    seed = random.Random(zlib.crc32(file.encode()))
    for heard in await serve(
        [reply_of(recording.body), *(reply_of(recording.body, seed) for _ in range(3))], recording.kind
    ):
        assert heard.raws == recording.objects
        check_end(recording, heard)


def check_end(recording: Recording, heard: Heard) -> None:
    if recording.broken:
        assert type(heard.error) is APIResponseValidationError
        assert heard.error.partial == (heard.snapshot if heard.raws else None)
        assert heard.verdict.state == "failed"
    elif recording.kind == "chat" and recording.has_error:
        assert type(heard.error) is APIError
        assert heard.verdict.state == "failed"
    else:
        assert heard.error is None
        assert heard.verdict.state == "done"
        assert heard.verdict.by == ("terminal_event" if recording.kind == "responses" else "[DONE]")
        assert heard.final == heard.snapshot
        check_whole(recording, heard.final)


@recordings
async def test_a_recording_read_as_text_has_the_same_text(file: str) -> None:
    recording = read(file)
    [heard] = await serve([reply_of(recording.body)], recording.kind, texts=True)
    expected = text_of_chat(recording.objects) if recording.kind == "chat" else text_of_response(recording.objects)
    assert heard.text == expected
    failed = recording.broken or recording.has_error or recording.objects[-1].get("type") == "response.failed"
    assert (heard.error is not None) == failed


@recordings
async def test_a_truncated_recording_is_never_reported_as_complete(file: str) -> None:
    recording = read(file)
    seed = random.Random(zlib.crc32(file.encode()) + 1)
    places = [*(seed.randrange(len(recording.body)) for _ in range(CUTS)), *recording.ends[-2:]]
    whole = reply_of(recording.body)
    broken = await serve([whole.cut_after(at) for at in places], recording.kind)
    ended = await serve([reply_of(recording.body[:at]) for at in places], recording.kind)
    for at, cut, short in zip(places, broken, ended, strict=True):
        for heard in (cut, short):
            check_cut(recording, at, heard, clean=heard is short)


def check_cut(recording: Recording, at: int, heard: Heard, *, clean: bool) -> None:
    arrived = [raw for raw, end in zip(recording.objects, recording.ends, strict=True) if end <= at]
    assert heard.raws == recording.objects[: len(heard.raws)]
    if heard.verdict.state == "done":
        assert heard.error is None
        assert heard.raws == arrived
        assert is_enough(recording, at, arrived, clean=clean)
        check_whole(attrs.evolve(recording, objects=arrived), heard.final)
        return
    assert heard.error is not None
    assert heard.error.partial == (heard.snapshot if heard.raws else None)
    assert heard.error.request_id == "req_1"
    assert heard.verdict.state in ("truncated", "failed")
    if heard.verdict.state == "truncated":
        assert type(heard.error) is StreamTruncatedError
        assert heard.raws == arrived
        assert not is_enough(recording, at, arrived, clean=False)
    else:
        assert recording.broken or recording.has_error


def is_enough(recording: Recording, at: int, arrived: list[Any], *, clean: bool) -> bool:
    """Return whether the stream is complete. After a clean end of the body, finish reasons are enough."""
    if recording.kind == "responses":
        return bool(arrived) and arrived[-1].get("type") in TERMINAL
    if recording.done_at is not None and b"[DONE]" in recording.body[recording.done_at : at]:
        return True
    indexes = {choice.get("index", 0) for raw in arrived for choice in raw.get("choices") or []}
    finished = [any(choice.get("finish_reason") for choice in choices_of(arrived, index)) for index in indexes]
    return clean and bool(finished) and all(finished)
