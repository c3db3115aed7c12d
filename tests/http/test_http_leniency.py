"""Responses of sloppy gateways: accepted if their meaning is clear, refused otherwise, and never retried."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest
import trio
from every_client import certificates
from hypothesis import given
from hypothesis import strategies as st
from net_helpers import CHAT, client_over, no_environment, outcome, serve

from trio_openai import APIConnectionError, TrioOpenAI
from trio_openai._http.http1 import ProtocolError, ResponseParser
from trio_openai.testing import Reply

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

ACCEPTED = {
    "chunks and a length": OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS,
    "a length after chunked": OK + b"transfer-encoding: chunked\r\ncontent-length: 300\r\n\r\n" + CHUNKS,
    "a folded header": OK + b"x-note: one\r\n  two\r\n\tthree\r\ncontent-length: 11\r\n\r\nhello world",
    "a folded length": OK + b"content-length:\r\n 11\r\n\r\nhello world",
    "LF in the head": b"HTTP/1.1 200 OK\nx: y\ncontent-length: 11\n\nhello world",
    "LF everywhere": (OK + b"transfer-encoding: chunked\r\n\r\n" + CHUNKS).replace(b"\r", b""),
    "LF in the body": CHUNKED + CHUNKS.replace(b"\r", b""),
    "LF and a trailer": CHUNKED.replace(b"\r", b"") + b"b;x=1\nhello world\n0\nx-sum: 1\n\n",
    "spaces after a size": CHUNKED + b"5  \r\nhello\r\n6\t;a=b\r\n world\r\n0 \r\n\r\n",
    "the same length twice": OK + b"content-length: 11\r\nx: y\r\nContent-Length: 11\r\n\r\nhello world",
    "the same length in a list": OK + b"content-length: 11, 11 ,11\r\n\r\nhello world",
    "the same length twice, and chunks": OK + b"content-length: 3, 3\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS,
    "the same length twice after 103": b"HTTP/1.1 103 Hi\r\nlink: a\r\n\r\n" + OK + b"content-length: 11\r\n" * 2
    + b"\r\nhello world",
    "LF and the same length twice": b"HTTP/1.1 200 OK\ncontent-length: 11\ncontent-length: 11\n\nhello world",
    "control characters": OK + b"x: a\x01b\x7f\x1b[0m\r\ncontent-length: 11\r\n\r\nhello world",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\ncontent-length: 11\r\n\r\nhello world",
}  # fmt: skip
REFUSED = {
    "two lengths": OK + b"content-length: 11\r\ncontent-length: 12\r\n\r\nhello world",
    "two lengths in a list": OK + b"content-length: 11, 12\r\n\r\nhello world",
    "two lengths and chunks": OK
    + b"content-length: 1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"
    + CHUNKS,
    "a length twice that is none": OK + b"content-length: x, x\r\n\r\nhello world",
    "a negative length twice": OK + b"content-length: -1\r\ncontent-length: -1\r\n\r\nhello world",
    "a size that is none": CHUNKED + b"5 5\r\nhello\r\n0\r\n\r\n",
    "a size with a prefix": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "no size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "a size that is too small": CHUNKED + b"4\nhello\n0\n\n",
    "another transfer coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n" + CHUNKS,
}


def read(*pieces: bytes) -> tuple[object, ...] | str:
    parser, body = ResponseParser(), b""
    for piece in pieces:
        parser.receive_data(piece)
        body += parser.take_body()
    try:
        parser.check()
    except ProtocolError:
        return "refused"
    return parser.status, parser.take_headers(), body, parser.complete, parser.keep_alive


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@pytest.mark.parametrize("response", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_responses_of_real_gateways_are_accepted_however_they_are_split(response: bytes) -> None:
    whole = read(response)
    assert (whole[0], whole[2], whole[3]) == (200, b"hello world", True)
    assert read(*(response[at : at + 1] for at in range(len(response)))) == whole
    for cut in range(1, len(response)):
        assert read(response[:cut], response[cut:]) == whole


@pytest.mark.parametrize("response", REFUSED.values(), ids=REFUSED.keys())
def test_ambiguous_response_is_refused_however_it_is_split(response: bytes) -> None:
    assert read(response) == "refused"
    assert read(*(response[at : at + 1] for at in range(len(response)))) == "refused"
    for cut in range(1, len(response)):
        assert read(response[:cut], response[cut:]) == "refused"


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5), st.lists(st.integers(0, 1000), max_size=6))
def test_chunked_body_with_bare_line_feeds_is_accepted(chunks: list[bytes], cuts: list[int]) -> None:
    body = b"".join(b"%x\n%b\n" % (len(chunk), chunk) for chunk in chunks) + b"0\n\n"
    for head in (CHUNKED, CHUNKED.replace(b"\r", b"")):
        assert read(*pieces_of(head + body, cuts))[2:4] == (b"".join(chunks), True)


def test_chunks_override_a_length_and_the_connection_is_not_reused() -> None:
    assert read(ACCEPTED["chunks and a length"])[4] is False
    assert read(ACCEPTED["a length after chunked"])[4] is False
    assert read(ACCEPTED["the same length twice"])[4] is True


def test_folded_headers_and_nul_become_spaces() -> None:
    assert read(OK + b"x: a\x00b\r\ny: one\r\n two\r\ncontent-length: 0\r\n\r\n")[1] == [
        (b"x", b"a b"), (b"y", b"one two"), (b"content-length", b"0"),
    ]  # fmt: skip


def test_endless_repeated_length_is_bounded() -> None:
    parser = ResponseParser(max_header_bytes=10_000)
    parser.receive_data(OK + b"content-length: 5\r\ncontent-length: 5\r\n")
    for _ in range(200):
        parser.receive_data(b"x: " + b"y" * 100 + b"\r\n")
    with pytest.raises(ProtocolError, match="too large"):
        parser.check()


UNPARSABLE = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "two lengths": OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
    "a bad chunk": OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nXYZ\r\n",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("raw", UNPARSABLE.values(), ids=UNPARSABLE.keys())
async def test_unparsable_response_is_never_retried(
    nursery: trio.Nursery, autojump_clock: object, raw: bytes, stream: bool
) -> None:
    server = await serve(nursery, Reply.raw(raw))
    client, _ = client_over(server, max_retries=3)
    async with client:
        error = await outcome(ask, client, stream=stream)
    assert isinstance(error, APIConnectionError)
    assert error.is_final
    assert len(server.requests) == 1


async def ask(client: TrioOpenAI, *, stream: bool) -> object:
    if not stream:
        return await client.chat.completions.create(**CHAT)
    async with client.chat.completions.stream(**CHAT) as opened:
        return await opened.get_final_completion()


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("raw", [UNPARSABLE[name] for name in ("not HTTP", "two lengths", "a bad chunk")])
async def test_response_that_another_client_cannot_parse_is_never_retried(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, library: str, raw: bytes, stream: bool
) -> None:
    no_environment(monkeypatch)
    package: Any = pytest.importorskip(library)
    server = await serve(nursery, Reply.raw(raw), memory=False)
    http = package.AsyncClient(verify=certificates())
    async with server.client(http_client=http, max_retries=3) as client:
        error = await outcome(ask, client, stream=stream)
    assert isinstance(error, APIConnectionError)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("error", "requests"),
    [
        (httpx.RemoteProtocolError("illegal status line: bytearray(b'HTTP')"), 1),
        (httpx.LocalProtocolError("Illegal header value"), 1),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), 2),
        (httpx.RemoteProtocolError("peer closed connection without sending complete message body"), 2),
        (httpx.ReadError(""), 2),
    ],
)
async def test_only_an_ended_connection_is_retried(autojump_clock: object, error: Exception, requests: int) -> None:
    count = 0

    def fail(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        raise error

    http = httpx.AsyncClient(transport=httpx.MockTransport(fail))
    async with TrioOpenAI(api_key="k", http_client=http, max_retries=1) as client:
        assert isinstance(await outcome(ask, client, stream=False), APIConnectionError)
    assert count == requests
