"""Bodies that broke other clients, and bodies that no document describes, read through the public API.

Each is served whole and byte by byte, read as events and as text.
"""

from __future__ import annotations

import gc
import json
import warnings
from typing import Any

import attrs
import pytest
import trio

from trio_openai import (
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    BadRequestError,
    Deadlines,
    InternalServerError,
    NotFoundError,
    StreamTruncatedError,
    UnknownEvent,
    UnprocessableEntityError,
)
from trio_openai.testing import Cut, Pause, Reply, Reset, ScriptedServer, Stall

HI = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
YOU = b'data: {"choices":[{"index":0,"delta":{"content":" you"}}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"

CREATED = b'data: {"type":"response.created","response":{"id":"r1","status":"in_progress","output":[]}}\n\n'
HELLO = (
    b'data: {"type":"response.output_text.delta","output_index":0,"item_id":"m1","content_index":0,"delta":"Hello"}\n\n'
)
WORLD = (
    b'data: {"type":"response.output_text.delta","output_index":0,"item_id":"m1","content_index":0,"delta":" you"}\n\n'
)
COMPLETED = b'data: {"type":"response.completed","response":{"id":"r1","status":"completed","output":[]}}\n\n'

CHAT_DONE = "done by [DONE] (stop)"
COMPLETE = "done by terminal_event (response.completed)"

HEADERS = {"content-type": "text/event-stream", "x-request-id": "req_1"}


@attrs.define
class Heard:
    """Everything that a program got from one stream."""

    raws: list[Any] = attrs.field(factory=list)
    events: list[Any] = attrs.field(factory=list)
    texts: list[str] = attrs.field(factory=list)
    snapshot: Any = None
    verdict: str = ""
    error: Any = None

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def message(self) -> Any:
        return self.snapshot.choices[0].message


def manager(client: Any, responses: bool, params: dict[str, Any]) -> Any:
    if responses:
        return client.responses.stream(model="m", input="Hi", **params)
    return client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "Hi"}], **params)


async def listen(client: Any, responses: bool, as_text: bool, params: dict[str, Any]) -> Heard:
    heard = Heard()
    async with manager(client, responses, params) as stream:
        try:
            if as_text:
                heard.texts = [text async for text in stream.text_deltas]
            else:
                async for event in stream:
                    heard.events.append(event)
                    heard.raws.append(event.raw)
        except APIError as error:
            heard.error = error
        heard.snapshot, heard.verdict = stream.snapshot, str(stream.verdict)
    return heard


async def play(*body: Any, responses: bool = False, framing: str = "chunked", **params: Any) -> Heard:
    """Serve it whole, byte by byte, and once more for the text; what was heard must be the same each time."""
    reply = Reply(headers=HEADERS, body=body, framing=framing)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        server = ScriptedServer([reply, reply.sliced(1), reply])
        await server.start(nursery, memory=True)
        async with server.client(max_retries=0) as client:
            with trio.fail_after(10):
                whole = await listen(client, responses, False, params)
                bytewise = await listen(client, responses, False, params)
                as_text = await listen(client, responses, True, params)
        with trio.fail_after(10):
            await server.wait_closed()
        await server.aclose()
    assert (bytewise.raws, bytewise.verdict, str(bytewise.error)) == (whole.raws, whole.verdict, str(whole.error))
    assert whole.snapshot == bytewise.snapshot == as_text.snapshot
    assert whole.verdict == as_text.verdict
    assert all(heard.error is None or heard.error.request_id == "req_1" for heard in (whole, bytewise, as_text))
    whole.texts = as_text.texts
    whole.error = whole.error or as_text.error
    return whole


async def play_response(*body: Any, **params: Any) -> Heard:
    return await play(*body, responses=True, **params)


def objects(*lines: bytes) -> list[Any]:
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


# -------------------------------------------------------------------------------- noise, which must not change anything

