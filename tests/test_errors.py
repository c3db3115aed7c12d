"""Every failure is a library error, keeps the work, and says where it happened: HTTP errors, deadlines, truncation."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from error_helpers import ask, chunk
from net_helpers import CHAT, client_over, outcome, serve

import trio_openai
from trio_openai import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    Deadlines,
    OpenAIError,
    StreamTruncatedError,
    TrioOpenAI,
)
from trio_openai.errors import status_error_class
from trio_openai.testing import Cut, Pause, Reply, Reset, Stall

pytestmark = pytest.mark.promise(n=3)

JSON = {"content-type": "application/json", "x-request-id": "req_1"}

# HTTP errors.

STATUSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "InternalServerError",
    529: "InternalServerError",
    418: "APIStatusError",
    451: "APIStatusError",
}


@pytest.mark.parametrize(("status", "name"), STATUSES.items())
@pytest.mark.parametrize("stream", [False, True])
async def test_each_status_has_its_error_class(
    nursery: trio.Nursery, autojump_clock: object, status: int, name: str, stream: bool
) -> None:
    server = await serve(nursery, Reply.error(status, "It went wrong.", code="the_code", type="the_type", param="n"))
    error, _ = await ask(server, stream=stream)
    assert type(error) is getattr(trio_openai, name) is status_error_class(status)
    assert isinstance(error, OpenAIError)
    assert (error.status_code, error.code, error.type, error.param) == (status, "the_code", "the_type", "n")
    assert error.request_id == "req_scripted"
    assert error.partial is None
    assert "It went wrong." in str(error)
    assert str(status) in str(error)
    assert error.message == str(error)


BODIES: dict[str, tuple[bytes, str]] = {
    "openai": (b'{"error": {"message": "the words", "code": "c", "type": "t", "param": null}}', "the words"),
    "text": (b'{"error": "the words"}', "the words"),
    "flat": (b'{"message": "the words", "code": 400}', "the words"),
    "fastapi": (b'{"detail": "the words"}', "the words"),
    "pydantic": (b'{"detail": [{"loc": ["body", "n"], "msg": "the words", "type": "int"}]}', "body.n: the words"),
    "detail object": (b'{"detail": {"message": "the words"}}', "the words"),
    "list": (b'[{"error": {"message": "the words", "code": 400, "status": "X"}}]', "the words"),
    "error list": (b'{"error": ["the words", 5]}', "the words"),
    "error number": (b'{"error": 5}', "5"),
    "message object": (b'{"error": {"message": {"message": "the words"}}}', "the words"),
    "message list": (b'{"error": {"message": ["the words"]}}', "the words"),
    "message null": (b'{"error": {"message": null, "code": "the_words"}}', "the_words"),
    "code object": (b'{"error": {"message": "the words", "code": {"a": 1}, "type": 5, "param": [1]}}', "the words"),
    "json text": (b'"the words"', "the words"),
    "json number": (b"17", "17"),
    "html": (b"<!DOCTYPE html><html><head><title>the words</title></head><body>x</body></html>", "the words"),
    "html without a title": (b"<html><body><h1>the words</h1></body></html>", "the words"),
    "plain text": (b"the words", "the words"),
    "empty": (b"", "no reason"),
    "null": (b"null", "no reason"),
    "empty object": (b"{}", "no reason"),
    "empty list": (b"[]", "no reason"),
    "spaces": (b"  \r\n ", "no reason"),
    "half": (b'{"error": {"message": "the wor', "the wor"),
    "not utf-8": (b'{"error": "the words \xff\xfe"}', "the words"),
    "nul": (b"\x00\x01\x02", "HTTP 400"),
    "deep": (b'{"error":' * 5_000 + b"1" + b"}" * 5_000, "HTTP 400"),
    "deep list": (b"[" * 100_000 + b"]" * 100_000, "HTTP 400"),
    "deep errors": (b'{"error": {"message": ' + b'{"message": ' * 200 + b'"the words"' + b"}" * 202, "HTTP 400"),
    "surrogate": (b'{"error": {"message": "the words \\ud800"}}', "the words"),
    "nan": (b'{"error": {"message": "the words", "x": NaN}}', "the words"),
}


@pytest.mark.parametrize(("body", "words"), BODIES.values(), ids=BODIES)
async def test_error_body_of_any_shape_gives_a_readable_message(
    nursery: trio.Nursery, autojump_clock: object, body: bytes, words: str
) -> None:
    server = await serve(nursery, Reply(400, JSON, body, "length"))
    error, _ = await ask(server)
    assert type(error) is trio_openai.BadRequestError
    assert words in str(error)
    assert len(str(error)) < 1_000
    assert "\n" not in str(error)
    assert error.request_id == "req_1"
    assert isinstance(error.code, str | int | None)
    assert isinstance(error.type, str | None)
    assert isinstance(error.param, str | None)
    assert repr(error)
    assert error.response.content == body


async def test_response_of_an_error_is_usable(nursery: trio.Nursery, autojump_clock: object) -> None:
    headers = {"retry-after": "7", "x-a": "1", **JSON}
    server = await serve(nursery, Reply(429, headers, b'{"error": {"message": "slow"}}'))
    error, _ = await ask(server)
    response = error.response
    assert isinstance(response, httpx.Response)
    assert (response.status_code, response.headers["retry-after"], response.headers["x-a"]) == (429, "7", "1")
    assert response.json() == error.body == {"error": {"message": "slow"}}
    assert response.text == '{"error": {"message": "slow"}}'
    assert response.request.method == "POST"
    assert response.request.url == response.url == httpx.URL(f"{server.base_url}/chat/completions")
    with pytest.raises(httpx.HTTPStatusError):
        response.raise_for_status()


async def test_non_ascii_bytes_in_error_headers_are_kept(nursery: trio.Nursery, autojump_clock: object) -> None:
    for header in (b"x-where: caf\xe9", b"x-where: caf\xc3\xa9", b"x-request-id: \xff\xfe"):
        head = b"HTTP/1.1 400 Bad \xe9\r\n" + header + b"\r\ncontent-length: 2\r\n\r\n{}"
        server = await serve(nursery, Reply.raw(head, close=False))
        error, _ = await ask(server)
        assert type(error) is trio_openai.BadRequestError
        assert header.partition(b": ")[2] in dict(error.response.headers.raw).values()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "nonsense"])
async def test_error_body_with_a_wrong_coding_keeps_its_status(
    nursery: trio.Nursery, autojump_clock: object, coding: str
) -> None:
    server = await serve(nursery, Reply(503, {"content-encoding": coding}, b"not compressed"))
    error, _ = await ask(server)
    assert type(error) is trio_openai.InternalServerError


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("stream", [False, True])
async def test_response_with_a_wrong_coding_is_a_library_error(
    nursery: trio.Nursery, autojump_clock: object, coding: str, stream: bool
) -> None:
    headers = {"content-encoding": coding, "content-type": "text/event-stream" if stream else "application/json"}
    server = await serve(nursery, Reply(200, headers, b"not compressed"))
    client, transport = client_over(server, max_retries=0)
    async with client:
        error = await outcome(client.chat.completions.create, **CHAT, stream=stream)
        if stream:
            error = await outcome(error.until_done)
        assert isinstance(error, APIError)
        assert transport.statistics().active == 0


@pytest.mark.parametrize("fault", [Cut(), Reset(), Stall()])
async def test_incomplete_error_body_is_used_as_far_as_it_came(
    nursery: trio.Nursery, autojump_clock: object, fault: Cut | Reset | Stall
) -> None:
    body = b'{"error": {"message": "the words", "code": "c"}}'
    for reply in (
        Reply(400, JSON, [body, fault]),
        Reply(400, JSON, [body, fault], "length", content_length=1_000),
        Reply(400, JSON, [body[:30], fault]),
        Reply(400, JSON, [fault]),
    ):
        server = await serve(nursery, reply)
        before = trio.current_time()
        error, _ = await ask(server, timeout=None)
        assert type(error) is trio_openai.BadRequestError
        assert error.request_id == "req_1"
        assert trio.current_time() - before < 30, "what matters is the status: nobody waits long for the words"
        if len(reply.body) == 2 and reply.body[0] == body:
            assert error.code == "c"
        await server.wait_closed()


async def test_huge_error_body_is_truncated(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply(500, JSON, [b"x" * 1_000_000] * 50))
    error, _ = await ask(server)
    assert type(error) is trio_openai.InternalServerError
    assert len(error.response.content) < 5_000_000
    assert len(str(error)) < 1_000
    await server.wait_closed()


async def test_endless_error_body_is_abandoned(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply(500, JSON, [step for _ in range(1_000) for step in (b"x", Pause(1))]))
    before = trio.current_time()
    error, _ = await ask(server, timeout=None)
    assert type(error) is trio_openai.InternalServerError
    assert trio.current_time() - before < 60


async def test_redirect_without_location_is_a_status_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    for headers in ({}, {"location": "/v1/chat/completions"}):
        server = await serve(nursery, Reply(307, headers))
        error, _ = await ask(server)
        assert isinstance(error, APIError)
        assert len(server.requests) < 50


@pytest.mark.parametrize(
    "location", ["http://[", "http://" + "a" * 64 + ".test/", "ftp://host/", "\xff\xfe", "http://"]
)
async def test_redirect_to_nonsense_is_a_library_error(nursery: trio.Nursery, location: str) -> None:
    reply = b"HTTP/1.1 307 Moved\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % location.encode("latin-1")
    server = await serve(nursery, Reply.raw(reply, close=False), memory=False)
    async with TrioOpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
        assert isinstance(await outcome(client.chat.completions.create, **CHAT), APIError)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nx: y",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nXYZ\r\n",
    ],
)
async def test_response_that_is_not_http_is_a_library_error(
    nursery: trio.Nursery, autojump_clock: object, raw: bytes, stream: bool
) -> None:
    server = await serve(nursery, Reply.raw(raw))
    client, transport = client_over(server, max_retries=0)
    async with client:
        error = await outcome(client.chat.completions.create, **CHAT, stream=stream)
        if stream and not isinstance(error, Exception):
            error = await outcome(error.until_done)
        assert isinstance(error, APIError)
        assert transport.statistics().active == 0


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'"text"', b"null", b"<html>", b"\xff\xfe", b'{"a":', b"17", b"{}x", b'{"error": "no"}']
)
async def test_plain_response_that_is_not_a_json_object_is_an_error_with_request_id(
    nursery: trio.Nursery, autojump_clock: object, body: bytes
) -> None:
    server = await serve(nursery, Reply(200, JSON, body))
    error, _ = await ask(server)
    assert type(error) is (APIError if body.startswith(b'{"error') else APIResponseValidationError)
    assert error.request_id == "req_1"
    assert error.body is not None or body in (b"", b"null")


@pytest.mark.parametrize("fault", [Cut(), Reset()])
async def test_truncated_plain_response_is_a_connection_error_with_request_id(
    nursery: trio.Nursery, autojump_clock: object, fault: Cut | Reset
) -> None:
    server = await serve(nursery, Reply(200, JSON, [b'{"id": "1", ', fault]))
    error, _ = await ask(server)
    assert isinstance(error, APIConnectionError)
    assert error.request_id == "req_1"


# Pickle and copy.


def some_errors() -> list[APIError]:
    request = httpx.Request("POST", "http://test/v1")
    fields: dict[str, Any] = {"code": "c", "type": "t", "param": "p", "body": {"a": [1]}, "request_id": "r"}
    status = trio_openai.RateLimitError("slow", **fields)
    status.status_code = 429
    status.response = httpx.Response(429, json={"a": 1}, request=request, headers={"x-a": "1"})
    timeout = APITimeoutError("late", **fields)
    timeout.phase = "idle"
    return [status, timeout, StreamTruncatedError("cut", **fields), APIResponseValidationError("bad"), APIError("x")]


@pytest.mark.parametrize("error", some_errors(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("remake", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_can_be_copied_and_pickled(error: APIError, remake: Any) -> None:
    made = remake(error)
    assert type(made) is type(error)
    assert (str(made), made.args, made.message) == (str(error), error.args, error.message)
    for name in ("code", "type", "param", "body", "request_id", "phase", "status_code"):
        assert getattr(made, name, None) == getattr(error, name, None)
    if isinstance(error, APIStatusError):
        assert made.response.json() == {"a": 1}
        assert made.response.headers["x-a"] == "1"


async def test_error_with_partial_snapshot_can_be_pickled(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.chat("Hello there, you.").cut_after(900))
    client, _ = client_over(server, max_retries=0)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        error = await outcome(stream.until_done)
        for made in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
            assert made.partial == error.partial
            assert made.partial.choices[0].message.content


# Truncation, and errors that are raised again.


@pytest.mark.promise(n=4)
@pytest.mark.parametrize("fault", [Cut(), Reset()])
async def test_truncated_stream_is_never_reported_as_complete(
    nursery: trio.Nursery, autojump_clock: object, fault: Cut | Reset
) -> None:
    server = await serve(nursery, Reply.sse(chunk("a"), chunk("b"), fault))
    client, transport = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        seen = [await anext(stream), await anext(stream)]
        assert [event.choices[0].delta.content for event in seen] == ["a", "b"]
        errors = [await outcome(stream.__anext__) for _ in range(3)]
        assert type(errors[0]) is StreamTruncatedError
        assert errors == [errors[0]] * 3, "the same error again at every later pull"
        for again in (stream.until_done, stream.get_final_completion, stream.text_deltas.__anext__):  # type: ignore[attr-defined]
            assert await outcome(again) is errors[0]
        assert errors[0].partial.choices[0].message.content == "ab"
        assert errors[0].request_id == stream.request_id == "req_scripted"
        assert stream.verdict.state == "truncated"
        assert stream.snapshot == errors[0].partial
        assert transport.statistics().active == 0
    assert await outcome(stream.__anext__) is errors[0], "also after the block"
    assert len(server.requests) == 1


@pytest.mark.promise(n=4)
async def test_truncation_at_any_byte_is_never_a_complete_stream(nursery: trio.Nursery, autojump_clock: object) -> None:
    whole = Reply.sse(chunk("a"), chunk("b"), chunk(None, "stop"))
    body = b"".join(step for step in whole.body if isinstance(step, bytes))
    done = body.index(b"data: [DONE]")
    for framing in ("chunked", "length", "close"):
        for cut in range(0, len(body), 7):
            server = await serve(nursery, attrs.evolve(whole, framing=framing).cut_after(cut))
            client, _ = client_over(server, max_retries=0)
            async with client, client.chat.completions.stream(**CHAT) as stream:
                error = await outcome(stream.until_done)
            if error is None:  # a body without length that ends after the finish reason looks complete
                assert cut >= done - 2 or (framing == "close" and body[:cut].rstrip().endswith(b"}"))
                assert stream.verdict.state == "done"
            else:
                assert isinstance(error, APIConnectionError)
                assert stream.verdict.state in ("truncated", "failed")
            await server.aclose()


async def test_timeout_is_raised_again_at_every_later_step(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse(chunk("a"), Stall()))
    client, _ = client_over(server)
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True, timeout=Deadlines(idle=1))
        await anext(stream)
        errors = [await outcome(stream.__anext__) for _ in range(3)]
        assert type(errors[0]) is APITimeoutError
        assert errors == [errors[0]] * 3
        assert stream.verdict.state == "failed"
        await server.wait_closed()
        await stream.aclose()
        assert await outcome(stream.__anext__) is errors[0]
    assert len(server.requests) == 1


async def test_error_reported_inside_a_stream(nursery: trio.Nursery, autojump_clock: object) -> None:
    reported = {"error": {"message": "the words", "code": "server_error", "type": "t"}}
    server = await serve(nursery, Reply.sse(chunk("a"), reported, done=False))
    client, transport = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)
        error = await outcome(stream.__anext__)
        assert type(error) is APIError
        assert (error.code, error.type, error.request_id) == ("server_error", "t", "req_scripted")
        assert "the words" in str(error)
        assert error.partial.choices[0].message.content == "a"
        assert transport.statistics().active == 0
    assert len(server.requests) == 1


async def test_failed_retry_is_final_and_sends_nothing_more(nursery: trio.Nursery, autojump_clock: object) -> None:
    cut, refused = Reply.chat("x").cut_after(0), Reply.error(400, "no")
    server = await serve(nursery, [cut, refused, Reply.chat("surprise"), Reply.chat("surprise")])
    client, _ = client_over(server, max_retries=2)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        errors = [await outcome(stream.__anext__) for _ in range(3)]
        assert type(errors[0]) is trio_openai.BadRequestError
        assert errors == [errors[0]] * 3
        assert stream.verdict.state == "failed"
    assert len(server.requests) == 2


async def test_exhausted_retries_are_final_and_send_nothing_more(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.chat("x").cut_after(0))
    client, _ = client_over(server, max_retries=2)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        errors = [await outcome(stream.__anext__) for _ in range(3)]
        assert type(errors[0]) is StreamTruncatedError
        assert errors == [errors[0]] * 3
    assert len(server.requests) == 3


# Exceptions of the user.


class MineError(Exception):
    pass


@pytest.mark.promise(n=2)
@pytest.mark.parametrize(
    "error", [MineError(), KeyboardInterrupt(), httpx.ReadError("mine"), StopAsyncIteration(), OSError()]
)
async def test_user_exceptions_are_not_wrapped(
    nursery: trio.Nursery, autojump_clock: object, error: BaseException
) -> None:
    server = await serve(nursery, Reply.chat("Hello there", pace=1.0))
    client, transport = client_over(server)
    async with client:
        caught: BaseException | None = None
        try:
            async with client.chat.completions.stream(**CHAT) as stream:
                async for _ in stream:
                    raise error
        except BaseException as raised:  # noqa: BLE001 - any exception is a result here
            caught = raised
        assert caught is error
        assert transport.statistics().active == 0
        await server.wait_disconnect(since=FROM_START)
        assert stream.verdict.state == "closed"


@pytest.mark.promise(n=2)
async def test_single_library_error_is_not_wrapped(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse(chunk("a"), Cut()))
    client, _ = client_over(server)
    async with client:

        async def read() -> None:
            async with client.chat.completions.stream(**CHAT) as stream:
                async for _ in stream:
                    pass

        assert type(await outcome(read)) is StreamTruncatedError


async def test_snapshot_is_readable_after_a_cancellation(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.chat("one two three four", pace=1.0))
    client, _ = client_over(server)
    async with client:
        with trio.move_on_after(2.5):
            async with client.chat.completions.stream(**CHAT) as stream:
                async for _ in stream:
                    pass
        assert stream.snapshot.choices[0].message.content == "one two "
        assert stream.verdict.state == "closed"
        assert stream.timings.first_event is not None
        await server.wait_disconnect(since=FROM_START)
