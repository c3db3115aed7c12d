"""Proxies of HTTP and SOCKS: which one, what goes through it, how it fails, and that nothing is left behind."""

from __future__ import annotations

import gc
import ssl
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing
from net_helpers import CHAT, TLSFront, no_environment, open_sockets, outcome, serve, watch
from proxy_helpers import (
    HOST,
    LOGIN,
    PASSWORD,
    PLAIN_PASSWORD,
    RunningProxy,
    ToyProxy,
    authority,
    basic,
    running,
    tls_contexts,
)
from sweep import faults_of, sweep
from sweep_places import CountedStream, Place, Scenario, World
from test_secrets import assert_hidden
from test_sweep import block, block_left_early, one_after_another

import trio_openai
from trio_openai import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    Deadlines,
    InternalServerError,
    StreamTruncatedError,
    TrioOpenAI,
    TrioTransport,
)
from trio_openai._proxy import Proxy, from_environment
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import Reply, ScriptedServer

HELLO = Reply.chat("Hello there, you.")
PLAIN = Reply.chat("Hello there, you.", stream=False)
PROXY = "http://proxy.test:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def read_stream(client: TrioOpenAI) -> str:
    async with client.chat.completions.stream(**CHAT) as stream:
        return "".join([text async for text in stream.text_deltas])


async def leave_early(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)


# Which proxy it is.


@pytest.mark.parametrize(
    "bad",
    [
        *("", "proxy.test:3128", "ftp://proxy.test", "socks4://proxy.test", "http://", "http://proxy.test:port"),
        f"gopher://ada:{PASSWORD}@proxy.test",
        f"http://ada:{PASSWORD}@proxy.test:3128",  # a slash that was not encoded: the password ends as a port
        f"socks5://ada:{PASSWORD * 20}@proxy.test".replace("/", ""),
        httpx.URL("ftp://proxy.test"),
    ],
)
def test_what_is_no_proxy_is_refused_when_the_client_is_made_and_not_repeated(bad: Any) -> None:
    for make in (TrioOpenAI, SyncOpenAI, TrioTransport):
        options = {} if make is TrioTransport else {"api_key": "k"}
        with pytest.raises(ValueError, match="proxy") as caught:
            make(proxy=bad, **options)
        assert_hidden(caught.value, PASSWORD)
        assert_hidden(caught.value, PASSWORD[:4])


def test_a_proxy_of_another_type_is_refused() -> None:
    for bad in (3128, ("proxy.test", 3128), {"http://": PROXY}, b"http://proxy.test"):
        with pytest.raises(TypeError, match=r"URL or an httpx.Proxy, not"):
            TrioOpenAI(api_key="k", proxy=bad)  # type: ignore[arg-type]


def test_a_header_of_a_proxy_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="x-team") as caught:
        TrioTransport(proxy=httpx.Proxy(PROXY, headers={"X-Team": f"{PASSWORD}\nx"}))
    assert_hidden(caught.value, PASSWORD)


def test_an_http_client_has_its_own_proxy() -> None:
    for options in ({"proxy": PROXY}, {"trust_env": False}):
        with pytest.raises(TypeError, match="http_client"):
            TrioOpenAI(api_key="k", http_client=httpx.AsyncClient(), **options)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="shares the connections"):
            TrioOpenAI(api_key="k").with_options(**options)
        with pytest.raises(TypeError, match="shares the connections"):
            SyncOpenAI(api_key="k").with_options(**options)


def test_no_repr_shows_the_password() -> None:
    shown = [
        Proxy(f"http://{LOGIN}proxy.test"),
        Proxy(f"socks5://{LOGIN}proxy.test").check(),
        Proxy(httpx.Proxy(PROXY, auth=("ada", PASSWORD))),
        TrioOpenAI(api_key="k", proxy=f"http://{LOGIN}proxy.test"),
        SyncOpenAI(api_key="k", proxy=f"http://{LOGIN}proxy.test"),
    ]
    for one in shown:
        assert PASSWORD not in repr(one) + repr(vars(one))
        assert "p%40ss" not in repr(one) + repr(vars(one))
        assert basic()[6:] not in repr(one) + repr(vars(one))
    assert repr(shown[0]) == "<http proxy proxy.test:80>"
    assert repr(shown[1]) == "<socks5 proxy proxy.test:1080>"


