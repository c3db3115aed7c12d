"""The `RawResponse` that the methods under `with_raw_response` return: an answer with its status and headers.

`with_raw_response` is the same endpoint with a copy of its `Session` in which `is_raw` is set. `Exchange.answer` looks
at it for plain answers, and the endpoint itself for streams. So the endpoints need no second set of methods.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, TypeVar, cast

import attrs
import httpx
import trio

from trio_openai._protocols.answers import Decode
from trio_openai._wire.json import decode_json
from trio_openai.errors import APIError

T = TypeVar("T", covariant=True)
_T = TypeVar("_T")


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
    _stream: Any = attrs.field(default=None, alias="stream")

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


def _parsed(decode: Decode[_T], content: bytes, shown: bytes) -> _T:
    """A body as an object. If it is none, an error may quote it, and a traceback shows it: then it is without the key.

    Raises:
        APIError: it is not what it has to be.
    """
    try:
        return decode(content)
    except APIError:
        content = shown
    return decode(content)


def raw_answer(
    response: httpx.Response, content: bytes, shown: bytes, decode: Decode[_T], retries: int, seconds: float
) -> RawResponse[_T]:
    """Return the `RawResponse` of a plain answer.

    Args:
        response: The response, whose body has been read.
        content: The body.
        shown: The body as an error may quote it, without secrets.
        decode: Makes the object of the body.
        retries: Attempts that failed before.
        seconds: How long it took.
    """
    return RawResponse(
        http_response=_whole(response, content),
        retries_taken=retries,
        elapsed=timedelta(seconds=seconds),
        parse=functools.cache(functools.partial(_parsed, decode, content, shown)),
    )


def raw_stream(stream: Any) -> RawResponse[Any]:
    """Return the `RawResponse` of an open stream."""
    timings = stream.timings
    return RawResponse(
        http_response=stream.response,
        retries_taken=timings.retries,
        elapsed=timedelta(seconds=timings.headers or 0.0),
        parse=lambda: stream,
        stream=stream,
    )


def _whole(response: httpx.Response, content: bytes) -> httpx.Response:
    """A response whose body has been read, with every header, whichever client it came from."""
    whole = httpx.Response(
        response.status_code,
        content=content,
        request=httpx.Request(response.request.method, str(response.request.url)),
        extensions={"http_version": response.http_version.encode()},
    )
    whole.headers = httpx.Headers(response.headers.raw)  # not before: it would decompress what is decompressed
    return whole
