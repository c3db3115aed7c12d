"""Bodies that broke other clients, and bodies that no document describes: noise, truncation and errors.

Each is served whole and byte by byte, and read as events and as text.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
from body_helpers import (
    CHAT_DONE,
    COMPLETE,
    COMPLETED,
    CREATED,
    DONE,
    HELLO,
    HI,
    STOP,
    YOU,
    listen,
    objects,
    play,
    play_response,
    served,
)

from trio_openai import (
    APIError,
    APIResponseValidationError,
    StreamTruncatedError,
)
from trio_openai.testing import Cut, Reset

# --------------------------------------------------------------------------------------- noise that must be ignored

NOISE: dict[str, list[bytes]] = {
    # Noise that breaks other clients.
    "an event named ping without data": [HI, b"event: ping\n\n", STOP, DONE],
    "a retry in a separate block": [HI, b"retry: 5\n\n", STOP, DONE],
    "an id in a separate block": [HI, b"id: 7\n\n", STOP, DONE],
    "bare data in a separate block": [HI, b"data:\n\n", STOP, DONE],
    "bare data without a colon": [HI, b"data\n\n", STOP, DONE],
    "a heartbeat after an id": [b"id: 7\n", HI, b": ping\n\n", b"event: ping\n\n", b"\n", STOP, DONE],
    "a byte-order mark": [b"\xef\xbb\xbf", HI, STOP, DONE],
    "a retry that is no number": [b"retry: -1_0\n\n", b"retry: -1_0\n", HI, STOP, DONE],
    # Valid spellings of the same events.
    "data without a space": [HI.replace(b"data: ", b"data:"), STOP.replace(b"data: ", b"data:"), b"data:[DONE]\n\n"],
    "line ends are CR": [part.replace(b"\n", b"\r") for part in (HI, b": ping\n\n", STOP, DONE)],
    "line ends are CR LF": [part.replace(b"\n", b"\r\n") for part in (HI, b": ping\n\n", STOP, DONE)],
    "line ends are mixed": [HI.replace(b"\n\n", b"\r\n\r"), STOP.replace(b"\n\n", b"\r\n\n"), DONE],
    "several data lines": [
        b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"Hi"}}\ndata: ]}\n\n',
        b'data: {\ndata\ndata:"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
        DONE,
    ],
    "OPENROUTER PROCESSING": [b": OPENROUTER PROCESSING\n\n", HI, b": OPENROUTER PROCESSING\n\n", STOP, DONE],
    "comments inside of an event": [b": OPENROUTER PROCESSING\n", HI, b":\n:\n", STOP, DONE],
    "a keep-alive in the data": [b"data: : keepalive\n\n", HI, b"data: : keepalive\n\n", STOP, DONE],
    "[DONE] with a CR": [HI, STOP, b"data: [DONE]\r\n\n"],
    "[DONE] with spaces": [HI, STOP, b"data:  [DONE] \n\n"],
    "[DONE] as the last event without its blank line": [HI, STOP, b"data: [DONE]\n"],
    "[DONE] as the last event without its line end": [HI, STOP, b"data: [DONE]"],
    "bytes after [DONE]": [HI, STOP, DONE, b"data: {oops\n\n", b"\xff\xfe<html>", HI],
    "[DONE] twice": [HI, STOP, DONE, DONE],
    "names, ids and unknown fields": [b"event: message\nid: 1\nfoo: bar\n", HI, b"id: 2\n", STOP, b"id: 3\n", DONE],
}


@pytest.mark.parametrize("body", NOISE.values(), ids=NOISE.keys())
async def test_noise_between_events_is_ignored(body: list[bytes]) -> None:
    heard = await play(*body)
    assert heard.raws == objects(HI, STOP)
    assert heard.texts == ["Hi"]
    assert heard.message.content == "Hi"
    assert heard.verdict == CHAT_DONE
    assert heard.error is None


async def test_unicode_line_separators_do_not_end_a_line() -> None:
    line = 'data: {"choices":[{"index":0,"delta":{"content":"a\u2028b\u2029c\x85d"}}]}\n\n'.encode()
    heard = await play(line, STOP, DONE)
    assert heard.text == "a\u2028b\u2029c\x85d"
    assert len(heard.raws) == 2


async def test_a_character_split_between_reads_is_decoded_whole() -> None:
    heard = await play('data: {"choices":[{"index":0,"delta":{"content":"Grüße 🦫 né"}}]}\n\n'.encode(), STOP, DONE)
    assert heard.text == heard.message.content == "Grüße 🦫 né"


# ----------------------------------------------------------------------------------------------- truncated streams


@pytest.mark.promise(n=4)
@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_a_chat_stream_that_ends_without_done_and_finish_reason_is_truncated(framing: str) -> None:
    heard = await play(HI, YOU, framing=framing)
    assert type(heard.error) is StreamTruncatedError
    assert heard.raws == objects(HI, YOU)
    assert heard.verdict == "truncated"
    assert heard.error.partial.choices[0].message.content == heard.message.content == "Hi you"


@pytest.mark.promise(n=4)
async def test_a_responses_stream_that_ends_without_a_terminal_event_is_truncated() -> None:
    heard = await play_response(CREATED, HELLO)
    assert type(heard.error) is StreamTruncatedError
    assert heard.error.partial.output_text == "Hello"
    assert heard.raws == objects(CREATED, HELLO)


@pytest.mark.promise(n=4)
@pytest.mark.parametrize("fault", [Cut(), Reset()], ids=repr)
async def test_a_broken_connection_truncates_the_stream_even_after_a_finish_reason(fault: Any) -> None:
    heard = await play(HI, STOP, fault)
    assert type(heard.error) is StreamTruncatedError
    assert heard.raws == objects(HI, STOP)
    assert heard.verdict == "truncated (stop)"


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_a_stream_with_a_finish_reason_and_without_done_is_complete(framing: str) -> None:
    heard = await play(HI, STOP, framing=framing)
    assert heard.error is None
    assert heard.verdict == "done by finish_reason (stop)"
    assert heard.text == "Hi"


async def test_a_last_event_without_its_blank_line_is_delivered() -> None:
    for end in (b"", b"\n"):
        heard = await play(HI, STOP.rstrip() + end)
        assert heard.raws == objects(HI, STOP)
        assert heard.verdict == "done by finish_reason (stop)"
    heard = await play_response(CREATED, HELLO, COMPLETED.rstrip())
    assert heard.verdict == COMPLETE
    assert heard.snapshot.output_text == "Hello"


@pytest.mark.promise(n=4)
async def test_a_last_event_that_is_incomplete_means_a_truncated_stream() -> None:
    heard = await play(HI, b'data: {"choices":[{"index":0,"delta":{},"finish_')
    assert type(heard.error) is StreamTruncatedError
    assert heard.raws == objects(HI)


NOT_STREAMS: dict[str, tuple[bytes, type[APIError], str]] = {
    "JSON": (
        b'{"id":"c1","object":"list","data":[]}',
        APIResponseValidationError,
        "not an event stream",
    ),
    "an error object": (
        b'{"error":{"message":"no such model","type":"invalid_request_error","code":"model_not_found"}}',
        APIError,
        "no such model",
    ),
    "an error object on several lines": (
        b'{\n  "error": {\n    "message": "no such model",\n    "code": "model_not_found"\n  }\n}\n',
        APIError,
        "no such model",
    ),
    "HTML": (
        b"<!DOCTYPE html>\n<html><title>Sign in</title></html>\n",
        APIResponseValidationError,
        "not an event stream",
    ),
    "nothing": (b"", StreamTruncatedError, "before its first event"),
    "comments and nothing else": (b": ping\n\n: ping\n\n", StreamTruncatedError, "before its first event"),
}


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
@pytest.mark.parametrize(("body", "error", "message"), NOT_STREAMS.values(), ids=NOT_STREAMS.keys())
async def test_a_200_without_an_event_stream_is_an_error(
    body: bytes, error: type[APIError], message: str, responses: bool
) -> None:
    heard = await play(body, responses=responses)
    assert type(heard.error) is error
    assert message in heard.error.message
    assert heard.raws == []
    assert heard.error.partial is None


# -------------------------------------------------------------------------------------------- errors inside of a stream

ERRORS: dict[str, tuple[bytes, str, Any]] = {
    "an event named error with a flat body": (
        b'event: error\ndata: {"message":"overloaded","type":"server_error","code":"busy"}\n\n',
        "overloaded",
        "busy",
    ),
    "an event named error with a nested body": (
        b'event: error\ndata: {"error":{"message":"overloaded","type":"server_error","code":"busy"}}\n\n',
        "overloaded",
        "busy",
    ),
    "llama.cpp's error field": (
        b'error: {"code":500,"message":"context full","type":"server_error"}\n\n',
        "context full",
        500,
    ),
    "llama.cpp's unnamed error": (
        b'data: {"error":{"code":500,"message":"context full","type":"server_error"}}\n\n',
        "context full",
        500,
    ),
    "an integer code": (b'data: {"error":{"code":429,"message":"slow down"}}\n\n', "slow down", 429),
    "an error that is a string": (b'data: {"error":"no memory left"}\n\n', "no memory left", None),
}


@pytest.mark.parametrize("after", [b"", DONE, YOU + STOP + DONE], ids=["the end", "[DONE]", "more"])
@pytest.mark.parametrize(("error", "message", "code"), ERRORS.values(), ids=ERRORS.keys())
async def test_an_error_inside_a_chat_stream_is_raised(error: bytes, message: str, code: Any, after: bytes) -> None:
    heard = await play(HI, error, after)
    assert type(heard.error) is APIError
    assert (heard.error.message, heard.error.code) == (message, code)
    assert heard.error.partial.choices[0].message.content == "Hi"
    assert heard.raws == objects(HI)
    assert heard.verdict == "failed"


@pytest.mark.parametrize("after", [b"", DONE], ids=["the end", "[DONE]"])
@pytest.mark.parametrize(("error", "message", "code"), ERRORS.values(), ids=ERRORS.keys())
async def test_an_error_inside_a_responses_stream_is_raised(
    error: bytes, message: str, code: Any, after: bytes
) -> None:
    heard = await play_response(CREATED, HELLO, error, after)
    assert type(heard.error) is APIError
    assert (heard.error.message, heard.error.code) == (message, code)
    assert heard.error.partial.output_text == "Hello"
    assert heard.raws[:2] == objects(CREATED, HELLO)
    assert heard.verdict == "failed"


async def test_choices_beside_an_error_are_delivered_before_it_is_raised() -> None:
    """Check a chunk of OpenRouter that has choices and an error. It is delivered before the error is raised."""
    both = (
        b'data: {"id":"gen-1","error":{"code":502,"message":"Provider disconnected"},'
        b'"choices":[{"index":0,"delta":{"content":" th"},"finish_reason":"error"}]}\n\n'
    )
    heard = await play(HI, both, DONE)
    assert heard.raws == objects(HI, both)
    assert type(heard.error) is APIError
    assert (heard.error.message, heard.error.code) == ("Provider disconnected", 502)
    assert heard.error.partial.choices[0].message.content == "Hi th"
    assert heard.texts == [] or heard.text == "Hi th"
    assert heard.verdict == "failed (error)"


QUOTA = b'"code":"insufficient_quota","message":"You exceeded your current quota","param":null'


@pytest.mark.parametrize(
    "error",
    [
        b'event: error\ndata: {"type":"error","sequence_number":2,"error":{"type":"insufficient_quota",%s}}\n\n'
        % QUOTA,
        b'data: {"type":"error",%s}\n\n' % QUOTA,
    ],
    ids=["nested on the wire", "flat in the documents"],
)
async def test_an_error_event_before_response_failed_is_one_failure(error: bytes) -> None:
    failed = (
        b'data: {"type":"response.failed","response":{"id":"r1","status":"failed","output":[],"error":{%s}}}\n\n'
        % QUOTA
    )
    heard = await play_response(CREATED, error, failed, DONE)
    assert [event.type for event in heard.events] == ["response.created", "error", "response.failed"]
    assert heard.events[1].message == "You exceeded your current quota"
    assert heard.events[1].code == "insufficient_quota"
    assert heard.snapshot.status == "failed"
    assert heard.snapshot.error.code == "insufficient_quota"
    assert heard.verdict == "done by terminal_event (response.failed)"
    assert (
        "You exceeded your current quota" in heard.error.message
    )  # text_deltas raises, because the text alone would only look short


# --------------------------------------------------------------------------------------------------- invalid events


@pytest.mark.promise(n=3)
@pytest.mark.parametrize(
    "line",
    [b"data: {oops}\n\n", b"data: ping\n\n", b'data: {"a":1}{"b":2}\n\n', b"data: [1]\n\n"],
    ids=repr,
)
async def test_bytes_that_violate_the_protocol_raise_a_library_error(line: bytes) -> None:
    for responses, good in ((False, HI), (True, HELLO)):
        heard = await play(good, line, YOU, responses=responses)
        assert type(heard.error) is APIResponseValidationError
        assert heard.raws == objects(good)
        assert heard.verdict == "failed"
        assert heard.error.partial == heard.snapshot


async def test_halves_of_a_surrogate_pair_are_joined() -> None:
    halves = [
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83e"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"\\uddab"}}]}\n\n',
    ]
    heard = await play(*halves, STOP, DONE)
    assert heard.texts == ["\U0001f9ab"]  # text_deltas joins the halves, because a half cannot be printed
    assert heard.verdict == CHAT_DONE


async def test_nan_in_a_chunk_is_delivered_as_sent() -> None:
    async with trio.open_nursery() as nursery:
        server = await served(nursery, b'data: {"choices":[],"x":NaN}\n\n', STOP, DONE)
        async with server.client(max_retries=0) as client:
            heard = await listen(client, False, False, {})
        assert heard.raws[0]["x"] != heard.raws[0]["x"]
        assert heard.verdict == CHAT_DONE
        await server.aclose()
