"""Records show no secret: no key, header, cookie, password, or secret parameter of a URL."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import attrs
import httpx
import pytest
import trio
from net_helpers import CHAT, client_over, no_environment, outcome, serve
from observer_helpers import METHODS, Heard
from secret_helpers import SECRET

from trio_openai import AzureOpenAI, Observer, TrioOpenAI, TrioTransport
from trio_openai.testing import RecordedRequest, Reply

HELLO = Reply.chat("Hello there.")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG, logger="trio_openai")
    yield
    assert SECRET not in caplog.text


def shown(heard: Heard) -> str:
    """Return what a program sees that logs its records, or their attributes."""
    assert heard.records
    found: list[str] = []
    for _, record in heard.records:
        found.append(repr(record))
        found += [
            str(value) for field in attrs.fields(type(record)) if field.repr for value in [getattr(record, field.name)]
        ]
    return "\n".join(found)


def echo(request: RecordedRequest) -> Reply:
    """Answer with an error, or a stream, that repeats the secret wherever a server may."""
    if "refuse" in request.target:
        return Reply.error(400, f"no {SECRET}", headers={"x-request-id": f"req {SECRET}", "set-cookie": SECRET})
    return attrs.evolve(HELLO, headers={**dict(HELLO.headers), "x-request-id": f"req {SECRET}", "set-cookie": SECRET})


async def test_no_record_shows_the_key_or_a_header(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(
        await serve(nursery, echo), api_key=SECRET, observer=heard, default_headers={"cookie": SECRET}
    )
    async with client:
        async with client.chat.completions.stream(**CHAT, extra_headers={"x-api-key": SECRET}) as stream:
            await stream.until_done()
        await outcome(client.post, "/refuse", body={"model": "m", "key": SECRET})
    assert {"headers", "first_content", "ended"} <= set(heard.names)
    assert SECRET not in shown(heard)


async def test_no_record_shows_a_secret_of_a_url(nursery: trio.Nursery) -> None:
    heard = Heard()
    server = await serve(nursery, echo)
    host = "127.0.0.1"
    client, _ = client_over(
        server,
        observer=heard,
        base_url=f"http://me:{SECRET}@{host}/v1?api_key={SECRET}",
        default_query={"key": SECRET},
    )
    async with client:
        for path in (f"/refuse?token={SECRET}", f"http://{host}/v1/refuse?sig={SECRET}&a=b", "/refuse"):
            await outcome(client.get, path, query={"key": SECRET})
            await outcome(client.get, path)
        async with client.stream_request("POST", f"/x?token={SECRET}", json={"stream": True}) as stream:
            await stream.until_done()
    assert SECRET not in shown(heard)
    assert {record.server for record in heard.all("ended")} == {f"{host}:80"}
    assert all(record.path.startswith("/") for record in heard.all("ended"))


async def test_no_record_shows_the_key_of_a_retried_attempt(nursery: trio.Nursery, autojump_clock: object) -> None:
    heard = Heard()
    busy = Reply.error(503, f"busy {SECRET}", headers={"x-request-id": SECRET})
    client, _ = client_over(await serve(nursery, [busy, HELLO]), api_key=SECRET, observer=heard)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()
    assert "***" in repr(heard.one("retry"))
    assert SECRET not in shown(heard)


async def test_no_record_shows_the_password_of_a_proxy() -> None:
    heard = Heard()
    url = "http://127.0.0.1:9"
    async with TrioOpenAI(
        api_key=SECRET, base_url=url, proxy=f"http://me:{SECRET}@127.0.0.1:9", observer=heard, max_retries=0
    ) as client:
        await outcome(client.chat.completions.create, **CHAT)
    assert heard.one("ended").error is not None
    assert SECRET not in shown(heard)


async def test_no_record_shows_the_key_of_azure(nursery: trio.Nursery) -> None:
    heard = Heard()
    server = await serve(nursery, echo)
    http = httpx.AsyncClient(transport=TrioTransport(open_stream=server.open_stream), trust_env=False)
    async with AzureOpenAI(
        azure_endpoint="http://mine.test", api_version="1", api_key=SECRET, http_client=http, observer=heard
    ) as client:
        await outcome(client.chat.completions.create, **{**CHAT, "model": "refuse"})
    assert SECRET not in shown(heard)


async def test_an_exception_of_an_observer_is_logged_without_the_record(nursery: trio.Nursery) -> None:
    class Raises(Observer):
        def started(self, record: Any, /) -> None:
            raise ValueError("mine")

    client, _ = client_over(await serve(nursery, HELLO), api_key=SECRET, observer=Raises())
    async with client:
        await outcome(client.post, "/x", body={"key": SECRET})


def test_the_other_records_keep_what_is_private_out_of_their_repr() -> None:
    hidden = {"body", "extra_headers", "headers", "arguments", "result"}
    import trio_openai._observers.records as module

    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and attrs.has(value)
    ]
    assert len(classes) >= len(METHODS)
    for field in (field for cls in classes for field in attrs.fields(cls)):
        assert field.repr is not (field.name in hidden or field.name.startswith("_")), field.name
