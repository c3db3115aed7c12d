"""The life of one stream, from the request to its end, as a table.

The idea is h11's. `Lifecycle` decides and never acts. A driver asks it for the `next` thing and gets an event, or a
`Decision`: read, send the request, wait, release the connection, deliver to the subscribers, or finish. The driver does
that and reports what came of it: `receive_data`, `receive_head`, `released`, `waited`, `delivered`, `fail`. The
lifecycle has no clock, does no I/O and does not know trio, so a test can drive it through every order of events without
a network. Times and random numbers are arguments.

The table `_NEXT_STATE` is what executes: there is no other assignment to `state`. The states, and where they lead:

    CONNECTING   the request is on its way; a failure here is final, since opening a request has its own retries
    OPENING      the response has begun, and no event has come
    STREAMING    events are coming
    DELIVERING   an event has been pulled out, and has not reached everybody yet
    SETTLING     as STREAMING, but nobody gets the events, and nothing is retried
    BREAKING     the attempt failed; after its connection is released, it is either retried or given up
    WAITING      the next attempt is planned for `retry_at`
    RECONNECTING the next attempt is on its way; it begins anew, or asks for the rest (`resume_request`)
    LAST         the stream is complete, and its last event has not reached everybody yet
    DONE         the stream is complete
    TRUNCATED    the body ended before the stream was complete
    FAILED       the server, the network or a deadline ended the stream
    CLOSED       the user closed the stream before its end

Rules that hold it together:

* A state that reads nothing keeps no connection. `next` answers RELEASE before anything else, and only the connection
  of a complete stream may be reused. So an event that ends a stream is handed over after its connection is free.
* Until the first event has been pulled out, a failure may be retried from the beginning. After that it may only be
  resumed, which asks the server for the events that follow the last one. Nothing is ever replayed to the user.
* Events are counted and added up when they are pulled out. Those in `held` were pulled out and not handed over: by a
  delivery that was cancelled, or by a task that reads ahead. `next` serves them first, in order.
* A pair of state and input that is not in the table is a mistake of ours, and raises `InternalError`.

`decoder.py` turns bytes into events. `_stream/source.py` drives this for a task, `_sync/stream.py` for a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import attrs

from trio_openai.errors import APIConnectionError, APIError, StreamTruncatedError

from .decoder import END, NEED_DATA, Decoder
from .protocol import StreamProtocol
from .retries import RetryPolicy
from .sse import DEFAULT_LIMIT

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")
DecoderT = TypeVar("DecoderT", bound="Decoder[Any]")


class InternalError(RuntimeError):
    """A mistake in this library: the lifecycle was given an input that its state does not expect."""


class _Names(Enum):
    """An enumeration whose members are hashed by identity: before Python 3.12, an enumeration's own hash is a call."""

    if not TYPE_CHECKING:
        __hash__ = object.__hash__

    def __repr__(self) -> str:
        return self.name


class State(_Names):
    """The state of a stream. The module's docstring explains each."""

    CONNECTING = "connecting"
    OPENING = "opening"
    STREAMING = "streaming"
    DELIVERING = "delivering"
    SETTLING = "settling"
    BREAKING = "breaking"
    WAITING = "waiting"
    RECONNECTING = "reconnecting"
    LAST = "last"
    DONE = "done"
    TRUNCATED = "truncated"
    FAILED = "failed"
    CLOSED = "closed"


class Input(_Names):
    """Something that happens to a stream and may change its state."""

    HEAD = "the head of a response came"
    REST = "the head of a response came, whose body has the events that are missing"
    EVENT = "an event was pulled out"
    SHARED_EVENT = "an event was pulled out that subscribers get too"
    LAST_EVENT = "an event was pulled out that ends the stream"
    HOLD = "events that were pulled out were given back"
    DELIVERED = "everything that was held has been handed over"
    END = "the stream ended after its last event"
    FAILURE = "the attempt failed"
    RETRY = "the attempt may be repeated or resumed"
    CUT = "the attempt may not, and its body was cut"
    ERROR = "the attempt may not, and failed otherwise"
    WAITED = "the time of the next attempt came"
    SETTLE = "the user wants no more events, only the end"
    CLOSE = "the user closed the stream"


