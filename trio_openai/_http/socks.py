"""The client's half of SOCKS 5 (RFC 1928, and RFC 1929 for a user's name), without I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Generator

_VERSION = 5
_LONGEST = 255  # bytes of a name: its length is sent as one byte
_NO_LOGIN, _LOGIN, _NONE_OF_THEM = 0, 2, 0xFF  # ways to log in
_ADDRESS_BYTES = {1: 4, 4: 16}  # of an IPv4 and an IPv6 address; a name (3) says how long it is

_REPLIES = {
    1: "it failed",
    2: "its rules do not allow it",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "the connection was refused",
    6: "it took too long",
    7: "it does not know the command",
    8: "it does not know that kind of address",
}
_FINAL_REPLIES = (2, 7, 8)


class SocksError(Exception):
    """The proxy does not connect.

    Attributes:
        is_final: whether it would say the same if it were asked again.
    """

    def __init__(self, message: str, *, is_final: bool = True) -> None:
        super().__init__(message)
        self.is_final = is_final


def login_message(name: bytes, password: bytes) -> memoryview:
    """What tells a proxy who the user is; a `memoryview`, whose `repr` does not show it.

    Raises:
        ValueError: it has no room for so long a name or password.
    """
    if max(len(name), len(password)) > _LONGEST:
        raise ValueError(f"the user name and the password for a SOCKS proxy have at most {_LONGEST} bytes each")
    return memoryview(bytes([1, len(name)]) + name + bytes([len(password)]) + password)


def negotiate(
    host: str, port: int, login: memoryview | None = None
) -> Generator[tuple[bytes | memoryview, int], bytes, None]:
    """Ask a SOCKS proxy for a connection. When this is at its end, the stream leads to the host.

    Args:
        host: a name, which the proxy looks up, or an IP address.
        port: at that host.
        login: a `login_message`, in case the proxy wants one.

    Yields:
        What to send, and how many bytes of answer to send into the generator: exactly so many.

    Raises:
        SocksError: the proxy refuses, or speaks another protocol.
    """
    ways = bytes([_NO_LOGIN, _LOGIN] if login else [_NO_LOGIN])
    version, way = yield bytes([_VERSION, len(ways)]) + ways, 2
    if version != _VERSION:
        raise SocksError("it does not speak SOCKS 5")
    if way == _LOGIN and login is not None:
        _, refused = yield login, 2
        if refused:
            raise SocksError("it refused the user name or the password")
    elif way != _NO_LOGIN:
        raise SocksError("it wants another way to log in" if login else "it wants a user name and a password")
    version, reply, _, kind = yield bytes([_VERSION, 1, 0]) + _address(host) + port.to_bytes(2, "big"), 4
    if version != _VERSION:
        raise SocksError("it does not speak SOCKS 5")
    if reply != 0:
        raise SocksError(_REPLIES.get(reply, f"error {reply}"), is_final=reply in _FINAL_REPLIES)
    length = _ADDRESS_BYTES[kind] if kind in _ADDRESS_BYTES else (yield b"", 1)[0]
    yield b"", length + 2  # the address that it connects from, and the port: of no interest


def _address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        if len(name) > _LONGEST:
            raise SocksError("the name of the host is too long for SOCKS") from None
        return bytes([3, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed
