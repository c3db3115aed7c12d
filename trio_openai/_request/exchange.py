"""One request of the API: sent as often as the policy allows, and answered with a body to read or an error of ours.

This is the border to httpx. Its exceptions, and those of `httpx2` or of any client of that shape, become ours here, in
`translated`. The key passes through this file in a wrapper that puts it into a request at the last moment; it is taken
out again when the response is there.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
import httpx
import trio

from trio_openai._deadlines import Clocks, Deadlines, Phase
from trio_openai._http.body import body_of
from trio_openai._http.connection import UnprovenEndError
from trio_openai._http.secrets import Secrets, bare_request, secrets_of
from trio_openai._http.slots import ONE_BUDGET
from trio_openai._http.tracebacks import clear_tracebacks
from trio_openai._http.transport import FORWARDER
from trio_openai._mistakes import check_in_trio
from trio_openai._protocols.answers import Decode
from trio_openai._wire.failures import api_error, decode_body
from trio_openai._wire.json import is_object
from trio_openai._wire.retries import RetryPolicy
from trio_openai.errors import APIConnectionError, APIError, APIStatusError, APITimeoutError, status_error_class

from .api_key import Bearer
from .redirects import Redirects, keep_what_describes
from .request import PreparedRequest
from .sending import plain_stream, send
from .session import Session

if TYPE_CHECKING:
    from trio_openai._http.multipart import FormFile
    from trio_openai._limits.permits import Permits

log = logging.getLogger("trio_openai")

_T = TypeVar("_T")

_MAX_ERROR_BODY = 1024 * 1024
_ERROR_BODY_SECONDS = 5.0
_FRAMING_HEADERS = (b"content-encoding", b"content-length", b"transfer-encoding", b"connection")


class Exchange:
    """One call and its attempts. `open` leaves the `response` and its `body`; whoever opened it closes the body.

    Attributes:
        policy: counts the attempts and decides about retries.
        clocks: the call's deadlines.
        lifetime: the client's.
    """

    def __init__(self, session: Session, request: PreparedRequest) -> None:
        check_in_trio()
        self.request = request
        self.policy = RetryPolicy(session.options.max_retries)
        self.clocks = Clocks(request.deadlines)
        self.errors = session.errors
        self.lifetime = session.lifetime
        self.max_event_bytes = session.options.max_event_bytes
        self._session = session
        self._next_at: float | None = None  # when the next attempt may begin, on trio's clock
        self._bearer: Bearer | None = None
        self._sent_headers: Any = None  # of the last request
        self._permits: Permits | None = None  # unless there is a limiter
        if (limiter := session.options.limiter) is not None:
            from trio_openai._limits.permits import Permits

            self._permits = Permits(limiter, request.method, request.path, request.content)

    async def open(self) -> httpx.Response:
        """Send the request until there is a response without an error status. When its body is done, call `settle`.

        Raises:
            APIStatusError: the server answered 4xx or 5xx, at the last attempt.
            APIConnectionError: it could not be reached.
            trio.ClosedResourceError: the client is closed, before or while this waits.
        """
        response = await self.lifetime.run(lambda: self._retried(self._opened))
        if self.lifetime.is_closed:  # in the last moment
            try:
                await body_of(response).aclose()
            finally:
                self.settle()
            self.lifetime.check_open()
        return response

    async def fetch(self) -> tuple[httpx.Response, bytes]:
        """Send the request until there is a whole plain answer: the response, closed, and its body.

        Raises: as `open`.
        """
        return await self.lifetime.run(lambda: self._retried(self._fetched))

    async def answer(self, decode: Decode[_T]) -> _T:
        """Send the request and return its whole answer as an object, or as a `RawResponse` of one.

        Raises:
            APIError: The request failed; `APIResponseValidationError` if the answer is not what the API promises.
        """
        started = trio.current_time()
        response, content = await self.fetch()
        if self._session.is_raw:
            from .raw_response import raw_answer

            taken = trio.current_time() - started
            return cast("_T", raw_answer(response, content, self.hidden(content), decode, self.policy.retries, taken))
        try:
            return decode(content)
        except APIError as error:
            content = b""  # keep it out of the locals that a traceback shows
            error.request_id = response.headers.get("x-request-id")
            raise self.cleaned(error) from None

    async def _retried(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        while True:
            if self._next_at is not None:  # also if the wait was cancelled, and this is another call
                await self.wait_until(self._next_at)
                self._next_at = None
            try:
                return await attempt()
            except APIError as error:
                if not self.policy.allows(self.cleaned(error), time.time()):
                    raise error
                seconds = self.policy.plan(error, time.time(), random.random())
                self.expect_another(error, seconds)
                self._next_at = trio.current_time() + seconds

    def cleaned(self, error: APIError) -> APIError:
        """Take the key and our frames, which hold what came, out of an error that leaves the library."""
        self._secrets().hide_in(error)
        clear_tracebacks(error)
        return error

    async def _opened(self) -> httpx.Response:
        return await self.limited(self._attempt)

    async def _fetched(self) -> tuple[httpx.Response, bytes]:
        response = await self._opened()
        read = None
        try:
            content = read = await self._read_all(response)
        except APIError as error:
            error.request_id = response.headers.get("x-request-id")
            raise
        finally:
            if self._permits is not None:
                self._permits.settle_plain(read)
        return response, content

    @property
    def is_limited(self) -> bool:
        """Whether there is a limiter, which is to hear of every attempt."""
        return self._permits is not None

    def settle(self, tokens: int | None = None, error: APIError | None = None) -> None:
        """Tell the limiter, if there is one, that the attempt is over: what it used, what it reported. Idempotent."""
        if self._permits is None:
            return
        if error is not None:
            self._secrets().hide_in(error)
        self._permits.settle(tokens, error)

    async def limited(self, function: Callable[..., Awaitable[_T]], *args: object) -> _T:
        """Wait for a function under the clocks that run."""
        clock = self.clocks.next()
        if clock is None:
            return await function(*args)
        phase, seconds = clock
        started = trio.current_time()
        try:
            with trio.CancelScope(deadline=started + seconds):
                return await function(*args)
        finally:
            self.clocks.spend(trio.current_time() - started)
        raise timed_out(phase, getattr(self.request.deadlines, phase))

    async def _read_all(self, response: httpx.Response) -> bytes:
        """The whole body. The connection is released, whatever happens."""
        body = body_of(response)
        pieces: list[bytes] = []
        self.clocks.start("idle")
        try:
            while piece := await self.limited(body.read):
                pieces.append(piece)
                self.clocks.start("idle")
            return b"".join(pieces)
        except self.errors as error:
            content = b"".join(pieces)
            if isinstance(error, UnprovenEndError) and _is_json_object(content):
                return content  # noqa: ASYNC910 - a read that fails has been one
            failed = self.translated(error)
        finally:
            self.clocks.stop("idle")
            await body.aclose()
        raise failed

    def ask_instead(self, path: str, query: Mapping[str, str]) -> None:
        """Have the next attempt ask for another thing, by GET."""
        mine = self.request
        self.request = attrs.evolve(mine, method="GET", path=path, query={**mine.query, **query}, content=None)
        if self._permits is not None:
            self._permits.ask_instead(path)

    def expect_another(self, error: APIError, seconds: float) -> None:
        """Get ready for another attempt: stop the clocks that belong to the failed one."""
        self.clocks.stop("first_event", "first_content", "idle")
        log.debug("attempt %d failed (%s); retrying in %.2f s", self.policy.retries, type(error).__name__, seconds)

    async def wait_until(self, time: float) -> None:
        """Wait for the time of the next attempt, under the deadlines. If this is cancelled, it can be called again."""
        await self.limited(trio.sleep_until, time)

    async def _attempt(self) -> httpx.Response:
        """One attempt, when the limiter allows it."""
        return await (self._sent() if self._permits is None else self._permits.attempt(self._sent))

    async def _sent(self) -> httpx.Response:
        self._bearer = await key.bearer() if (key := self._session.options.key) else None
        form = self.request.content
        if form is None or isinstance(form, bytes):
            return await self._answered([])
        files = await form.measured()
        try:
            return await self._answered(files)
        finally:
            form.close(files)

    async def _answered(self, files: list[tuple[str, FormFile]]) -> httpx.Response:
        """The response, whose status is no error, at the end of the redirects."""
        try:
            response = await self._send(self._request(files), self._bearer)
            redirects = Redirects(self._session.options.follow_cross_origin_redirects)
            while response.next_request is not None:
                if problem := redirects.problem(response):
                    raise await self._redirect_error(response, problem)
                response = await self._follow(response, has_left=redirects.have_left)
            response.request = bare_request(response.request, keep_headers=True)
            if response.status_code < 300:
                return response
            if response.status_code == 407:
                raise await _proxy_refusal(response)
            raise await self._status_error(response)
        except self.errors as error:
            failed = self.translated(error)
        raise failed  # not above, where an exception that is left out would be its context all the same

    def translated(self, error: Exception) -> APIConnectionError:
        """Return an exception of the HTTP client as an error of ours, whose cause it is unless it shows a secret."""
        ours = translated(error, self.request.deadlines)
        if type(error).__name__ == "PoolTimeout":
            ours = self.lifetime.no_slot(self.request.deadlines.connect)
        if request := vars(error).get("_request"):
            error.request = bare_request(request)  # type: ignore[attr-defined]
        if not self._secrets().are_in(error):
            ours.__cause__ = error
        return ours

    def _secrets(self) -> Secrets:
        """What is secret in the last request."""
        key = [self._bearer.secret] if self._bearer is not None else []
        return secrets_of(self._sent_headers, self._session.options.url, self.request.query, *key)

    def _request(self, files: list[tuple[str, FormFile]]) -> httpx.Request:
        prepared = self.request
        content = prepared.content
        body: dict[str, Any] = {"content": content}
        if not isinstance(content, bytes | None):
            body = {"data": content.data(), "files": files}
        request = self._session.http.build_request(
            prepared.method,
            self._session.url(prepared.path, prepared.query),
            headers=prepared.headers.raw,
            **body,
        )
        if not isinstance(content, bytes | None):
            request.stream = content.stream(request.stream)
        else:
            request.stream = plain_stream(request.stream, content or b"")
        self._session.set_cookies(request, prepared.headers.get("cookie"))
        return request

    async def _send(self, request: httpx.Request, bearer: Bearer | None) -> httpx.Response:
        self._sent_headers = request.headers
        request.extensions |= {"timeout": self.request.deadlines.as_httpx(), ONE_BUDGET: True}
        return await send(self._session, request, bearer)

    async def _follow(self, response: httpx.Response, *, has_left: bool) -> httpx.Response:
        """Follow a redirect. The key and the program's headers and cookies go along only as long as it never leaves."""
        request = response.next_request
        assert request is not None
        await body_of(response).aclose()
        if has_left:
            keep_what_describes(request)
        else:
            self._session.set_cookies(request, self.request.headers.get("cookie"))
        return await self._send(request, None)

    async def _redirect_error(self, response: httpx.Response, problem: str) -> APIStatusError:
        response.request = bare_request(response.request)
        error = await self._status_error(response)
        error.message = f"HTTP {response.status_code}: {problem}"
        error.args = (error.message,)
        return error

    async def _status_error(self, response: httpx.Response) -> APIStatusError:
        """The error for a response of 300 and above, whose connection is released."""
        content = self.hidden(await self._read_error_body(response))
        body = decode_body(content)
        error = api_error(
            status_error_class(response.status_code),
            body,
            prefix=f"HTTP {response.status_code}{_by_proxy(response, body)}",
            request_id=response.headers.get("x-request-id"),
        )
        error.status_code = response.status_code
        came = [(name, value) for name, value in response.headers.raw if name.lower() not in _FRAMING_HEADERS]
        headers = [(name, self.hidden(value)) for name, value in came]
        error.response = httpx.Response(
            response.status_code,
            headers=headers,
            content=content,
            request=httpx.Request(response.request.method, str(response.request.url)),
        )
        return error

    def hidden(self, text: bytes) -> bytes:
        """What a server said, without the key."""
        return self._secrets().hidden_bytes(text)

    async def _read_error_body(self, response: httpx.Response) -> bytes:
        """As much of it as comes soon, and no more than a bound: what matters is the status."""
        body = body_of(response)
        content = bytearray()
        # Whatever goes wrong: the status is known, and so is the beginning of what the server had to say.
        try:
            with contextlib.suppress(APIError, *self.errors), trio.move_on_after(_ERROR_BODY_SECONDS):
                while piece := await body.read():
                    content += piece
                    if len(content) > _MAX_ERROR_BODY:
                        break
        finally:
            await body.aclose()
        return bytes(content[:_MAX_ERROR_BODY])


