"""The choice of a proxy: by argument, and from the environment as `httpx` reads it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from net_helpers import CHAT, no_environment, outcome, serve
from proxy_helpers import (
    LOGIN,
    PASSWORD,
    basic,
)
from secret_helpers import assert_hidden

from trio_openai import APIConnectionError, TrioOpenAI, TrioTransport
from trio_openai._http.byte_streams import host_for_os, without_zone
from trio_openai._http.proxy import Proxy, from_environment
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import Reply

PROXY = "http://proxy.test:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.mark.parametrize(
    "bad",
    [
        *("", "proxy.test:3128", "ftp://proxy.test", "socks4://proxy.test", "http://", "http://proxy.test:port"),
        f"gopher://ada:{PASSWORD}@proxy.test",
        f"http://ada:{PASSWORD}@proxy.test:3128",  # an unencoded slash turns the password into a port
        f"socks5://ada:{PASSWORD * 20}@proxy.test".replace("/", ""),
        httpx.URL("ftp://proxy.test"),
    ],
)
def test_invalid_proxy_is_refused_without_repeating_it(bad: Any) -> None:
    for make in (TrioOpenAI, SyncOpenAI, TrioTransport):
        options = {} if make is TrioTransport else {"api_key": "k"}
        with pytest.raises(ValueError, match="proxy") as caught:
            make(proxy=bad, **options)
        assert_hidden(caught.value, PASSWORD)
        assert_hidden(caught.value, PASSWORD[:4])


def test_proxy_of_another_type_is_refused() -> None:
    for bad in (3128, ("proxy.test", 3128), {"http://": PROXY}, b"http://proxy.test"):
        with pytest.raises(TypeError, match=r"URL or an httpx.Proxy, not"):
            TrioOpenAI(api_key="k", proxy=bad)  # type: ignore[arg-type]


def test_proxy_with_a_forbidden_header_is_refused() -> None:
    with pytest.raises(ValueError, match="x-team") as caught:
        TrioTransport(proxy=httpx.Proxy(PROXY, headers={"X-Team": f"{PASSWORD}\nx"}))
    assert_hidden(caught.value, PASSWORD)


def test_proxy_and_http_client_exclude_each_other() -> None:
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


def test_proxy_of_httpx2_is_accepted() -> None:
    httpx2 = pytest.importorskip("httpx2")
    given = httpx2.Proxy(PROXY, auth=("ada", PASSWORD), headers={"X-Team": "blue"})
    assert Proxy(given).check().name == "the proxy proxy.test:3128"
    assert PASSWORD not in repr(vars(Proxy(given)))


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
    ({"ALL_PROXY": "socks://p:1"}, ADDRESS, "p:1"),
    ({"ALL_PROXY": "socks://p"}, ADDRESS, "p:1080"),
    ({"HTTPS_PROXY": "  http://p:1\n"}, ADDRESS, "p:1"),
    ({"HTTPS_PROXY": " p:1 "}, ADDRESS, "p:1"),
    ({"HTTPS_PROXY": "  "}, ADDRESS, None),
    ({"HTTPS_PROXY": "  ", "ALL_PROXY": "p:1"}, ADDRESS, "p:1"),
    ({"HTTPS_PROXY": "gopher://p", "HTTP_PROXY": "http://q:2"}, "http://h.test", "q:2"),
    ({"HTTPS_PROXY": "gopher://p"}, "http://h.test", None),
    ({"HTTPS_PROXY": "gopher://p"}, "https://localhost", None),
    ({"HTTPS_PROXY": "gopher://p", "NO_PROXY": "example.com"}, ADDRESS, None),
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
def test_environment_selects_the_proxy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, expected: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    route = from_environment()
    proxy = route(httpx.URL(url)) if route is not None else None
    assert (proxy.name if proxy is not None else None) == (f"the proxy {expected}" if expected else None)


@pytest.mark.parametrize(("excepted", "url", "is_direct"), EXCEPTIONS)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_lists_the_exceptions(
    monkeypatch: pytest.MonkeyPatch, excepted: str, url: str, is_direct: bool, name: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    monkeypatch.setenv(name, excepted)
    route = from_environment()
    assert (route is None or route(httpx.URL(url)) is None) == is_direct


UNUSABLE = ["gopher://ada:{}@proxy.test", "socks4://ada:{}@proxy.test", "http://ada:{}@proxy.test:99999", "://{}"]


@pytest.mark.parametrize("value", UNUSABLE)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
async def test_invalid_proxy_variable_affects_only_requests_that_would_use_it(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value.format(PASSWORD))
    server = await serve(nursery, Reply.chat("Hello.", stream=False), memory=False)
    async with TrioOpenAI(api_key="k", base_url=server.base_url) as client:
        assert (await client.chat.completions.create(**CHAT)).choices, "loopback is never proxied"
    async with TrioOpenAI(api_key="k", base_url="https://api.test/v1", max_retries=3) as client:
        error = await outcome(client.chat.completions.create, **CHAT)
        assert isinstance(error, APIConnectionError)
        assert error.is_final
        assert f"{variable.lower()} in the environment" in str(error)
        assert_hidden(error, PASSWORD)
    async with TrioOpenAI(api_key="k", base_url="https://api.test/v1", trust_env=False) as client:
        assert client._session.transport is not None
        assert client._session.transport._route is None
    monkeypatch.setenv("NO_PROXY", "api.test")
    assert from_environment()(httpx.URL("https://api.test/v1")) is None  # type: ignore[misc]


@pytest.mark.parametrize("host", ["fe80::1%25eth0", "fe80::1%eth0"])
async def test_zone_of_an_ipv6_address_stays_on_this_machine(nursery: trio.Nursery, host: str) -> None:
    server = await serve(nursery, Reply.chat("Hello.", stream=False))
    asked: list[tuple[str, int]] = []

    async def open_stream(name: str, port: int) -> trio.abc.Stream:
        asked.append((name, port))
        return await server.open_stream()

    for url in (f"http://[{host}]:8080/v1", httpx.URL(f"http://[{host}]:8080/v1")):
        transport = TrioTransport(open_stream=open_stream)
        http = httpx.AsyncClient(transport=transport, trust_env=False)
        async with TrioOpenAI(api_key="k", base_url=url, http_client=http) as client:
            await client.chat.completions.create(**CHAT)
            await client.chat.completions.create(**CHAT, extra_query={"a": "b"})
            assert (await http.get(url)).status_code == 200
    assert set(asked) == {("fe80::1%eth0", 8080)}
    assert {request.header("host") for request in server.requests} == {"[fe80::1]:8080"}


def test_zone_of_an_address_is_unquoted_as_in_rfc_6874() -> None:
    for host, address in {
        "fe80::1%25eth0": "fe80::1%eth0",
        "fe80::1%eth0": "fe80::1%eth0",
        "fe80::1%251": "fe80::1%1",
        "fe80::1%25": "fe80::1%25",
        "fe80::1%25a%2Db": "fe80::1%a-b",
        "fe80::1": "fe80::1",
        "api.test": "api.test",
    }.items():
        assert host_for_os(host) == address
        assert without_zone(host) == address.partition("%")[0]
