"""The key is never shown: not in a repr, log record, error or local variable, and it is not sent to another origin."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import attrs
import httpx
import pytest
import trio
from net_helpers import CHAT, client_over, no_environment, outcome, serve
from secret_helpers import SECRET, assert_hidden, assert_no_error_shows_it, assert_no_locals_show_it, shown

from trio_openai import APIError, Deadlines, TrioOpenAI
from trio_openai._request.api_key import Key
from trio_openai._request.request import PreparedRequest
from trio_openai.testing import Cut, RecordedRequest, Reply, Reset, Stall

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail every test here if the key is logged, also by httpx or httpcore."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "trio_openai"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    for record in caplog.get_records("call"):
        assert SECRET not in record.getMessage()
        assert SECRET not in repr(vars(record))


# ----------------------------------------------------------------------------------------------------------- reprs


def test_repr_never_shows_the_key() -> None:
    client = TrioOpenAI(api_key=SECRET, base_url="http://localhost/v1", default_headers={"api-key": SECRET})
    things: list[object] = [
        client,
        client._session,
        client.chat,
        client.chat.completions,
        Key(SECRET),
    ]
    things += [client.with_options(api_key=SECRET), client.chat.completions.stream(**CHAT)]
    things += [
        PreparedRequest(method="POST", path="/", headers=httpx.Headers({"api-key": SECRET}), deadlines=Deadlines())
    ]
    for thing in things:
        assert SECRET not in repr(thing)
        assert SECRET not in str(thing)


def test_password_of_base_url_is_hidden() -> None:
    client = TrioOpenAI(api_key="k", base_url=f"https://user:{SECRET}@host.test/v1")
    assert SECRET not in repr(client)
    assert "host.test" in repr(client)
    for bad in (f"ftp://user:{SECRET}@host.test/v1", f"user:{SECRET}@host.test"):
        with pytest.raises(ValueError, match="base_url") as caught:
            TrioOpenAI(api_key="k", base_url=bad)
        assert SECRET not in str(caught.value)


async def test_response_of_a_stream_does_not_hold_the_key(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server, api_key=SECRET)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()
        assert SECRET not in repr(stream.response.request.headers.raw)
        assert SECRET not in repr(vars(stream))
    assert server.requests[0].header("authorization") == f"Bearer {SECRET}"


# ------------------------------------------------------------------------------------------- every kind of failure


async def plain(client: TrioOpenAI) -> None:
    await client.chat.completions.create(**CHAT)


async def stream(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as opened:
        await opened.until_done()


async def third_door(client: TrioOpenAI) -> None:
    opened = await client.chat.completions.create(**CHAT, stream=True)
    try:
        async for _ in opened.text_deltas:
            pass
    finally:
        await opened.aclose()


doors = pytest.mark.parametrize("door", [plain, stream, third_door])
Door = Callable[[TrioOpenAI], Awaitable[None]]

FAILURES: dict[str, Reply | list[Reply]] = {
    "status": Reply.error(401, "no"),
    "retried status": Reply.error(503, "busy"),
    "not http": Reply.raw(b"SSH-2.0\r\n"),
    "nothing": Reply.raw(),
    "reset": Reply(body=[Reset()], framing="raw"),
    "no headers": Reply(delay=math.inf),
    "cut": Reply.sse({"choices": []}, Cut()),
    "cut at once": Reply.sse(Cut()),
    "reset in the body": Reply.sse({"choices": []}, Reset()),
    "stalled": Reply.sse({"choices": []}, Stall()),
    "html": Reply(200, {"content-type": "text/html"}, b"<html>"),
    "bad json": Reply.sse("{"),
    "error event": Reply.sse({"error": {"message": "no"}}),
    "redirect loop": Reply(307, {"location": "/v1/again"}),
    "head too large": Reply(200, {"x": "y" * 200_000}),
    "retry that fails": [Reply.error(503, "busy"), Reply.error(400, "no")],
}


@doors
@pytest.mark.parametrize("script", FAILURES.values(), ids=FAILURES)
async def test_no_failure_shows_the_key(
    nursery: trio.Nursery, autojump_clock: object, door: Door, script: Reply | list[Reply]
) -> None:
    server = await serve(nursery, script)
    client, _ = client_over(server, api_key=SECRET, timeout=5.0)
    async with client:
        error = await outcome(door, client)
    assert isinstance(error, APIError)
    assert shown(error), "the check must find frames of this library"
    assert_hidden(error)


@doors
async def test_refused_or_hanging_connection_does_not_show_the_key(
    nursery: trio.Nursery, autojump_clock: object, door: Door
) -> None:
    server = await serve(nursery, PLAIN)

    async def refuse(host: str, port: int) -> trio.abc.Stream:
        raise ConnectionRefusedError("refused")

    async def hang(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    for open_stream in (refuse, hang):
        client, _ = client_over(server, api_key=SECRET, open_stream=open_stream)
        async with client:
            error = await outcome(door, client)
        assert isinstance(error, APIError)
        assert_hidden(error)


@doors
async def test_connection_broken_while_sending_does_not_show_the_key(
    nursery: trio.Nursery, autojump_clock: object, door: Door
) -> None:
    server = await serve(nursery, PLAIN)

    async def open_broken(host: str, port: int) -> trio.abc.Stream:
        opened: Any = await server.open_stream()
        opened._peer.reset()
        return opened  # type: ignore[no-any-return]

    client, _ = client_over(server, api_key=SECRET, open_stream=open_broken)
    async with client:
        error = await outcome(door, client)
    assert isinstance(error, APIError)
    assert_hidden(error)


@doors
@pytest.mark.parametrize(
    "script", [Reply(delay=math.inf), Reply.sse({"choices": []}, Stall()), Reply.error(503, "busy")]
)
async def test_cancellation_does_not_show_the_key(
    nursery: trio.Nursery, autojump_clock: object, door: Door, script: Reply
) -> None:
    server = await serve(nursery, script)
    client, _ = client_over(server, api_key=SECRET)
    caught: list[BaseException] = []
    async with client:
        with trio.move_on_after(0.2):
            try:
                await door(client)
            except trio.Cancelled as error:
                caught.append(error)
                raise
    assert_hidden(caught[0])


@doors
async def test_failing_key_function_does_not_show_the_key(
    nursery: trio.Nursery, autojump_clock: object, door: Door
) -> None:
    server = await serve(nursery, PLAIN)

    async def bad_key() -> str:
        await trio.lowlevel.checkpoint()
        return SECRET + "\n"

    def not_async() -> str:
        return SECRET

    for key in (bad_key, not_async):
        client, _ = client_over(server, api_key=key)
        async with client:
            error = await outcome(door, client)
        assert isinstance(error, ValueError | TypeError)
        assert_hidden(error)
    assert server.statistics().accepted == 0


BAD_OPTIONS: list[dict[str, Any]] = [
    {"base_url": "ftp://host"},
    {"base_url": "nonsense"},
    {"max_retries": -1},
    {"max_retries": "two"},
    {"timeout": "soon"},
    {"timeout": -1},
    {"max_connections": -1},
    {"default_headers": {"X-A": "a\nb"}},
    {"default_headers": {"X A": "b"}},
]


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_invalid_options_do_not_show_the_key(options: dict[str, Any]) -> None:
    for make in (TrioOpenAI, TrioOpenAI(api_key="k", base_url="http://localhost").with_options):
        if make is not TrioOpenAI and "max_connections" in options:
            continue
        with pytest.raises((ValueError, TypeError)) as caught:
            make(**{"api_key": SECRET, "base_url": "http://localhost", **options})
        assert_hidden(caught.value)


@pytest.mark.parametrize("options", [{"http_client": None}, {"max_connections": 5}, {"nonsense": 1}])
def test_options_refused_by_with_options_do_not_show_the_key(options: dict[str, Any]) -> None:
    client = TrioOpenAI(api_key="k", base_url="http://localhost")
    with pytest.raises(TypeError) as caught:
        client.with_options(api_key=SECRET, **options)
    assert_hidden(caught.value)


@pytest.mark.parametrize(
    "key", [SECRET + "\n", SECRET + "\r\nx: y", "\n" + SECRET, SECRET + " ", SECRET + "é", SECRET + "\x00"]
)
def test_unsendable_key_raises_at_once_and_is_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="key") as caught:
        TrioOpenAI(api_key=key)
    assert_hidden(caught.value)
    with pytest.raises(ValueError, match="key") as caught:
        TrioOpenAI(api_key="good").with_options(api_key=key)
    assert_hidden(caught.value)
    if "\x00" not in key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(ValueError, match="key") as caught:
            TrioOpenAI()
        assert_hidden(caught.value)


# Headers of the program may be secret too.


@pytest.mark.parametrize("bad", ["\n", "\r\nx: y", "\x00", "é"])
@doors
async def test_unsendable_header_raises_with_its_name_before_sending(
    nursery: trio.Nursery, autojump_clock: object, door: Door, bad: str
) -> None:
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server)
    async with client:
        error = await outcome(calling_with({"X-Key": SECRET + bad}, door), client)
    assert isinstance(error, ValueError)
    assert server.statistics().accepted == 0
    assert "X-Key" in str(error)
    assert_no_error_shows_it(error)
    assert_no_locals_show_it(error)


@pytest.mark.parametrize("bad", ["\n", "\r\nx: y", "\x00", "é"])
def test_unsendable_default_header_raises_with_its_name(bad: str) -> None:
    for make in (TrioOpenAI, TrioOpenAI(api_key="k", base_url="http://localhost").with_options):
        with pytest.raises(ValueError, match="X-Key") as caught:
            make(base_url="http://localhost", default_headers={"X-Key": SECRET + bad})
        assert_no_error_shows_it(caught.value)
        assert_no_locals_show_it(caught.value)


def calling_with(headers: dict[str, str], door: Door) -> Door:
    """Return a door that sends these headers."""

    async def call(client: TrioOpenAI) -> None:
        completions = client.chat.completions
        if door is plain:
            await completions.create(**CHAT, extra_headers=headers)
        elif door is third_door:
            opened = await completions.create(**CHAT, stream=True, extra_headers=headers)
            try:
                await opened.until_done()
            finally:
                await opened.aclose()
        else:
            async with completions.stream(**CHAT, extra_headers=headers) as opened:
                await opened.until_done()

    return call


@doors
@pytest.mark.parametrize("failure", ["status", "no headers", "cut", "stalled"])
@pytest.mark.parametrize("name", ["Authorization", "api-key"])
async def test_no_failure_shows_a_key_in_a_header(
    nursery: trio.Nursery, autojump_clock: object, door: Door, failure: str, name: str
) -> None:
    server = await serve(nursery, FAILURES[failure])
    for client, call in (
        (client_over(server, timeout=5.0)[0], calling_with({name: SECRET}, door)),
        (client_over(server, timeout=5.0, default_headers={name: SECRET})[0], door),
    ):
        async with client:
            error = await outcome(call, client)
        assert isinstance(error, APIError)
        assert_hidden(error)


async def test_invalid_parameter_does_not_show_the_headers(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server, api_key=SECRET)
    async with client:
        for bad in ({"stop": {1, 2}}, {"timeout": "soon"}):
            headers = {"api-key": SECRET}
            error = await outcome(client.chat.completions.create, **CHAT, extra_headers=headers, **bad)
            assert isinstance(error, TypeError)
            assert_hidden(error)


# -------------------------------------------------------------------------------------- servers that repeat the key

ECHO = f"Incorrect API key provided: {SECRET}. You can find your key in your account."
ECHOES: dict[str, Reply] = {
    "401": Reply.error(401, ECHO, code=SECRET, param=SECRET),
    "401 text": Reply(401, body=ECHO.encode()),
    "401 html": Reply(401, {"content-type": "text/html"}, f"<html><title>{ECHO}</title></html>".encode()),
    "401 header": Reply(401, {"x-your-key": SECRET, "www-authenticate": f'Bearer key="{SECRET}"'}, b"{}"),
    "401 request id": Reply(401, {"x-request-id": SECRET}, b"{}"),
    "401 half": Reply(401, body=('{"error": "' + ECHO).encode()),
    "401 escaped": Reply(401, body=b'{"error": "' + SECRET.replace("k", "\\u006b").encode() + b'"}'),
    "401 split": Reply(401, body=[SECRET[:5].encode(), SECRET[5:].encode()]),
    "401 key of an object": Reply(401, body=b'{"%b": "no"}' % SECRET.encode()),
    "200 error": Reply.json({"error": {"message": ECHO, "type": SECRET}}),
    "200 html": Reply(200, {"content-type": "text/html"}, ECHO.encode()),
    "200 text": Reply(200, {"content-type": f"text/{SECRET}"}, ECHO.encode()),
    "error event": Reply.sse({"error": {"message": ECHO, "code": SECRET}}),
    "error event after an event": Reply.sse({"choices": []}, {"error": {"message": ECHO}}),
    "named error event": Reply(
        200, {"content-type": "text/event-stream"}, f'event: error\ndata: {{"message": "{ECHO}"}}\n\n'.encode()
    ),
    "llama.cpp": Reply(200, {"content-type": "text/event-stream"}, f'error: {{"message": "{ECHO}"}}\n\n'.encode()),
    "bad json": Reply.sse(ECHO),
}


@doors
@pytest.mark.parametrize("reply", ECHOES.values(), ids=ECHOES)
async def test_key_repeated_by_the_server_is_hidden_in_the_error(
    nursery: trio.Nursery, autojump_clock: object, door: Door, reply: Reply
) -> None:
    server = await serve(nursery, reply)
    client, _ = client_over(server, api_key=SECRET, max_retries=0)
    async with client:
        error = await outcome(door, client)
    assert isinstance(error, APIError)
    assert_no_error_shows_it(error)
    for name in ("code", "type", "param", "request_id"):
        assert SECRET not in repr(getattr(error, name))


@doors
@pytest.mark.parametrize("reply", ECHOES.values(), ids=ECHOES)
async def test_key_repeated_by_the_server_is_hidden_in_locals(
    nursery: trio.Nursery, autojump_clock: object, door: Door, reply: Reply
) -> None:
    server = await serve(nursery, reply)
    client, _ = client_over(server, api_key=SECRET, max_retries=0)
    async with client:
        error = await outcome(door, client)
    assert_no_locals_show_it(error)


async def test_short_key_is_not_replaced_in_errors(nursery: trio.Nursery, autojump_clock: object) -> None:
    """Check keys such as "1", "x" and "none", which people give to local servers."""
    for key in ("1", "x", "e", "none", "error", "ollama"):
        server = await serve(nursery, Reply.error(400, f"exactly 1 of the models: {key}", code=1, param="none"))
        client, _ = client_over(server, api_key=key)
        async with client:
            error = await outcome(plain, client)
        assert (error.code, error.param, error.type) == (1, "none", "invalid_request_error")
        assert f"exactly 1 of the models: {key}" in str(error)


# ------------------------------------------------------------------------------------------------------- redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("where", ["port", "host", "scheme"])
async def test_key_is_not_sent_to_another_origin(
    nursery: trio.Nursery, autojump_clock: object, status: int, where: str
) -> None:
    target = {"port": "http://one.test:81/v1/x", "host": "http://two.test/v1/x", "scheme": "https://one.test/v1/x"}
    here = await serve(nursery, Reply(status, {"location": target[where]}))
    there = await serve(nursery, PLAIN)

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        if port == 443:
            raise OSError("nobody is there")
        return await (here if (host, port) == ("one.test", 80) else there).open_stream()

    secrets = {"api-key": SECRET, "cookie": SECRET, "x-api-key": SECRET, "proxy-authorization": SECRET}
    where_from: dict[str, Any] = {"base_url": "http://one.test/v1", "open_stream": open_stream}
    client, _ = client_over(here, **where_from, api_key=SECRET, max_retries=0, follow_cross_origin_redirects=True)
    async with client:
        result = await outcome(client.chat.completions.create, **CHAT, extra_headers=secrets)
    assert f"Bearer {SECRET}" in dict(here.requests[0].headers).values()
    if where == "scheme":
        assert isinstance(result, APIError)
    else:
        assert len(there.requests) == 1
        assert SECRET not in repr(attrs.astuple(there.requests[0]))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("location", ["/v2/x", "http://one.test/v2/x", "http://one.test:80/v2/x", "//one.test/v2/x"])
async def test_key_is_sent_after_a_redirect_to_the_same_origin(
    nursery: trio.Nursery, autojump_clock: object, status: int, location: str
) -> None:
    def script(request: RecordedRequest) -> Reply:
        return PLAIN if request.path == "/v2/x" else Reply(status, {"location": location})

    server = await serve(nursery, script)
    client, transport = client_over(server, base_url="http://one.test/v1", api_key=SECRET)
    async with client:
        assert (await client.chat.completions.create(**CHAT)).choices
        assert transport.statistics().active == 0
    first, second = server.requests
    assert second.header("authorization") == first.header("authorization") == f"Bearer {SECRET}"
    if status in (307, 308):
        assert (second.method, second.body) == ("POST", first.body)


async def test_key_is_not_sent_after_a_redirect_away_and_back(nursery: trio.Nursery, autojump_clock: object) -> None:
    """Check a redirect to another origin and back. The other origin chose the URL, so the key is not sent."""

    def first(request: RecordedRequest) -> Reply:
        return PLAIN if request.path == "/chosen" else Reply(307, {"location": "http://two.test/x"})

    here = await serve(nursery, first)
    there = await serve(nursery, Reply(307, {"location": "http://one.test/chosen"}))

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        return await (here if host == "one.test" else there).open_stream()

    where_from: dict[str, Any] = {"base_url": "http://one.test/v1", "open_stream": open_stream}
    client, _ = client_over(here, **where_from, api_key=SECRET, follow_cross_origin_redirects=True)
    async with client:
        await client.chat.completions.create(**CHAT)
    assert [request.header("authorization") for request in there.requests] == [None]
    assert here.requests[1].header("authorization") is None