NOISE: dict[str, list[bytes]] = {
    # What today's clients get wrong.
    "an event named ping without data": [HI, b"event: ping\n\n", STOP, DONE],
    "a retry in a block of its own": [HI, b"retry: 5\n\n", STOP, DONE],
    "an id in a block of its own": [HI, b"id: 7\n\n", STOP, DONE],
    "bare data in a block of its own": [HI, b"data:\n\n", STOP, DONE],
    "bare data without a colon": [HI, b"data\n\n", STOP, DONE],
    "a heartbeat after an id": [b"id: 7\n", HI, b": ping\n\n", b"event: ping\n\n", b"\n", STOP, DONE],
    "a byte-order mark": [b"\xef\xbb\xbf", HI, STOP, DONE],
    "a retry that is no number": [b"retry: -1_0\n\n", b"retry: -1_0\n", HI, STOP, DONE],
    # Wire dialects to accept.
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
async def test_noise_is_passed_over(body: list[bytes]) -> None:
    heard = await play(*body)
    assert heard.raws == objects(HI, STOP)
    assert heard.texts == ["Hi"]
    assert heard.message.content == "Hi"
    assert heard.verdict == CHAT_DONE
    assert heard.error is None


async def test_a_unicode_line_end_is_no_line_end() -> None:
    line = 'data: {"choices":[{"index":0,"delta":{"content":"a\u2028b\u2029c\x85d"}}]}\n\n'.encode()
    heard = await play(line, STOP, DONE)
    assert heard.text == "a\u2028b\u2029c\x85d"
    assert len(heard.raws) == 2


async def test_a_character_that_is_split() -> None:
    heard = await play('data: {"choices":[{"index":0,"delta":{"content":"Grüße 🦫 né"}}]}\n\n'.encode(), STOP, DONE)
    assert heard.text == heard.message.content == "Grüße 🦫 né"


# ------------------------------------------------------------------------------------ a stream that ends before its end


@pytest.mark.promise(n=4)
@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_the_end_of_the_stream_with_neither_done_nor_a_finish_reason_is_a_cut(framing: str) -> None:
    heard = await play(HI, YOU, framing=framing)
    assert type(heard.error) is StreamTruncatedError
    assert heard.raws == objects(HI, YOU)
    assert heard.verdict == "truncated"
    assert heard.error.partial.choices[0].message.content == heard.message.content == "Hi you"


@pytest.mark.promise(n=4)
async def test_the_end_of_a_responses_stream_without_a_terminal_event_is_a_cut() -> None:
    heard = await play_response(CREATED, HELLO)
    assert type(heard.error) is StreamTruncatedError
    assert heard.error.partial.output_text == "Hello"
    assert heard.raws == objects(CREATED, HELLO)


@pytest.mark.promise(n=4)
@pytest.mark.parametrize("fault", [Cut(), Reset()], ids=repr)
async def test_a_broken_connection_is_a_cut_even_after_a_finish_reason(fault: Any) -> None:
    heard = await play(HI, STOP, fault)
    assert type(heard.error) is StreamTruncatedError
    assert heard.raws == objects(HI, STOP)
    assert heard.verdict == "truncated (stop)"


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_no_done_at_all_when_a_finish_reason_came(framing: str) -> None:
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
async def test_half_a_last_event_is_a_cut() -> None:
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
async def test_a_200_that_holds_no_stream(body: bytes, error: type[APIError], message: str, responses: bool) -> None:
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
async def test_an_error_inside_of_a_chat_stream(error: bytes, message: str, code: Any, after: bytes) -> None:
    heard = await play(HI, error, after)
    assert type(heard.error) is APIError
    assert (heard.error.message, heard.error.code) == (message, code)
    assert heard.error.partial.choices[0].message.content == "Hi"
    assert heard.raws == objects(HI)
    assert heard.verdict == "failed"


@pytest.mark.parametrize("after", [b"", DONE], ids=["the end", "[DONE]"])
@pytest.mark.parametrize(("error", "message", "code"), ERRORS.values(), ids=ERRORS.keys())
async def test_an_error_inside_of_a_responses_stream(error: bytes, message: str, code: Any, after: bytes) -> None:
    heard = await play_response(CREATED, HELLO, error, after)
    assert type(heard.error) is APIError
    assert (heard.error.message, heard.error.code) == (message, code)
    assert heard.error.partial.output_text == "Hello"
    assert heard.raws[:2] == objects(CREATED, HELLO)
    assert heard.verdict == "failed"


async def test_an_error_and_choices_in_one_chunk() -> None:
    """OpenRouter: the chunk is an event all the same."""
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
async def test_an_error_event_and_then_response_failed(error: bytes) -> None:
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
    assert "You exceeded your current quota" in heard.error.message  # of the text, which would else just be short


# ------------------------------------------------------------------------------------------ scopes, clocks, connections


async def served(nursery: trio.Nursery, *body: Any, memory: bool = True, **options: Any) -> ScriptedServer:
    server = ScriptedServer(Reply(headers=HEADERS, body=body, **options))
    await server.start(nursery, memory=memory)
    return server


async def test_ping_comments_do_not_hold_a_dead_stream_open(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI, *(step for _ in range(100) for step in (Pause(1), b": ping\n\n")), Stall())
        async with server.client(timeout=Deadlines(idle=5), max_retries=0) as client:
            started = trio.current_time()
            with pytest.raises(APITimeoutError) as info:
                async with manager(client, False, {}) as stream:
                    await stream.until_done()
        assert info.value.phase == "idle"
        assert info.value.partial.choices[0].message.content == "Hi"
        assert isinstance(info.value, TimeoutError)
        assert trio.current_time() - started == pytest.approx(5)
        await server.wait_disconnect()
        await server.aclose()


@pytest.mark.promise(n=1)
@pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])
async def test_break_gives_up_the_connection_at_once(memory: bool) -> None:
    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI, YOU, Stall(), memory=memory)
        async with server.client() as client:
            async with manager(client, False, {}) as stream:
                async for _ in stream:
                    break
            assert str(stream.verdict) == "closed"
            assert stream.snapshot.choices[0].message.content == "Hi"
            with trio.fail_after(5):
                await server.wait_disconnect()
                await server.wait_closed()
        await server.aclose()