ADDRESS = "https://api.example.com/v1"
ENVIRONMENTS: list[tuple[dict[str, str], str, str | None]] = [
    ({}, ADDRESS, None),
    ({"HTTPS_PROXY": "http://p:1"}, ADDRESS, "p:1"),
    ({"https_proxy": "http://p:1"}, ADDRESS, "p:1"),
    ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:2"}, ADDRESS, "p:1"),
    ({"https_proxy": "", "HTTPS_PROXY": "http://q:2"}, ADDRESS, None),
    ({"HTTPS_PROXY": "p:1"}, ADDRESS, "p:1"),
    ({"HTTPS_PROXY": "p"}, ADDRESS, "p:80"),
    ({"HTTPS_PROXY": "https://p"}, ADDRESS, "p:443"),
    ({"HTTPS_PROXY": "socks5h://[::1]"}, ADDRESS, "[::1]:1080"),
    ({"HTTP_PROXY": "http://p:1"}, ADDRESS, None),
    ({"HTTP_PROXY": "http://p:1"}, "http://h.test", "p:1"),
    ({"ALL_PROXY": "http://p:1"}, ADDRESS, "p:1"),
    ({"ALL_PROXY": "http://p:1"}, "http://h.test", "p:1"),
    ({"ALL_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2"}, ADDRESS, "q:2"),
    ({"ALL_PROXY": "http://p:1"}, "http://localhost:8080/v1", None),
    ({"ALL_PROXY": "http://p:1"}, "http://127.8.0.1/v1", None),
    ({"ALL_PROXY": "http://p:1"}, "http://[::1]/v1", None),
]
EXCEPTIONS: list[tuple[str, str, bool]] = [
    ("*", ADDRESS, True),
    ("else.test, *", ADDRESS, True),
    ("", ADDRESS, False),
    (" , ,", ADDRESS, False),
    ("example.com", ADDRESS, True),
    ("example.com", "https://example.com", True),
    ("example.com", "https://notexample.com", False),
    (".example.com", ADDRESS, True),
    (".example.com", "https://example.com", False),
    ("*.example.com", ADDRESS, True),
    ("*.example.com", "https://example.com", False),
    ("*example.com", "https://example.com", True),
    ("EXAMPLE.Com", ADDRESS, True),
    ("example.com.", ADDRESS, True),
    ("example.com", "https://api.example.com./v1", True),
    ("else.test,api.example.com", ADDRESS, True),
    ("else.test , api.example.com ", ADDRESS, True),
    ("api.example.com:443", ADDRESS, True),
    ("api.example.com:8443", ADDRESS, False),
    ("api.example.com:8443", "https://api.example.com:8443/v1", True),
    ("https://api.example.com", ADDRESS, True),
    ("http://api.example.com", ADDRESS, False),
    ("all://api.example.com", ADDRESS, True),
    ("https://", ADDRESS, False),
    ("10.1.2.3", "https://10.1.2.3/v1", True),
    ("10.1.2.3", "https://10.1.2.33/v1", False),
    ("1.2.3", "https://10.1.2.3/v1", False),
    ("10.1.2.3:80", "http://10.1.2.3/v1", True),
    ("10.1.2.3:81", "http://10.1.2.3/v1", False),
    ("10.0.0.0/8", "https://10.1.2.3/v1", True),
    ("10.1.2.77/24", "https://10.1.2.3/v1", True),
    ("10.0.0.0/8", "https://11.1.2.3/v1", False),
    ("10.0.0.0/8", ADDRESS, False),
    ("fd00::/8", "https://[fd12::1]/v1", True),
    ("fd00::/8", "https://[fe12::1]/v1", False),
    ("fd12:0::1", "https://[fd12::1]:8080/v1", True),
    ("[fd12::1]", "https://[fd12::1]/v1", True),
    ("[fd12::1]:443", "https://[fd12::1]/v1", True),
    ("[fd12::1]:80", "https://[fd12::1]/v1", False),
    ("bücher.example", "https://xn--bcher-kva.example/v1", True),
    ("xn--bcher-kva.example", "https://bücher.example/v1", True),
]


