"""HTTP/1.1 without I/O: how responses are parsed, however they are split, and which requests are refused."""

from __future__ import annotations

import httpx
import pytest

from trio_openai._http.http1 import ProtocolError, ResponseParser, check_headers, serialize

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
LENGTH = HEAD + b"content-length: 11\r\n\r\nhello world"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n"
TRAILERS = CHUNKED[:-2] + b"x-checksum: 1\r\nstatus: 500\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
UNTIL_CLOSE = HEAD + b"\r\nhello world"


def parse(*pieces: bytes, eof: bool = False, limit: int = 100 * 1024) -> ResponseParser:
    parser = ResponseParser(max_header_bytes=limit)
    for piece in pieces:
        parser.receive_data(piece)
    if eof:
        parser.receive_eof()
    return parser


def result(parser: ResponseParser) -> tuple[object, ...]:
    parser.check()
    return parser.status, parser.take_headers(), parser.take_body(), parser.complete, parser.keep_alive


@pytest.mark.parametrize("response", [LENGTH, CHUNKED, TRAILERS], ids=["length", "chunked", "trailers"])
@pytest.mark.parametrize("before", [b"", CONTINUE, EARLY, CONTINUE + EARLY], ids=["plain", "100", "103", "both"])
def test_complete_response_is_read_and_the_connection_can_be_reused(response: bytes, before: bytes) -> None:
    parser = parse(before + response)
    status, headers, body, complete, keep_alive = result(parser)
    assert (status, body, complete, keep_alive) == (200, b"hello world", True, True)
    assert headers[0] == (b"content-type", b"text/plain"), "the headers of a 1xx response or a trailer are not its own"
    assert b"link" not in dict(headers)
    assert b"x-checksum" not in dict(headers)


@pytest.mark.parametrize(
    "response",
    [LENGTH, CHUNKED, TRAILERS, CONTINUE + EARLY + CHUNKED],
    ids=["length", "chunked", "trailers", "after 1xx"],
)
def test_split_of_the_bytes_makes_no_difference(response: bytes) -> None:
    whole = result(parse(response))
    assert result(parse(*(response[at : at + 1] for at in range(len(response))))) == whole
    for cut in range(1, len(response)):
        assert result(parse(response[:cut], response[cut:])) == whole


@pytest.mark.parametrize("response", [LENGTH, CHUNKED, TRAILERS], ids=["length", "chunked", "trailers"])
def test_connection_that_ends_anywhere_inside_a_response_is_an_error(response: bytes) -> None:
    for cut in range(len(response)):
        parser = parse(response[:cut], eof=True)
        assert not parser.complete
        assert not parser.keep_alive
        assert b"hello world".startswith(parser.take_body()), "what came before the end is still to be had"
        with pytest.raises(ProtocolError, match="ended"):
            parser.check()


def test_body_without_length_ends_with_the_connection() -> None:
    parser = parse(UNTIL_CLOSE)
    assert parser.until_close
    assert not parser.complete
    parser.receive_eof()
    assert result(parser) == (200, [(b"content-type", b"text/plain")], b"hello world", True, False)


def test_http_1_0_response_ends_with_the_connection() -> None:
    parser = parse(UNTIL_CLOSE.replace(b"1.1", b"1.0"), eof=True)
    assert parser.http_version == "1.0"
    assert result(parser)[2:] == (b"hello world", True, False)


def test_http_1_0_with_keep_alive_and_length_is_reusable() -> None:
    head = b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi"
    assert result(parse(head))[2:] == (b"hi", True, True)
    assert result(parse(head.replace(b"connection: keep-alive\r\n", b"")))[2:] == (b"hi", True, False)


def test_connection_close_header_is_obeyed() -> None:
    assert result(parse(LENGTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))[3:] == (True, False)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_status_without_body_is_complete_after_its_head(status: bytes) -> None:
    assert result(parse(b"HTTP/1.1 " + status + b"\r\netag: 1\r\n\r\n"))[2:4] == (b"", True)


def test_upgrade_offer_in_a_200_is_not_an_upgrade() -> None:
    """Accept Apache's `Upgrade: h2,h2c` with `Connection: Upgrade`, which it adds to every response."""
    offer = LENGTH.replace(b"\r\n\r\n", b"\r\nUpgrade: h2,h2c\r\nConnection: Upgrade\r\n\r\n")
    assert result(parse(offer))[2:4] == (b"hello world", True)


def test_switching_protocols_is_refused() -> None:
    with pytest.raises(ProtocolError, match="protocol"):
        parse(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nxx").check()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"<html>not http</html>",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        HEAD + b"content-length: ten\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
        HEAD + b"content-length: 5, 6\r\n\r\n",
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n",
        HEAD + b"bad name: 1\r\n\r\n",
    ],
)
def test_garbage_instead_of_a_response_is_a_protocol_error(garbage: bytes) -> None:
    for pieces in ([garbage], [garbage[at : at + 1] for at in range(len(garbage))]):
        with pytest.raises(ProtocolError):
            parse(*pieces, eof=True).check()


