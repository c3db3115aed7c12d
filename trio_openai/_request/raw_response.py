"""Answers with all that HTTP says about them: what `with_raw_response` is made of.

An endpoint makes its calls by a `Caller`. With a `RawCaller` in its place it is the same endpoint, whose methods return
a `RawResponse` with the object in it. So no endpoint has to know of this.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import attrs
import trio

from trio_openai._http.exchange import whole_response
from trio_openai._http.session import Call
from trio_openai._wire.json import decode_json
from trio_openai.errors import APIError

from .calls import Caller, Decode

if TYPE_CHECKING:
    import httpx

    from trio_openai._stream.stream import Stream

T = TypeVar("T", covariant=True)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RawResponse(Generic[T]):
    """An answer as HTTP brought it; `parse()` is the object. Names are openai-python's.

    Attributes:
        http_response: the `httpx.Response`. Its body has been read, unless the answer is a stream. Of its `request` no
            more is there than the method and the URL.
        retries_taken: attempts that failed before this one.
        elapsed: from the beginning of the call, earlier attempts included, to the end of the answer, on trio's clock;
            of a stream, to its head.
    """

    http_response: httpx.Response
    retries_taken: int
    elapsed: timedelta
    _parse: Callable[[], T] = attrs.field(alias="parse")
    _stream: Stream[Any, Any] | None = attrs.field(default=None, alias="stream")

    def parse(self) -> T:
        """The object that the method without `with_raw_response` returns; always the same.

        Raises:
            APIResponseValidationError: the answer is not what it has to be.
        """
        try:
            return self._parse()
        except APIError as error:
            error.request_id = self.request_id
            raise

    @property
    def headers(self) -> httpx.Headers:
        """Every header, as it came."""
        return self.http_response.headers

    @property
    def status_code(self) -> int:
        """The HTTP status: 200, or another one below 300."""
        return self.http_response.status_code

    @property
    def request_id(self) -> str | None:
        """The server's `x-request-id`."""
        return cast("str | None", self.headers.get("x-request-id"))

    @property
    def http_request(self) -> httpx.Request:
        """The method and the URL that were asked, and nothing that may be secret."""
        return self.http_response.request

    @property
    def method(self) -> str:
        """Of HTTP."""
        return self.http_request.method

    @property
    def url(self) -> httpx.URL:
        """The URL that was asked, with its query; values that may be secret (`?key=...`) read `hidden`."""
        return self.http_request.url

    @property
    def http_version(self) -> str:
        """Such as `HTTP/1.1`."""
        return self.http_response.http_version

    @property
    def content(self) -> bytes:
        """The body, decompressed.

        Raises:
            RuntimeError: the answer is a stream.
        """
        if self._stream is not None:
            raise RuntimeError("this answer is a stream: parse() gives it, and its raw_bytes are the body")
        return self.http_response.content

    @property
    def text(self) -> str:
        """The body as text. Raises as `content`."""
        return self.http_response.text if self.content else ""

    def json(self) -> Any:
        """The body, decoded, as plain dictionaries and lists.

        Raises:
            ValueError: it is not JSON.
            RuntimeError: the answer is a stream.
        """
        return decode_json(self.content)

    async def aclose(self) -> None:
        """Close the stream, if the answer is one. In the blocking client this is a plain method."""
        if self._stream is not None:
            await self._stream.aclose()
        else:
            await trio.lowlevel.checkpoint()

    def __repr__(self) -> str:
        what = f"{len(self.content)} bytes" if self._stream is None else "a stream"
        return f"<RawResponse {self.status_code}, {what}>"


def _parsed(decode: Decode[T], content: bytes, shown: bytes) -> T:
    """A body as an object. If it is none, an error may quote it, and a traceback shows it: then it is without the key.

    Raises:
        APIError: it is not what it has to be.
    """
    try:
        return decode(content)
    except APIError:
        content = shown
    return decode(content)


@attrs.define(kw_only=True, eq=False, repr=False)
class RawCaller(Caller):
    """Makes the calls of the endpoints under a `with_raw_response`."""

    plain: Caller

    @classmethod
    def like(cls, caller: Caller) -> RawCaller:
        """One that shares everything with another."""
        plain = caller.plainly()
        return cls(**attrs.asdict(plain, recurse=False), plain=plain)

    def plainly(self) -> Caller:
        """As every caller's."""
        return self.plain

    async def answer(self, call: Call, decode: Decode[Any]) -> Any:
        """As every caller's; what it would return is in the `RawResponse`."""
        exchange = self.exchange(call)
        began = trio.current_time()
        response, content = await exchange.fetch()
        seconds = trio.current_time() - began
        return RawResponse(
            http_response=whole_response(response, content),
            retries_taken=exchange.policy.retries,
            elapsed=timedelta(seconds=seconds),
            parse=functools.cache(functools.partial(_parsed, decode, content, exchange.hidden(content))),
        )

    def opened(self, stream: Any) -> Any:
        """As every caller's."""
        timings = stream.timings
        return RawResponse(
            http_response=stream.response,
            retries_taken=timings.retries,
            elapsed=timedelta(seconds=timings.headers or 0.0),
            parse=lambda: stream,
            stream=stream,
        )