async def test_a_stream_without_a_block_is_closed_by_aclose() -> None:
    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI, YOU, Stall())
        async with server.client() as client:
            stream = await client.chat.completions.create(model="m", messages=[], stream=True)
            async for _ in stream:
                break
            await stream.aclose()
            with trio.fail_after(5):
                await server.wait_closed()
            with pytest.raises(trio.ClosedResourceError):
                await anext(stream)
        await server.aclose()


@pytest.mark.promise(n=1)
@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
async def test_a_stream_that_was_read_to_its_end_leaves_no_resource_warning(responses: bool) -> None:
    body = [CREATED, HELLO, COMPLETED, DONE] if responses else [HI, STOP, DONE]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with trio.open_nursery() as nursery:
            server = await served(nursery, *body, memory=False)
            async with server.client() as client:
                heard = await listen(client, responses, False, {})
            await server.aclose()
        gc.collect()
    assert heard.error is None
    assert seen == []


@pytest.mark.promise(n=1)
async def test_a_stream_that_was_broken_off_leaves_no_resource_warning() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with trio.open_nursery() as nursery:
            server = await served(nursery, HI, YOU, Stall(), memory=False)
            async with server.client() as client, manager(client, False, {}) as stream:
                async for _ in stream:
                    break
            del stream
            await server.aclose()
        gc.collect()
    assert seen == []


@pytest.mark.promise(n=7)
async def test_every_step_is_a_checkpoint_also_between_events_that_have_arrived() -> None:
    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI * 1000 + STOP + DONE)
        async with server.client() as client, manager(client, False, {}) as stream:
            seen = 0
            with trio.CancelScope() as scope:
                async for _ in stream:
                    seen += 1
                    if seen == 10:
                        scope.cancel()
            assert scope.cancelled_caught
            assert seen == 10
            async for _ in stream:  # and the step that was cancelled has lost nothing
                seen += 1
            assert seen == 1001
            assert stream.snapshot.choices[0].message.content == "Hi" * 1000
        await server.aclose()


@pytest.mark.promise(n=7)
async def test_other_tasks_run_during_a_burst() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI * 20_000 + STOP + DONE)
        async with server.client() as client, manager(client, False, {}) as stream:
            await anext(stream)
            nursery.start_soon(take_turns)
            await stream.until_done()
            assert turns > 10  # 20,000 events take a hundred times the millisecond that a burst may hold the scheduler
        nursery.cancel_scope.cancel()


async def test_a_body_that_stays_open_after_done_holds_nobody(autojump_clock: trio.abc.Clock) -> None:
    for responses, body in ((False, [HI, STOP, DONE]), (True, [CREATED, HELLO, COMPLETED])):
        async with trio.open_nursery() as nursery:
            server = await served(nursery, *body, Stall())
            async with server.client() as client:
                started = trio.current_time()
                heard = await listen(client, responses, False, {})
                assert heard.error is None
                assert heard.verdict.startswith("done")
                assert trio.current_time() == started
            with trio.fail_after(5):
                await server.wait_closed()
            await server.aclose()


async def test_headers_that_take_long_are_a_phase_of_their_own(autojump_clock: trio.abc.Clock) -> None:
    """Check the `headers` deadline: a queued llama.cpp request sends no byte, not even headers, for seconds."""
    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI, STOP, DONE, delay=20)
        patient = Deadlines(headers=30, first_event=1, first_content=1, idle=1)
        async with server.client(max_retries=0) as client:
            heard = await listen(client, False, False, {"timeout": patient})
            assert heard.verdict == CHAT_DONE
            with pytest.raises(APITimeoutError) as info:
                await listen(client, False, False, {"timeout": Deadlines(headers=10, idle=60)})
        assert info.value.phase == "headers"
        await server.aclose()


