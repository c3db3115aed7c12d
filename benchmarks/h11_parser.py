"""A `ResponseParser` that uses h11 and has the interface of `trio_openai._http.http1.ResponseParser` (httptools).

So the two libraries can be compared, alone and inside this library.
"""

from __future__ import annotations

import h11

from trio_openai._http.http1 import MAX_HEADER_BYTES, Headers, ProtocolError


class ResponseParser:
    """A parser of one response. See the class of the same name in `trio_openai._http.http1`."""

    def __init__(self, *, max_header_bytes: int = MAX_HEADER_BYTES, has_body: bool = True) -> None:
        self.status: int | None = None
        self.until_close = False
        self.http_version = "1.1"
        self.complete = False
        self.keep_alive = False
        self.started = False
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._error: str | None = None
        self._connection: h11.Connection | None = h11.Connection(h11.CLIENT, max_header_bytes)
        method = "POST" if has_body else "HEAD"
        self._connection.send(h11.Request(method=method, target="/", headers=[("host", "localhost")]))
        self._connection.send(h11.EndOfMessage())  # h11 accepts a response only after a request

    def take_headers(self) -> Headers:
        """Return the headers of the response as they came, and forget them."""
        headers, self._headers = self._headers, []
        return headers

    @property
    def needs_data(self) -> bool:
        """True if there is nothing to take and nothing to check before more bytes come."""
        return not (self._body or self.complete or self._error)

    def take_body(self) -> bytes:
        """Return the bytes of the body that have arrived since the last call."""
        if len(self._body) == 1:
            return self._body.pop()
        data = b"".join(self._body)
        self._body.clear()
        return data

    def receive_data(self, data: bytes) -> None:
        """Parse bytes from the peer. If they are invalid, `check` raises after the body before them has been taken."""
        self.started = True
        if self.complete or self._error or self._connection is None:
            self.keep_alive = False  # unexpected bytes after the response
        else:
            self._feed(data)

    def receive_eof(self) -> None:
        """Record the end of the connection."""
        if not self.complete and not self._error and self._connection is not None:
            self._feed(b"")
        self.keep_alive = False
        if not self.complete:
            self._error = self._error or "the connection ended before the response did"

    def check(self) -> None:
        """Raise `ProtocolError` if the response was invalid."""
        if self._error is not None:
            raise ProtocolError(self._error)

    def close(self) -> None:
        """Drop the h11 connection."""
        self._connection = None

    def _feed(self, data: bytes) -> None:
        assert self._connection is not None
        try:
            self._connection.receive_data(data)
            while not self.complete and self._take(self._connection.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self._error = str(error)

    def _take(self, event: object) -> bool:
        """Record an event of h11. Return False if h11 needs more data."""
        if isinstance(event, h11.Data):
            self._body.append(bytes(event.data))
        elif isinstance(event, h11.Response):
            self.status = event.status_code
            self._headers = event.headers.raw_items()
            names = {name.lower() for name, _ in self._headers}
            self.until_close = names.isdisjoint((b"content-length", b"transfer-encoding"))
            self.http_version = event.http_version.decode()
        elif isinstance(event, h11.EndOfMessage):
            self._finish()
        elif event is h11.PAUSED:
            self._error = "the server wants to switch protocols"
            return False
        return event is not h11.NEED_DATA

    def _finish(self) -> None:
        assert self._connection is not None
        self.complete = True
        self.keep_alive = self._connection.their_state is h11.DONE and not self._connection.trailing_data[0]
