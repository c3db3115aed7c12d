"""Redirects: the prompt stays at its origin unless the program opts in, and loops are reported as loops."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from net_helpers import CHAT, client_over, no_environment, outcome, serve

from trio_openai import APIStatusError, TrioOpenAI
from trio_openai._request.redirects import Redirects, with_next_request
from trio_openai.azure import AzureOpenAI
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import RecordedRequest, Reply

PLAIN = Reply.chat("Hello there.", stream=False)
HELLO = Reply.chat("Hello there.")
SECRET_HEADERS = {"X-Team-Token": "team-secret", "Cookie": "a=b", "X-Api-Key": "secret"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def moved(location: str, status: int = 307) -> Reply:
    return Reply(status, {"location": location}, b"moved")


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 200])
@pytest.mark.parametrize(
    "location",
    [
        "/v2/x?a=1",
        "x",
        "?b=2",
        "http://one.test/y",
        "http://two.test/y",
        "https://one.test/",
        "https:/y",
        "//two.test/",
    ],
)
async def test_next_request_is_the_one_that_httpx_would_make(status: int, method: str, location: str) -> None:
    """Compare everything but the key, which httpx sends along from http to https."""
    headers = {"Authorization": "Bearer key", "Cookie": "a=b", "X-Other": "1"}

    def requested() -> httpx.Request:
        return httpx.Request(method, "http://one.test/v1/chat?q=1", headers=headers, content=b"body")

    reply = httpx.Response(status, headers={"location": location})
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: reply), trust_env=False) as http:
        expected = (await http.send(requested(), follow_redirects=False)).next_request
    found = with_next_request(httpx.Response(status, headers={"location": location}), requested()).next_request
    assert (found is None) == (expected is None) == (status == 200)
    if found is not None and expected is not None:
        assert (found.method, str(found.url)) == (expected.method, str(expected.url))
        if found.url.scheme == "http":
            assert found.headers.raw == expected.headers.raw
        assert found.read() == expected.read()


def test_redirect_to_an_invalid_address_has_no_next_request() -> None:
    reply = httpx.Response(307, headers={"location": "http://[::1/"})
    assert with_next_request(reply, httpx.Request("GET", "http://one.test/")).next_request is None


async def ask(client: TrioOpenAI, *, stream: bool) -> object:
    if not stream:
        return await client.chat.completions.create(**CHAT, extra_headers=SECRET_HEADERS)
    async with client.chat.completions.stream(**CHAT, extra_headers=SECRET_HEADERS) as opened:
        return await opened.get_final_completion()


async def two_servers(nursery: trio.Nursery, location: str, status: int, good: Reply) -> tuple[Any, ...]:
    here, there = await serve(nursery, moved(location, status)), await serve(nursery, good)

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        return await (here if (host, port) == ("one.test", 80) else there).open_stream()

    return here, there, open_stream


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("http://two.test/v1/x?token=hidden", "http://two.test/v1/x,"),
        ("http://one.test:8080/v1/x", "http://one.test:8080/v1/x,"),
        ("http://user:hidden@two.test/v1", "http://two.test/v1,"),
        ("//two.test/", "http://two.test/,"),
        ("https://one.test/v1", "https://one.test/v1,"),
    ],
)
async def test_cross_origin_redirect_raises_an_error_with_the_target(
    nursery: trio.Nursery, autojump_clock: object, location: str, shown: str, status: int, stream: bool
) -> None:
    here, there, open_stream = await two_servers(nursery, location, status, HELLO if stream else PLAIN)
    client, transport = client_over(here, base_url="http://one.test/v1", open_stream=open_stream)
    async with client:
        error = await outcome(ask, client, stream=stream)
        assert transport.statistics().active == 0
    assert isinstance(error, APIStatusError)
    assert error.status_code == status
    assert shown in str(error)
    assert "hidden" not in str(error)
    assert "follow_cross_origin_redirects" in str(error)
    assert (len(here.requests), there.requests) == (1, [])


@pytest.mark.parametrize("stream", [False, True])
async def test_followed_cross_origin_redirect_sends_no_key_and_headers(
    nursery: trio.Nursery, autojump_clock: object, stream: bool
) -> None:
    here, there, open_stream = await two_servers(nursery, "http://two.test/v1/x", 307, HELLO if stream else PLAIN)
    client, _ = client_over(
        here,
        base_url="http://one.test/v1",
        open_stream=open_stream,
        follow_cross_origin_redirects=True,
        default_headers={"X-Default": "default-secret"},
    )
    async with client:
        await ask(client, stream=stream)
    (request,) = there.requests
    assert request.body == here.requests[0].body
    assert request.header("content-type") == "application/json"
    assert "secret" not in repr(request.headers)
    assert {name for name, _ in request.headers} <= {
        "host", "accept", "accept-encoding", "connection", "content-type", "content-length", "user-agent",
    }  # fmt: skip


@pytest.mark.parametrize("may_leave", [False, True])
@pytest.mark.parametrize("target", ["http://one.test/v1", "http://two.test/v1", "http://one.test:443/v1"])
def test_redirect_from_https_to_http_is_never_followed(target: str, may_leave: bool) -> None:
    request = httpx.Request("POST", "https://one.test/v1")
    response = httpx.Response(307, request=request)
    response.next_request = httpx.Request("POST", target)
    problem = Redirects(may_leave).problem(response)
    assert problem is not None
    assert "from https to " + target in problem


async def test_redirect_loop_is_named_in_the_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    def script(request: RecordedRequest) -> Reply:
        return moved("/b" if request.path == "/a" else "/a")

    for answer in (moved("/v1/chat/completions"), script):
        server = await serve(nursery, answer)
        client, _ = client_over(server)
        async with client:
            error = await outcome(ask, client, stream=False)
        assert isinstance(error, APIStatusError)
        assert "redirect loop" in str(error)
        assert len(server.requests) == 21, "a redirect loop is not retried"


async def test_many_different_redirects_are_not_called_a_loop(nursery: trio.Nursery, autojump_clock: object) -> None:
    def step(request: RecordedRequest) -> Reply:
        number = int(request.path[2:]) if request.path.startswith("/n") else 0
        return PLAIN if number == length else moved(f"/n{number + 1}")

    for redirects, follows in ((20, True), (21, False)):
        length = redirects
        server = await serve(nursery, step)
        client, _ = client_over(server)
        async with client:
            result = await outcome(ask, client, stream=False)
        assert isinstance(result, APIStatusError) is not follows
        assert "loop" not in str(result)


async def test_repeated_redirect_to_the_same_url_is_followed(nursery: trio.Nursery, autojump_clock: object) -> None:
    again = moved("/v1/chat/completions")
    server = await serve(nursery, [again, again, again, PLAIN])
    client, _ = client_over(server)
    async with client:
        assert not isinstance(await outcome(ask, client, stream=False), Exception)


async def test_foreign_client_does_not_follow_cross_origin_redirects(nursery: trio.Nursery) -> None:
    for library in ("httpx", "httpx2"):
        package: Any = pytest.importorskip(library)
        there = await serve(nursery, PLAIN, memory=False)
        here = await serve(nursery, moved(there.base_url), memory=False)
        http = package.AsyncClient(trust_env=False, follow_redirects=True)
        async with here.client(http_client=http) as client:
            error = await outcome(ask, client, stream=False)
            assert isinstance(error, APIStatusError)
            other = client.with_options(follow_cross_origin_redirects=True)
            assert not isinstance(await outcome(ask, other, stream=False), Exception)
            assert isinstance(await outcome(ask, client, stream=False), APIStatusError)
        assert len(there.requests) == 1


def test_every_client_takes_follow_cross_origin_redirects() -> None:
    azure = AzureOpenAI(
        azure_endpoint="http://one.test", api_version="1", api_key="k", follow_cross_origin_redirects=True
    )
    assert azure._session.options.follow_cross_origin_redirects
    assert azure.with_options(timeout=3)._session.options.follow_cross_origin_redirects
    with SyncOpenAI(api_key="k", follow_cross_origin_redirects=True) as client:
        assert client._like._session.options.follow_cross_origin_redirects
        assert client.with_options(timeout=3)._like._session.options.follow_cross_origin_redirects
    assert not TrioOpenAI(api_key="k")._session.options.follow_cross_origin_redirects