class Decision(_Names):
    """The next thing for a driver to do."""

    SEND = "send the request; then `receive_head` or `fail`"
    READ = "read from the connection; then `receive_data`, `receive_end` or `fail`"
    PAUSE = "let other tasks run; the bytes that came hold more work"
    DELIVER = "deliver `event` to the subscribers; then `delivered`"
    RELEASE = "release the connection, for reuse if `is_reusable`; then `released`"
    WAIT = "wait until `retry_at`; then `waited`"
    END = "finish: the stream is complete"
    FAIL = "finish: raise `error`"
    CLOSED = "finish: the stream was closed"


# Members are looked up here once: before Python 3.12, each look-up on the class takes as long as three calls.
_S, _I, _D = State, Input, Decision
_CONNECTING, _OPENING, _STREAMING, _DELIVERING = _S.CONNECTING, _S.OPENING, _S.STREAMING, _S.DELIVERING
_SETTLING, _BREAKING, _LAST, _DONE = _S.SETTLING, _S.BREAKING, _S.LAST, _S.DONE
_TRUNCATED, _FAILED, _CLOSED = _S.TRUNCATED, _S.FAILED, _S.CLOSED
_READ, _PAUSE, _DELIVER, _RELEASE = _D.READ, _D.PAUSE, _D.DELIVER, _D.RELEASE

_NEXT_STATE: Final[dict[State, dict[Input, State]]] = {
    _CONNECTING: {_I.HEAD: _OPENING, _I.FAILURE: _FAILED, _I.CLOSE: _CLOSED},
    _OPENING: {
        _I.EVENT: _STREAMING,
        _I.SHARED_EVENT: _DELIVERING,
        _I.LAST_EVENT: _LAST,
        _I.END: _DONE,
        _I.FAILURE: _BREAKING,
        _I.SETTLE: _SETTLING,
        _I.CLOSE: _CLOSED,
    },
    _STREAMING: {
        _I.SHARED_EVENT: _DELIVERING,
        _I.LAST_EVENT: _LAST,
        _I.HOLD: _DELIVERING,
        _I.END: _DONE,
        _I.FAILURE: _BREAKING,
        _I.SETTLE: _SETTLING,
        _I.CLOSE: _CLOSED,
    },
    _DELIVERING: {_I.DELIVERED: _STREAMING, _I.SETTLE: _SETTLING, _I.CLOSE: _CLOSED},
    _SETTLING: {
        _I.LAST_EVENT: _LAST,
        _I.END: _DONE,
        _I.FAILURE: _BREAKING,
        _I.SETTLE: _SETTLING,
        _I.CLOSE: _CLOSED,
    },
    _BREAKING: {
        _I.RETRY: _S.WAITING,
        _I.CUT: _TRUNCATED,
        _I.ERROR: _FAILED,
        _I.FAILURE: _BREAKING,
        _I.SETTLE: _BREAKING,
    },
    _S.WAITING: {_I.WAITED: _S.RECONNECTING, _I.FAILURE: _BREAKING, _I.SETTLE: _BREAKING, _I.CLOSE: _CLOSED},
    _S.RECONNECTING: {
        _I.HEAD: _OPENING,
        _I.REST: _STREAMING,
        _I.FAILURE: _BREAKING,
        _I.SETTLE: _BREAKING,
        _I.CLOSE: _CLOSED,
    },
    _LAST: {_I.DELIVERED: _DONE, _I.SETTLE: _DONE, _I.CLOSE: _CLOSED},
    # A stream that has ended stays as it is, whatever comes late.
    _DONE: {_I.HOLD: _LAST, _I.SETTLE: _DONE, _I.CLOSE: _DONE},
    _TRUNCATED: {_I.FAILURE: _TRUNCATED, _I.SETTLE: _TRUNCATED, _I.CLOSE: _TRUNCATED},
    _FAILED: {_I.FAILURE: _FAILED, _I.SETTLE: _FAILED, _I.CLOSE: _FAILED},
    _CLOSED: dict.fromkeys(
        (_I.HEAD, _I.REST, _I.HOLD, _I.DELIVERED, _I.FAILURE, _I.WAITED, _I.SETTLE, _I.CLOSE), _CLOSED
    ),
}

