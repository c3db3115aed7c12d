"""Which proxy it is: by argument, and from the environment as `httpx` reads it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from net_helpers import no_environment
from proxy_helpers import (
    LOGIN,
    PASSWORD,
    basic,
)
from test_secrets import assert_hidden

from trio_openai import (
    TrioOpenAI,
    TrioTransport,
)
from trio_openai._proxy import Proxy, from_environment
from trio_openai.sync import SyncOpenAI

PROXY = "http://proxy.test:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


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


def test_a_proxy_of_httpx2_is_taken() -> None:
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