def _is_json_object(content: bytes) -> bool:
    """Return whether a body is a complete JSON object, whose end needs no other proof."""
    return content.rstrip().endswith(b"}") and is_object(decode_body(content))


def _by_proxy(response: httpx.Response, body: object) -> str:
    """What to say of a proxy that was handed the request. It answers in HTML, an API in JSON."""
    way = response.extensions.get(FORWARDER)
    return f"{way}, which may say this itself" if way and not isinstance(body, dict | list) else ""


async def _proxy_refusal(response: httpx.Response) -> Exception:
    """What a proxy, and no other, answers with: 407. The connection is released."""
    from trio_openai._http.proxy import refusal

    await body_of(response).aclose()
    return refusal("the proxy", response.status_code, response.headers.get("proxy-authenticate", ""))


def translated(error: Exception, deadlines: Deadlines) -> APIConnectionError:
    """An exception of an HTTP client as one of ours."""
    names = {cls.__name__ for cls in type(error).__mro__}  # httpx and httpx2 share the names, not the classes
    if "TimeoutException" in names:
        phase: Phase = "connect" if {"ConnectTimeout", "PoolTimeout"} & names else "headers"
        return timed_out(phase, getattr(deadlines, phase))
    words = str(error) or f"the connection failed ({type(error).__name__})"
    if "ProxyError" in names and "the proxy" not in words:
        words = f"the proxy refused: {words}"
    ours = APIConnectionError(words)
    ours.is_final = is_final(error)
    return ours


