"""Read one stream: carry out what its lifecycle decides, for the task that asks for an event.

`_wire/lifecycle.py` knows what has to happen. This file does it, with trio and a connection. There is no background
task and no channel. `next_event` asks the lifecycle, and does what it answers until the answer is an event. So a slow
reader slows down the socket, cancelling the reader cancels the read, and leaving the scope closes the connection at
once.

Rules that hold it together:

* The checkpoint comes before the event is pulled out, so a `next_event` that is cancelled has lost nothing.
* The task that pulls an event out also delivers it to the subscribers (`fanout.py`). If that is cancelled, the
  lifecycle still holds the event, and the next call goes on with it.
* What is needed only once a read is done once a read: clocks, timings, the record for replays, adding events up.
* The connection is given up before anything is waited for, so cleanup cannot be interrupted.

The other drivers build on this one. A background task (`background.py`) and `race` call `next_event` in their tasks.
Raw bytes (`raw.py`) and threads (`_sync/stream.py`) ask the lifecycle themselves, and leave each `Decision` to
`carry_out`.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, cast

import attrs
import trio

from trio_openai._request.exchange import Exchange
from trio_openai._request.opened import Opened
from trio_openai._request.translate import is_final
from trio_openai._wire.decoder import Decoder
from trio_openai._wire.decoder_raw import NoEventYet
from trio_openai._wire.lifecycle import Decision, Lifecycle, State
from trio_openai._wire.protocol import StreamProtocol
from trio_openai._wire.replay import Replay
from trio_openai._wire.timings import Timings
from trio_openai._wire.usage import used_tokens
from trio_openai.errors import APIError

from .fanout import Hub, Overflow, Subscription
from .record import Record
from .timings import Stopwatch
from .told import ToldSource

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")
DecoderT = TypeVar("DecoderT", bound="Decoder[Any]")

# Before Python 3.12, each look-up of a member on its class takes as long as three calls.
_READ, _DELIVER, _PAUSE, _RELEASE = Decision.READ, Decision.DELIVER, Decision.PAUSE, Decision.RELEASE
_BURST_SECONDS = 0.0005  # how long events that have arrived already may keep other tasks from running


class EventSource(ToldSource, Generic[EventT, WholeT]):
    """The reading end of one stream.

    Args:
        exchange: sends the request, as often as its policy allows.
        make_protocol: makes the protocol of the endpoint, once for each attempt.
        resume: whether to resume a background response after a failure.

    Attributes:
        lifecycle: decides what happens next, and holds what the events add up to.
        opened: the response whose body is read.
        hub: the subscribers; None while there have been none.
        reading: the scope of the task that reads for others; `aclose` cancels it.
    """

    def __init__(
        self,
        exchange: Exchange,
        make_protocol: Callable[[], StreamProtocol[EventT, WholeT]],
        *,
        resume: bool = False,
    ) -> None:
        self.lifecycle: Lifecycle[EventT, WholeT] = Lifecycle(
            make_protocol, policy=exchange.policy, limit=exchange.max_event_bytes, resume=resume
        )
        self.opened: Opened = cast("Opened", None)  # until the head has come, when nobody has the stream yet
        self.hub: Hub[EventT] | None = None
        self.reading: trio.CancelScope | None = None
        super().__init__(exchange)
        self._make_protocol = make_protocol
        self._record = Record()
        self._stopwatch = Stopwatch(exchange.clocks)
        self._last_pause = 0.0
        self._is_busy = False
        self._restarting: trio.CancelScope | None = None  # `aclose` cancels a wait for another attempt by it
        self._has_ended = False  # subscribers have been told, and later ones are told at once

    async def open(self) -> None:
        """Send the request and wait for the head of the response.

        Raises:
            APIError: the request failed. The stream has ended with this error.
            trio.ClosedResourceError: the client is closed, before or while this waits.
        """
        self._stopwatch.start()
        try:
            await self._send()
        except APIError as error:
            self.lifecycle.fail(error)
            raise
        except BaseException as error:
            self.lifecycle.close()
            self._tell_end(error)
            raise
        finally:
            self._tell_end()

    async def next_event(self) -> EventT:
        """Return the next event, after the subscribers have got it too.

        Raises:
            StopAsyncIteration: the stream is complete.
            APIError: the stream failed. The error's `partial` has what arrived.
            trio.ClosedResourceError: the stream was closed, before this call or while it waited.
            trio.BusyResourceError: another task is reading it.
        """
        if self._is_busy:
            raise trio.BusyResourceError("another task is reading this stream")
        self._is_busy = True
        try:
            # A full checkpoint for every event would cost more than the event. Others run twice a millisecond.
            if time.perf_counter() - self._last_pause < _BURST_SECONDS:
                await trio.lowlevel.checkpoint_if_cancelled()
            else:
                await trio.lowlevel.checkpoint()
                self._last_pause = time.perf_counter()
            # `isinstance` would ask the enumeration's metaclass, and `carry_out` is one more coroutine for each read.
            while type(step := self.lifecycle.next()) is Decision:
                if step is _READ:
                    await self._read()
                elif step is _DELIVER:
                    return await self.deliver()
                else:
                    await self.carry_out(step)
            if self.is_unheard:
                self.tell_arrival()
            return step  # type: ignore[return-value]  # `cast` would be one more call for each event
        finally:
            self._is_busy = False

    # Carrying out decisions.

    async def carry_out(self, step: Decision) -> None:  # noqa: ASYNC910 - `READ` returns without one after a burst
        """Do what the lifecycle decided, except `DELIVER`, which has a result.

        Raises:
            StopAsyncIteration, APIError, trio.ClosedResourceError: the decision was to finish.
        """
        if step is _READ:
            await self._read()
        elif step is _PAUSE:
            await self._let_others_run()
        elif step is _RELEASE:
            await self._release(reusable=self.lifecycle.is_reusable)
        elif step is Decision.WAIT:
            await self._wait()
        elif step is Decision.SEND:
            await self._send_again()
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
            raise self.finish(step)

    async def deliver(self) -> EventT:  # noqa: ASYNC910 - the caller was at a checkpoint
        """Deliver the lifecycle's event to the subscribers. If this is cancelled, the next call goes on with it."""
        if self.is_unheard:
            self.tell_arrival()
        if self.hub is not None:
            await self.hub.deliver(self.lifecycle.event)
        return self.lifecycle.delivered()  # noqa: ASYNC910

    async def _send(self) -> None:
        opened = self.opened = await self._exchange.open()
        self._last_pause = time.perf_counter()  # other tasks ran while this one waited for the head
        self._own_body(opened.body)
        self._exchange.lifetime.streams.add(self)
        self._stopwatch.head_came(goes_on=bool(self.lifecycle.decoder.events))
        self.lifecycle.receive_head(opened.header("content-type") or "", opened.header("x-request-id"))

    async def _send_again(self) -> None:  # noqa: ASYNC910 - to fail takes a checkpoint too
        if (request := self.lifecycle.resume_request) is not None:
            path, cursor = request
            self._exchange.ask_instead(path, {"stream": "true", "starting_after": str(cursor)})
        with trio.CancelScope() as self._restarting, self._failures_reported():
            await self._send()

    async def _wait(self) -> None:  # noqa: ASYNC910 - to fail takes a checkpoint too
        self._exchange.lifetime.streams.add(self)  # so that closing the client ends this wait
        with trio.CancelScope() as self._restarting, self._failures_reported():
            await self._exchange.wait_until(self.lifecycle.retry_at)
            self.lifecycle.waited()

    @contextlib.contextmanager
    def _failures_reported(self) -> Generator[None]:
        try:
            yield
        except APIError as error:
            self.lifecycle.fail(error)

    async def _read(self) -> None:  # noqa: ASYNC910 - a checkpoint unless bytes came along with the headers
        """Wait for bytes and feed them to the lifecycle."""
        assert self._body is not None
        lifecycle, exchange, read = self.lifecycle, self._exchange, self._body.read
        clocks = exchange.clocks
        lifecycle.decoder.add_up()
        self._stopwatch.note(lifecycle.decoder)
        try:
            data = await (exchange.limited(read) if clocks.has_limits and clocks.are_running else read())
        except exchange.errors as error:
            cut_by = str(error) or f"the connection broke ({type(error).__name__})"
            lifecycle.receive_end(cut_by=cut_by, is_final=is_final(error))
        except APIError as error:
            lifecycle.fail(error)
        else:
            if data:
                lifecycle.receive_data(data)
                self._record.add(data)
            else:
                lifecycle.receive_end()
        self._stopwatch.something_came()
        self._last_pause = time.perf_counter()

    async def _let_others_run(self) -> None:
        """Pass a checkpoint amid bytes that hold no event yet.

        The deadlines count the work on such bytes as waiting, because the server sent them.

        Raises:
            NoEventYet: a task that iterates messages has to take some first.
        """
        if self.lifecycle.decoder.is_full:
            raise NoEventYet
        exchange = self._exchange
        if exchange.clocks.are_running:
            exchange.clocks.spend(time.perf_counter() - self._last_pause)
            with self._failures_reported():
                await exchange.limited(trio.lowlevel.checkpoint)
        else:
            await trio.lowlevel.checkpoint()
        self._last_pause = time.perf_counter()

    async def _release(self, *, reusable: bool) -> None:  # noqa: ASYNC910 - callers have checkpoints
        """Give up the connection. It waits only for the connection of another HTTP client.

        If this raises, because the program's limiter does, the connection is given up all the same.
        """
        lifecycle, exchange = self.lifecycle, self._exchange
        has_just_failed = lifecycle.state is State.BREAKING
        exchange.lifetime.streams.discard(self)
        self._stopwatch.note(lifecycle.decoder)
        body, self._body = self._body, None
        try:
            if body is not None:
                try:
                    await body.aclose(park=reusable)
                finally:
                    self._settle_attempt()
        finally:
            now = trio.current_time()
            lifecycle.released(now, time.time(), random.random())
            if has_just_failed and lifecycle.error is not None:
                exchange.cleaned(lifecycle.error)
            if lifecycle.state is State.WAITING:
                self._prepare_another(lifecycle.retry_at - now)
            self._tell_end()

    def _prepare_another(self, seconds: float) -> None:
        assert self.lifecycle.error is not None
        self._exchange.expect_another(self.lifecycle.error, seconds)
        if self.lifecycle.resume_request is not None:
            self._record.separate()
        else:
            self._record = Record()

    def _settle_attempt(self) -> None:
        """Record how the attempt ended and what it used. A limiter counted a resumed stream with another attempt."""
        self._exchange.add_usage(self.protocol.usage)
        if self._exchange.is_limited:
            tokens = None if self.lifecycle.resumes else used_tokens(self.protocol.usage)
            self._exchange.settle(tokens, self.lifecycle.error or self.protocol.failure())

    # The end.

    def finish(self, step: Decision) -> Exception:
        """Return the exception for a decision to finish, and end the subscriptions the same way."""
        if step is Decision.CLOSED:
            return trio.ClosedResourceError(
                "this stream has been closed: read it before its block is left; `snapshot` has what had arrived"
            )
        if step is Decision.FAIL and self._failure is None:
            assert self.lifecycle.error is not None
            self._failure = self._exchange.cleaned(self.lifecycle.error)
        self._end_subscriptions()
        return self._failure or StopAsyncIteration()

    async def aclose(self) -> None:
        """Close the stream and its connection. Idempotent, callable from any task.

        The connection is closed before anything is waited for, so it is closed even if this is cancelled. A task that
        is reading gets `trio.ClosedResourceError`.
        """
        self.mark_closed()
        await self._release(reusable=False)
        await trio.lowlevel.cancel_shielded_checkpoint()

    def mark_closed(self) -> None:
        """Do the part of `aclose` that needs no waiting: wake everybody who waits for this stream."""
        self.lifecycle.close()
        for scope in (self._restarting, self.reading):
            if scope is not None:
                scope.cancel()
        self._end_subscriptions()

    async def settle(self, seconds: float) -> None:
        """Hand over nothing more, read on to the end for up to `seconds`, and close.

        Raises:
            trio.BusyResourceError: another task is reading. Nothing has changed.
        """
        if self._is_busy:
            raise trio.BusyResourceError("another task is reading this stream; cancel it before you settle the stream")
        self._end_subscriptions()
        self.hub = None
        self.lifecycle.settle()
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

    def _end_subscriptions(self) -> None:
        self._has_ended = True
        if self.hub is not None:
            is_complete = self.lifecycle.verdict.state == "done" and len(self.lifecycle.held) <= self.hub.is_delivering
            self.hub.end(is_complete, self._failure)

    # Reading in other ways.

    @contextlib.contextmanager
    def claimed(self) -> Generator[None]:
        """Claim the stream for the task in this block.

        Raises:
            trio.BusyResourceError: another task is reading it.
        """
        if self._is_busy:
            raise trio.BusyResourceError("another task is reading this stream")
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    async def pause_after_a_burst(self) -> None:  # noqa: ASYNC910 - only after a burst
        """Let other tasks run if this one has not let them for some time."""
        if time.perf_counter() - self._last_pause < _BURST_SECONDS:
            return  # noqa: ASYNC910
        await trio.lowlevel.checkpoint()
        self._last_pause = time.perf_counter()

    def keep_apart(self, taken: Counter[Any]) -> None:
        """Use another server than the streams that share `taken`, if the client has several."""
        self._exchange.keep_apart(taken)

    async def read_ahead(self) -> bool:  # noqa: ASYNC910 - a checkpoint unless there is content already
        """Read until there is content or the end, and hold the events for `next_event`. Return whether there is any."""
        events: list[tuple[EventT, str]] = []
        try:
            while not self.protocol.has_content:
                event = await self.next_event()
                events.append((event, self.protocol.text))
        except StopAsyncIteration:
            await trio.lowlevel.checkpoint()
        self.lifecycle.hold(events)
        return self.protocol.has_content  # noqa: ASYNC910

    def keep(self, decoder_class: type[DecoderT]) -> DecoderT:
        """Decode with another class of decoder, which keeps more than the events.

        Raises:
            trio.ClosedResourceError: the stream was closed.
            RuntimeError: something has been read from the stream already.
        """
        lifecycle, decoder = self.lifecycle, self.lifecycle.decoder
        if isinstance(decoder, decoder_class):
            return decoder
        self.raise_if_closed()
        if self._record.size or self.reading is not None or decoder.events or not lifecycle.is_open:
            raise RuntimeError("this stream has been read from: ask for its messages or bytes before anything else")
        return lifecycle.decode_with(decoder_class)

    # What others look at.

    @property
    def timings(self) -> Timings:
        """The times at which things happened, as of now."""
        self._stopwatch.note(self.lifecycle.decoder)
        retries, resumes = self._exchange.policy.retries, self.lifecycle.resumes
        return attrs.evolve(self._stopwatch.timings, retries=retries, resumes=resumes)

    @property
    def protocol(self) -> StreamProtocol[EventT, WholeT]:
        """The endpoint's protocol, which has added up the events."""
        return self.lifecycle.protocol

    @property
    def text_delta(self) -> str:
        """The text that the event handed over last adds."""
        return self.lifecycle.text_delta

    @property
    def handed_over(self) -> int:
        """The number of events that have been handed over."""
        return self.lifecycle.handed_over

    @property
    def is_being_read(self) -> bool:
        """True while a task is reading the stream."""
        return self._is_busy

    @property
    def has_subscribers(self) -> bool:
        """True if there are subscribers, or were when the stream ended."""
        return self.hub is not None and self.hub.is_heard

    def raise_if_closed(self) -> None:
        """Raise `trio.ClosedResourceError` if the stream was closed before everything was handed over."""
        if self.lifecycle.is_closed:
            raise self.finish(Decision.CLOSED)

    def failure(self) -> APIError | None:
        """Return the error that the events themselves report, such as `response.failed`."""
        if (failure := self.protocol.failure()) is not None:
            failure.request_id = self.opened.header("x-request-id")
        return failure

    # Subscribers and replays.

    def subscribe(self, buffer: int, overflow: Overflow, replay: Replay[EventT] | None) -> Subscription[EventT]:
        """Deliver the events to one more subscriber, after those to replay."""
        self.hub = self.hub or Hub(self.protocol)
        subscription = self.hub.subscribe(buffer, overflow, replay)
        self.lifecycle.is_shared = True
        if self._has_ended:
            self._end_subscriptions()
        return subscription

    def replay(self) -> Replay[EventT]:
        """Return all events that a new subscriber has missed, to be made anew from the bytes of the body.

        Raises:
            RuntimeError: there were too many bytes to keep, and no replay was asked for earlier.
        """
        record = self._record.all(": call subscribe(replay=True) earlier", keep=True)
        # The event that is being delivered right now does not go to a newcomer any more; other held ones will.
        in_delivery = self.hub is not None and self.hub.is_delivering
        missed = self.lifecycle.handed_over + in_delivery
        return Replay(self.lifecycle.decoder, self._make_protocol(), record, missed)

    def first_events(self, count: int) -> tuple[StreamProtocol[EventT, WholeT], Replay[EventT] | None]:
        """Return a new protocol, and a replay of the first `count` events if there are any.

        Raises:
            RuntimeError: the bytes have not been kept.
        """
        if not count:
            return self._make_protocol(), None
        hint = ", and some of it is read ahead: ask for the first of its deltas before any other event"
        record = self._record.all(hint)
        return self._make_protocol(), Replay(self.lifecycle.decoder, self._make_protocol(), record, count)