@pytest.mark.parametrize("bad", [b"XYZ\r\n", b"-5\r\n", b"5\r\nhello!!", b"fffffffffffffffff\r\n"])
def test_bad_chunk_is_an_error_after_the_good_ones(bad: bytes) -> None:
    parser = parse(CHUNKED[: CHUNKED.index(b"6;")] + bad)
    assert parser.take_body() == b"hello" + (b"hello" if bad.startswith(b"5") else b"")
    with pytest.raises(ProtocolError):
        parser.check()
    assert not parser.keep_alive


@pytest.mark.parametrize("excess", [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"H", b"garbage", b"\x00"])
@pytest.mark.parametrize("response", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_bytes_after_a_response_end_the_connection_but_not_the_response(response: bytes, excess: bytes) -> None:
    for pieces in ([response + excess], [response, excess]):
        status, _, body, complete, keep_alive = result(parse(*pieces))
        assert (status, body, complete, keep_alive) == (200, b"hello world", True, False)


def test_connection_that_ends_after_a_complete_response_is_no_error() -> None:
    assert result(parse(LENGTH, eof=True))[2:] == (b"hello world", True, False)


@pytest.mark.parametrize("piece", [1, 100, 100_000])
def test_too_large_head_is_refused(piece: int) -> None:
    head = HEAD + b"x: " + b"y" * 20_000
    parser = ResponseParser(max_header_bytes=10_000)
    for at in range(0, len(head), piece):
        parser.receive_data(head[at : at + piece])
    with pytest.raises(ProtocolError, match=r"header.*too large"):
        parser.check()


def test_too_many_headers_or_1xx_responses_are_refused() -> None:
    for flood in (HEAD + b"x: y\r\n" * 5_000, EARLY * 1_000):
        for pieces in ([flood], [flood[at : at + 500] for at in range(0, len(flood), 500)]):
            with pytest.raises(ProtocolError, match=r"header.*too large"):
                parse(*pieces, limit=10_000).check()


def test_limit_of_the_head_does_not_count_the_body_in_the_same_read() -> None:
    body = b"z" * 20_000
    parser = parse(HEAD + b"content-length: 20000\r\n\r\n" + body, limit=4_096)
    assert result(parser)[2:] == (body, True, True)


def test_trailers_are_bounded() -> None:
    parser = parse(CHUNKED[:-2], limit=10_000)
    for _ in range(1_000):
        parser.receive_data(b"x-trailer: " + b"y" * 100 + b"\r\n")
    parser.take_body()
    with pytest.raises(ProtocolError):
        parser.check()


def test_endless_trailer_is_bounded() -> None:
    parser = parse(CHUNKED[:-2] + b"x-trailer: ", limit=10_000)
    for _ in range(1_000):
        parser.receive_data(b"y" * 100)
    parser.take_body()
    with pytest.raises(ProtocolError):
        parser.check()


def test_large_body_is_not_mistaken_for_trailers() -> None:
    parser = parse(HEAD + b"transfer-encoding: chunked\r\n\r\n", limit=10_000)
    for _ in range(1_000):
        parser.receive_data(b"64\r\n" + b"z" * 100 + b"\r\n")
        assert parser.take_body() == b"z" * 100
    parser.receive_data(b"0\r\n\r\n")
    parser.check()
    assert parser.complete


SECRET = "sk-do-not-show"


@pytest.mark.parametrize("bad", ["\n", "\r", "\r\nx: y", "\x00", "\x7f", "\x1b"])
def test_forbidden_header_value_is_refused_without_being_shown(bad: str) -> None:
    with pytest.raises(ValueError, match="'X-Key'") as caught:
        check_headers(httpx.Headers({"X-Fine": "1", "X-Key": SECRET + bad}))
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize("name", ["", "x y", "x\ny", "x:y", "é", "x\r\ny: z"])
def test_forbidden_header_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header"):
        check_headers(httpx.Headers([(name.encode(), b"1")]))


@pytest.mark.parametrize(
    ("method", "target"), [("POST ", b"/"), ("PO\nST", b"/"), ("POST", b"/a b"), ("POST", b"/\r\nx: y"), ("POST", b"")]
)
def test_forbidden_request_line_is_refused(method: str, target: bytes) -> None:
    with pytest.raises(ValueError, match="forbids"):
        serialize(method, target, httpx.Headers())


def test_request_is_written_unchanged() -> None:
    headers = httpx.Headers([(b"Host", b"h"), (b"X-A", b"1"), (b"x-a", b"\xc3\xbc")])
    assert (
        serialize("POST", b"/v1?a=b", headers) == b"POST /v1?a=b HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: \xc3\xbc\r\n\r\n"
    )