_FINAL = frozenset({"LocalProtocolError", "UnsupportedProtocol", "InvalidURL"})
_CUT = re.compile("closed|disconnected|ended", re.IGNORECASE)


def is_final(error: Exception) -> bool:
    """Return whether another attempt would fail with this exception of an HTTP client too.

    A response that cannot be parsed is final: the server has done its work, and would send the same again. httpx uses
    one class for that and for a connection that ended too early, so there the words decide.
    """
    told: bool | None = getattr(error, "is_final", None)
    if told is not None:
        return told
    names = {cls.__name__ for cls in type(error).__mro__}
    return not _FINAL.isdisjoint(names) or (
        "RemoteProtocolError" in names and _CUT.search(str(error) or "ended") is None
    )


_TIMED_OUT: dict[Phase, str] = {
    "connect": "there was no connection within",
    "headers": "the server did not answer within",
    "first_event": "the stream had no event within",
    "first_content": "the stream had no content within",
    "idle": "the stream had no event for",
    "total": "the call was not finished within",
}


def timed_out(phase: Phase, seconds: float | None) -> APITimeoutError:
    """The error for a deadline that passed."""
    limit = f"{seconds:g} s" if seconds is not None else "its time"
    error = APITimeoutError(f"{_TIMED_OUT[phase]} {limit} (the deadline `{phase}`)")
    error.phase = phase
    return error
