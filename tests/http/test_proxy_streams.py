"""HTTP and SOCKS proxies in memory: what passes through, how it fails, and that nothing is left behind."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing
from net_helpers import CHAT, TLSFront, no_environment, outcome, serve, watch
from proxy_helpers import (
    LOGIN,
    PASSWORD,
    ToyProxy,
    basic,
    leave_early,
    read_stream,
    tls_contexts,
)
from secret_helpers import assert_hidden
from sweep import faults_of, sweep
from sweep_places import CountedStream, Place, Scenario, World, block, block_left_early

from trio_openai import APIConnectionError, APITimeoutError, Deadlines, StreamTruncatedError, TrioOpenAI, TrioTransport
from trio_openai.testing import Reply, ScriptedServer

HELLO = Reply.chat("Hello there, you.")
PLAIN = Reply.chat("Hello there, you.", stream=False)
PROXY = "http://proxy.test:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@attrs.define
class Way:
    """A client whose connections all go through a proxy in this process to a scripted server."""

    client: TrioOpenAI
    transport: TrioTransport
    server: ScriptedServer
    toy: ToyProxy


async def way(nursery: trio.Nursery, script: Any, proxy: Any, url: str, *, front: bool = False, **options: Any) -> Way:
    """Return a client for `url`, whose server follows the script.

    Args:
        front: put the proxy itself behind TLS.
    """
    server = await serve(nursery, script)
    serving, trusting = tls_contexts("api.test", "proxy.test")
    is_tls = url.startswith("https")
    dial = TLSFront(server, serving, nursery).open_stream if is_tls else server.open_stream
    toy = ToyProxy(nursery, dial, serving if front else None)
    most = options.pop("max_connections", 10)
    transport = TrioTransport(open_stream=toy.open_stream, ssl_context=trusting, proxy=proxy, max_connections=most)
    http = httpx.AsyncClient(transport=transport, trust_env=False)
    client = TrioOpenAI(api_key="k", base_url=url, http_client=http, **{"max_retries": 0, **options})
    return Way(client, transport, server, toy)


@pytest.mark.parametrize("proxy", [PROXY, "https://proxy.test", "socks5://proxy.test", "socks5h://proxy.test"])
@pytest.mark.parametrize("url", ["http://api.test/v1", "https://api.test:8443/v1"])
async def test_stream_through_any_proxy_to_any_address(
    nursery: trio.Nursery, autojump_clock: object, proxy: str, url: str
) -> None:
    it = await way(nursery, HELLO, proxy, url, front=proxy.startswith("https"), max_connections=1)
    async with it.client:
        for _ in range(3):
            assert await read_stream(it.client) == "Hello there, you."
        await leave_early(it.client)
        assert it.transport.statistics().active == 0
        assert await read_stream(it.client) == "Hello there, you."
        assert it.transport.statistics().opened == 2, "the first connection served the whole streams"
    is_handed_on = proxy.startswith("http") and not url.startswith("https")
    port = 8443 if url.startswith("https") else 80
    assert it.toy.asked == [None if is_handed_on else ("api.test", port)] * 2, "the proxy looks up the name"
    target = "http://api.test/v1/chat/completions" if is_handed_on else "/v1/chat/completions"
    assert it.server.requests[0].target == target
    assert it.server.requests[0].header("host") == ("api.test" if port == 80 else "api.test:8443")
    assert it.server.requests[0].header("proxy-authorization") is None
    await it.server.wait_closed()


@pytest.mark.parametrize(
    ("url", "target", "asked"),
    [
        ("https://[fd12::1]/v1", b"CONNECT [fd12::1]:443 HTTP/1.1", ("[fd12::1]", 443)),
        ("https://1.2.3.4:1/v1", b"CONNECT 1.2.3.4:1 HTTP/1.1", ("1.2.3.4", 1)),
    ],
)
async def test_tunnel_request_contains_the_address(
    nursery: trio.Nursery, autojump_clock: object, url: str, target: bytes, asked: tuple[str, int]
) -> None:
    it = await way(nursery, HELLO, PROXY, url)
    async with it.client:
        await outcome(read_stream, it.client)  # the certificate is for another name
        assert it.toy.asked == [asked]
        assert it.toy.heads[0].startswith(target)


@pytest.mark.parametrize(("host", "asked"), [("[fd12::1]", "fd12::1"), ("1.2.3.4", "1.2.3.4"), ("x" * 60, "x" * 60)])
async def test_socks_proxy_receives_names_and_addresses(
    nursery: trio.Nursery, autojump_clock: object, host: str, asked: str
) -> None:
    it = await way(nursery, HELLO, "socks5://proxy.test", f"http://{host}:8080/v1")
    async with it.client:
        assert await read_stream(it.client) == "Hello there, you."
        assert it.toy.asked == [(asked, 8080)]


@pytest.mark.parametrize("url", ["http://api.test/v1", "https://api.test/v1"])
@pytest.mark.parametrize(
    "proxy",
    [
        f"http://{LOGIN}proxy.test:3128",
        httpx.URL(f"http://{LOGIN}proxy.test:3128"),
        httpx.Proxy(f"http://{LOGIN}proxy.test:3128"),
        httpx.Proxy(PROXY, auth=("ada", PASSWORD), headers={"X-Team": "blue"}),
    ],
)
async def test_login_is_sent_to_the_proxy_but_not_to_the_server(
    nursery: trio.Nursery, autojump_clock: object, url: str, proxy: Any
) -> None:
    it = await way(nursery, HELLO, proxy, url)
    async with it.client:
        assert await read_stream(it.client) == "Hello there, you."
        lines = it.toy.heads[0].decode().split("\r\n")
        assert f"Proxy-Authorization: {basic()}".lower() in [line.lower() for line in lines]
        assert ("authorization: bearer k" in [line.lower() for line in lines]) == url.startswith("http:")
        if isinstance(proxy, httpx.Proxy) and proxy.headers:
            assert "x-team: blue" in [line.lower() for line in lines]
        if url.startswith("https"):
            assert it.server.requests[0].header("proxy-authorization") is None


async def test_redirect_to_another_origin_uses_the_proxy_too(nursery: trio.Nursery, autojump_clock: object) -> None:
    moved = Reply(307, {"location": "https://other.test/v1/x"})
    it = await way(nursery, [moved, PLAIN], PROXY, "https://api.test/v1", follow_cross_origin_redirects=True)

    async def dial(host: str, port: int) -> Any:
        return await TLSFront(it.server, tls_contexts(host)[0], nursery).open_stream(host, port)

    it.toy.dial = dial
    async with it.client:
        assert (await it.client.chat.completions.create(**CHAT)).choices
        assert it.toy.asked == [("api.test", 443), ("other.test", 443)]
        assert it.server.requests[1].header("authorization") is None


# Failures.

OK = b"HTTP/1.1 200 OK\r\n\r\n"
WANTS = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: "
CONNECTING: list[tuple[Reply, str, int]] = [
    (Reply.raw(WANTS + b'Basic realm="x"\r\n\r\n'), "407 .*user name or password", 1),
    (Reply.raw(WANTS + b"Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n"), "407 .*Negotiate or NTLM.*only Basic", 1),
    (Reply.raw(b"HTTP/1.0 403 Filtered\r\nContent-Length: 5\r\n\r\n<html"), "refused: 403 Forbidden", 1),
    (Reply.raw(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), "refused: 502 Bad Gateway", 3),
    (Reply.raw(b"HTTP/1.1 599 Hm\r\n\r\n"), "refused: 599$", 3),
    (Reply.raw(b"HTTP/1.1 302 Found\r\nLocation: http://login.test\r\n\r\n"), "refused: 302 Found", 3),
    (Reply.raw(), "closed the connection without an answer", 3),
    (Reply.raw(b"HTTP/1.1 2"), "closed the connection without an answer", 3),
    (Reply.raw(b"SSH-2.0\r\n"), "something that is not HTTP", 1),
    (Reply.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000), "something that is not HTTP: .*too large", 1),
    (Reply.raw(OK), r"cannot connect to api.test:443 through the proxy proxy.test:3128", 3),
    (Reply.raw(OK + b"SSH-2.0\r\n"), r"cannot connect to api.test:443 through the proxy proxy.test:3128", 3),
]


@pytest.mark.parametrize(("answer", "message", "attempts"), CONNECTING)
async def test_error_names_the_proxy_that_does_not_connect(
    nursery: trio.Nursery, autojump_clock: object, answer: Reply, message: str, attempts: int
) -> None:
    proxy = await serve(nursery, answer)
    transport = TrioTransport(open_stream=proxy.open_stream, proxy=f"http://{LOGIN}proxy.test:3128")
    http = httpx.AsyncClient(transport=transport, trust_env=False)
    async with TrioOpenAI(api_key="k", base_url="https://api.test/v1", http_client=http) as client:
        error = await outcome(read_stream, client)
        assert type(error) is APIConnectionError
        assert_hidden(error, PASSWORD)
        assert_hidden(error, basic()[6:])
        with pytest.raises(APIConnectionError, match=message):
            raise error
        assert "the proxy proxy.test:3128" in str(error)
        assert proxy.statistics().accepted == attempts, "what is final is not asked again"
        assert transport.statistics().active == 0
    await proxy.wait_closed()


SOCKS: list[tuple[bytes, str, int]] = [
    (b"\x05\xff", "wants another way to log in", 1),
    (b"\x05\x07", "wants another way to log in", 1),
    (b"\x05\x02\x01\x01", "refused the user name or the password", 1),
    (b"\x05\x02\x01\x00\x05\x02\x00\x01", "its rules do not allow this", 1),
    (b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", "connection was refused", 3),
    (b"\x05\x00\x05\x63\x00\x01", "error 99", 3),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak SOCKS 5", 1),
    (b"\x05\x00\x04\x00", "closed the connection without an answer", 3),
    (b"\x05\x00\x04\x00\x00\x01", "does not speak SOCKS 5", 1),
    (b"\x05", "closed the connection without an answer", 3),
    (b"", "closed the connection without an answer", 3),
]


@pytest.mark.parametrize(("answer", "message", "attempts"), SOCKS)
async def test_error_names_the_socks_proxy_that_does_not_connect(
    nursery: trio.Nursery, autojump_clock: object, answer: bytes, message: str, attempts: int
) -> None:
    connections = 0

    async def play(stream: Any) -> None:
        await stream.receive_some(1)
        await stream.send_all(answer)
        await stream.send_eof()
        while await stream.receive_some(100):
            pass

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        nonlocal connections
        connections += 1
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(play, far)
        return near

    nursery.start_soon(watch)
    transport = TrioTransport(open_stream=open_stream, proxy=f"socks5://{LOGIN}proxy.test")
    http = httpx.AsyncClient(transport=transport, trust_env=False)
    async with TrioOpenAI(api_key="k", base_url="http://api.test/v1", http_client=http) as client:
        error = await outcome(read_stream, client)
        assert type(error) is APIConnectionError
        assert_hidden(error, PASSWORD)
        with pytest.raises(APIConnectionError, match=message):
            raise error
        assert "the proxy proxy.test:1080" in str(error)
        assert connections == attempts
        assert transport.statistics().active == 0


async def test_error_names_the_socks_proxy_that_wants_a_login(nursery: trio.Nursery, autojump_clock: object) -> None:
    proxy = await serve(nursery, Reply.raw(b"\x05\xff"))

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        near, far = trio.testing.memory_stream_pair()
        await far.send_all(b"\x05\xff")
        return near

    http = httpx.AsyncClient(transport=TrioTransport(open_stream=open_stream, proxy="socks5://proxy.test"))
    async with proxy.client(http_client=http) as client:
        with pytest.raises(APIConnectionError, match="it wants a user name and a password"):
            await read_stream(client)


async def test_host_name_too_long_for_socks_is_an_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    it = await way(nursery, HELLO, "socks5://proxy.test", "http://" + ".".join(["x" * 60] * 5))
    async with it.client:
        with pytest.raises(APIConnectionError, match="too long for SOCKS"):
            await read_stream(it.client)
        assert it.transport.statistics().active == 0


async def test_407_of_a_forwarding_proxy_is_not_a_response_of_the_server(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    proxy = await serve(nursery, Reply(407, {"proxy-authenticate": "Basic"}, b"<html>"))
    http = httpx.AsyncClient(transport=TrioTransport(open_stream=proxy.open_stream, proxy=f"http://{LOGIN}p.test"))
    async with TrioOpenAI(api_key="k", base_url="http://api.test/v1", http_client=http) as client:
        error = await outcome(read_stream, client)
        assert type(error) is APIConnectionError
        assert "the proxy refused: 407" in str(error)
        assert len(proxy.requests) == 1, "it would say the same again"
        assert_hidden(error, PASSWORD)
        assert_hidden(error, basic()[6:])
    await proxy.wait_closed()


@pytest.mark.parametrize("proxy", [PROXY, "socks5://proxy.test", "https://proxy.test"])
async def test_connect_deadline_applies_to_a_silent_proxy(
    nursery: trio.Nursery, autojump_clock: object, proxy: str
) -> None:
    nursery.start_soon(watch)
    opened: list[trio.abc.ReceiveStream] = []

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        near, far = trio.testing.memory_stream_pair()
        opened.append(far)
        return near

    transport = TrioTransport(open_stream=open_stream, proxy=proxy, max_connections=1)
    http = httpx.AsyncClient(transport=transport, trust_env=False)
    options: Any = {"http_client": http, "timeout": Deadlines(connect=3), "max_retries": 0}
    async with TrioOpenAI(api_key="k", base_url="https://api.test/v1", **options) as client:
        for _ in range(2):
            before = trio.current_time()
            error = await outcome(read_stream, client)
            assert isinstance(error, APITimeoutError)
            assert error.phase == "connect"
            assert trio.current_time() - before == pytest.approx(3)
            assert transport.statistics().active == 0
            while await opened[-1].receive_some():
                pass  # reading to the end shows that the stream was closed
        assert len(opened) == 2


@pytest.mark.parametrize("proxy", [PROXY, "socks5://proxy.test"])
@pytest.mark.parametrize("fault", ["cut_after", "reset_after"])
async def test_error_names_the_proxy_that_dies_during_a_stream(
    nursery: trio.Nursery, autojump_clock: object, proxy: str, fault: str
) -> None:
    it = await way(nursery, getattr(HELLO, fault)(700), proxy, "http://api.test/v1")
    async with it.client:
        error = await outcome(read_stream, it.client)
        assert isinstance(error, StreamTruncatedError)
        assert f"through the proxy proxy.test:{3128 if 'http' in proxy else 1080}" in str(error)
        assert error.partial.choices[0].message.content
        assert it.transport.statistics().active == 0


async def test_tls_failure_behind_the_proxy_names_both(nursery: trio.Nursery, autojump_clock: object) -> None:
    it = await way(nursery, HELLO, PROXY, "https://wrong.test/v1")
    async with it.client:
        with pytest.raises(
            APIConnectionError, match=r"wrong\.test:443 through the proxy proxy\.test:3128: .*certificate"
        ):
            await read_stream(it.client)


async def test_tls_failure_of_the_proxy_names_it(nursery: trio.Nursery, autojump_clock: object) -> None:
    it = await way(nursery, HELLO, "https://wrong.test", "https://api.test/v1", front=True)
    async with it.client:
        with pytest.raises(
            APIConnectionError, match=r"the connection to the proxy wrong\.test:443 failed: .*certificate"
        ):
            await read_stream(it.client)


async def test_proxy_uses_its_own_tls_settings(nursery: trio.Nursery, autojump_clock: object) -> None:
    proxy = httpx.Proxy("https://proxy.test", ssl_context=tls_contexts("proxy.test")[1])
    it = await way(nursery, HELLO, proxy, "http://api.test/v1", front=True)
    it.transport._ssl_context = ssl.create_default_context()  # settings that trust none of these certificates
    async with it.client:
        assert await read_stream(it.client) == "Hello there, you."


# Cancellation at every step.


def by_proxy(proxy: str, *, tls: bool) -> Place:
    """Return a client that goes through a proxy in memory, and count the streams that it opens."""

    async def build(world: World) -> None:
        await world.server.start(world.home, memory=True)
        serving, trusting = tls_contexts("api.test", "proxy.test")
        dial = TLSFront(world.server, serving, world.home).open_stream if tls else world.server.open_stream
        toy = ToyProxy(world.home, dial)

        async def open_stream(host: str, port: int) -> CountedStream:
            return CountedStream(await toy.open_stream(host, port), world)

        world.transport = TrioTransport(max_connections=1, open_stream=open_stream, ssl_context=trusting, proxy=proxy)
        http = httpx.AsyncClient(transport=world.transport, trust_env=False)
        world.client = world.server.client(
            http_client=http, base_url=f"http{'s' if tls else ''}://api.test/v1", observer=world.calls
        )

    return Place(build)


@pytest.mark.parametrize(
    ("proxy", "tls", "act"),
    [
        (PROXY, True, block),
        (PROXY, False, block_left_early),
        ("socks5://proxy.test", False, block),
    ],
)
def test_call_through_a_proxy_cancelled_at_any_step_leaves_nothing_behind(
    proxy: str, tls: bool, act: Any, record_property: Callable[[str, object], None]
) -> None:
    points = sweep(Scenario(act, place=by_proxy(proxy, tls=tls)))
    record_property("points", len(points))
    assert "\n".join(faults_of(points)[:10]) == ""
    assert len(points) > 12
