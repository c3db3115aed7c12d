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
import trio

from trio_openai._httpx import httpx
from trio_openai._protocols.plain_answers import Decode
from trio_openai._wire.json import decode_json
from trio_openai.errors import APIError

T = TypeVar("T", covariant=True)
_T = TypeVar("_T")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RawResponse(Generic[T]):
    """An answer with its status and headers. `parse()` returns the object. The names are openai-python's.

    Attributes:
        http_response: The `httpx.Response`. Its body has been read, unless the answer is a stream. Its `request` has
            only the method and the URL, since the rest may be secret.
        retries_taken: The number of attempts that failed before this one.
        elapsed: The time from the start of the call, including failed attempts, to the end of the answer. For a
            stream, to its headers. It is measured on trio's clock.
    """

    http_response: httpx.Response
    retries_taken: int
    elapsed: timedelta
    _parse: Callable[[], T] = attrs.field(alias="parse")
    _stream: Any = attrs.field(default=None, alias="stream")

    def parse(self) -> T:
        """Return the object that the method returns without `with_raw_response`. Repeated calls return the same one.

        Raises:
            APIResponseValidationError: The answer is not what the API promises.
        """
        try:
            return self._parse()
        except APIError as error:
            error.request_id = self.request_id
            raise

    @property
    def headers(self) -> httpx.Headers:
        """The headers of the response, as the server sent them."""
        return self.http_response.headers

    @property
    def status_code(self) -> int:
        """The HTTP status, which is below 300."""
        return self.http_response.status_code

    @property
    def request_id(self) -> str | None:
        """The server's `x-request-id`."""
        return cast("str | None", self.headers.get("x-request-id"))

    @property
    def http_request(self) -> httpx.Request:
        """The request, reduced to its method and URL, since the rest may be secret."""
        return self.http_response.request

    @property
    def method(self) -> str:
        """The HTTP method of the request."""
        return self.http_request.method

    @property
    def url(self) -> httpx.URL:
        """The URL of the request with its query. Values that may be secret (`?key=...`) are replaced by `hidden`."""
        return self.http_request.url

    @property
    def http_version(self) -> str:
        """The HTTP version of the response, such as `HTTP/1.1`."""
        return self.http_response.http_version

    @property
    def content(self) -> bytes:
        """The body, decompressed.

        Raises:
            RuntimeError: The answer is a stream.
        """
        if self._stream is not None:
            raise RuntimeError("this answer is a stream: parse() returns it, and its raw_bytes are the body")
        return self.http_response.content

    @property
    def text(self) -> str:
        """The body as text. Raises the same errors as `content`."""
        return self.http_response.text if self.content else ""

    def json(self) -> Any:
        """Return the decoded body as plain dictionaries and lists.

        Raises:
            ValueError: The body is not JSON.
            RuntimeError: The answer is a stream.
        """
        return decode_json(self.content)

    async def aclose(self) -> None:
        """Close the stream if the answer is one. In the blocking client this method is synchronous."""
        if self._stream is not None:
            await self._stream.aclose()
        else:
            await trio.lowlevel.checkpoint()

    def __repr__(self) -> str:
        what = f"{len(self.content)} bytes" if self._stream is None else "a stream"
        return f"<RawResponse {self.status_code}, {what}>"


def _parsed(decode: Decode[_T], content: bytes, shown: bytes) -> _T:
    """Return the object of a body.

    If it cannot be decoded, the error quotes the body, and its traceback shows this frame. A server may have repeated
    the key in it, so it is decoded again from the text without secrets, and that error is raised.

    Raises:
        APIError: The body is not what the API promises.
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
    """Return a response with its body and headers as an `httpx.Response`, whichever client it came from."""
    whole = httpx.Response(
        response.status_code,
        content=content,
        request=httpx.Request(response.request.method, str(response.request.url)),
        extensions={"http_version": response.http_version.encode()},
    )
    whole.headers = httpx.Headers(
        response.headers.raw
    )  # set afterwards, else httpx would decompress the body, which is already decompressed
    return whole