async def test_no_request_id() -> None:
    async with trio.open_nursery() as nursery:
        server = ScriptedServer(Reply(headers={"content-type": "text/event-stream"}, body=[HI]))
        await server.start(nursery, memory=True)
        async with server.client(max_retries=0) as client, manager(client, False, {}) as stream:
            assert stream.request_id is None
            with pytest.raises(StreamTruncatedError) as info:
                await stream.until_done()
            assert info.value.request_id is None
        await server.aclose()


STATUS_ERRORS: dict[str, tuple[int, bytes, type[APIError], str, Any]] = {
    "an integer error code": (
        400,
        b'{"error":{"code":400,"message":"bad prompt"}}',
        BadRequestError,
        "HTTP 400: bad prompt",
        400,
    ),
    "an error that is a string": (404, b'{"error":"no such model"}', NotFoundError, "HTTP 404: no such model", None),
    "a detail": (422, b'{"detail":"n is too big"}', UnprocessableEntityError, "HTTP 422: n is too big", None),
    "an empty-bodied 500": (500, b"", InternalServerError, "HTTP 500: the server gave no reason", None),
    "a page": (
        502,
        b"<html><title>502 Bad Gateway</title></html>",
        InternalServerError,
        "HTTP 502: 502 Bad Gateway",
        None,
    ),
}


@pytest.mark.parametrize(
    ("status", "body", "error", "message", "code"), STATUS_ERRORS.values(), ids=STATUS_ERRORS.keys()
)
async def test_an_error_status(status: int, body: bytes, error: type[APIError], message: str, code: Any) -> None:
    async with trio.open_nursery() as nursery:
        server = ScriptedServer(Reply(status, HEADERS, body, "length"))
        await server.start(nursery, memory=True)
        async with server.client(max_retries=0) as client:
            for responses in (False, True):
                with pytest.raises(error) as info:
                    await listen(client, responses, False, {})
                assert (info.value.message, info.value.code) == (message, code)
                assert info.value.request_id == "req_1"
        await server.wait_closed()
        await server.aclose()


# ----------------------------------------------------------------------------------------------------------- tool calls


