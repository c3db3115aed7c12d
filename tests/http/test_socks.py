"""The SOCKS handshake, byte for byte. Nothing that a proxy sends can cause more than a `SocksError`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_openai._http.socks import SocksError, login_message, negotiate


def play(answers: bytes, host: str = "api.test", login: memoryview | None = None) -> list[bytes]:
    """Return what is sent to a proxy that sends these answers and then closes the connection."""
    sent: list[bytes] = []
    steps = negotiate(host, 443, login)
    answer: bytes | None = None
    while True:
        try:
            to_send, wanted = next(steps) if answer is None else steps.send(answer)
        except StopIteration:
            return [*sent, answers]  # bytes after the handshake
        sent.append(bytes(to_send))
        if len(answers) < wanted:
            raise EOFError
        answer, answers = answers[:wanted], answers[wanted:]


CONNECTED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("api.test", b"\x03\x08api.test"),
        ("1.2.3.4", b"\x01\x01\x02\x03\x04"),
        ("::1", b"\x04" + bytes(15) + b"\x01"),
    ],
)
def test_requests_for_names_and_addresses(host: str, address: bytes) -> None:
    assert play(b"\x05\x00" + CONNECTED, host) == [b"\x05\x01\x00", b"\x05\x01\x00" + address + b"\x01\xbb", b"", b""]


@pytest.mark.parametrize(
    "bound", [b"\x01" + bytes(6), b"\x04" + bytes(18), b"\x03\x05abcde" + bytes(2), b"\x03\x00" + bytes(2)]
)
def test_address_of_the_proxy_is_read_completely(bound: bytes) -> None:
    assert play(b"\x05\x00\x05\x00\x00" + bound + b"TLS")[-1] == b"TLS"


def test_login_with_name_and_password() -> None:
    login = login_message(b"ada", b"secret")
    sent = play(b"\x05\x02\x01\x00" + CONNECTED, login=login)
    assert sent[:2] == [b"\x05\x02\x00\x02", b"\x01\x03ada\x06secret"]
    assert b"ada" not in b"".join(play(b"\x05\x00" + CONNECTED, login=login)), "it is sent only if it is asked for"
    assert "ada" not in repr(login)
    for name, password in ((b"a" * 256, b""), (b"", b"p" * 256)):
        with pytest.raises(ValueError, match="at most 255 bytes"):
            login_message(name, password)


@pytest.mark.parametrize(
    ("answers", "is_final"),
    [
        (b"\x05\xff", True),
        (b"\x05\x02\x01\x01", True),
        (b"\x05\x00\x05\x02\x00\x01", True),
        (b"\x05\x00\x05\x04\x00\x01", False),
    ],
)
def test_refusal_says_whether_a_retry_may_help(answers: bytes, is_final: bool) -> None:
    with pytest.raises(SocksError) as caught:
        play(answers, login=login_message(b"a", b"b"))
    assert caught.value.is_final is is_final


@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_of_a_proxy_raise_at_most_a_socks_error(answers: bytes, has_login: bool) -> None:
    try:
        play(answers, login=login_message(b"a", b"b") if has_login else None)
    except (SocksError, EOFError):
        return
    assert answers.startswith((b"\x05\x00", b"\x05\x02")), "only this is a yes"
