"""Tell the observers of a client how one call goes.

A call has a `Watch` only if somebody observes it. Without one, each place that would tell something costs one `if`.

Rules that hold it together:

* `ended` is told exactly once. Every place where a call may end tells it, and only the first of them is heard.
* An observer cannot break a call. What it raises is logged, and the other observers are told all the same. Only an
  exception for the whole program, such as Ctrl-C, is raised. So a place that tells has released everything before, or
  releases it in a `finally`.
* Nothing here waits, so a cancellation cannot hit between an end and its record.
"""

from __future__ import annotations

import inspect
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import attrs

from trio_openai._statistics import Usage
from trio_openai._wire.json import is_object
from trio_openai._wire.lifecycle import Verdict
from trio_openai._wire.timings import Timings
from trio_openai._wire.usage import UsageTotal, decoded_with_usage
from trio_openai.errors import APIError

from .records import (
    METHODS,
    AttemptStarted,
    CallEnded,
    CallRecord,
    CallStarted,
    FirstContent,
    FirstEvent,
    HeadersReceived,
    LimiterWaited,
    Observer,
    RetryPlanned,
)

log = logging.getLogger("trio_openai")
_numbers = itertools.count(1)


def as_observers(given: Any) -> tuple[Observer, ...]:
    """Return the observers that `observer=` was given: none, one, or several in a list or tuple.

    Raises:
        TypeError: One of them has none of the methods of `Observer`, or has async ones, or is a class.
    """
    is_listed = isinstance(given, list | tuple) and not _methods(cast("Any", given))
    several = cast("Sequence[Any]", given if is_listed else [given])
    for observer in several:
        if isinstance(observer, type):
            raise TypeError(f"observer takes an object, not a class: make one, as in {observer.__name__}()")
        methods = _methods(observer)
        if not methods:
            raise TypeError(
                f"observer takes an object with methods such as `ended(record)`, which {type(observer).__name__} "
                "has none of: subclass trio_openai.Observer"
            )
        if waits := [name for name, method in methods.items() if inspect.iscoroutinefunction(method)]:
            raise TypeError(
                f"an observer cannot wait, so {type(observer).__name__}.{waits[0]} must be a plain function: write "
                "`def` instead of `async def`, and pass on what takes time, as by send_nowait of a memory channel"
            )
    return tuple(several)


def _methods(observer: object) -> dict[str, Any]:
    found = {name: getattr(observer, name, None) for name in METHODS}
    return {name: method for name, method in found.items() if callable(method)}


def _hears(observer: Observer, name: str) -> bool:
    """Return whether an observer has a method of its own, and not that of `Observer`, which does nothing."""
    method = getattr(observer, name, None)
    return method is not None and getattr(method, "__func__", None) is not vars(Observer)[name]


def tell(observers: Sequence[Observer], name: str, record: object) -> None:
    """Call one method of every observer that has it. Log what one raises.

    Raises:
        BaseException: An observer raised it, and it is not an `Exception`. All observers have been told.
    """
    urgent: BaseException | None = None
    for observer in observers:
        try:
            if (method := getattr(observer, name, None)) is not None:
                method(record)
        except Exception:  # a mistake of an observer must not end somebody's call
            log.exception("%s.%s raised an exception", type(observer).__name__, name)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - such as Ctrl-C: raised below
            urgent = urgent or error
    if urgent is not None:
        try:
            raise urgent
        finally:
            del urgent  # break the reference cycle: error, traceback, this frame