def tools(*pieces: str) -> list[bytes]:
    """Make one chunk for each piece of a `tool_calls` list."""
    lines = [b'data: {"choices":[{"index":0,"delta":{"tool_calls":[%s]}}]}\n\n' % piece.encode() for piece in pieces]
    return [*lines, b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n', DONE]


WHOLE_CALLS = [
    '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\":1}"}}',
    '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{\\"b\\":2}"}}',
]
TOOL_CALLS: dict[str, list[str]] = {
    "index 1 before 0": [
        '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\""}}',
        '{"index":1,"function":{"arguments":":2}"}}',
        '{"index":0,"function":{"arguments":":1}"}}',
    ],
    "a missing index": [
        '{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\""}}',
        '{"function":{"arguments":":1}"}}',
        '{"id":"call_2","type":"function","function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"id":"","function":{"arguments":":2}"}}',
    ],
    "an index that is null": [
        '{"index":null,"id":"call_1","function":{"name":"f","arguments":"{\\"a\\":1}"}}',
        '{"index":null,"id":"call_2","function":{"name":"g","arguments":"{\\"b\\":2}"}}',
    ],
    "a repeated id and name": [
        '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\""}}',
        '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":":1}"}}',
        '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":":2}"}}',
    ],
    "a repeated id without an index": [
        '{"id":"call_1","function":{"name":"f","arguments":"{\\"a\\""}}',
        '{"id":"call_2","function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"id":"call_1","function":{"arguments":":1}"}}',
        '{"id":"call_2","function":{"arguments":":2}"}}',
    ],
    "ids and names that are emptied later": [
        '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\""}}',
        '{"index":0,"id":"","type":"","function":{"name":"","arguments":":1}"}}',
        '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"index":1,"id":null,"type":null,"function":{"name":null,"arguments":":2}"}}',
    ],
    "interleaved parallel calls": [
        '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}',
        '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":""}}',
        *(f'{{"index":0,"function":{{"arguments":"{piece}"}}}}' for piece in ("{", '\\"a\\"')),
        *(f'{{"index":1,"function":{{"arguments":"{piece}"}}}}' for piece in ("{", '\\"b\\":')),
        '{"index":0,"function":{"arguments":":1}"}}',
        '{"index":1,"function":{"arguments":"2}"}}',
    ],
    "a whole call in one chunk": WHOLE_CALLS,
    "all calls in one chunk": [",".join(WHOLE_CALLS)],
    "id and name in different chunks": [
        '{"index":0,"id":"call_1","type":"function"}',
        '{"index":0,"function":{"name":"f"}}',
        '{"index":0,"function":{"arguments":"{\\"a\\":1}"}}',
        '{"index":1,"function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"index":1,"id":"call_2","function":{"arguments":":2}"}}',
    ],
    "an index with holes": [
        '{"index":3,"id":"call_1","function":{"name":"f","arguments":"{\\"a\\":1}"}}',
        '{"index":9,"id":"call_2","function":{"name":"g","arguments":"{\\"b\\":2}"}}',
    ],
}


@pytest.mark.parametrize("pieces", TOOL_CALLS.values(), ids=TOOL_CALLS.keys())
async def test_tool_calls(pieces: list[str]) -> None:
    body = tools(*pieces)
    heard = await play(*body)
    calls = heard.message.tool_calls
    assert [(call.id, call.type, call.function.name, call.function.arguments) for call in calls] == [
        ("call_1", "function", "f", '{"a":1}'),
        ("call_2", "function", "g", '{"b":2}'),
    ]
    assert heard.raws == objects(*body[:-1])
    assert heard.verdict == "done by [DONE] (tool_calls)"
    assert heard.texts == []


# ------------------------------------------------------------------------------------------------ choices, usage, roles


async def test_choices_out_of_order() -> None:
    body = [
        b'data: {"choices":[{"index":2,"delta":{"content":"c"}}]}\n\n',
        b'data: {"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}\n\n',
        b'data: {"choices":[{"index":1,"delta":{"content":"B"},"finish_reason":"length"}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"A"},"finish_reason":"stop"}]}\n\n',
        b'data: {"choices":[{"index":2,"delta":{"content":"C"},"finish_reason":"stop"}]}\n\n',
    ]
    heard = await play(*body, n=3)
    assert [(c.index, c.message.content, c.finish_reason) for c in heard.snapshot.choices] == [
        (0, "aA", "stop"),
        (1, "bB", "length"),
        (2, "cC", "stop"),
    ]
    assert heard.texts == ["a", "A"]
    assert heard.verdict == "done by finish_reason (stop)"


USAGE = b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'
NO_USAGE = b'"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]'
USAGES: dict[str, list[bytes]] = {
    "on a chunk of its own": [HI, STOP, b'data: {"choices":[],' + USAGE + b"}\n\n", DONE],
    "on the last content chunk": [HI, LAST + b"," + USAGE + b"}\n\n", DONE],
    "on every chunk": [
        HI.replace(b"]}", b'],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'),
        LAST + b"," + USAGE + b"}\n\n",
        DONE,
    ],
    "in x_groq": [HI, LAST + b',"x_groq":{"id":"req_1",' + USAGE + b"}}\n\n", DONE],
    "null on all others": [
        b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}\n\n',
        LAST + b"," + USAGE + b"}\n\n",
        b'data: {"choices":[],"usage":null}\n\n',
        DONE,
    ],
    "a chunk after the usage chunk": [
        HI,
        STOP,
        b'data: {"choices":[],' + USAGE + b"}\n\n",
        b'data: {"choices":[]}\n\n',
        DONE,
    ],
    "zeros after it": [HI, LAST + b"," + USAGE + b"}\n\n", b'data: {"choices":[],' + NO_USAGE + b"}\n\n", DONE],
    "zeros before it": [HI, LAST + b"," + NO_USAGE + b"}\n\n", b'data: {"choices":[],' + USAGE + b"}\n\n", DONE],
}


@pytest.mark.parametrize("body", USAGES.values(), ids=USAGES.keys())
async def test_usage(body: list[bytes]) -> None:
    heard = await play(*body)
    usage = heard.snapshot.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1, 2, 3)
    assert heard.raws == objects(*body[:-1])
    assert heard.message.content == heard.text == "Hi"
    assert heard.verdict == CHAT_DONE


async def test_a_repeated_role() -> None:
    line = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}]}\n\n'
    heard = await play(line, line, line, STOP, DONE)
    assert (heard.message.role, heard.message.content) == ("assistant", "aaa")