@pytest.mark.parametrize(("variables", "url", "expected"), ENVIRONMENTS)
def test_the_environment_says_which_proxy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, expected: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    route = from_environment()
    proxy = route(httpx.URL(url)) if route is not None else None
    assert (proxy.name if proxy is not None else None) == (f"the proxy {expected}" if expected else None)


@pytest.mark.parametrize(("excepted", "url", "is_direct"), EXCEPTIONS)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_says_where_not(
    monkeypatch: pytest.MonkeyPatch, excepted: str, url: str, is_direct: bool, name: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    monkeypatch.setenv(name, excepted)
    route = from_environment()
    assert (route is None or route(httpx.URL(url)) is None) == is_direct


def test_a_proxy_in_the_environment_that_is_none_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"gopher://ada:{PASSWORD}@proxy.test")
    with pytest.raises(ValueError, match="https_proxy in the environment") as caught:
        TrioOpenAI(api_key="k")
    assert_hidden(caught.value, PASSWORD)
    assert TrioOpenAI(api_key="k", trust_env=False)
    assert TrioOpenAI(api_key="k", proxy=PROXY)
    monkeypatch.setenv("NO_PROXY", "*")
    assert TrioOpenAI(api_key="k")


def test_no_proxy_costs_no_import() -> None:
    import subprocess
    import sys

    program = "import sys, trio_openai as t; t.TrioOpenAI(api_key='k'); print('trio_openai._proxy' in sys.modules)"
    root = Path(trio_openai.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False"


# What goes through it, in memory.


@attrs.define
class Way:
    """A client whose every connection goes through a proxy in this process, to a scripted server."""

    client: TrioOpenAI
    transport: TrioTransport
    server: ScriptedServer
    toy: ToyProxy


async def way(nursery: trio.Nursery, script: Any, proxy: Any, url: str, *, front: bool = False, **options: Any) -> Way:
    """The client of `url`, whose server answers by the script.

    Args:
        front: the proxy itself is behind TLS.
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
async def test_a_stream_goes_through_any_proxy_to_any_address(
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
async def test_the_address_stands_in_the_request_for_a_tunnel(
    nursery: trio.Nursery, autojump_clock: object, url: str, target: bytes, asked: tuple[str, int]
) -> None:
    it = await way(nursery, HELLO, PROXY, url)
    async with it.client:
        await outcome(read_stream, it.client)  # the certificate is of another name
        assert it.toy.asked == [asked]
        assert it.toy.heads[0].startswith(target)


@pytest.mark.parametrize(("host", "asked"), [("[fd12::1]", "fd12::1"), ("1.2.3.4", "1.2.3.4"), ("x" * 60, "x" * 60)])
async def test_a_socks_proxy_is_told_names_and_addresses(
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
async def test_the_login_goes_to_the_proxy_and_not_to_the_server(
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


async def test_a_redirect_to_another_scheme_goes_through_the_proxy_too(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    moved = Reply(307, {"location": "http://other.test/v1/x"})
    it = await way(nursery, [moved, PLAIN], PROXY, "https://api.test/v1")

    async def dial(host: str, port: int) -> Any:
        return await (
            it.server.open_stream()
            if not host
            else TLSFront(it.server, tls_contexts("api.test", "proxy.test")[0], nursery).open_stream(host, port)
        )

    it.toy.dial = dial
    async with it.client:
        assert (await it.client.chat.completions.create(**CHAT)).choices
        assert it.toy.asked == [("api.test", 443), None]
        assert it.server.requests[1].header("authorization") is None


# How it fails.

OK = b"HTTP/1.1 200 OK\r\n\r\n"
WANTS = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: "
CONNECTING: list[tuple[Reply, str, int]] = [
    (Reply.raw(WANTS + b'Basic realm="x"\r\n\r\n'), "407 .*user name or the password", 1),
    (Reply.raw(WANTS + b"Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n"), "407 .*Negotiate or NTLM.*only Basic", 1),
    (Reply.raw(b"HTTP/1.0 403 Filtered\r\nContent-Length: 5\r\n\r\n<html"), "refused: 403 Forbidden", 1),
    (Reply.raw(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), "refused: 502 Bad Gateway", 3),
    (Reply.raw(b"HTTP/1.1 599 Hm\r\n\r\n"), "refused: 599$", 3),
    (Reply.raw(b"HTTP/1.1 302 Found\r\nLocation: http://login.test\r\n\r\n"), "refused: 302 Found", 3),
    (Reply.raw(), "ended the connection instead of an answer", 3),
    (Reply.raw(b"HTTP/1.1 2"), "ended the connection instead of an answer", 3),
    (Reply.raw(b"SSH-2.0\r\n"), "what is not HTTP", 3),
    (Reply.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000), "what is not HTTP: .*too large", 3),
    (Reply.raw(OK), r"cannot connect to api.test:443 through the proxy proxy.test:3128", 3),
    (Reply.raw(OK + b"SSH-2.0\r\n"), r"cannot connect to api.test:443 through the proxy proxy.test:3128", 3),
]


@pytest.mark.parametrize(("answer", "message", "attempts"), CONNECTING)
async def test_a_proxy_that_does_not_connect_is_named(
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
    (b"\x05\x02\x01\x00\x05\x02\x00\x01", "its rules do not allow it", 1),
    (b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", "connection was refused", 3),
    (b"\x05\x00\x05\x63\x00\x01", "error 99", 3),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak SOCKS 5", 1),
    (b"\x05\x00\x04\x00", "ended the connection instead of an answer", 3),
    (b"\x05\x00\x04\x00\x00\x01", "does not speak SOCKS 5", 1),
    (b"\x05", "ended the connection instead of an answer", 3),
    (b"", "ended the connection instead of an answer", 3),
]


@pytest.mark.parametrize(("answer", "message", "attempts"), SOCKS)
async def test_a_socks_proxy_that_does_not_connect_is_named(
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


async def test_a_socks_proxy_that_wants_a_login_that_was_not_given_is_named(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    proxy = await serve(nursery, Reply.raw(b"\x05\xff"))

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        near, far = trio.testing.memory_stream_pair()
        await far.send_all(b"\x05\xff")
        return near

    http = httpx.AsyncClient(transport=TrioTransport(open_stream=open_stream, proxy="socks5://proxy.test"))
    async with proxy.client(http_client=http) as client:
        with pytest.raises(APIConnectionError, match="it wants a user name and a password"):
            await read_stream(client)


async def test_a_name_too_long_for_socks_is_an_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    it = await way(nursery, HELLO, "socks5://proxy.test", "http://" + ".".join(["x" * 60] * 5))
    async with it.client:
        with pytest.raises(APIConnectionError, match="too long for SOCKS"):
            await read_stream(it.client)
        assert it.transport.statistics().active == 0


async def test_a_request_that_an_http_proxy_refuses_for_want_of_a_login_is_not_an_answer_of_the_server(
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
async def test_a_proxy_that_keeps_silent_is_bounded_by_the_deadline_for_connecting(
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
                pass  # to the end: it has been closed
        assert len(opened) == 2


@pytest.mark.parametrize("proxy", [PROXY, "socks5://proxy.test"])
@pytest.mark.parametrize("fault", ["cut_after", "reset_after"])
async def test_a_proxy_that_dies_in_mid_stream_is_named(
    nursery: trio.Nursery, autojump_clock: object, proxy: str, fault: str
) -> None:
    it = await way(nursery, getattr(HELLO, fault)(700), proxy, "http://api.test/v1")
    async with it.client:
        error = await outcome(read_stream, it.client)
        assert isinstance(error, StreamTruncatedError)
        assert f"through the proxy proxy.test:{3128 if 'http' in proxy else 1080}" in str(error)
        assert error.partial.choices[0].message.content
        assert it.transport.statistics().active == 0


async def test_a_tls_failure_behind_the_proxy_names_both(nursery: trio.Nursery, autojump_clock: object) -> None:
    it = await way(nursery, HELLO, PROXY, "https://wrong.test/v1")
    async with it.client:
        with pytest.raises(
            APIConnectionError, match=r"wrong\.test:443 through the proxy proxy\.test:3128: .*certificate"
        ):
            await read_stream(it.client)


async def test_a_tls_failure_of_the_proxy_names_it(nursery: trio.Nursery, autojump_clock: object) -> None:
    it = await way(nursery, HELLO, "https://wrong.test", "https://api.test/v1", front=True)
    async with it.client:
        with pytest.raises(
            APIConnectionError, match=r"the connection to the proxy wrong\.test:443 failed: .*certificate"
        ):
            await read_stream(it.client)


async def test_a_proxy_has_a_context_of_its_own(nursery: trio.Nursery, autojump_clock: object) -> None:
    proxy = httpx.Proxy("https://proxy.test", ssl_context=tls_contexts("proxy.test")[1])
    it = await way(nursery, HELLO, proxy, "http://api.test/v1", front=True)
    it.transport._ssl_context = ssl.create_default_context()  # which trusts no certificate of these
    async with it.client:
        assert await read_stream(it.client) == "Hello there, you."


# Nothing is left behind, wherever it is cancelled.


def by_proxy(proxy: str, *, tls: bool) -> Place:
    """Through a proxy in memory; every stream that the client opens is counted."""

    async def build(world: World) -> None:
        await world.server.start(world.home, memory=True)
        serving, trusting = tls_contexts("api.test", "proxy.test")
        dial = TLSFront(world.server, serving, world.home).open_stream if tls else world.server.open_stream
        toy = ToyProxy(world.home, dial)

        async def open_stream(host: str, port: int) -> CountedStream:
            return CountedStream(await toy.open_stream(host, port), world)

        world.transport = TrioTransport(max_connections=1, open_stream=open_stream, ssl_context=trusting, proxy=proxy)
        http = httpx.AsyncClient(transport=world.transport, trust_env=False)
        world.client = world.server.client(http_client=http, base_url=f"http{'s' if tls else ''}://api.test/v1")

    return Place(build)


@pytest.mark.parametrize(
    ("proxy", "tls", "act"),
    [
        (PROXY, True, one_after_another),
        (PROXY, True, block_left_early),
        (PROXY, False, block),
        ("socks5://proxy.test", False, block),
        ("socks5://proxy.test", True, block_left_early),
    ],
)
def test_a_call_through_a_proxy_cancelled_at_any_step_leaves_nothing_behind(
    proxy: str, tls: bool, act: Any, record_property: Callable[[str, object], None]
) -> None:
    points = sweep(Scenario(act, place=by_proxy(proxy, tls=tls)))
    record_property("points", len(points))
    assert "\n".join(faults_of(points)[:10]) == ""
    assert len(points) > 12


# Real programs.

THROUGH = [(kind, is_tls) for kind in ("http", "socks5") for is_tls in (False, True)]
programs = pytest.mark.parametrize(
    ("kind", "is_tls"), THROUGH, ids=[f"{kind}-{'https' if tls else 'http'}" for kind, tls in THROUGH]
)


async def real(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, folder: Path, script: Any, *, tls: bool, host: str = HOST
) -> tuple[ScriptedServer, str]:
    """A server on a port, behind TLS that the environment's certificates prove; and its base URL."""
    server = await serve(nursery, script, memory=False)
    if not tls:
        return server, server.base_url.replace(HOST, host)
    bundle = folder / "ca.pem"
    authority().cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    port = await TLSFront(server, tls_contexts(host)[0], nursery).listen()
    return server, f"https://{host}:{port}/v1"


@programs
async def test_a_real_proxy(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    """Streams whole, left early, cancelled, timed out: the server hears of it at once, and the one slot is free."""
    before = open_sockets()
    replies = [HELLO, HELLO, *[HELLO.stall_after(500)] * 3, HELLO]
    server, url = await real(nursery, monkeypatch, tmp_path, replies, tls=is_tls)
    deadlines = Deadlines(idle=0.05)
    async with running(kind, tmp_path, login=True) as proxy:
        client = TrioOpenAI(api_key="k", base_url=url, proxy=proxy.login_url, max_connections=1, max_retries=0)
        async with client:
            assert await read_stream(client) == "Hello there, you."
            assert await read_stream(client.with_options(max_retries=1)) == "Hello there, you."
            reused = client.statistics().transport.reused  # type: ignore[union-attr]
            assert reused == (0 if (kind, is_tls) == ("http", False) else 1), "tinyproxy closes after each http request"
            await leave_early(client)
            await server.wait_disconnect(1)
            with trio.move_on_after(0.05):
                await read_stream(client)
            await server.wait_disconnect(2)
            assert isinstance(await outcome(read_stream, client.with_options(timeout=deadlines)), APITimeoutError)
            await server.wait_disconnect(3)
            assert await read_stream(client) == "Hello there, you."
            assert client.statistics().transport.active == 0  # type: ignore[union-attr]
        await server.wait_closed()
        assert all(request.header("proxy-authorization") is None for request in server.requests)
    await server.aclose()
    nursery.cancel_scope.cancel()  # the TLS in front of it
    with trio.CancelScope(shield=True):
        await trio.testing.wait_all_tasks_blocked()
    gc.collect()
    assert open_sockets() <= before + 1


@programs
async def test_a_real_proxy_with_a_wrong_login_or_none(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    server, url = await real(nursery, monkeypatch, tmp_path, HELLO, tls=is_tls)
    async with running(kind, tmp_path, login=True) as proxy:
        wrong = proxy.login_url.replace("ada:", "eve:")
        for given in (wrong, proxy.url):
            async with TrioOpenAI(api_key="k", base_url=url, proxy=given) as client:
                error = await outcome(read_stream, client)
                if (kind, is_tls, given) == ("http", False, wrong):
                    assert type(error) is AuthenticationError, "401 is what tinyproxy says, as if it were the server"
                else:
                    assert type(error) is APIConnectionError
                assert "the proxy" in str(error)
                assert_hidden(error, PLAIN_PASSWORD)
                assert_hidden(error, basic("eve", PLAIN_PASSWORD)[6:])
                assert client.statistics().transport.active == 0  # type: ignore[union-attr]
    assert server.requests == []


@programs
async def test_a_real_proxy_that_is_killed_in_mid_stream(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    server, url = await real(nursery, monkeypatch, tmp_path, HELLO.stall_after(700), tls=is_tls)
    async with running(kind, tmp_path) as proxy:
        async with TrioOpenAI(api_key="k", base_url=url, proxy=proxy.url, max_retries=0) as client:
            async with client.chat.completions.stream(**CHAT) as stream:
                await anext(stream)
                proxy.process.kill()
                error = await outcome(stream.until_done)
            assert isinstance(error, StreamTruncatedError)
            assert proxy.address in str(error)
            await server.wait_disconnect(1)
            error = await outcome(read_stream, client)
            assert type(error) is APIConnectionError
            assert f"cannot connect to {proxy.address}: Connection refused" in str(error)


@programs
async def test_a_real_proxy_that_cannot_reach_the_server(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    dead = f"http{'s' if is_tls else ''}://{HOST}:1/v1"
    async with running(kind, tmp_path) as proxy:
        async with TrioOpenAI(api_key="k", base_url=dead, proxy=proxy.url, max_retries=0) as client:
            error = await outcome(read_stream, client)
            if kind == "http" and not is_tls:
                assert type(error) is InternalServerError, "it answers the request in the server's place"
                assert f"through {proxy.address}, which may say this itself" in str(error)
            else:
                assert type(error) is APIConnectionError
                assert proxy.address in str(error)


async def test_a_real_proxy_that_does_not_allow_it(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, url = await real(nursery, monkeypatch, tmp_path, HELLO, tls=True)
    async with running("http", tmp_path, more="ConnectPort 443") as proxy:
        async with TrioOpenAI(api_key="k", base_url=url, proxy=proxy.url) as client:
            with pytest.raises(APIConnectionError, match=f"{proxy.address} refused: 403 Forbidden"):
                await read_stream(client)
    assert server.requests == []


OUTSIDE = "0.0.0.0"  # this machine, by an address that is not of the loopback


@programs
async def test_a_real_proxy_from_the_environment(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    _, url = await real(nursery, monkeypatch, tmp_path, HELLO, tls=is_tls, host=OUTSIDE)
    async with running(kind, tmp_path, login=True) as proxy:
        for name in ("HTTPS_PROXY" if is_tls else "http_proxy", "ALL_PROXY"):
            with monkeypatch.context() as here:
                here.setenv(name, proxy.login_url)
                async with TrioOpenAI(api_key="k", base_url=url, max_retries=0) as client:
                    assert await read_stream(client) == "Hello there, you."
                here.setenv(name, proxy.url)
                await _ways_past(url, here, proxy)


async def _ways_past(url: str, monkeypatch: pytest.MonkeyPatch, proxy: RunningProxy) -> None:
    """The environment's proxy, which refuses, is used unless `NO_PROXY`, `trust_env` or an argument says otherwise."""
    async with TrioOpenAI(api_key="k", base_url=url, max_retries=0) as client:
        assert "the proxy" in str(await outcome(read_stream, client))
    async with TrioOpenAI(api_key="k", base_url=url, proxy=proxy.login_url) as client:
        assert await read_stream(client) == "Hello there, you."
    if url.startswith("http:"):
        async with TrioOpenAI(api_key="k", base_url=url, trust_env=False) as client:
            assert await read_stream(client) == "Hello there, you."
    for excepted in ("*", f"else.test,{OUTSIDE}", "0.0.0.0/8"):
        monkeypatch.setenv("NO_PROXY", excepted)
        async with TrioOpenAI(api_key="k", base_url=url) as client:
            assert await read_stream(client) == "Hello there, you."
    monkeypatch.delenv("NO_PROXY")


async def test_the_environments_certificates_do_not_count_without_trust_env(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, url = await real(nursery, monkeypatch, tmp_path, HELLO, tls=True)
    async with TrioOpenAI(api_key="k", base_url=url) as client:
        assert await read_stream(client) == "Hello there, you."
    async with TrioOpenAI(api_key="k", base_url=url, trust_env=False, max_retries=0) as client:
        with pytest.raises(APIConnectionError, match="certificate"):
            await read_stream(client)


@programs
async def test_a_client_for_threads_goes_through_a_real_proxy(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    server, url = await real(nursery, monkeypatch, tmp_path, [HELLO, HELLO.stall_after(500), HELLO], tls=is_tls)

    def use(proxy: str) -> str:
        with SyncOpenAI(api_key="k", base_url=url, proxy=proxy, max_connections=1) as client:
            with client.chat.completions.stream(**CHAT) as stream:
                text = "".join(stream.text_deltas)
            with client.chat.completions.stream(**CHAT) as stream:
                next(iter(stream))
            with client.chat.completions.stream(**CHAT) as stream:
                stream.until_done()
            return text

    async with running(kind, tmp_path, login=True) as proxy:
        assert await trio.to_thread.run_sync(use, proxy.login_url) == "Hello there, you."
        await server.wait_disconnect(1)
        await server.wait_closed()


async def test_a_traceback_of_a_failed_connection_shows_no_password(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also without the client, which drops the frames of a failed attempt."""
    for scheme in ("http", "socks5"):
        async with running(scheme, tmp_path, login=True) as proxy:
            given = proxy.login_url.replace("ada:", "eve:")
            for url in ("http://127.0.0.1:1", "https://127.0.0.1:1"):
                async with httpx.AsyncClient(transport=TrioTransport(proxy=given)) as http:
                    error = await outcome(http.get, url)
                if isinstance(error, httpx.Response):
                    assert error.status_code == 401
                    continue
                assert isinstance(error, httpx.ProxyError)
                assert_hidden(error, PLAIN_PASSWORD)
                assert "127.0.0.1" in "".join(traceback.format_exception(error))
