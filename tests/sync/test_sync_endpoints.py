"""Every endpoint of the blocking client behaves like that of `TrioOpenAI`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from endpoint_helpers import CASES, NAMES, Case
from net_helpers import no_environment, serve
from plain_helpers import ITEMS, MODELS, embedded, items, vector
from sync_helpers import loop_threads, served

from trio_openai import BadRequestError, StreamTruncatedError, TrioOpenAI
from trio_openai.sync import SyncByteStream, SyncOpenAI, SyncPage, SyncStream
from trio_openai.testing import Cut, Reply, Stall

SPEECH: dict[str, Any] = {"model": "m", "input": "Hello.", "voice": "alloy"}


@pytest.fixture(autouse=True)
def no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    no_environment(monkeypatch)
    yield
    assert loop_threads() == []


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


STORED = [
    *("responses.input_tokens", "chat.completions.messages", "audio.translations", "moderations", "batches"),
    *("files", "files.content", "conversations", "conversations.items"),
]
PLACES = [*NAMES, "models", "embeddings", "images", "audio", "responses.input_items", *STORED]


@pytest.mark.parametrize("place", PLACES)
def test_names_are_those_of_the_async_client(place: str) -> None:
    ours: Any = SyncOpenAI(api_key="k")
    its: Any = TrioOpenAI(api_key="k")
    for name in place.split("."):
        ours, its = getattr(ours, name), getattr(its, name)
    assert public(ours) == public(its) - {"start_stream", "call"}
    assert callable(ours) == callable(its)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_endpoint_streams_and_returns_its_result(case: Case) -> None:
    with served([case.streamed, case.streamed, case.plain]) as server, server.client() as client:
        with case.of(client).stream(*case.where, **case.params) as stream:
            assert type(stream).__name__ == f"Sync{case.stream.__name__}"
            assert case.whole(getattr(stream, case.final)()) == case.said
            assert str(stream.verdict) == case.verdict
        with case.create(client)(*case.where, stream=True, **case.params) as again:
            assert "".join(again.text_deltas) == case.text
        assert case.whole(case.create(client)(*case.where, **case.params)) == case.said
        assert client.statistics().open_streams == 0
        assert {request.path for request in server.server.requests} == {case.path}


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_invalid_arguments_are_refused(case: Case) -> None:
    with SyncOpenAI(api_key="k") as client:
        with pytest.raises(TypeError, match="extra_body"):
            case.create(client)(*case.where, **case.params, top_k=40)
        with pytest.raises(TypeError, match="extra_body"), case.of(client).stream(*case.where, **case.params, top_k=40):
            pass


def test_lists_and_plain_results() -> None:
    with served(items) as server, server.client() as client:
        page = client.responses.input_items.list("resp_1", limit=2)
        assert isinstance(page, SyncPage)
        assert [item.id for item in page.data] == ["msg_1", "msg_2"]
        assert page.has_next_page()
        assert [item.id for item in page] == [item["id"] for item in ITEMS]
        assert len(server.server.requests) == 3
        assert "msg_1" in repr(page)
    replies = [Reply.json(MODELS), Reply.json({"id": "a"}), embedded(vector(0.5)), Reply.json({"id": "r"}), Reply(204)]
    with served(replies) as server, server.client() as client:
        assert [model.id for model in client.models.list()] == ["a", "b"]
        assert client.models.retrieve("a").id == "a"
        assert client.embeddings.create(model="m", input="x").data[0].embedding == [0.5]
        assert client.responses.cancel("r").id == "r"
        assert client.responses.delete("r") is None


def test_speech_is_streamed_as_bytes(tmp_path: Path) -> None:
    sound = Reply(headers={"content-type": "audio/mpeg"}, body=(b"ID3", b"end"))
    cut = attrs.evolve(sound, body=(b"ID3", Cut()))
    stalled = attrs.evolve(sound, body=(b"ID3", Stall()))
    with served([sound, sound, cut, stalled, Reply.error(400, "no")]) as server:
        with server.client(max_retries=0) as client:
            with client.audio.speech.stream_bytes(**SPEECH) as stream:
                assert isinstance(stream, SyncByteStream)
                assert stream.response.headers["content-type"] == "audio/mpeg"
                stream.write_to_file(tmp_path / "a.mp3")
            assert (tmp_path / "a.mp3").read_bytes() == b"ID3end"
            with client.audio.speech.stream_bytes(**SPEECH) as stream:
                assert stream.read() == b"ID3end"
            with client.audio.speech.stream_bytes(**SPEECH) as stream, pytest.raises(StreamTruncatedError):
                stream.read()
            with client.audio.speech.stream_bytes(**SPEECH) as stream:
                assert next(stream) == b"ID3"
            with pytest.raises(trio.ClosedResourceError):
                next(stream)
            with pytest.raises(BadRequestError), client.audio.speech.stream_bytes(**SPEECH):
                pass


def test_stream_request_of_the_blocking_client() -> None:
    with served(Reply.sse({"n": 1}, {"n": 2})) as server, server.client() as client:
        with client.stream_request("POST", "/x", json={"stream": True}) as stream:
            assert type(stream) is SyncStream
            assert [event["n"] for event in stream] == [1, 2]
        with pytest.raises(ValueError, match="slash"), client.stream_request("POST", "x"):
            pass


async def test_worker_thread_uploads_a_file(nursery: trio.Nursery, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    server = await serve(nursery, Reply.json({"text": "Hello."}), memory=False)

    def work() -> str:
        with SyncOpenAI(base_url=server.base_url, api_key="k") as client:
            return client.audio.transcriptions.create(file=tmp_path / "a.wav", model="m").text

    assert await trio.to_thread.run_sync(work) == "Hello."
    assert b"RIFF" in server.requests[0].body