@pytest.mark.parametrize(
    ("reasons", "finish", "verdict"),
    [
        (["null", '"stop"'], "stop", "done by finish_reason (stop)"),
        (['"stop"', "null"], "stop", "truncated (stop)"),  # the content after the finish reason has no end
        (['""', '"stop"', '""'], "stop", "truncated (stop)"),
        (["null", '"length"', '"stop"'], "stop", "done by finish_reason (stop)"),
        (["null", '"eos_token_reached"'], "eos_token_reached", "done by finish_reason (eos_token_reached)"),
        (["null", '""'], None, "truncated"),
    ],
)
async def test_finish_reasons(reasons: list[str], finish: str | None, verdict: str) -> None:
    lines = [
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":%s}]}\n\n' % reason.encode()
        for reason in reasons
    ]
    heard = await play(*lines)
    assert heard.snapshot.choices[0].finish_reason == finish
    assert heard.verdict == verdict
    assert heard.raws == objects(*lines)


# ---------------------------------------------------------------------------------------------------- chunks and deltas


async def test_the_first_chunk_of_azure() -> None:
    first = b'data: {"choices":[],"created":0,"id":"","model":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
    second = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}],"created":5,"id":"c1","model":"gpt-4"}\n\n'
    heard = await play(first, second, STOP, DONE)
    assert heard.raws[0]["prompt_filter_results"] == [{"prompt_index": 0}]
    assert (heard.snapshot.id, heard.snapshot.model, heard.snapshot.created) == ("c1", "gpt-4", 5)
    assert heard.text == "Hi"


async def test_a_choice_without_a_delta() -> None:
    """Azure's content filter results come in choices that have none."""
    odd = b'data: {"choices":[{"index":0,"finish_reason":null,"content_filter_offsets":{"check_offset":1}}]}\n\n'
    heard = await play(HI, odd, STOP, DONE)
    assert heard.events[1].choices[0].delta.content is None
    assert heard.raws[1]["choices"][0]["content_filter_offsets"] == {"check_offset": 1}
    assert heard.text == "Hi"


@pytest.mark.parametrize("delta", ["null", "{}", '{"content":null}', '{"role":"assistant"}', '{"content":""}'])
async def test_a_delta_with_no_content(delta: str) -> None:
    line = b'data: {"choices":[{"index":0,"delta":%s}]}\n\n' % delta.encode()
    heard = await play(line, HI, line, STOP, DONE)
    assert heard.raws == objects(line, HI, line, STOP)
    assert heard.texts == ["Hi"]
    assert heard.message.content == "Hi"


async def test_content_that_was_null_all_along() -> None:
    heard = await play(b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}\n\n', STOP, DONE)
    assert heard.message.content is None
    assert heard.texts == []


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning(field: str) -> None:
    lines = [
        b'data: {"choices":[{"index":0,"delta":{"%s":"%s"}}]}\n\n' % (field.encode(), piece)
        for piece in (b"let me", b" see")
    ]
    heard = await play(*lines, HI, STOP, DONE)
    assert getattr(heard.message, field) == "let me see"
    assert getattr(heard.events[0].choices[0].delta, field) == "let me"
    assert heard.message.content == heard.text == "Hi"


async def test_reasoning_details() -> None:
    lines = [
        b'data: {"choices":[{"index":0,"delta":{"content":"","reasoning_details":'
        b'[{"type":"reasoning.text","index":0,"format":"x","text":"%s"}]}}]}\n\n' % piece
        for piece in (b"let me", b" see")
    ]
    heard = await play(*lines, HI, STOP, DONE)
    assert heard.message.reasoning_details == [
        {"type": "reasoning.text", "index": 0, "format": "x", "text": "let me see"}
    ]
    assert heard.text == "Hi"


async def test_content_as_a_list_of_parts() -> None:
    """Mistral's reasoning models."""
    thinking = (
        b'data: {"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":'
        b'[{"type":"text","text":"let me see"}]}]}}]}\n\n'
    )
    text = b'data: {"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"Hi"}]}}]}\n\n'
    heard = await play(thinking, text, YOU, STOP, DONE)
    assert heard.raws == objects(thinking, text, YOU, STOP)
    assert heard.events[1].choices[0].delta.content == [{"type": "text", "text": "Hi"}]
    assert heard.message.content == heard.text == "Hi you"
    assert heard.message.reasoning_content == "let me see"


@pytest.mark.promise(n=5)
async def test_unknown_fields_survive() -> None:
    odd = b'data: {"choices":[{"index":0,"delta":{"content":"Hi","mood":"good"},"stop_reason":7}],"provider":"X"}\n\n'
    heard = await play(odd, STOP, DONE)
    assert heard.raws == objects(odd, STOP)
    assert heard.events[0].choices[0].delta.raw["mood"] == "good"


# ------------------------------------------------------------------------------------------------------------ responses


