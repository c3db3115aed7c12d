"""Content codings: those that are supported in any combination, and an error that names any other."""

from __future__ import annotations

import gzip
import itertools
import zlib
from typing import Any

import attrs
import httpx
import pytest
import trio
from every_client import certificates
from net_helpers import CHAT, client_over, no_environment, outcome, serve

from trio_openai import APIError, APIResponseValidationError, RateLimitError, TrioOpenAI
from trio_openai.testing import Reply

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
ENCODE = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes, "x-gzip": gzip.compress}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def bytes_of(reply: Reply) -> bytes:
    return b"".join(step for step in reply.body if isinstance(step, bytes))


def encoded(reply: Reply, header: str, *codings: str) -> Reply:
    data = bytes_of(reply)
    for coding in codings:
        data = ENCODE[coding](data)
    return attrs.evolve(reply, headers=(*reply.headers, ("content-encoding", header)), body=(data,))


async def ask(client: TrioOpenAI, *, stream: bool) -> Any:
    if not stream:
        return (await client.chat.completions.create(**CHAT)).choices[0].message.content
    async with client.chat.completions.stream(**CHAT) as opened:
        return (await opened.get_final_completion()).choices[0].message.content


COMBINATIONS = [
    *itertools.product(ENCODE, repeat=2),
    ("gzip", "deflate", "gzip"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("codings", COMBINATIONS, ids=", ".join)
async def test_supported_codings_are_decoded_in_any_combination(
    nursery: trio.Nursery, autojump_clock: object, codings: tuple[str, ...], stream: bool
) -> None:
    good = encoded(HELLO if stream else PLAIN, ", ".join(codings), *codings)
    for reply in (good, good.sliced(3)):
        server = await serve(nursery, reply)
        client, transport = client_over(server)
        async with client:
            assert await ask(client, stream=stream) == "Hello there."
            assert transport.statistics().active == 0


async def test_codings_in_two_headers_and_in_capitals_are_decoded(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    twice = encoded(PLAIN, "GZip", "gzip", "deflate")
    server = await serve(nursery, attrs.evolve(twice, headers=(*twice.headers, ("Content-Encoding", " deflate ,"))))
    client, _ = client_over(server)
    async with client:
        assert await ask(client, stream=False) == "Hello there."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("header", ["br", "zstd", "gzip, br", "BR", "zstd, gzip", "compress", "x-unheard-of"])
async def test_an_unsupported_coding_is_named_and_not_retried(
    nursery: trio.Nursery, autojump_clock: object, header: str, stream: bool
) -> None:
    reply = encoded(HELLO if stream else PLAIN, header, "gzip")
    server = await serve(nursery, reply)
    client, transport = client_over(server, max_retries=3)
    async with client:
        error = await outcome(ask, client, stream=stream)
        assert transport.statistics().active == 0
    assert isinstance(error, APIResponseValidationError)
    named = next(one for one in ("br", "zstd", "compress", "x-unheard-of") if one in header.lower())
    assert repr(named) in str(error)
    assert error.request_id
    assert len(server.requests) == 1


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("stream", [False, True])
async def test_another_client_tells_of_an_unsupported_coding_too(
    nursery: trio.Nursery, library: str, stream: bool
) -> None:
    package: Any = pytest.importorskip(library)
    server = await serve(nursery, encoded(HELLO if stream else PLAIN, "br"), memory=False)
    async with server.client(http_client=package.AsyncClient(verify=certificates()), max_retries=3) as client:
        error = await outcome(ask, client, stream=stream)
    assert isinstance(error, APIResponseValidationError)
    assert "'br'" in str(error)
    assert len(server.requests) == 1


async def test_the_status_of_an_error_in_an_unsupported_coding_counts(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    busy = Reply.error(429, "busy")
    server = await serve(nursery, [attrs.evolve(busy, headers=(*busy.headers, ("content-encoding", "br")))] * 2)
    client, _ = client_over(server, max_retries=1)
    async with client:
        error = await outcome(ask, client, stream=False)
    assert isinstance(error, RateLimitError)
    assert len(server.requests) == 2


@pytest.mark.parametrize("header", ["", "identity", "utf-8", "UTF8", "none", "binary", "iso-8859-1", "identity, utf-8"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_no_coding_is_ignored(
    nursery: trio.Nursery, autojump_clock: object, header: str, stream: bool
) -> None:
    server = await serve(nursery, encoded(HELLO if stream else PLAIN, header))
    client, _ = client_over(server)
    async with client:
        assert await ask(client, stream=stream) == "Hello there."


async def test_an_empty_body_has_no_coding(nursery: trio.Nursery, autojump_clock: object) -> None:
    for reply in (Reply(204, {"content-encoding": "br"}), Reply(200, {"content-encoding": "br"})):
        server = await serve(nursery, reply)
        client, _ = client_over(server)
        async with client:
            await client.responses.delete("resp_1")


async def test_codings_without_end_are_refused(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, encoded(PLAIN, ", ".join(["gzip"] * 1000), "gzip"))
    client, _ = client_over(server)
    async with client:
        error = await outcome(ask, client, stream=False)
    assert isinstance(error, APIError)
    assert len(str(error)) < 300


def test_httpx_joins_headers_as_this_library_expects() -> None:
    assert httpx.Headers([("content-encoding", "gzip"), ("Content-Encoding", "br")])["content-encoding"] == "gzip, br"
