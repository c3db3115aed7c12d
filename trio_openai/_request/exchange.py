"""One request and its answer: attempts, the waits between them, and the deadlines over all of them.

An `Exchange` is made for each call. It makes attempts (`attempt.py`) until there is a response, or until the retry
policy gives up. The policy (`_wire/retries.py`) and the clocks of the deadlines (`_deadlines.py`) only compute: they
get the time as an argument and return what to do. This file asks them, and does it.

There are three ways to use it. `answer` returns a plain answer as an object. `fetch` returns its bytes. `open` returns
a response whose body has yet to be read: the stream that reads it (`_stream/source.py`) may then come back for another
attempt, since a failure before its first event is retried too.

Rules that hold it together:

* Every wait is made by `limited`, so that it counts against the deadlines, and inside `Lifetime.run`, so that closing
  the client ends it.
* A limiter hears of every attempt: it permits one before the attempt, and gets one settlement after it.
* Errors leave the library without secrets and without our frames (`cleaned`): both would show up in a program's logs.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
import trio

from trio_openai._deadlines import Clocks
from trio_openai._http.connection import UnprovenEndError
from trio_openai._http.tracebacks import clear_tracebacks
from trio_openai._mistakes import check_in_trio
from trio_openai._protocols.plain_answers import Decode
from trio_openai._wire.failures import decode_body
from trio_openai._wire.json import is_object
from trio_openai._wire.retries import RetryPolicy
from trio_openai.errors import APIConnectionError, APIError

from .attempt import RequestAttempt
from .opened import Opened
from .request import PreparedRequest
from .session import Session
from .translate import timed_out
from .used import refuses_usage

if TYPE_CHECKING:
    from trio_openai._http.lifetime import Lifetime
    from trio_openai._limits.permits import Permits
    from trio_openai._observers.watch import Watch
    from trio_openai._wire.lifecycle import Verdict
    from trio_openai._wire.timings import Timings

    from .route import Route

log = logging.getLogger("trio_openai")

_T = TypeVar("_T")


class Exchange:
    """One request and its attempts.

    Attributes:
        request: What the next attempt asks for.
        policy: Counts the attempts and decides about retries.
        clocks: The deadlines of the request.
        errors: The exceptions of the HTTP client.
        lifetime: The lifetime of the client.
        max_event_bytes: The option of the client.
        watch: Tells the observers about this call; None without observers.
    """

    __slots__ = (
        "_attempt",
        "_counts_usage",
        "_is_raw",
        "_next_at",
        "_permits",
        "_route",
        "_session",
        "clocks",
        "errors",
        "lifetime",
        "max_event_bytes",
        "policy",
        "request",
        "watch",
    )

    def __init__(self, session: Session, request: PreparedRequest) -> None:
        check_in_trio()
        self.request: PreparedRequest = request
        self.policy: RetryPolicy = RetryPolicy(session.options.max_retries)
        self.clocks: Clocks = Clocks(request.deadlines)
        self.errors: tuple[type[Exception], ...] = session.errors
        self.lifetime: Lifetime = session.lifetime
        self.max_event_bytes: int = session.options.max_event_bytes
        self.watch: Watch | None = None
        self._session = session
        if session.options.observer or log.isEnabledFor(logging.INFO):
            from .watched import watch_of  # most programs observe nothing

            self.watch = watch_of(session, request)
        if request.without_usage is not None and self._url in session.used.refusing:
            self.request = request.without_usage()
        self._counts_usage = request.method == "POST"  # an answer to GET was made, and counted, before
        self._attempt = RequestAttempt(session, request)
        self._next_at: float | None = None  # when the next attempt may begin, on trio's clock
        self._permits: Permits | Route | None = None  # None without a limiter
        self._route: Route | None = session.route(request)  # None for a client of one server
        self._is_raw = session.is_raw
        if self._route is not None:
            from .route import RoutePolicy  # most programs have one server

            self._permits, self.policy = self._route, RoutePolicy(self._route)
        elif (limiter := session.options.limiter) is not None:
            from trio_openai._limits.permits import Permits  # most programs have no limiter

            self._permits = Permits(limiter, request.method, request.path, request.content)

    def _move_to(self, session: Session, request: PreparedRequest) -> None:
        """Send the next attempt through another session."""
        self._session, self.request = session, request
        if request.without_usage is not None and self._url in session.used.refusing:
            self.request = request.without_usage()
        self.clocks.change(request.deadlines)
        if self.watch is not None:
            from .watched import place_of

            self.watch.move_to(place_of(session, request))

    def keep_apart(self, taken: Counter[Any]) -> None:
        """Use another server than the calls that share `taken`, if there are several servers."""
        if self._route is not None:
            self._route.apart = taken

    async def open(self) -> Opened:
        """Send the request until there is a response without an error status.

        The caller reads its body and closes it, and then calls `settle`.

        Raises:
            APIStatusError: The server answered 4xx or 5xx to the last attempt.
            APIConnectionError: The server could not be reached.
            trio.ClosedResourceError: The client is closed, before or while this waits.
        """
        if self.watch is not None:
            self.watch.start(self.request.content)
        response = await self.lifetime.run(lambda: self._retried(self._opened))
        if self.lifetime.is_closed:  # after the response came, and before this task was scheduled
            try:
                await response.body.aclose()
            finally:
                self.settle()
            self.lifetime.check_open()
        return response

    async def fetch(self) -> tuple[Opened, bytes]:
        """Send the request until there is a complete plain answer. Return the closed response and its body.

        Raises: as `open`.
        """
        return await self.lifetime.run(lambda: self._retried(self._fetched))

    async def answer(self, decode: Decode[_T]) -> _T:
        """Send the request and return its answer as an object, or as a `RawResponse` that holds the object.

        Raises:
            APIError: The request failed; `APIResponseValidationError` if the answer is not what the API promises.
        """
        if self.watch is None:
            return await self._answer(decode)
        state, made = "closed", None
        error: BaseException | None = None
        try:
            self.watch.start(self.request.content)
            made = await self._answer(decode)
            state = "done"
            return made
        except BaseException as raised:
            error, state = raised, "failed" if isinstance(raised, APIError) else "closed"
            raise
        finally:
            self.tell_plain_end(state, error, lambda: made)
            del error  # break the reference cycle: error, traceback, this frame

    async def _answer(self, decode: Decode[_T]) -> _T:
        started = trio.current_time()
        response, content = await self.fetch()
        if self._is_raw:
            if self._counts_usage:
                self._session.used.add_content(content, self.request.path)
            from .raw_response import raw_answer

            taken = trio.current_time() - started
            return cast(
                "_T", raw_answer(response.response, content, self.hidden(content), decode, self.policy.retries, taken)
            )
        try:
            made = decode(content)
            if self._counts_usage:
                self._session.used.add_answer(made, content, self.request.path)
            return made
        except APIError as error:
            content = b""  # a traceback shows the locals
            error.request_id = response.header("x-request-id")
            raise self.cleaned(error) from None

    # The attempts.

    async def _retried(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        while True:  # noqa: ASYNC913 - an attempt is a checkpoint
            if self._next_at is not None:  # also if the wait was cancelled, and this is called again
                await self.wait_until(self._next_at)
                self._next_at = None
            try:
                return await attempt()
            except APIError as error:
                if self._asks_without_usage(error):
                    continue
                now = time.time()  # servers say in Unix time when to come back
                if not self.policy.allows(self.cleaned(error), now):
                    raise error
                seconds = self.policy.plan(error, now, random.random())
                self.expect_another(error, seconds)
                self._next_at = trio.current_time() + seconds

    async def _opened(self) -> Opened:
        return await self.limited(self._send)

    async def _send(self) -> Opened:
        """Make one attempt, once the limiter permits it."""
        if self._permits is None and self.watch is None:
            self._attempt = RequestAttempt(self._session, self.request)
            return await self._attempt.send()
        send = self._send_unwatched if self.watch is None else self._send_watched
        if self._route is not None:
            return await self._route.attempt(send, self._move_to)
        if self._permits is not None:
            return await cast("Permits", self._permits).attempt(send)
        return await send()

    async def _send_unwatched(self) -> Opened:
        self._attempt = RequestAttempt(self._session, self.request)
        return await self._attempt.send()

    async def _send_watched(self) -> Opened:
        """Make the attempt, and tell the observers, who may add headers to it."""
        assert self.watch is not None
        if self._permits is not None:
            self.watch.permitted(self._permits.waited)
        request = self.request
        if extra := self.watch.begin_attempt():
            from .watched import with_headers

            request = with_headers(request, extra)
        self._attempt = RequestAttempt(self._session, request)
        self.watch.hide = self._attempt.hidden_text
        opened = await self._attempt.send()
        try:
            request_id = opened.header("x-request-id")
            self.watch.receive_head(opened.status, lambda: opened.response.headers, request_id)
        except BaseException:  # an observer may raise KeyboardInterrupt, and nobody else holds the response yet
            await opened.body.aclose()  # noqa: ASYNC102 - it closes the connection before its checkpoint
            raise
        return opened

    async def _fetched(self) -> tuple[Opened, bytes]:
        response = await self._opened()
        read = None
        try:
            content = read = await self._read_all(response)
            if self.watch is not None and self._counts_usage:
                self.watch.receive_answer(content)
        except APIError as error:
            error.request_id = response.header("x-request-id")
            self.settle(None, error)
            raise
        finally:
            if self._permits is not None:
                self._permits.settle_plain(read)
        return response, content

    async def _read_all(self, response: Opened) -> bytes:
        """Return the whole body. The connection is released, whatever happens."""
        body = response.body
        pieces: list[bytes] = []
        self.clocks.start("idle")
        try:
            while piece := await self.limited(body.read):
                pieces.append(piece)
                self.clocks.start("idle")
            return b"".join(pieces)
        except self.errors as error:
            content = b"".join(pieces)
            # A TLS connection without its goodbye may have been cut by an attacker, but not inside a complete object.
            if isinstance(error, UnprovenEndError) and _is_json_object(content):
                return content  # noqa: ASYNC910 - the read that failed was a checkpoint
            failed = self.translated(error)
        finally:
            self.clocks.stop("idle")
            await body.aclose()
        raise failed

    def ask_instead(self, path: str, query: Mapping[str, str]) -> None:
        """Let the next attempt request something else, with GET."""
        mine = self.request
        self.request = attrs.evolve(mine, method="GET", path=path, query={**mine.query, **query}, content=None)
        if self._permits is not None:
            self._permits.ask_instead(path)
        if self.watch is not None:
            from .watched import place_of

            asked = attrs.evolve(self.request, endpoint="/responses/{response_id}")
            self.watch.attempts_ask = place_of(self._session, asked)

    def expect_another(self, error: APIError, seconds: float) -> None:
        """Get ready for another attempt: stop the clocks that belong to the failed one."""
        self.clocks.stop("first_event", "first_content", "idle")
        if self.watch is not None:
            self.watch.plan_retry(error, seconds)

    # The usage of tokens.

    def add_usage(self, usage: object) -> None:
        """Add the usage that an attempt has reported to that of the client."""
        if self._counts_usage:
            self._session.used.total.add(usage)

    def tell_plain_end(
        self, state: str, error: BaseException | None = None, answer: Callable[[], object] = lambda: None
    ) -> None:
        """Tell the observers, if there are any, that a call without events has ended. See `Watch.end_plain`."""
        if self.watch is not None:
            self.watch.end_plain(state, self.policy.retries, error, answer)

    def tell_end(self, verdict: Verdict, timings: Timings, **more: Any) -> None:
        """Tell the observers, if there are any, that the call has ended. `Watch.end` describes the arguments."""
        if self.watch is not None:
            if not self._counts_usage:
                more.pop("usage", None)
            self.watch.end(verdict, timings=timings, **more)

    def _asks_without_usage(self, error: APIError) -> bool:
        """Leave the parameter that requests the usage out of further attempts, if this error refuses it."""
        if self.request.without_usage is None or not refuses_usage(error):
            return False
        self._session.used.refusing.add(self._url)
        self.request = self.request.without_usage()
        if self.watch is not None:
            self.watch.plan_retry(self.cleaned(error), 0.0)
        return True

    @property
    def _url(self) -> str:
        return self._session.url(self.request.path, {})

    # Waiting.

    async def wait_until(self, time: float) -> None:
        """Wait for the time of the next attempt, under the deadlines. If this is cancelled, it can be called again."""
        await self.limited(trio.sleep_until, time)

    async def limited(self, function: Callable[..., Awaitable[_T]], *args: object) -> _T:
        """Await a function under the deadlines whose clocks are running.

        Raises:
            APITimeoutError: The deadline that was to pass first has passed.
        """
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

    # The limiter.

    @property
    def is_limited(self) -> bool:
        """True if there is a limiter, which has to hear of every attempt."""
        return self._permits is not None

    def settle(self, tokens: int | None = None, error: APIError | None = None) -> None:
        """Tell the limiter, if there is one, that the attempt is over. Idempotent.

        Args:
            tokens: The tokens that the attempt used, as far as the server told.
            error: The error that it ended with.
        """
        if self._permits is None:
            return
        if error is not None:
            self._attempt.secrets.hide_in(error)
        self._permits.settle(tokens, error)

    # Errors.

    def cleaned(self, error: APIError) -> APIError:
        """Remove the secrets, and our frames with the data in them, from an error that leaves the library."""
        self._attempt.secrets.hide_in(error)
        clear_tracebacks(error)
        return error

    def translated(self, error: Exception) -> APIConnectionError:
        """Return the library error for an exception of the HTTP client."""
        return self._attempt.translated(error)

    def hidden(self, text: bytes) -> bytes:
        """Return a text from the server without the secrets of the request."""
        return self._attempt.hidden(text)


def _is_json_object(content: bytes) -> bool:
    """Return whether a body is a complete JSON object."""
    return content.rstrip().endswith(b"}") and is_object(decode_body(content))