@pytest.mark.promise(n=5)
async def test_an_unknown_event_is_unknown() -> None:
    odd = b'data: {"type":"response.telepathy.delta","delta":"hm","sequence_number":3}\n\n'
    heard = await play_response(CREATED, odd, HELLO, COMPLETED)
    assert type(heard.events[1]) is UnknownEvent
    assert (heard.events[1].type, heard.events[1].delta, heard.events[1].sequence_number) == (
        "response.telepathy.delta",
        "hm",
        3,
    )
    assert heard.raws == objects(CREATED, odd, HELLO, COMPLETED)
    assert heard.text == "Hello"


@pytest.mark.parametrize("status", ["failed", "incomplete"])
async def test_the_final_response_after_a_failure_can_be_had(status: str) -> None:
    end = (
        b'data: {"type":"response.%s","response":{"id":"r1","status":"%s","output":[],"error":'
        b'{"code":"server_error","message":"oops"},"incomplete_details":{"reason":"max_output_tokens"}}}\n\n'
        % (status.encode(), status.encode())
    )
    async with trio.open_nursery() as nursery:
        server = await served(nursery, CREATED, HELLO, end)
        async with server.client() as client, manager(client, True, {}) as stream:
            response = await stream.get_final_response()
        assert response.status == status
        assert response.error.message == "oops"
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.output_text == "Hello"
        assert str(stream.verdict) == f"done by terminal_event (response.{status})"
        await server.aclose()


OUTPUT = (
    b'[{"type":"message","id":"m1","role":"assistant","status":"completed","content":'
    b'[{"type":"output_text","text":"Hello you","annotations":[]}]}]'
)
WHOLE = b'data: {"type":"response.completed","response":{"id":"r1","status":"completed","output":' + OUTPUT + b"}}\n\n"
M1 = b'"output_index":0,"item_id":"m1","content_index":0'
DONE_TEXT = b'data: {"type":"response.output_text.done",' + M1 + b',"text":"Hello you"}\n\n'
DONE_ITEM = b'data: {"type":"response.output_item.done","output_index":0,"item":' + OUTPUT[1:-1] + b"}\n\n"
ADDED = (
    b'data: {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"m1","content":[]}}\n\n'
)

RESPONSES: dict[str, list[bytes]] = {
    "as OpenAI sends it": [CREATED, ADDED, HELLO, WORLD, DONE_TEXT, DONE_ITEM, WHOLE],
    "[DONE] at the end": [CREATED, ADDED, HELLO, WORLD, DONE_TEXT, DONE_ITEM, WHOLE, DONE],
    "an empty output in the terminal event": [CREATED, ADDED, HELLO, WORLD, DONE_TEXT, DONE_ITEM, COMPLETED],
    "an empty output, and nothing but deltas": [CREATED, HELLO, WORLD, COMPLETED],
    "output_text.done without deltas": [CREATED, ADDED, DONE_TEXT, DONE_ITEM, WHOLE],
    "output_text.done without deltas and an empty output": [CREATED, ADDED, DONE_TEXT, COMPLETED],
    "nothing but the items": [CREATED, DONE_ITEM, COMPLETED],
    "nothing but the terminal event": [WHOLE],
    "keepalive events": [
        b'event: keepalive\ndata: {"type":"keepalive","sequence_number":0}\n\n',
        CREATED,
        HELLO,
        b'event: keepalive\ndata: {"type":"keepalive","sequence_number":3}\n\n',
        WORLD,
        WHOLE,
    ],
    "a resumed stream that begins at response.queued": [
        b'data: {"type":"response.queued","response":{"id":"r1","status":"queued","output":[]}}\n\n',
        b'data: {"type":"response.in_progress","response":{"id":"r1","status":"in_progress","output":[]}}\n\n',
        HELLO,
        WORLD,
        WHOLE,
    ],
    "events keyed by item_id alone": [
        CREATED,
        ADDED.replace(b'"output_index":0,', b""),
        HELLO.replace(b'"output_index":0,', b""),
        WORLD.replace(b'"output_index":0,', b""),
        COMPLETED,
    ],
    "events keyed by nothing": [
        CREATED,
        b'data: {"type":"response.output_text.delta","delta":"Hello"}\n\n',
        b'data: {"type":"response.output_text.delta","delta":" you"}\n\n',
        COMPLETED,
    ],
    "ids that change between events": [
        CREATED,
        ADDED,
        HELLO.replace(b'"m1"', b'"gibberish_1"'),
        WORLD.replace(b'"m1"', b'"gibberish_2"'),
        DONE_TEXT.replace(b'"m1"', b'"gibberish_3"'),
        DONE_ITEM.replace(b'"m1"', b'"gibberish_4"'),
        COMPLETED.replace(b'"r1"', b'"gibberish_5"'),
    ],
}


