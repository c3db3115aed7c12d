"""Every streaming endpoint through every door: the request, the events, the result, and the end of the stream."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from endpoint_helpers import CASES, NAMES, SPEECH, TRANSCRIPT, Case, image_events, text_piece
from net_helpers import client_over, no_environment, outcome, serve

from trio_openai import APIError, APIResponseValidationError, StreamTruncatedError, TrioOpenAI, UnknownEvent
from trio_openai.testing import Cut, RecordedRequest, Reply, ScriptedServer, Stall
from trio_openai.types import (
    Completion,
    ImageEditPartialImageEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
    SpeechAudioDeltaEvent,
    SpeechAudioDoneEvent,
    TranscriptionDiarized,
    TranscriptionDiarizedSegment,
    TranscriptionTextDoneEvent,
    TranscriptionUsageDuration,
    TranscriptionVerbose,
)

every_endpoint = pytest.mark.parametrize("case", CASES, ids=NAMES)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def open_client(nursery: trio.Nursery, script: Any) -> tuple[ScriptedServer, TrioOpenAI]:
    server = await serve(nursery, script)
    return server, client_over(server, max_retries=0)[0]


# ------------------------------------------------------------------------------------------------------------ the doors


async def by_block(case: Case, client: TrioOpenAI) -> tuple[Any, list[Any]]:
    async with case.of(client).stream(*case.where, **case.params) as stream:
        events = [event async for event in stream]
    return stream, events


async def by_nursery(case: Case, client: TrioOpenAI) -> tuple[Any, list[Any]]:
    async with trio.open_nursery() as nursery:
        stream = await case.of(client).start_stream(nursery, *case.where, buffer=2, **case.params)
        events = [event async for event in stream]
    return stream, events


async def by_create(case: Case, client: TrioOpenAI) -> tuple[Any, list[Any]]:
    stream = await case.create(client)(*case.where, stream=True, **case.params)
    events = [event async for event in stream]
    await stream.aclose()
    return stream, events


async def by_race(case: Case, client: TrioOpenAI) -> tuple[Any, list[Any]]:
    async with client.race([case.of(client).call(*case.where, **case.params)]) as stream:
        return stream, [event async for event in stream]


@every_endpoint
@pytest.mark.parametrize("door", [by_block, by_nursery, by_create, by_race])
async def test_every_door_returns_the_same_stream(nursery: trio.Nursery, case: Case, door: Any) -> None:
    server, client = await open_client(nursery, case.streamed)
    async with client:
        stream, events = await door(case, client)
        assert type(stream) is case.stream
        assert len(events) == sum(b"[DONE]" not in step for step in case.streamed.body)  # type: ignore[operator]
        assert not any(isinstance(event, UnknownEvent) for event in events)
        assert case.whole(stream.snapshot) == case.said
        assert str(stream.verdict) == case.verdict
        assert stream.request_id == "req_scripted"
        assert stream.timings.first_content is not None
    (request,) = server.requests
    assert request.path == case.path
    assert case.asks in request.body + request.target.encode()


@every_endpoint
async def test_run_many_returns_every_result(nursery: trio.Nursery, case: Case) -> None:
    _, client = await open_client(nursery, case.streamed)
    calls = (case.of(client).call(*case.where, key=number, **case.params) for number in range(3))
    async with client, client.run_many(calls, ordered=True) as results:
        got = [result async for result in results]
        assert [result.key for result in got] == [0, 1, 2]
        assert [case.whole(result.value) for result in got] == [case.said] * 3


@every_endpoint
async def test_create_returns_the_whole_result(nursery: trio.Nursery, case: Case) -> None:
    server, client = await open_client(nursery, case.plain)
    async with client:
        assert case.whole(await case.create(client)(*case.where, **case.params)) == case.said
        assert case.whole(await case.create(client)(*case.where, stream=False, **case.params)) == case.said
    for request in server.requests:
        assert request.path == case.path
        assert case.asks not in request.body + request.target.encode()


@every_endpoint
async def test_final_result_and_text_deltas(nursery: trio.Nursery, case: Case) -> None:
    _, client = await open_client(nursery, case.streamed)
    async with client:
        async with case.of(client).stream(*case.where, **case.params) as stream:
            assert case.whole(await getattr(stream, case.final)()) == case.said
        async with case.of(client).stream(*case.where, **case.params) as stream:
            assert "".join([text async for text in stream.text_deltas]) == case.text


@every_endpoint
async def test_truncated_stream_raises_and_keeps_the_snapshot(nursery: trio.Nursery, case: Case) -> None:
    """Cover a body that ends cleanly for HTTP after the first event, and a connection that breaks there."""
    first = case.streamed.body[0]
    for steps in ((first,), (first, Cut())):
        _, client = await open_client(nursery, attrs.evolve(case.streamed, body=steps))
        async with client, case.of(client).stream(*case.where, **case.params) as stream:
            await anext(stream)
            with pytest.raises(StreamTruncatedError) as caught:
                await stream.until_done()
            assert caught.value.partial == stream.snapshot
            assert caught.value.request_id == "req_scripted"
            assert stream.verdict.state == "truncated"


@pytest.mark.promise(n=3)
@every_endpoint
async def test_error_event_is_raised_and_keeps_the_snapshot(nursery: trio.Nursery, case: Case) -> None:
    error = {"type": "error", "error": {"message": "We are closed.", "code": "server_error"}}
    broken = Reply.sse(case.streamed.body[0][:-2].partition(b"data: ")[2], error, done=False)  # type: ignore[index]
    _, client = await open_client(nursery, broken)
    async with client, case.of(client).stream(*case.where, **case.params) as stream:
        with pytest.raises(APIError, match="We are closed") as caught:
            await stream.until_done()
        assert caught.value.code == "server_error"
        assert caught.value.partial is not None


@every_endpoint
async def test_leaving_a_stream_frees_its_connection(nursery: trio.Nursery, case: Case, autojump_clock: object) -> None:
    server = await serve(nursery, attrs.evolve(case.streamed, body=(case.streamed.body[0], Stall())))
    client, transport = client_over(server)
    async with client:
        async with case.of(client).stream(*case.where, **case.params) as stream:
            await anext(stream)
        await server.wait_disconnect(since=FROM_START)
        assert transport.statistics().active == 0
        assert client.statistics().open_streams == 0


@every_endpoint
async def test_every_method_takes_extra_headers_query_and_body(nursery: trio.Nursery, case: Case) -> None:
    server, client = await open_client(nursery, case.plain)
    every = {"extra_headers": {"x-a": "1"}, "extra_query": {"q": "2"}, "extra_body": {"more": "here"}, "timeout": 5}
    async with client:
        await case.create(client)(*case.where, **case.params, **every)
    (request,) = server.requests
    assert request.header("x-a") == "1"
    assert "q=2" in request.target
    assert b"here" in request.body + request.target.encode()


@every_endpoint
async def test_streaming_doors_refuse_stream_false(case: Case) -> None:
    async with TrioOpenAI(api_key="k") as client:
        for door in (case.of(client).stream, case.of(client).call):
            with pytest.raises(TypeError, match="always streams"):
                door(*case.where, **case.params, stream=False)
        with pytest.raises(TypeError, match="True or False"):
            await case.create(client)(*case.where, **case.params, stream="yes")


# ---------------------------------------------------------------------------------------------------------- completions


async def test_choices_of_completions_are_separated_by_index(nursery: trio.Nursery) -> None:
    pieces = [text_piece("b", index=1), text_piece("a"), text_piece("B", "length", 1), text_piece("A", "stop")]
    _, client = await open_client(nursery, Reply.sse(*pieces, done=False))
    async with client:
        async with client.completions.stream(model="m", prompt=["x", "y"]) as stream:
            assert [text async for text in stream.text_deltas] == ["a", "A"]
        assert [(c.index, c.text, c.finish_reason) for c in stream.snapshot.choices] == [
            (0, "aA", "stop"),
            (1, "bB", "length"),
        ]
        assert str(stream.verdict) == "done by finish_reason (stop)"


@pytest.mark.parametrize(
    ("params", "is_whole"),
    [
        ({"prompt": "x"}, True),
        ({"prompt": "x", "n": 2}, False),
        ({"prompt": ["x", "y"]}, False),
        ({"prompt": [1, 2, 3]}, True),
        ({"prompt": [[1, 2], [3]]}, False),
        pytest.param({"prompt": iter(["x", "y"])}, False, id="an iterator"),
    ],
    ids=str,
)
async def test_completions_without_done_need_a_finish_reason_for_every_choice(
    nursery: trio.Nursery, params: Any, is_whole: bool
) -> None:
    _, client = await open_client(nursery, Reply.sse(text_piece("a", "stop"), done=False))
    async with client:
        async with client.completions.stream(model="m", **params) as stream:
            error = await outcome(stream.until_done)
        assert (error is None) == is_whole
        assert isinstance(error, StreamTruncatedError | None)


async def test_completions_keep_logprobs_and_the_last_usage(nursery: trio.Nursery) -> None:
    def piece(token: str) -> dict[str, Any]:
        given = text_piece(token, usage={"total_tokens": 1})
        given["choices"][0]["logprobs"] = {"tokens": [token], "token_logprobs": [-1.0], "text_offset": [0]}
        return given

    pieces = [piece("a"), piece("b"), text_piece("", "stop", usage={"total_tokens": 9}), text_piece("", usage=None)]
    _, client = await open_client(nursery, Reply.sse(*pieces))
    async with client, client.completions.stream(model="m", prompt="x") as stream:
        whole = await stream.get_final_completion()
    assert isinstance(whole, Completion)
    assert whole.choices[0].logprobs is not None
    assert whole.choices[0].logprobs.tokens == ["a", "b"]
    assert whole.usage is not None
    assert whole.usage.total_tokens == 9


async def test_slow_subscriber_gets_merged_deltas(nursery: trio.Nursery, autojump_clock: object) -> None:
    """Check that the deltas that pile up are merged, and that no character is lost."""
    for case in (case for case in CASES if case.name in ("completions", "audio.transcriptions")):
        letters = "abcdefgh"
        pieces = (
            [text_piece(letter) for letter in letters] + [text_piece("", "stop")]
            if case.name == "completions"
            else [{"type": "transcript.text.delta", "delta": letter} for letter in letters] + TRANSCRIPT[-1:]
        )
        _, client = await open_client(nursery, Reply.sse(*pieces, pace=0.01))
        async with client, case.of(client).stream(**case.params) as stream:
            slow, events = stream.subscribe(1, "coalesce"), []
            async with trio.open_nursery() as readers:
                readers.start_soon(stream.until_done)
                async for event in slow:
                    events.append(event)
                    await trio.sleep(0.05)
        texts = [event.choices[0].text if isinstance(event, Completion) else event.raw.get("delta") for event in events]
        assert "".join(text or "" for text in texts) == letters
        assert len(texts) < len(letters)


# ----------------------------------------------------------------------------------------------------- images and audio


async def test_partial_image_stays_in_the_snapshot_until_the_image_is_complete(nursery: trio.Nursery) -> None:
    events = image_events("image_generation")
    _, client = await open_client(nursery, Reply.sse(*events[:2], *events, done=False))
    async with client, client.images.generate.stream(prompt="Two cats.", n=2) as stream:
        seen = []
        with pytest.raises(StreamTruncatedError) as caught:
            async for _ in stream:
                seen.append([image.b64_json for image in stream.snapshot.data])
        assert [image.b64_json for image in caught.value.partial.data] == ["QUJD"]
    assert seen == [["QQ=="], ["QUI="], ["QQ=="], ["QUI="], ["QUJD"]]
    assert stream.verdict.state == "truncated"


async def test_image_stream_ends_after_as_many_images_as_requested(nursery: trio.Nursery) -> None:
    events = image_events("image_edit")
    _, client = await open_client(nursery, Reply.sse(*events, *events, *events, done=False))
    async with client, client.images.edit.stream(image=[b"1", b"2"], prompt="One.", n=2) as stream:
        got = [event async for event in stream]
        assert len(got) == 6
        assert isinstance(got[0], ImageEditPartialImageEvent)
        assert got[1].partial_image_index == 1  # type: ignore[union-attr]
        assert [image.b64_json for image in stream.snapshot.data] == ["QUJD", "QUJD"]


async def test_events_are_typed_by_their_sse_name_if_they_have_no_type(nursery: trio.Nursery) -> None:
    """Simulate a server that sends the type only in the `event` field of the SSE message."""
    bare = b'event: image_generation.partial_image\ndata: {"b64_json": "QQ=="}\n\n'
    end = b'event: image_generation.completed\ndata: {"b64_json": "QUJD"}\n\n'
    other = b'event: image_generation.mood\ndata: {"b64_json": "QUJD"}\n\n'
    reply = Reply(headers={"content-type": "text/event-stream"}, body=(bare, other, end))
    _, client = await open_client(nursery, reply)
    async with client, client.images.generate.stream(prompt="A cat.") as stream:
        events = [event async for event in stream]
    assert list(map(type, events)) == [ImageGenPartialImageEvent, UnknownEvent, ImageGenCompletedEvent]
    assert str(stream.verdict) == "done by terminal_event (image_generation.completed)"


async def test_diarized_transcription_has_segments_by_speaker(nursery: trio.Nursery) -> None:
    segment = {"type": "transcript.text.segment", "id": "1", "speaker": "A", "text": "Hello", "start": 0, "end": 1.5}
    usage = {"type": "duration", "seconds": 2}
    done = {"type": "transcript.text.done", "text": "Hello", "usage": usage}
    _, client = await open_client(nursery, Reply.sse(segment, done, done=False))
    async with (
        client,
        client.audio.transcriptions.stream(file=b"RIFF", model="m", response_format="diarized_json") as stream,
    ):
        events = [event async for event in stream]
    assert list(map(type, events)) == [TranscriptionDiarizedSegment, TranscriptionTextDoneEvent]
    assert stream.snapshot.segments is not None
    assert stream.snapshot.segments[0].speaker == "A"
    assert isinstance(stream.snapshot.usage, TranscriptionUsageDuration)


async def test_transcript_without_deltas_yields_its_text_at_the_end(nursery: trio.Nursery) -> None:
    _, client = await open_client(nursery, Reply.sse(TRANSCRIPT[-1], done=False))
    async with client, client.audio.transcriptions.stream(file=b"RIFF", model="m") as stream:
        assert [text async for text in stream.text_deltas] == ["Hello there."]


@pytest.mark.parametrize(
    ("response_format", "answer", "cls"),
    [
        ("text", b"Hello.\n", str),
        ("srt", b"1\n00:00", str),
        ("verbose_json", b'{"text": "Hello.", "words": [{"word": "Hello", "start": 0}]}', TranscriptionVerbose),
        ("diarized_json", b'{"text": "Hello.", "segments": [{"speaker": "A"}]}', TranscriptionDiarized),
    ],
)
async def test_response_format_decides_the_class_of_a_transcription(
    nursery: trio.Nursery, response_format: Any, answer: bytes, cls: type
) -> None:
    server, client = await open_client(nursery, Reply(body=answer, framing="length"))
    async with client:
        said: Any = await client.audio.transcriptions.create(file=b"R", model="m", response_format=response_format)
    assert type(said) is cls
    assert said == answer.decode() if cls is str else said.text == "Hello."
    assert b'name="response_format"\r\n\r\n' + response_format.encode() in server.requests[0].body


async def test_transcript_that_is_not_utf8_raises_a_library_error(nursery: trio.Nursery) -> None:
    _, client = await open_client(nursery, Reply(body=b"\xff\xfe", framing="length", headers={"x-request-id": "r"}))
    async with client:
        with pytest.raises(APIResponseValidationError, match="UTF-8") as caught:
            await client.audio.transcriptions.create(file=b"R", model="m", response_format="text")
        assert caught.value.request_id == "r"


async def test_speech_snapshot_grows_with_every_delta(nursery: trio.Nursery) -> None:
    _, client = await open_client(nursery, Reply.sse(*SPEECH, done=False))
    async with client, client.audio.speech.stream(input="Hi", model="m", voice="alloy") as stream:
        sizes = [len(stream.snapshot.audio) async for _ in stream]
        assert sizes == [7, 16, 16]
        assert stream.snapshot.usage is not None
        assert stream.snapshot.usage.total_tokens == 5


async def test_speech_that_is_not_base64_raises_a_library_error(nursery: trio.Nursery) -> None:
    bad = {"type": "speech.audio.delta", "audio": "abc"}
    _, client = await open_client(nursery, Reply.sse(SPEECH[0], bad, SPEECH[-1]))
    async with client, client.audio.speech.stream(input="Hi", model="m", voice="alloy") as stream:
        assert isinstance(await anext(stream), SpeechAudioDeltaEvent)
        with pytest.raises(APIResponseValidationError, match="base64") as caught:
            await anext(stream)
        assert caught.value.partial.audio == b"\xff\x00sound"


async def test_extra_body_cannot_turn_off_streaming(nursery: trio.Nursery) -> None:
    """Check that the door, which decides how the result arrives, wins over `extra_body`."""
    server, client = await open_client(nursery, Reply.sse(*SPEECH, done=False))
    async with client:
        params: dict[str, Any] = {"input": "Hi", "model": "m", "voice": {"id": "v"}, "extra_body": {"stream_format": 1}}
        async with client.audio.speech.stream(**params) as stream:
            assert isinstance([event async for event in stream][-1], SpeechAudioDoneEvent)
    assert server.requests[0].json() == {"input": "Hi", "model": "m", "voice": {"id": "v"}, "stream_format": "sse"}


# ------------------------------------------------------------------------------------------- stored responses


async def test_stored_response_is_streamed_after_the_given_event(nursery: trio.Nursery) -> None:
    def answer(request: RecordedRequest) -> Reply:
        whole = Reply.response("Hello there.")
        return attrs.evolve(whole, body=whole.body[5:])

    server, client = await open_client(nursery, answer)
    async with (
        client,
        client.responses.retrieve.stream(
            "resp/1", starting_after=4, include=["reasoning.encrypted_content"], include_obfuscation=False
        ) as stream,
    ):
        numbers = [event.sequence_number async for event in stream]
        assert numbers == list(range(5, 5 + len(numbers)))
        assert stream.snapshot.output_text == "Hello there."
    (request,) = server.requests
    assert (request.method, request.body, request.path) == ("GET", b"", "/v1/responses/resp%2F1")
    assert "stream=true" in request.target
    assert "starting_after=4" in request.target
    assert "include_obfuscation=false" in request.target
    assert "include%5B%5D=reasoning.encrypted_content" in request.target
    assert request.header("content-type") is None


async def test_id_may_be_given_by_name(nursery: trio.Nursery) -> None:
    server, client = await open_client(nursery, Reply.response("Hi", stream=False))
    async with client:
        assert (await client.responses.retrieve(response_id="resp_1")).output_text == "Hi"
    assert server.requests[0].target == "/v1/responses/resp_1"


async def test_resume_needs_a_background_stream() -> None:
    async with TrioOpenAI(api_key="k") as client:
        responses: Any = client.responses
        with pytest.raises(TypeError, match="resume=True needs a stream"):
            await responses.create(model="m", input="Hi", background=True, resume=True)
        with pytest.raises(ValueError, match="background=True"):
            await responses.create(model="m", input="Hi", stream=True, resume=True)


def vllm(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"delta": {} if text is None else {"content": text}, "finish_reason": finish, "stop_reason": None}
    return {"id": "trsc-1", "object": "transcription.chunk", "created": 1, "model": "m", "choices": [choice], **more}


VLLM = [vllm(" Hel"), vllm("lo", "stop"), vllm(choices=[], usage={"total_tokens": 7, "completion_tokens": 2})]


@pytest.mark.parametrize("done", [True, False])
async def test_transcription_in_chat_chunks_has_text(nursery: trio.Nursery, done: bool) -> None:
    _, client = await open_client(nursery, Reply.sse(*VLLM, done=done))
    async with client, client.audio.transcriptions.stream(file=b"RIFF", model="m") as stream:
        assert [text async for text in stream.text_deltas] == [" Hel", "lo"]
        assert stream.snapshot.text == " Hello"
        assert stream.snapshot.raw["usage"]["total_tokens"] == 7
        assert stream.verdict.reason == "stop"


@pytest.mark.parametrize("chunks", [VLLM[:1], [*VLLM, vllm(" more")]])
async def test_transcription_in_chat_chunks_without_finish_reason_is_truncated(
    nursery: trio.Nursery, chunks: list[Any]
) -> None:
    _, client = await open_client(nursery, Reply.sse(*chunks, done=False))
    async with client, client.audio.transcriptions.stream(file=b"RIFF", model="m") as stream:
        with pytest.raises(StreamTruncatedError) as caught:
            await stream.until_done()
    assert caught.value.partial.text.startswith(" Hel")


async def test_empty_text_in_the_last_event_does_not_erase_the_transcript(nursery: trio.Nursery) -> None:
    chunks = [{"type": "transcript.text.delta", "delta": "Hi"}, {"type": "transcript.text.done", "text": "", "more": 1}]
    _, client = await open_client(nursery, Reply.sse(*chunks, done=False))
    async with client, client.audio.transcriptions.stream(file=b"RIFF", model="m") as stream:
        await stream.until_done()
    assert stream.snapshot.raw == {"text": "Hi", "more": 1}


async def test_completions_keep_unknown_fields(nursery: trio.Nursery) -> None:
    def text(piece: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
        logprobs = {"tokens": [piece], "ids": [len(piece)]}
        choice = {"index": 0, "text": piece, "finish_reason": finish, "logprobs": logprobs, "stop_reason": finish}
        return {"id": "cmpl-1", "object": "text_completion", "choices": [choice], **more}

    _, client = await open_client(nursery, Reply.sse(text("Hel", timings=1), text("lo", "stop", timings=2)))
    async with client, client.completions.stream(model="m", prompt="p") as stream:
        await stream.until_done()
    whole = stream.snapshot
    assert whole.raw["timings"] == 2
    logprobs = {"tokens": ["Hel", "lo"], "ids": [3, 2]}
    expected = {"index": 0, "text": "Hello", "finish_reason": "stop", "stop_reason": "stop", "logprobs": logprobs}
    assert whole.raw["choices"] == [expected]
    assert whole.choices[0].raw == expected
    assert whole.choices[0].text == "Hello"


async def test_text_after_the_finish_reason_makes_a_completion_unfinished_again(nursery: trio.Nursery) -> None:
    chunks = [{"choices": [{"index": 0, "text": "a", "finish_reason": reason}]} for reason in ("stop", None)]
    _, client = await open_client(nursery, Reply.sse(*chunks, done=False))
    async with client, client.completions.stream(model="m", prompt="p") as stream:
        with pytest.raises(StreamTruncatedError):
            await stream.until_done()


async def test_error_in_a_choice_of_a_completion_fails_the_stream(nursery: trio.Nursery) -> None:
    failed = {"index": 0, "text": "b", "finish_reason": "error", "error": {"message": "overloaded"}}
    chunks = [{"choices": [{"index": 0, "text": "a", "finish_reason": None}]}, {"choices": [failed]}]
    _, client = await open_client(nursery, Reply.sse(*chunks))
    async with client, client.completions.stream(model="m", prompt="p") as stream:
        with pytest.raises(APIError, match="overloaded") as caught:
            await stream.until_done()
    assert caught.value.partial.choices[0].text == "ab"
