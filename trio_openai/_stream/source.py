"""Where a stream's events come from: it reads the socket when somebody asks for an event, and never else.

There is no task and no channel behind it. `next_event` pulls an event out of the reader (`_wire/reader.py`); when
that has none left, it waits for the next bytes of the body (`_http/body.py`) and feeds them in. So a slow consumer
slows the socket, cancelling the consumer cancels the read, and leaving the scope closes the connection without waiting
for anything.

Rules that hold the loop together:

* An event is pulled after the checkpoint, not before it: a cancelled `next_event` has not swallowed one.
* Whoever pulls an event also hands it to the subscribers (`fanout.py`). If that is cancelled, the next call goes on
  with the same event. If the stream is closed before, nobody sees a clean end who has not seen that event.
* Everything that is only needed once a read (clocks, timings, the record, the sum of the events) is brought up to date
  once a read, or when somebody looks.
* Until the first event has been handed over, a failure is repaired by another attempt; after it, only by `resume`.
* The stream ends once: `_let_go` gives the connection up, and the reader remembers how it ended.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, cast

import attrs
import httpx
import trio

from trio_openai._http.body import ReadableBody, body_of
from trio_openai._http.exchange import Exchange, is_final
from trio_openai._http.lifetime import BodyOwner
from trio_openai._wire.protocol import StreamProtocol
from trio_openai._wire.reader import END, NEED_DATA, Reader, Signal, State
from trio_openai._wire.reader_raw import NoEventYet
from trio_openai._wire.replay import Replay
from trio_openai.errors import APIConnectionError, APIError

from .fanout import Hub, Overflow, Subscription
from .record import Record
from .timings import Progress, Timings

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")
ReaderT = TypeVar("ReaderT", bound="Reader[Any]")

_STREAMING = State.STREAMING  # before Python 3.12, to look it up takes as long as three calls
_BURST_SECONDS = 0.0005  # a burst of events that have arrived already may hold the scheduler that long


class EventSource(BodyOwner, Generic[EventT, WholeT]):
    """The reading end of one stream.

    Args:
        exchange: the call.
        make_protocol: makes the endpoint's protocol; once for each attempt.
        resume: whether to take a background response up again where it broke.

    Attributes:
        reader: the lifecycle of the stream, and what it has added up to.
        response: the response whose body is read.
        hub: who else gets the events; None while nobody does.
        reading: the scope of a task that reads on behalf of others; `aclose` cancels it.
        held: the last event, if something was raised while the connection was given up: it has yet to be handed over.
    """

    response: httpx.Response

    def __init__(
        self,
        exchange: Exchange,
        make_protocol: Callable[[], StreamProtocol[EventT, WholeT]],
        *,
        resume: bool = False,
    ) -> None:
        self.reader: Reader[EventT] = Reader(make_protocol())
        self.hub: Hub[EventT] | None = None
        self.reading: trio.CancelScope | None = None
        self.held: EventT | None = None
        self._exchange = exchange
        self._make_protocol = make_protocol
        self._may_resume = resume
        self._may_retry = True
        self._reader_class: type[Reader[EventT]] = Reader
        self._record = Record()
        self._ahead: list[tuple[EventT, str]] = []  # read, and not handed out yet
        self._text: str | None = None  # of the event that was handed out last, if that was read ahead
        self._busy = False
        self._is_over = False  # whether the end has been handed out, or the stream was closed
        self._is_cut_short = False  # closed after its end was read and before its last event was handed over
        self._failure: APIError | None = None  # what the stream failed with, for good
        self._restart_after: APIError | None = None  # why it has to begin anew before it can be read
        self._is_cut_for_good = False  # what broke the body would break it again
        self._is_restart_planned = False
        self._restarting = trio.CancelScope()
        self._last_pause = 0.0
        self._resumed_at: int | None = None  # the cursor when it was last taken up again
        self._progress = Progress(exchange.clocks)

    async def open(self) -> None:
        """Send the request and wait for the head of the response."""
        self.response = await self._exchange.open()
        self._own_body(body_of(self.response))
        self._exchange.lifetime.streams.add(self)
        self._progress.head_came(goes_on=bool(self.reader.events))
        if not self.reader.events:
            self.reader = self._new_reader()
            self._record = Record()

    @property
    def timings(self) -> Timings:
        """When things happened, as of now."""
        self._progress.note(self.reader)
        return attrs.evolve(self._progress.timings, retries=self._exchange.retries)

    async def next_event(self) -> EventT:
        """The next event, which the subscribers have got too.

        Raises:
            StopAsyncIteration: the stream is whole.
            APIError: it is not; see `trio_openai.errors`. What arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed, before or while this waited.
            trio.BusyResourceError: another task is reading it.
        """
        if self._busy:
            raise trio.BusyResourceError("another task is reading this stream")
        self._busy = True
        try:
            if self.held is not None or self.is_delivering:
                return await self._finish_handing_over()
            # What has arrived already is handed out in bursts.
            if time.perf_counter() - self._last_pause < _BURST_SECONDS:
                await trio.lowlevel.checkpoint_if_cancelled()
            else:
                await trio.lowlevel.checkpoint()
                self._last_pause = time.perf_counter()
            while True:
                try:
                    while (event := self.reader.next_event()) is NEED_DATA:
                        await self._fill()
                    break
                except APIError as error:
                    await self._fail_or_restart(error)
            if event is END:
                raise await self.end()
            if self.reader.state is not _STREAMING:
                self.held = event
                await self._let_go(park=True)
                self.held = None
            if self.hub is not None:
                await self.hub.deliver(event)
            return event
        finally:
            self._busy = False

    async def _finish_handing_over(self) -> EventT:
        """Hand over the event that the step before could not: it was cancelled, or a limiter raised."""
        self.raise_if_closed()
        if self.hub is not None and self.hub.is_delivering:
            return await self.hub.go_on()
        await trio.lowlevel.checkpoint()
        self.raise_if_closed()
        event, self.held = cast("EventT", self.held), None
        if self.hub is not None:
            await self.hub.deliver(event)
        return event

    # The same step in two halves, for `sync.py`: a thread takes what is there, the loop waits for more.

    def take(self) -> EventT | Signal:
        """The next event, if it has arrived; `NEED_DATA`: not before `advance`; `END`. Needs no loop."""
        try:
            return self.reader.next_event()
        except APIError:
            return NEED_DATA  # `advance` sees to it
        finally:
            self.reader.add_up()  # here, where the thread holds the lock for it

    @property
    def is_over(self) -> bool:
        """Whether no event can follow; then `advance` gives up the connection."""
        return self.reader.state in (State.DONE, State.CLOSED)

    async def advance(self) -> None:  # noqa: ASYNC910 - as `_fill`
        """Do what stands between `take` and an event: read once, begin anew, or raise why not."""
        try:
            if self.reader.error is not None:
                raise self.reader.error
            if self.is_over:
                await self._let_go(park=True)
            else:
                await self._fill()
        except APIError as error:
            await self._fail_or_restart(error)

    # Reading what the events are made of, for `_stream/raw.py`.

    async def pause_after_a_burst(self) -> None:  # noqa: ASYNC910 - only after a burst
        """Let others run if this task has not for some time."""
        if time.perf_counter() - self._last_pause < _BURST_SECONDS:
            return  # noqa: ASYNC910
        await trio.lowlevel.checkpoint()
        self._last_pause = time.perf_counter()

    def keep(self, reader_class: type[ReaderT]) -> ReaderT:
        """Have a reader of another class, which keeps more.

        Raises:
            trio.ClosedResourceError: the stream was closed.
            RuntimeError: it is too late for that.
        """
        if type(self.reader) is not reader_class:
            self.raise_if_closed()
            if self._record.size or self.reading is not None or self.reader.state is not State.OPENING:
                raise RuntimeError("this stream has been read from: ask for its messages or bytes before anything else")
            self._reader_class = reader_class
            self.reader = self._new_reader()
        return cast("ReaderT", self.reader)

    def _new_reader(self) -> Reader[EventT]:
        return self._reader_class(
            self._make_protocol(),
            content_type=self.response.headers.get("content-type", ""),
            limit=self._exchange.max_event_bytes,
            exactly_once=self._may_resume,
        )

    def begin_no_more(self) -> None:
        """Neither retry it nor resume it: a piece of its body has been handed out."""
        self._may_retry = self._may_resume = False

    @contextlib.contextmanager
    def claimed(self) -> Generator[None]:
        """A block in which one task reads.

        Raises:
            trio.BusyResourceError: another one does.
        """
        if self._busy:
            raise trio.BusyResourceError("another task is reading this stream")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    # Reading before anybody has asked, for a race.

    async def read_ahead(self) -> bool:  # noqa: ASYNC910 - a checkpoint unless there is content already
        """Read until there is content or the end; `next_ahead` hands it out. Returns whether there is content."""
        try:
            while not self.protocol.has_content:
                event = await self.next_event()
                self._ahead.append((event, self.protocol.text))
        except StopAsyncIteration:
            await trio.lowlevel.checkpoint()
        return self.protocol.has_content  # noqa: ASYNC910

    async def next_ahead(self) -> EventT:
        """As `next_event`, after what was read ahead."""
        if not self._ahead:
            self._text = None
            return await self.next_event()
        with self.claimed():
            await trio.lowlevel.checkpoint()
            self.raise_if_closed()
            event, self._text = self._ahead[0]
            if self.hub is not None:
                await (self.hub.go_on() if self.hub.is_delivering else self.hub.deliver(event))
            del self._ahead[0]
            return event

    async def end(self) -> Exception:
        """Be done with the stream. Returns what to raise."""
        await self._let_go(park=True)
        self._end_subscriptions()
        self.raise_if_closed()
        return StopAsyncIteration()

    async def aclose(self) -> None:
        """Close the stream and its connection. Idempotent, callable from any task.

        The connection is closed before anything is waited for, so it is closed even if this is cancelled. A task that
        is reading gets `trio.ClosedResourceError`.
        """
        self.mark_closed()
        await self._let_go(park=False)

    def mark_closed(self) -> None:
        """Do the part of `aclose` that needs no waiting: everybody who waits for this stream is woken."""
        self._is_cut_short = self._is_cut_short or self.has_undelivered
        self.reader.close()
        self._restart_after = None
        self._restarting.cancel()
        if self.reading is not None:
            self.reading.cancel()
        self._end_subscriptions()

    @property
    def has_undelivered(self) -> bool:
        """Whether an event was read that whoever reads has not got yet."""
        return bool(self._ahead) or self.held is not None or self.is_delivering

    async def settle(self, seconds: float) -> None:
        """Hand out nothing more, read on to the end for so long, and close."""
        if self._busy:
            raise trio.BusyResourceError("another task is reading this stream; cancel it before you settle the stream")
        self._end_subscriptions()
        self.hub = None
        self._may_retry = self._may_resume = False
        try:
            with trio.move_on_after(seconds):
                await self._read_out()
        finally:
            await self.aclose()  # noqa: ASYNC102 - the connection is closed before it waits

    async def _read_out(self) -> None:
        try:
            while True:
                await self.next_event()
        except (StopAsyncIteration, APIError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()  # the verdict tells how it ended

    @property
    def protocol(self) -> StreamProtocol[EventT, WholeT]:
        """What this endpoint's events are, and what they have added up to."""
        return cast("StreamProtocol[EventT, WholeT]", self.reader.protocol)

    @property
    def text(self) -> str:
        """What the event that was handed out last adds to the main text."""
        return self.protocol.text if self._text is None else self._text

    @property
    def is_being_read(self) -> bool:
        """Whether a task is in the middle of a step."""
        return self._busy

    @property
    def is_heard(self) -> bool:
        """Whether there are subscribers, or were at the end."""
        return self.hub is not None and self.hub.is_heard

    @property
    def is_delivering(self) -> bool:
        """Whether a delivery to the subscribers was cancelled, and has to go on before anything else."""
        return self.hub is not None and self.hub.is_delivering

    def raise_if_closed(self) -> None:
        """Raise `trio.ClosedResourceError` if the stream was closed before its end."""
        if self._is_cut_short or self.reader.state is State.CLOSED:
            raise trio.ClosedResourceError("this stream has been closed")

    def subscribe(self, buffer: int, overflow: Overflow, replay: Replay[EventT] | None) -> Subscription[EventT]:
        """Deliver the events to one more reader, after those to replay."""
        self.hub = self.hub or Hub(self.protocol)
        subscription = self.hub.subscribe(buffer, overflow, replay)
        if self._is_over:
            self._end_subscriptions()
        return subscription

    def replay(self) -> Replay[EventT]:
        """Return all events that have been handed out so far, to be made anew from the bytes of the body.

        Raises:
            RuntimeError: they are too many to have been kept, and nobody had asked for them at the beginning.
        """
        record = self._record.all(": call subscribe(replay=True) earlier", keep=True)
        return Replay(self.reader, self._make_protocol(), record, self._delivered)

    @property
    def _delivered(self) -> int:
        """How many events a new subscriber has missed: all but those that are still to be delivered to everybody."""
        is_waited_for = bool(self._ahead) and self.is_delivering  # the first of those read ahead: not for newcomers
        return self.reader.events - len(self._ahead) - (self.held is not None) + is_waited_for

    @property
    def handed_out(self) -> int:
        """How many events have been handed out, of those that were read."""
        return self.reader.events - (len(self._ahead) or int(self.is_delivering or self.held is not None))

    def first_events(self, count: int) -> tuple[StreamProtocol[EventT, WholeT], Replay[EventT] | None]:
        """Return a replay of the first so many events, if there are any, and a protocol that has heard nothing yet.

        Raises:
            RuntimeError: they have not been kept.
        """
        if not count:
            return self._make_protocol(), None
        words = ", and some of it is read ahead: ask for the first of its deltas before any other event"
        return self._make_protocol(), Replay(self.reader, self._make_protocol(), self._record.all(words), count)

    def failure(self) -> APIError | None:
        """The error that the stream ended with by its own terms, which only its events show."""
        if (failure := self.protocol.failure()) is not None:
            failure.request_id = self.response.headers.get("x-request-id")
        return failure

    async def _fill(self) -> None:  # noqa: ASYNC910 - a checkpoint unless bytes came along with the headers
        """Wait for bytes and feed them to the reader. If it has enough for now, only let others run."""
        if self.reader.has_more:
            await self._let_others_run()
            return
        if self._body is None:
            self._body = await self._restart()
        exchange, read = self._exchange, self._body.read
        self.reader.add_up()
        self._progress.note(self.reader)
        try:
            data = await (exchange.limited(read) if exchange.clocks.are_running else read())
        except self._exchange.errors as error:
            self._is_cut_for_good = is_final(error)
            self.reader.receive_end(cut_by=str(error) or f"the connection broke ({type(error).__name__})")
        except APIError as error:
            raise self.reader.fail(error) from None
        else:
            if data:
                self.reader.receive_data(data)
                self._record.add(data)
            else:
                self.reader.receive_end()
        self._progress.something_came()
        self._last_pause = time.perf_counter()

    async def _let_others_run(self) -> None:
        """Be at a checkpoint amid bytes that hold no event. The deadlines count them as waiting: they are the server's.

        Raises:
            APITimeoutError: one has passed.
            NoEventYet: messages have to be taken first.
        """
        if self.reader.is_full:
            raise NoEventYet
        exchange = self._exchange
        if exchange.clocks.are_running:
            exchange.clocks.spend(time.perf_counter() - self._last_pause)
            try:
                await exchange.limited(trio.lowlevel.checkpoint)
            except APIError as error:
                raise self.reader.fail(error) from None
        else:
            await trio.lowlevel.checkpoint()
        self._last_pause = time.perf_counter()

    # What can be done about a failure.

    async def _fail_or_restart(self, error: APIError) -> None:
        """Raise the error, unless the policy allows another attempt, or the stream can be taken up where it broke."""
        if self._failure is not None:
            raise self._failure
        await self._let_go(park=False, error=error)
        error.request_id = error.request_id or self.response.headers.get("x-request-id")
        if self._is_cut_for_good and isinstance(error, APIConnectionError):
            error.is_final = True
        if not self._is_worth_another(self._exchange.cleaned(error)):
            self._failure = self._exchange.cleaned(self.reader.fail(error))
            self._end_subscriptions()
            raise self._failure
        self._exchange.lifetime.streams.add(self)  # a client that is closed now ends the waiting too
        self._restart_after, self._is_restart_planned = error, False
        if self.reader.events:
            self.reader.resume()
            self._record.separate()
        else:
            self.reader = self._new_reader()

    def _is_worth_another(self, error: APIError) -> bool:
        """Whether the policy allows another attempt: to begin again, or to have the rest of what has begun."""
        if not self.reader.events:
            return self._may_retry and self._exchange.may_retry(error)
        if not (self._may_resume and self.protocol.resume_path() and self.reader.cursor is not None):
            return False
        if self.reader.cursor != self._resumed_at:  # it has got further; events without a number are no progress
            self._exchange.renew()
        return isinstance(error, APIConnectionError) and self._exchange.may_retry(error, after_headers=True)

    async def _restart(self) -> ReadableBody:
        """Wait as the policy says, and open the stream once more. If it is cancelled, the next step goes on."""
        error = self._restart_after
        if error is None:
            raise trio.ClosedResourceError("this stream has been closed")
        if not self._is_restart_planned:
            self._is_restart_planned = True
            self._exchange.plan_another(error)
            if self.reader.events:
                self._take_up()
        with trio.CancelScope() as self._restarting:
            await self._exchange.pause()
            await self.open()
        if self._restarting.cancel_called or self._body is None:  # by `aclose`, which then came first
            self.reader.close()
            await self._let_go(park=False)
            raise trio.ClosedResourceError("this stream has been closed")
        self._restart_after = None
        return self._body

    def _take_up(self) -> None:
        """Have the next request ask for what comes after the last event."""
        path = self.protocol.resume_path()
        assert path is not None
        self._exchange.ask_instead(path, {"stream": "true", "starting_after": str(self.reader.cursor)})
        self._resumed_at = self.reader.cursor
        self._progress.timings.resumes += 1

    # The end.

    def _end_subscriptions(self) -> None:
        self._is_over = True
        if self.hub is not None:
            is_missing = bool(self._ahead) or self.held is not None  # for all; the hub knows who else misses one
            self.hub.end(self.reader.state is State.DONE and not is_missing, self._failure)

    async def _let_go(self, *, park: bool, error: APIError | None = None) -> None:
        """Give up the connection, to the pool if it is worth keeping. A checkpoint that cannot be cancelled."""
        self._exchange.lifetime.streams.discard(self)
        self._progress.note(self.reader)
        body, self._body = self._body, None
        if body is None:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            try:
                await body.aclose(park=park)
            finally:
                self._settle(error)

    def _abandoned(self) -> Callable[[], None]:
        self._exchange.lifetime.streams.discard(self)
        return functools.partial(_give_up, self._exchange, self.hub, self.protocol.tokens)

    def _settle(self, error: APIError | None) -> None:
        """Tell the limiter how the attempt ended and what it used; what was resumed has been used by another one."""
        if self._exchange.is_limited:
            tokens = None if self._progress.timings.resumes else self.protocol.tokens
            self._exchange.settle(tokens, error or self.protocol.failure())


def _give_up(exchange: Exchange, hub: Hub[Any] | None, tokens: int | None) -> None:
    """End the subscriptions of an abandoned stream, and settle its attempt."""
    if hub is not None:
        hub.end(False, None)
    exchange.settle(tokens)