# What `next` answers in a state that pulls nothing out of the decoder and has no connection to release first.
_ANSWERS: Final[dict[State, Decision]] = {
    _CONNECTING: _D.SEND,
    _S.RECONNECTING: _D.SEND,
    _S.WAITING: _D.WAIT,
    _BREAKING: _RELEASE,
    _DELIVERING: _DELIVER,
    _LAST: _DELIVER,
    _DONE: _D.END,
    _TRUNCATED: _D.FAIL,
    _FAILED: _D.FAIL,
    _CLOSED: _D.CLOSED,
}
_PULLING: Final = frozenset({_OPENING, _STREAMING, _SETTLING})
_KEEPS_CONNECTION: Final = _PULLING | {_DELIVERING}
_VERDICTS: Final = {
    _LAST: "done",
    _DONE: "done",
    _TRUNCATED: "truncated",
    _FAILED: "failed",
    _CLOSED: "closed",
}  # every other state is "open"


@attrs.frozen
class Verdict:
    """The way a stream ended, as data.

    Attributes:
        state: `open`, `done`, `truncated`, `failed` or `closed` (by the user, before its end).
        by: what completed the stream: `finish_reason`, `[DONE]`, `terminal_event`, or `end_of_body` where nothing else
            marks the end. None if the stream is not complete.
        reason: why the model stopped, in the server's word (`stop`, `length`, `response.completed`), or None.
    """

    state: str
    by: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        """Return a phrase such as `done by [DONE] (stop)`."""
        return self.state + (f" by {self.by}" if self.by else "") + (f" ({self.reason})" if self.reason else "")