@pytest.mark.parametrize("body", RESPONSES.values(), ids=RESPONSES.keys())
async def test_a_response(body: list[bytes]) -> None:
    heard = await play_response(*body)
    lines = [line[line.index(b"data: ") :] for line in body if line != DONE]
    assert heard.raws == objects(*lines)
    assert heard.text == "Hello you"
    assert heard.snapshot.output_text == "Hello you"
    assert len(heard.snapshot.output) == 1
    assert heard.snapshot.status == "completed"
    assert heard.verdict == COMPLETE
    assert heard.error is None


def test_the_responses_have_no_sequence_number() -> None:
    """Check that no event above has a sequence number, so the cases above also show that events may lack it."""
    assert b"sequence_number" not in b"".join(RESPONSES["as OpenAI sends it"])


async def test_a_type_that_only_the_name_of_the_event_says() -> None:
    body = [
        b"event: response.output_text.delta\ndata: {" + M1 + b',"delta":"Hello"}\n\n',
        b'event: response.completed\ndata: {"response":{"id":"r1","status":"completed","output":[]}}\n\n',
    ]
    heard = await play_response(*body)
    assert [event.type for event in heard.events] == ["response.output_text.delta", "response.completed"]
    assert heard.raws == [json.loads(line.partition(b"data: ")[2]) for line in body]
    assert heard.text == heard.snapshot.output_text == "Hello"
    assert heard.verdict == COMPLETE


FUNCTION = b'{"type":"function_call","id":"%s","call_id":"call_%s","name":"f%s","arguments":%s}'


def function_added(number: bytes, index: bytes = b"") -> bytes:
    item = FUNCTION % (b"fc_" + number, number, number, b'""')
    return b'data: {"type":"response.output_item.added",' + index + b'"item":' + item + b"}\n\n"


def arguments(number: bytes, piece: bytes, index: bytes = b"") -> bytes:
    return (
        b'data: {"type":"response.function_call_arguments.delta",'
        + index
        + b'"item_id":"fc_%s","delta":"%s"}\n\n' % (number, piece)
    )


@pytest.mark.parametrize(
    "indexes", [(b'"output_index":0,', b'"output_index":1,'), (b"", b"")], ids=["index", "id alone"]
)
async def test_items_that_overlap_and_no_arguments_done(indexes: tuple[bytes, bytes]) -> None:
    one, two = indexes
    heard = await play_response(
        CREATED,
        function_added(b"1", one),
        function_added(b"2", two),
        arguments(b"2", b'{\\"b\\"', two),
        arguments(b"1", b'{\\"a\\"', one),
        arguments(b"2", b":2}", two),
        arguments(b"1", b":1}", one),
        COMPLETED,
    )
    assert [(item.type, item.name, item.call_id, item.arguments) for item in heard.snapshot.output] == [
        ("function_call", "f1", "call_1", '{"a":1}'),
        ("function_call", "f2", "call_2", '{"b":2}'),
    ]
    assert heard.texts == []
    assert heard.verdict == COMPLETE


# ----------------------------------------------------------------------------------------------------- not the protocol


@pytest.mark.promise(n=3)
@pytest.mark.parametrize(
    "line",
    [b"data: {oops}\n\n", b"data: ping\n\n", b'data: {"a":1}{"b":2}\n\n', b"data: [1]\n\n"],
    ids=repr,
)
async def test_bytes_that_are_not_the_protocol_are_an_error_of_ours(line: bytes) -> None:
    for responses, good in ((False, HI), (True, HELLO)):
        heard = await play(good, line, YOU, responses=responses)
        assert type(heard.error) is APIResponseValidationError
        assert heard.raws == objects(good)
        assert heard.verdict == "failed"
        assert heard.error.partial == heard.snapshot


async def test_half_a_surrogate_pair_in_the_text() -> None:
    halves = [
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83e"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"\\uddab"}}]}\n\n',
    ]
    heard = await play(*halves, STOP, DONE)
    assert heard.texts == ["\U0001f9ab"]  # what is printed must be encodable
    assert heard.verdict == CHAT_DONE


async def test_not_a_number() -> None:
    async with trio.open_nursery() as nursery:
        server = await served(nursery, b'data: {"choices":[],"x":NaN}\n\n', STOP, DONE)
        async with server.client(max_retries=0) as client:
            heard = await listen(client, False, False, {})
        assert heard.raws[0]["x"] != heard.raws[0]["x"]
        assert heard.verdict == CHAT_DONE
        await server.aclose()