class Watch:
    """Tells the observers about one call.

    Args:
        observers: who is told.
        clock: returns the time in seconds.
        about: the attributes of `CallRecord` that never change.

    Attributes:
        call_id: the number of the call.
        timings: of a plain call: when its headers arrived.
        usage: of a plain call: the `usage` object of its answer.
        hide: replaces the secrets of the latest attempt in a text.
        attempts_ask: what the next attempts ask for, if it is something else than the call: those of a resumed stream.
    """

    def __init__(self, observers: Sequence[Observer], clock: Callable[[], float], **about: Any) -> None:
        self.timings: Timings = Timings()
        self.usage: object = None
        self.hide: Callable[[str], str] = str
        self.attempts_ask: Mapping[str, str] = {}
        self._observers = observers
        self._clock = clock
        self.call_id: int = next(_numbers)
        self._about: dict[str, Any] = {**about, "call_id": self.call_id}
        self._began: float | None = None
        self._attempt = 0
        self._request_id: str | None = None
        self._status: int | None = None
        self._phases: dict[str, float] = {}
        self._has_ended = False

    def start(self, body: object) -> None:
        """Tell that the call starts. Idempotent: a stream that sends another attempt comes here again."""
        if self._began is None:
            self._began = self._clock()
            self._tell("started", CallStarted, body=body if isinstance(body, bytes) else None)

    def move_to(self, place: Mapping[str, str]) -> None:
        """Take note that the next attempt goes to another server. `place` has the attributes that say where."""
        self._about |= place

    def permitted(self, seconds: float) -> None:
        """Tell that the limiter permits an attempt, after a wait of so many seconds."""
        self._pass("limiter")
        self._tell("limiter_wait", LimiterWaited, seconds=seconds)

    def begin_attempt(self) -> Mapping[str, str]:
        """Tell that an attempt is about to be sent. Return the headers that the observers add to it."""
        self._attempt += 1
        self._request_id = self._status = None
        extra_headers: dict[str, str] = {}
        self._tell("attempt", AttemptStarted, extra_headers=extra_headers, **self.attempts_ask)
        return extra_headers

    def receive_head(self, status: int, headers: Callable[[], Mapping[str, str]], request_id: str | None) -> None:
        """Tell that the head of a response has arrived.

        Args:
            status: the HTTP status.
            headers: returns the headers. It is called only if somebody hears of them.
            request_id: the server's `x-request-id`.
        """
        self._request_id, self._status = request_id and self.hide(request_id), status
        self._pass("headers")
        self.timings.headers = self._phases["headers"]
        if any(_hears(observer, "headers") for observer in self._observers):
            self._tell("headers", HeadersReceived, headers=headers())

    def receive_answer(self, content: bytes) -> None:
        """Take note of the body of a plain answer."""
        answer = decoded_with_usage(content)
        self.usage = answer.get("usage") if is_object(answer) else None

    def note(self, timings: Timings) -> None:
        """Tell of the first event and the first content, once the timings have them."""
        if timings.first_event is not None and "first_event" not in self._phases:
            self._phases["first_event"] = timings.first_event
            self._tell("first_event", FirstEvent)
        if timings.first_content is not None and "first_content" not in self._phases:
            self._phases["first_content"] = timings.first_content
            self._tell("first_content", FirstContent)

    def plan_retry(self, error: APIError, seconds: float) -> None:
        """Tell that an attempt has failed and another will be made."""
        self._learn_from(error)
        self._tell("retry", RetryPlanned, error=error, seconds=seconds)

    def end(
        self,
        verdict: Verdict,
        *,
        timings: Timings,
        usage: object = None,
        error: BaseException | None = None,
        answer: Callable[[], Any] = lambda: None,
    ) -> None:
        """Tell that the call has ended. Idempotent. A call that never started has no end.

        This needs no event loop, since a stream may be collected after its run has ended.

        Args:
            verdict: how it ended.
            timings: when things happened.
            usage: the `usage` object of the answer, as it was sent.
            error: how it failed, or None.
            answer: returns what came of it.
        """
        if self._has_ended or self._began is None:
            return
        self._has_ended = True
        self.note(timings)
        self._learn_from(error)
        self._tell(
            "ended",
            CallEnded,
            verdict=verdict,
            timings=timings,
            usage=_usage_of(self.usage if usage is None else usage),
            error=error,
            seconds=self._seconds(),
            answer=answer,
            hide=self.hide,
        )

    def end_plain(self, state: str, retries: int, error: BaseException | None, answer: Callable[[], Any]) -> None:
        """Tell that a call has ended whose answer is not a stream of events."""
        verdict = Verdict(state, "end_of_body" if state == "done" else None)
        self.end(verdict, timings=attrs.evolve(self.timings, retries=retries), error=error, answer=answer)

    def _learn_from(self, error: BaseException | None) -> None:
        self._request_id = getattr(error, "request_id", None) or self._request_id
        self._status = getattr(error, "status_code", None) or self._status

    def _seconds(self) -> float:
        """Return how long the call has lasted. Without an event loop, how long until the latest phase was over."""
        try:
            return self._clock() - (self._began or 0.0)
        except RuntimeError:
            return max(self._phases.values(), default=0.0)

    def _pass(self, phase: str) -> None:
        """Note that a phase is over. A stream that is resumed keeps the times of the attempt that began it."""
        if "first_event" not in self._phases:
            self._phases.pop(phase, None)  # the phases are in the order in which they were over
            self._phases[phase] = self._clock() - (self._began or 0.0)

    def _tell(self, name: str, make: type[CallRecord], **more: Any) -> None:
        state: dict[str, Any] = {
            "attempt": self._attempt,
            "request_id": self._request_id,
            "status": self._status,
            "phases": dict(self._phases),
            **more,
        }
        tell(self._observers, name, make(**self._about | state))


def _usage_of(given: object) -> Usage | None:
    """Return the usage that an answer states, or None."""
    if not is_object(given):
        return None
    total = UsageTotal()
    total.add(given)
    return total.usage()