class Lifecycle(Generic[EventT, WholeT]):
    """The state machine of one stream. The module's docstring explains it.

    Args:
        make_protocol: makes the protocol of the endpoint, a new one for each attempt that begins anew.
        policy: decides about retries.
        limit: the most bytes that one event may have.
        resume: whether to resume a background response after a failure.

    Attributes:
        state: where the stream stands.
        decoder: turns the bytes of the response into events.
        error: the last failure. In the states TRUNCATED and FAILED it is how the stream ended.
        has_connection: whether there is a connection to release.
        is_shared: whether subscribers get the events too, so that each has to be delivered.
        held: events that were pulled out and not handed over, each with the text it adds.
        retry_at: when to make the next attempt, on the clock of the `now` that `released` was given.
        resume_request: the path and the cursor to ask for, if the next attempt resumes the stream; else None.
        resumes: how many attempts resumed the stream.
    """

    def __init__(
        self,
        make_protocol: Callable[[], StreamProtocol[EventT, WholeT]],
        *,
        policy: RetryPolicy | None = None,
        limit: int = DEFAULT_LIMIT,
        resume: bool = False,
    ) -> None:
        self.state: State = _CONNECTING
        self.error: APIError | None = None
        self.has_connection: bool = False
        self.is_shared: bool = False
        self.held: list[tuple[EventT, str | None]] = []  # it is short, and a deque takes 760 bytes
        self.retry_at: float = 0.0
        self.resume_request: tuple[str, int] | None = None
        self.resumes: int = 0
        self._make_protocol = make_protocol
        self._policy = policy or RetryPolicy(0)
        self._limit = limit
        self._may_retry = True
        self._may_resume = resume
        self._request_id: str | None = None
        self._is_cut_for_good = False  # another attempt would be cut by the same thing
        self._resumed_at: int | None = None  # the cursor of the last resumption
        self._text: tuple[int, str | None] = (-1, None)  # of the event that was handed over last, if it was held
        self.decoder: Decoder[EventT] = self._new_decoder(Decoder)

    def _new_decoder(self, make: type[DecoderT], content_type: str = "") -> DecoderT:
        return make(self._make_protocol(), content_type=content_type, limit=self._limit, exactly_once=self._may_resume)

    # What to do next.

    def next(self) -> EventT | Decision:
        """Return the next event, or what to do before there is one. One call does a bounded amount of work."""
        if self.state is not _STREAMING and self.state not in _PULLING:
            return self._next_of_held()
        decoder = self.decoder
        try:
            event = NEED_DATA if decoder.is_dry else decoder.next_event()
        except APIError as error:
            self.fail(error)
            return _RELEASE
        if event is NEED_DATA:
            return _READ if decoder.is_dry or not decoder.has_more else _PAUSE
        if event is END:
            self._enter(_I.END)
            return self.next()
        if self.is_shared or decoder.is_over or self.state is not _STREAMING:
            return self._pulled(event)
        return event

    def _pulled(self, event: EventT) -> EventT | Decision:
        """Go on with an event that does more than to add to an open stream that one task reads."""
        if self.decoder.is_over:
            self._enter(_I.LAST_EVENT)
        elif self.is_shared:
            self._enter(_I.SHARED_EVENT)
        else:
            if self.state is _OPENING:
                self._enter(_I.EVENT)
            return event
        self.held.append((event, None))
        return self._next_of_held()

    def _next_of_held(self) -> EventT | Decision:
        """Answer in a state that pulls nothing out of the decoder."""
        if self.has_connection and self.state not in _KEEPS_CONNECTION:
            return _RELEASE
        answer = _ANSWERS[self.state]
        return self.delivered() if answer is _DELIVER and not self.is_shared else answer

    @property
    def is_reusable(self) -> bool:
        """True if another request may use the connection after this stream."""
        return self.state in (_LAST, _DONE)

    @property
    def event(self) -> EventT:
        """The event to deliver."""
        return self.held[0][0]

    # What happened.

    def receive_head(self, content_type: str = "", request_id: str | None = None) -> None:
        """Take the head of a successful response."""
        self.has_connection = True
        self.error = None
        self._request_id = request_id
        self.decoder.content_type = content_type
        self._enter(_I.REST if self.decoder.events else _I.HEAD)

    def receive_data(self, data: bytes) -> None:
        """Take bytes of the body. Never raises."""
        self.decoder.receive_data(data)

    def receive_end(self, *, cut_by: str = "", is_final: bool = False) -> None:
        """Take the end of the body.

        Args:
            cut_by: what broke the connection before the end that HTTP announced; empty if nothing did.
            is_final: whether the same would break another attempt.
        """
        self._is_cut_for_good = is_final
        self.decoder.receive_end(cut_by=cut_by)

    def fail(self, error: APIError) -> None:
        """Take a failure: of the request, of a read, or of a deadline. What had arrived goes into its `partial`."""
        if self.state in (_TRUNCATED, _FAILED, _CLOSED):
            return
        error = self.decoder.fail(error)
        if error.partial is None and self.decoder.events:
            error.partial = self.snapshot()
        error.request_id = error.request_id or self._request_id
        if self._is_cut_for_good and isinstance(error, APIConnectionError):
            error.is_final = True
        self.error = error
        self._enter(_I.FAILURE)

    def released(self, now: float, unix_time: float, random: float) -> None:
        """Take note that the connection is released. After a failure, decide about another attempt.

        Args:
            now: seconds on the driver's clock, for `retry_at`.
            unix_time: seconds since 1970, for servers that name a date.
            random: a number in [0, 1), which spreads the retries of many clients.
        """
        self.has_connection = False
        if self.state is not _BREAKING:
            return
        error = cast("APIError", self.error)
        if not self._is_worth_another(error, unix_time):
            self._give_up()
            return
        self.retry_at = now + self._policy.plan(error, unix_time, random)
        self._prepare_another()
        self._enter(_I.RETRY)

    def waited(self) -> None:
        """Take note that `retry_at` has come."""
        self._enter(_I.WAITED)

    def delivered(self) -> EventT:
        """Take note that `event` has reached everybody. Returns it, to be handed to whoever reads the stream."""
        event, text = self.held.pop(0)
        self._text = (self.decoder.events, text)
        if not self.held:
            self._enter(_I.DELIVERED)
        return event

    def hold(self, events: Iterable[tuple[EventT, str]]) -> None:
        """Take back events that were pulled out, each with the text it adds. They come next, before all others."""
        self.held.extend(events)
        if self.held:
            self._enter(_I.HOLD)

    def settle(self) -> None:
        """Hand over nothing more, retry nothing, and go on only to reach the end."""
        self.is_shared = False
        self.forbid_restart()
        self.held.clear()
        self._enter(_I.SETTLE)

    def close(self) -> None:
        """End the stream because its user is done with it. A stream that has ended stays as it is."""
        if self.state is _BREAKING:  # the failure came first
            self._give_up()
        else:
            self._enter(_I.CLOSE)

    def forbid_restart(self, *, resume_only: bool = False) -> None:
        """Neither retry nor resume from now on; or only not resume."""
        self._may_retry = self._may_retry and resume_only
        self._may_resume = False

    def decode_with(self, make: type[DecoderT]) -> DecoderT:
        """Use another class of decoder, one that keeps more. Only before the first bytes."""
        decoder = self._new_decoder(make, self.decoder.content_type)
        self.decoder = decoder
        return decoder

    # What came of it.

    @property
    def protocol(self) -> StreamProtocol[EventT, WholeT]:
        """The protocol, which has added up all events that were pulled out."""
        return cast("StreamProtocol[EventT, WholeT]", self.decoder.protocol)

    def snapshot(self) -> WholeT:
        """Return what the events that were pulled out add up to."""
        return self.protocol.snapshot()

    @property
    def text_delta(self) -> str:
        """The text that the event handed over last adds."""
        events, text = self._text
        return text if text is not None and events == self.decoder.events else self.protocol.text

    @property
    def verdict(self) -> Verdict:
        """The way the stream ended; `open` while it has not ended."""
        state, ended_by = _VERDICTS.get(self.state, "open"), self.decoder.ended_by
        if ended_by is not None:  # also if it was closed before its last event was handed over
            state = "done"
        return Verdict(state, ended_by, self.protocol.reason)

    @property
    def is_closed(self) -> bool:
        """True if the user closed the stream before everything was handed over."""
        return self.state is _CLOSED

    @property
    def is_open(self) -> bool:
        """True while events may still come."""
        return self.state not in _VERDICTS

    @property
    def handed_over(self) -> int:
        """The number of events that whoever reads the stream has got."""
        return self.decoder.events - len(self.held)

    # Another attempt.

    def _is_worth_another(self, error: APIError, unix_time: float) -> bool:
        """Return whether to make another attempt: from the beginning, or for the rest of what has begun."""
        if not self.decoder.events:
            return self._may_retry and self._policy.allows(error, unix_time)
        cursor = self.decoder.cursor
        if not (self._may_resume and cursor is not None and self.protocol.resume_path()):
            return False
        if cursor != self._resumed_at:  # the last resumption brought something, so it was a success
            self._policy.renew()
        return isinstance(error, APIConnectionError) and self._policy.allows(error, unix_time, after_headers=True)

    def _prepare_another(self) -> None:
        decoder, path = self.decoder, self.protocol.resume_path()
        if not decoder.events:
            self.decoder = self._new_decoder(type(decoder))
        elif path is not None and decoder.cursor is not None:
            self.resume_request = path, decoder.cursor
            self._resumed_at = decoder.cursor
            self.resumes += 1
            decoder.resume()

    def _give_up(self) -> None:
        self._enter(_I.CUT if isinstance(self.error, StreamTruncatedError) else _I.ERROR)

    def _enter(self, what: Input) -> None:
        try:
            self.state = _NEXT_STATE[self.state][what]
        except KeyError:
            raise InternalError(f"a stream that is {self.state.value} does not expect {what.value!r}") from None
