"""A response whose head has come, and whose body has yet to be read."""

from __future__ import annotations

from trio_openai._http.body import BODY, ReadableBody, body_of
from trio_openai._http.raw_answer import RawAnswer
from trio_openai._http.raw_request import RawHead
from trio_openai._http.secrets import bare_request
from trio_openai._httpx import httpx


class Opened:
    """A response of any HTTP client.

    One of our own transport becomes an `httpx.Response` when somebody asks for it, which few programs do: with its
    headers, and those of its request, it takes 40 µs of CPU and 4 KiB.

    Attributes:
        body: the body, decompressed.
    """

    __slots__ = ("_head", "_length", "_raw", "_response", "body")

    def __init__(self, body: ReadableBody) -> None:
        self.body: ReadableBody = body
        self._response: httpx.Response | None = None
        self._raw: RawAnswer | None = None
        self._head: RawHead | None = None  # of the request
        self._length = 0

    @classmethod
    def of(cls, response: httpx.Response) -> Opened:
        """Return a response of another HTTP client."""
        opened = cls(body_of(response))
        opened._response = response
        return opened

    @classmethod
    def of_raw(cls, raw: RawAnswer, body: ReadableBody, head: RawHead, length: int) -> Opened:
        """Return a response of our own transport, to a request with this head and a body of this length."""
        opened = cls(body)
        opened._raw, opened._head, opened._length = raw, head, length
        return opened

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code if self._raw is None else self._raw.status

    def header(self, name: str) -> str | None:
        """Return the value of a header, whose name is given in lower case, or None."""
        if self._raw is not None:
            return self._raw.header(name)
        value: str | None = self.response.headers.get(name)
        return value

    @property
    def response(self) -> httpx.Response:
        """The `httpx.Response`. Its request has nothing that may be secret."""
        if self._response is None:
            assert self._raw is not None
            assert self._head is not None
            self._response = self._raw.as_httpx({BODY: self.body})
            self._response.request = bare_request(self._head.as_httpx(self._length), keep_headers=True)
        return self._response
