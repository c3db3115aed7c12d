"""Tests that no secret is reachable from what a program may log: an error, its attributes, a response, a repr."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import FunctionType, ModuleType, TracebackType
from typing import Any

import httpx
import pytest
import trio
from net_helpers import CHAT, client_over, no_environment, outcome, serve

from trio_openai import APIError, Tool, TrioOpenAI, TrioTransport
from trio_openai._cli.demo.backends import named
from trio_openai._http.secrets import Secrets, is_secret_name, shown_url
from trio_openai.azure import AzureOpenAI
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import Cut, Reply

SECRET = "sk-proj-9f8e7d6c5b4a"
BASE = "http://host.test/v1"

# Every option in which a program may put a secret.
PLACES: dict[str, dict[str, Any]] = {
    "key": {"api_key": SECRET},
    "authorization": {"api_key": "local", "default_headers": {"Authorization": f"Bearer {SECRET}"}},
    "header": {"api_key": "local", "default_headers": {"X-Helicone-Auth": SECRET, "Cookie": SECRET}},
    "query": {"api_key": "local", "default_query": {"key": SECRET}},
    "query of the URL": {"api_key": "local", "base_url": f"{BASE}?subscription-key={SECRET}"},
    "user info": {"api_key": "local", "base_url": f"http://me:{SECRET}@host.test/v1"},
    "azure key": {"api_key": SECRET, "api_version": "1", "azure_endpoint": "http://host.test"},
    "azure token": {"azure_ad_token": SECRET, "api_version": "1", "azure_endpoint": "http://host.test"},
}


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.fixture(autouse=True)
def no_secret_in_our_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG, "trio_openai")
    yield
    for record in caplog.get_records("call"):
        assert SECRET not in repr(vars(record)) or record.name == "httpx", "only httpx may log the query of a URL"


def reachable(root: object) -> Iterator[tuple[str, object]]:
    """Yield every object reachable by attributes, items and exception chains, with its path.

    Tracebacks are left out, because they lead to the whole program.
    """
    pending: list[tuple[str, object]] = [("error", root)]
    seen: dict[int, object] = {}
    while pending:
        path, value = pending.pop()
        if id(value) in seen or isinstance(value, type | ModuleType | FunctionType | TracebackType):
            continue
        seen[id(value)] = value
        yield path, value
        if isinstance(value, dict):
            pending += [
                (f"{path}[{name!r}]", item) for pair in value.items() for name, item in (("key", pair[0]), pair)
            ]
        elif isinstance(value, list | tuple | set | frozenset):
            pending += [(f"{path}[]", item) for item in value]
        elif not isinstance(value, str | bytes):
            slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
            named = {name: getattr(value, name, None) for name in slots if isinstance(name, str)}
            pending += [(f"{path}.{name}", item) for name, item in {**getattr(value, "__dict__", {}), **named}.items()]
        if isinstance(value, BaseException):
            pending += [(f"{path}.{name}", getattr(value, name)) for name in ("args", "__cause__", "__context__")]
            pending.append((f"str({path})", str(value)))
        for name in ("request", "response"):
            try:
                pending.append((f"{path}.{name}", getattr(value, name, None)))
            except RuntimeError:  # httpx raises this if an error has no request
                continue


def assert_unreachable(root: object) -> None:
    for path, value in reachable(root):
        text = value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else repr(value)
        assert SECRET not in text, f"{path} shows the secret"


class BrokenBody(httpx.AsyncByteStream):
    def __init__(self, request: Any, error: type[Any]) -> None:
        self.request, self.error = request, error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n'
        raise self.error(f"broke: {dict(self.request.headers)} {self.request.url}", request=self.request)


def client_that_repeats_the_request(library: Any, how: str) -> Any:
    """Return a client whose exceptions repeat everything that they know about the request."""

    def answer(request: Any) -> Any:
        words = f"{how}: {dict(request.headers)} {request.url}"
        if how == "body":
            body = type("Body", (BrokenBody, library.AsyncByteStream), {})(request, library.ReadError)
            return library.Response(200, headers={"content-type": "text/event-stream"}, stream=body)
        if how == "caused":
            try:
                raise OSError(words)
            except OSError as error:
                raise library.ConnectError("no connection") from error
        if how == "plain":
            raise library.ConnectError("no connection", request=request)
        if how == "echo":
            return library.Response(401, headers={"x-echo": words[:4000]}, json={"error": {"message": words}})
        raise library.RemoteProtocolError(words, request=request)

    return library.AsyncClient(transport=library.MockTransport(answer))


async def plain(client: TrioOpenAI) -> None:
    await client.chat.completions.create(**CHAT)


async def stream(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as opened:
        await opened.until_done()


async def raw(client: TrioOpenAI) -> None:
    await client.chat.completions.with_raw_response.create(**CHAT)


async def speech(client: TrioOpenAI) -> None:
    async with client.audio.speech.stream_bytes(input="x", model="m", voice="v") as opened:
        await opened.read()


DOORS: list[Callable[[TrioOpenAI], Awaitable[None]]] = [plain, stream, raw, speech]
LIBRARIES = ["httpx", *(["httpx2"] if importlib.util.find_spec("httpx2") else [])]


def client_with(place: str, **options: Any) -> TrioOpenAI:
    given = PLACES[place]
    cls: Any = AzureOpenAI if place.startswith("azure") else TrioOpenAI
    base = {} if cls is AzureOpenAI else {"base_url": BASE}
    return cls(**{**base, **given, "max_retries": 1, **options})  # type: ignore[no-any-return]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", ["plain", "words", "caused", "body", "echo"])
@pytest.mark.parametrize("library", LIBRARIES)
async def test_no_secret_is_reachable_from_errors_of_a_foreign_client(
    autojump_clock: object, library: str, how: str, place: str, door: Any
) -> None:
    mine = client_that_repeats_the_request(importlib.import_module(library), how)
    async with client_with(place, http_client=mine) as client:
        error = await outcome(door, client)
    assert isinstance(error, APIError), error
    assert_unreachable(error)


FAILURES: dict[str, Reply] = {
    "status": Reply.error(400, f"no {SECRET}"),
    "not http": Reply.raw(b"SSH-2.0\r\n"),
    "cut": Reply.sse({"choices": []}, Cut()),
    "nothing": Reply.raw(),
    "redirect": Reply(307, {"location": "/v1/again"}),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", FAILURES)
async def test_no_secret_is_reachable_from_errors_of_our_transport(
    nursery: trio.Nursery, autojump_clock: object, how: str, place: str
) -> None:
    server = await serve(nursery, FAILURES[how])

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        return await server.open_stream()

    transport = TrioTransport(open_stream=open_stream)
    async with client_with(place, http_client=httpx.AsyncClient(transport=transport)) as client:
        for door in DOORS:
            error = await outcome(door, client)
            assert isinstance(error, APIError), error
            assert_unreachable(error)


async def test_cause_is_kept_if_it_shows_no_secret(autojump_clock: object) -> None:
    for library in map(importlib.import_module, LIBRARIES):
        async with client_with("key", http_client=client_that_repeats_the_request(library, "plain")) as client:
            error = await outcome(plain, client)
        assert type(error.__cause__) is library.ConnectError
        assert error.__cause__.request.url.path == "/v1/chat/completions"


async def test_exception_being_handled_stays_the_context(autojump_clock: object) -> None:
    async with client_with("key", http_client=client_that_repeats_the_request(httpx, "words")) as client:
        handled = LookupError("of the program")
        try:
            raise handled
        except LookupError:
            error = await outcome(plain, client)
    assert error.__cause__ is None
    assert error.__context__ is handled


async def test_request_kept_by_a_foreign_transport_is_unchanged(autojump_clock: object) -> None:
    kept: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        kept.append(request)
        return httpx.Response(200, json={"id": "c", "choices": [], "object": "chat.completion"})

    mine = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with client_with("key", http_client=mine, default_headers={"x-trace": "1"}) as client:
        await outcome(plain, client)
    assert kept[0].headers["authorization"] == f"Bearer {SECRET}"
    assert kept[0].headers["x-trace"] == "1"


async def test_response_keeps_headers_that_are_not_secret(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.chat("Hello."))
    for place in ("key", "header", "authorization"):
        client, _ = client_over(server, **PLACES[place])
        headers = {"x-call": "7", "x-my-token": SECRET}
        async with client, client.chat.completions.stream(**CHAT, extra_headers=headers) as opened:
            assert opened.response.request.headers["x-call"] == "7"
            assert SECRET not in repr(opened.response.request.headers.raw)
            assert_unreachable(opened.response.request)


async def test_user_info_of_base_url_logs_in_and_is_hidden(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await serve(nursery, Reply.chat("Hello.", stream=False))
    client, _ = client_over(server, api_key=None, base_url=f"http://me:{SECRET}@127.0.0.1/v1")
    async with client:
        await client.chat.completions.create(**CHAT)
    login = httpx.BasicAuth("me", SECRET)._auth_header
    assert server.requests[0].header("authorization") == login
    assert SECRET not in caplog.text


async def test_unsendable_query_raises_without_showing_secrets(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.chat("Hello."))
    client, _ = client_over(server)
    async with client:
        query = {"key": SECRET, "token[]": [SECRET, "b"], "q": "x" * 70_000}
        error = await outcome(client.chat.completions.create, **CHAT, extra_query=query)
    assert isinstance(error, APIError), error
    assert_unreachable(error)


# ----------------------------------------------------------------------------------------------------------- reprs


def library_objects(root: object) -> Iterator[object]:
    """Yield all objects of this library that an object leads to."""
    for _, value in reachable(root):
        if type(value).__module__.startswith("trio_openai"):
            yield value


@pytest.mark.parametrize("place", PLACES)
def test_repr_of_every_object_behind_a_client_hides_secrets(place: str) -> None:
    client = client_with(place)
    endpoints = [client, client.with_raw_response.chat.completions, client.with_options(max_retries=0)]
    calls: list[Any] = [
        client.chat.completions.stream(**CHAT),
        client.chat.completions.call(**CHAT, extra_headers={"api-key": SECRET}),
        client.chat.completions.run_tools(**CHAT, tools=[Tool.of(plain, parameters={"type": "object"}, name="x")]),
        client.responses,
        client.audio.speech,
    ]
    seen = {type(value).__name__: value for root in [*endpoints, *calls] for value in library_objects(root)}
    assert {"Session", "Key"} <= seen.keys()
    for root in [*endpoints, *calls]:
        for value in library_objects(root):
            assert SECRET not in repr(value), type(value)


def test_repr_of_a_blocking_client_hides_secrets() -> None:
    for place in ("key", "header", "query of the URL", "user info"):
        with SyncOpenAI(**{"base_url": BASE, **PLACES[place]}) as client:
            for value in (client, client.chat.completions, client._session, client.with_raw_response):
                assert SECRET not in repr(value)


def test_demo_hides_secrets_of_the_url() -> None:
    endpoint = named(f"http://me:{SECRET}@host.test/v1?key={SECRET}", SECRET, None)
    assert endpoint.name == "http://host.test/v1?key=hidden"
    assert SECRET not in repr(endpoint)
    assert named("http://host:port", None, None).name == "the server"


# The rules.


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *[(name, True) for name in ("Authorization", "api-key", "X-Api-Key", "key", "Cookie", "x-amz-security-token")],
        *[(name, True) for name in ("subscription_key", "code", "sig", "client_secret", "Ocp-Apim-Subscription-Key")],
        *[(name, False) for name in ("Idempotency-Key", "api-version", "max_tokens", "limit", "after", "User-Agent")],
    ],
)
def test_names_of_secret_headers_and_parameters(name: str, *, secret: bool) -> None:
    assert is_secret_name(name) is secret


def test_shown_url_hides_secrets() -> None:
    url = httpx.URL(f"https://me:{SECRET}@host.test/v1?api-version=1&key={SECRET}&a=b")
    assert str(shown_url(url)) == "https://host.test/v1?api-version=1&key=hidden&a=b"
    assert shown_url(httpx.URL(BASE)) == BASE


def test_hidden_body_keeps_everything_else() -> None:
    error = APIError("m", body={"a": [f"x {SECRET}", 1, None, "\ud800", 10**30, {SECRET: True}], "b": 1.5})
    Secrets([SECRET, "x"]).hide_in(error)
    assert error.body == {"a": ["x ***", 1, None, "\ud800", 10**30, {"***": True}], "b": 1.5}
    deep: Any = SECRET
    for _ in range(100_000):
        deep = [deep]
    error = APIError(f"m {SECRET}", body=deep)
    Secrets([SECRET]).hide_in(error)
    assert (error.body, str(error)) == ("(nested too deeply)", "m ***")


def test_exception_with_too_many_objects_counts_as_showing_a_secret() -> None:
    error = OSError([[number] for number in range(100)])
    assert not Secrets([SECRET]).are_in(error)
    assert Secrets([SECRET]).are_in(OSError([[number] for number in range(100_000)]))
    assert not Secrets([]).are_in(OSError([[number] for number in range(100_000)]))


def test_secret_containing_another_is_hidden_completely() -> None:
    assert Secrets(["abcdefgh", "abcdefgh-ijkl"]).hidden("abcdefgh-ijkl") == "***"
