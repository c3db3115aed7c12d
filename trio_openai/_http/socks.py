"""The client's half of SOCKS 5 (RFC 1928, and RFC 1929 for a user name and password), without I/O.

The conversation has two or three steps: agree on a way to log in, log in if the proxy wants that, and ask for a
connection. `negotiate` is a generator that yields what to send and how many bytes to read, so it can be tested without
a network. It must read exactly its own bytes, because the bytes after them belong to the connection behind the proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Generator

_VERSION = 5
_LONGEST = 255  # bytes in a name or password, because the protocol sends the length as one byte
_NO_LOGIN, _LOGIN = 0, 2  # methods of authentication (RFC 1928, section 3)
_ADDRESS_BYTES = {1: 4, 4: 16}  # the size of an IPv4 and an IPv6 address; a name (type 3) sends its length

_REPLIES = {  # RFC 1928, section 6
    1: "general failure",
    2: "its rules do not allow this",
    3: "the network is unreachable",
    4: "the host is unreachable",
    5: "the connection was refused",
    6: "the connection timed out",
    7: "it does not support the command",
    8: "it does not support this type of address",
}
_FINAL_REPLIES = (2, 7, 8)  # asking again would get the same reply


class SocksError(Exception):
    """The proxy does not connect.

    Attributes:
        is_final: True if asking again would get the same answer.
    """

    def __init__(self, message: str, *, is_final: bool = True) -> None:
        super().__init__(message)
        self.is_final = is_final


def login_message(name: bytes, password: bytes) -> memoryview:
    """Return the message that logs a user in (RFC 1929), as a `memoryview`, whose `repr` does not show the password.

    Raises:
        ValueError: the name or the password is too long for the protocol.
    """
    if max(len(name), len(password)) > _LONGEST:
        raise ValueError(f"the user name and the password for a SOCKS proxy may have at most {_LONGEST} bytes each")
    return memoryview(bytes([1, len(name)]) + name + bytes([len(password)]) + password)


def negotiate(
    host: str, port: int, login: memoryview | None = None
) -> Generator[tuple[bytes | memoryview, int], bytes, None]:
    """Ask a SOCKS proxy for a connection. When the generator is exhausted, the stream is connected to the host.

    Args:
        host: an IP address, or a name for the proxy to resolve.
        port: the port at that host.
        login: a `login_message`, in case the proxy asks for one.

    Yields:
        A pair of the bytes to send and the number of bytes to read. Send exactly that many bytes into the generator.

    Raises:
        SocksError: the proxy refuses, or does not speak SOCKS 5.
    """
    methods = bytes([_NO_LOGIN, _LOGIN] if login else [_NO_LOGIN])
    version, method = yield bytes([_VERSION, len(methods)]) + methods, 2
    if version != _VERSION:
        raise SocksError("it does not speak SOCKS 5")
    if method == _LOGIN and login is not None:
        _, refused = yield login, 2
        if refused:
            raise SocksError("it refused the user name or the password")
    elif method != _NO_LOGIN:  # 0xFF, if the proxy accepts none of the methods
        raise SocksError("it wants another way to log in" if login else "it wants a user name and a password")
    version, reply, _, kind = yield bytes([_VERSION, 1, 0]) + _address(host) + port.to_bytes(2, "big"), 4
    if version != _VERSION:
        raise SocksError("it does not speak SOCKS 5")
    if reply != 0:
        raise SocksError(_REPLIES.get(reply, f"error {reply}"), is_final=reply in _FINAL_REPLIES)
    length = _ADDRESS_BYTES[kind] if kind in _ADDRESS_BYTES else (yield b"", 1)[0]
    yield b"", length + 2  # skip the address and port that the proxy connects from


def _address(host: str) -> bytes:
    """Return a host as an address in the protocol's format (RFC 1928, section 5)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        if len(name) > _LONGEST:
            raise SocksError("the host name is too long for SOCKS") from None
        return bytes([3, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed
