"""Content codings: supported ones work in any combination, and an error names any other."""

from __future__ import annotations

import gzip
import itertools
import random
import zlib
from typing import Any

import attrs
import httpx
import pytest
import trio
from every_client import certificates
from net_helpers import CHAT, Steps, client_over, no_environment, outcome, serve

from trio_openai import APIError, APIResponseValidationError, NotFoundError, RateLimitError, TrioOpenAI
from trio_openai._http.codings import decoded
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


async def test_codings_in_two_headers_and_in_upper_case_are_decoded(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    twice = encoded(PLAIN, "GZip", "gzip", "deflate")
    server = await serve(nursery, attrs.evolve(twice, headers=(*twice.headers, ("Content-Encoding", " deflate ,"))))
    client, _ = client_over(server)
    async with client:
        assert await ask(client, stream=False) == "Hello there."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("header", ["br", "zstd", "gzip, br", "BR", "zstd, gzip", "compress", "x-unheard-of"])
async def test_unsupported_coding_is_named_and_not_retried(
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
async def test_unsupported_coding_is_named_with_other_clients(
    nursery: trio.Nursery, library: str, stream: bool
) -> None:
    package: Any = pytest.importorskip(library)
    server = await serve(nursery, encoded(HELLO if stream else PLAIN, "br"), memory=False)
    async with server.client(http_client=package.AsyncClient(verify=certificates()), max_retries=3) as client:
        error = await outcome(ask, client, stream=stream)
    assert isinstance(error, APIResponseValidationError)
    assert "'br'" in str(error)
    assert len(server.requests) == 1


async def test_error_status_counts_although_its_body_has_an_unsupported_coding(
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
async def test_charsets_and_identity_are_not_codings(
    nursery: trio.Nursery, autojump_clock: object, header: str, stream: bool
) -> None:
    server = await serve(nursery, encoded(HELLO if stream else PLAIN, header))
    client, _ = client_over(server)
    async with client:
        assert await ask(client, stream=stream) == "Hello there."


async def test_coding_of_an_empty_body_is_ignored(nursery: trio.Nursery, autojump_clock: object) -> None:
    for reply in (Reply(204, {"content-encoding": "br"}), Reply(200, {"content-encoding": "br"})):
        server = await serve(nursery, reply)
        client, _ = client_over(server)
        async with client:
            await client.responses.delete("resp_1")


async def test_too_many_codings_are_refused(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, encoded(PLAIN, ", ".join(["gzip"] * 1000), "gzip"))
    client, _ = client_over(server)
    async with client:
        error = await outcome(ask, client, stream=False)
    assert isinstance(error, APIError)
    assert len(str(error)) < 300


def test_httpx_joins_headers_as_this_library_expects() -> None:
    assert httpx.Headers([("content-encoding", "gzip"), ("Content-Encoding", "br")])["content-encoding"] == "gzip, br"


# Limits: a few KB can expand to gigabytes.

MIB = 1024 * 1024


class Given:
    """A body that already has its chunks, so that reading it never waits."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = list(pieces)

    async def read(self) -> bytes:
        return self.left.pop(0) if self.left else b""

    async def aclose(self, *, park: bool = False) -> None: ...

    def close_soon(self) -> None: ...


async def drained(body: Any) -> bytes:
    pieces: list[bytes] = []
    while piece := await body.read():
        pieces.append(piece)
    return b"".join(pieces)


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, raw_deflate])
@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072, 3 * MIB])
async def test_decompressing_in_steps_returns_the_same_bytes(compress: Any, size: int) -> None:
    data = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
    assert await drained(decoded(Given(compress(data)), "deflate", 4 * MIB)) == data


@pytest.mark.parametrize(
    ("compressed", "header", "steps"),
    [
        (gzip.compress(b"\n" * (8 * MIB)), "gzip", 127),
        (gzip.compress(gzip.compress(b"\n" * (8 * MIB))), "gzip, gzip", 127),
        (gzip.compress(b"") * 20_000, "gzip", 19_999),
        (gzip.compress(gzip.compress(b"") * 20_000), "gzip, gzip", 19_999),
    ],
    ids=["newlines", "twice", "empty members", "empty members, twice"],
)
async def test_every_step_of_decompressing_is_bounded_and_has_a_checkpoint(
    compressed: bytes, header: str, steps: int
) -> None:
    counter = Steps()
    trio.lowlevel.add_instrument(counter)
    body = decoded(Given(compressed), header, 64 * MIB)
    while piece := await body.read():
        assert len(piece) <= 65536
    trio.lowlevel.remove_instrument(counter)
    assert counter.taken >= steps


@pytest.mark.parametrize(
    "compressed", [gzip.compress(b"\n" * (8 * MIB)), gzip.compress(b"") * 20_000], ids=["newlines", "empty members"]
)
async def test_cancelled_decompression_continues_without_loss(compressed: bytes) -> None:
    body = decoded(Given(compressed), "gzip", 64 * MIB)
    cancelled, pieces = 0, []
    while not pieces or pieces[-1]:
        with trio.CancelScope() as scope:
            scope.cancel()
            pieces.append(await body.read())
        cancelled += scope.cancelled_caught
        pieces.append(await body.read())
    assert cancelled
    assert b"".join(pieces) in (b"", b"\n" * (8 * MIB))


async def test_deadline_applies_while_a_response_is_decompressed(nursery: trio.Nursery, autojump_clock: object) -> None:
    bomb = encoded(Reply(200, {"content-type": "text/event-stream"}, (b"\n" * (16 * MIB),)), "gzip", "gzip")
    for stream in (False, True):
        server = await serve(nursery, bomb)
        client, transport = client_over(server)
        async with client:
            with trio.CancelScope() as scope:
                nursery.start_soon(cancel_at_bytes, scope)
                await ask(client, stream=stream)
            assert scope.cancelled_caught
            assert transport.statistics().active == 0


async def cancel_at_bytes(scope: trio.CancelScope) -> None:
    for _ in range(20):
        await trio.lowlevel.checkpoint()
    scope.cancel()


BOMB = encoded(attrs.evolve(PLAIN, body=(b"\n" * (2 * MIB),)), "gzip", "gzip")


@pytest.mark.parametrize("stream", [False, True])
async def test_error_for_a_too_large_decompressed_response_names_the_option(
    nursery: trio.Nursery, autojump_clock: object, stream: bool
) -> None:
    server = await serve(nursery, BOMB)
    client, transport = client_over(server, max_retries=3, max_event_bytes=MIB)
    async with client:
        error = await outcome(ask, client, stream=stream)
        assert transport.statistics().active == 0
    assert isinstance(error, APIResponseValidationError)
    assert "max_event_bytes" in str(error)
    assert error.request_id
    assert len(server.requests) == 1


async def test_error_response_that_decompresses_to_too_much_keeps_its_status(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, attrs.evolve(BOMB, status=404))
    client, _ = client_over(server, max_event_bytes=MIB // 2)
    async with client:
        error = await outcome(ask, client, stream=False)
    assert isinstance(error, NotFoundError)
    assert len(error.response.content) <= MIB


async def test_large_response_with_usual_compression_ratio_is_accepted() -> None:
    data = random.Random(1).randbytes(MIB).hex().encode()
    assert await drained(decoded(Given(gzip.compress(data)), "gzip", 1000)) == data


async def test_received_bytes_are_counted_before_decompression() -> None:
    twice = gzip.compress(gzip.compress(b"\n" * (4 * MIB)))
    error = await outcome(drained, decoded(Given(twice), "gzip, gzip", MIB))
    assert isinstance(error, APIResponseValidationError)
    assert f"first {len(twice)} bytes" in str(error)
