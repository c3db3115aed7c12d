"""The loop behind `run_tools`: ask the model, run the tools it calls, send the results back, until it calls none.

The problem: a run waits for two things at once, the next event of the stream and the end of any running tool. The usual
solution is a task that reads the stream into a channel, which costs a scheduler hop and a buffer for every event.

The idea: the task that iterates the run also reads the stream, as with a stream alone. Only tools are tasks. A tool
that has something to report appends it to `_events` and cancels the cancel scope around the current wait (`_waits`).
That is safe because a cancelled step of a stream loses nothing: the next step continues.

A run is a sequence of steps, and `_step` is the current one:

    _open_round -> _read (once per event) -> _finish_round (waits for the tools) -> _choose_next
         ^                                                                              |
         +------------------------------------------------------------------------------+

Rules that hold it together:

* A step either completes or changes nothing, so it can be cancelled and repeated. Each step is a checkpoint.
* A tool starts as soon as its call is complete, while the model is still writing. At most `max_concurrent` calls have a
  task, because one answer may hold a hundred thousand calls. `calls.py` has all of this.
* Nothing but a cancellation is ever raised into the nursery, which surrounds the user's block. An exception of a tool
  is reported to the model or raised by the next step. If no step follows, the end of the block raises it.
* `messages` only grows when a round is complete, so it is always valid input for the API.

Where to look next: `calls.py` for how a tool is run, `conversation.py` for what the next request contains.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

import trio

from trio_openai._http.nursery import nursery_around_block
from trio_openai._mistakes import EntersAsync
from trio_openai._protocols.deltas import DeltaMaker, HasDeltas
from trio_openai._stream.stream import Stream, open_stream, source_of
from trio_openai._wire.text import Printable
from trio_openai._wire.usage import UsageTotal
from trio_openai.errors import APIError, ToolRunError
from trio_openai.types import ChatCompletion, Response
from trio_openai.types.deltas import Delta, ToolCallDone

from .calls import Caller, Calls
from .conversation import is_complete
from .events import RoundDone, RoundEvent, RoundStarted, RunEvent
from .plan import Plan, ToolRunStatistics

if TYPE_CHECKING:
    from .watched import RunWatch

WholeT = TypeVar("WholeT")
ChatT = TypeVar("ChatT", bound=ChatCompletion)
ResponseT = TypeVar("ResponseT", bound=Response)
RunT = TypeVar("RunT", bound="ToolRun[Any]")


class ToolRun(Generic[WholeT]):
    """A model working with its tools, as opened by `async with client.E.run_tools(...)`.

    Iterate it to drive the run. It yields `RoundStarted`, `RoundEvent` for each event of the stream, `ToolStarted`,
    `ToolDone`, `ToolFailed`, `ToolRefused` and `RoundDone`. Only one task may iterate at a time; that task also reads
    the stream, so nothing progresses unless somebody iterates (or awaits `until_done` or the final result).

    Every step is a checkpoint. A cancelled step loses nothing: the next one continues. The one exception is a request
    whose response has not begun: it is abandoned when its step is cancelled, and the next step sends it again.
    """

    def __init__(self, plan: Plan[WholeT], nursery: trio.Nursery) -> None:
        self._plan = plan
        self._step: Callable[[], Awaitable[None]] | None = self._open_round
        self._make = plan.first
        self._stream: Stream[Any, WholeT] | None = None
        self._earlier_rounds = UsageTotal()  # without that of `_stream`
        self._parts: DeltaMaker | None = None  # finds the tool calls in the events of `_stream`
        self._printable = Printable()
        self._answer: WholeT | None = None
        self._events: deque[Any] = deque()
        self._watch: RunWatch | None = None  # None without observers
        if plan.observers:
            from .watched import RunWatch  # most programs observe nothing

            self._watch = RunWatch(plan.observers)
        caller = Caller(lambda: self._failure is not None, self._report, self._fail_by_tool, self._wake)
        self._calls = Calls(plan, nursery, caller, self._watch)
        self._is_cut_off = False  # the answer of this round was cut off (by max_tokens, say)
        self._call_is_cut_off = False  # ... in the middle of a call
        self._waits: trio.CancelScope | None = None  # around the current step's wait; cancelling it wakes the step
        self._failure: BaseException | None = None
        self._is_unreported = False  # a tool raised `_failure` and no step has raised it yet
        self._is_busy = False
        self._rounds = 0

    @property
    def messages(self) -> list[Any]:
        """The conversation up to the last completed round, ready to be sent again.

        Chat Completions: a list of messages. Responses: a list of input items. Both begin with what the program passed,
        followed by what the model said and what its tools returned.
        """
        return list(self._plan.conversation.messages)

    @property
    def stream(self) -> Stream[Any, WholeT] | None:
        """The stream of the latest round; None before the first."""
        return self._stream

    def statistics(self) -> ToolRunStatistics:
        """Return the progress so far."""
        return ToolRunStatistics(
            rounds=self._rounds,
            running=self._calls.running,
            waiting=self._calls.waiting,
            done=self._calls.done,
            failed=self._calls.failed,
            cancelled=self._calls.cancelled,
            refused=self._calls.refused,
            usage=self._earlier_rounds.usage() + self._usage_of_round().usage(),
        )

    def _usage_of_round(self) -> UsageTotal:
        total = UsageTotal()
        if self._stream is not None:
            total.add(source_of(self._stream).protocol.usage)
        return total

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.statistics()}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunEvent[WholeT]:
        """Return the next event of the run.

        Raises:
            StopAsyncIteration: the model has answered without calling a tool.
            ToolRunError: the model still called tools in the last allowed round, or its answer was cut off inside a
                call. With `on_error="raise"`, also if the arguments of a call are invalid.
            APIError: a stream failed; the error's `partial` holds what arrived.
            Exception: a tool raised it, and `on_error="raise"` is set; or an `approve` or `on_error` function raised
                it.
            trio.BusyResourceError: another task is iterating this run.
            trio.ClosedResourceError: the run was closed.
        """
        if self._is_busy:
            raise trio.BusyResourceError("another task is iterating this run")
        self._is_busy = True
        try:
            if self._events:
                await trio.lowlevel.checkpoint()
            while not self._events:
                self._raise_failure()
                if self._step is None:
                    await trio.lowlevel.checkpoint()
                    raise StopAsyncIteration
                await self._step()
            return self._events.popleft()  # type: ignore[no-any-return]  # noqa: ASYNC910 - each step is a checkpoint
        finally:
            self._is_busy = False

    async def until_done(self) -> None:
        """Run until the model calls no more tools. Raises what iterating raises."""
        async for _ in self:
            pass

    async def aclose(self) -> None:
        """Cancel the tools and close the stream. Leaving the block does the same.

        Idempotent, and callable from any task. The connection is closed before the first checkpoint, so a cancellation
        cannot prevent it.
        """
        if self._step is not None and self._failure is None:
            self._fail(trio.ClosedResourceError("this run has been closed"))
            self._events.clear()
        if self._stream is not None:
            await self._stream.aclose()
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()

    def _end_watch(self) -> None:
        """Tell the observers of a round that is not complete, now that all tools have ended."""
        if self._watch is not None:
            self._watch.end_round(sys.exception() or self._failure)

    def _raise_unreported(self, *, only_urgent: bool = False) -> None:
        """Raise a tool's exception that no step has raised. With `only_urgent`, only one such as Ctrl-C."""
        if self._is_unreported and (not only_urgent or _is_urgent(self._failure)):
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._is_unreported = False
            raise self._failure

    def _fail(self, error: BaseException, *, by_tool: bool = False) -> None:
        """End the run with an error. Keep the first one, except that Ctrl-C replaces any other."""
        if self._failure is None or _is_urgent(error) > _is_urgent(self._failure):
            self._failure, self._is_unreported = error, by_tool
        self._calls.stop()
        self._wake()

    def _fail_by_tool(self, error: BaseException | str) -> None:
        """End the run because of a tool's exception, or of invalid arguments, which are described in words."""
        if not isinstance(error, str):
            self._fail(error, by_tool=True)
        # Only for the first failure: taking a snapshot for each call would make many bad calls quadratic.
        elif self._failure is None:
            partial = self._stream.snapshot if self._stream is not None else None
            self._fail(ToolRunError(error, partial=partial), by_tool=True)

    def _report(self, event: Any) -> None:
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._waits is not None:
            self._waits.cancel()

    # The steps of a round. Each is a checkpoint, and can be repeated after it was cancelled or woken.

    async def _open_round(self) -> None:
        stream = self._make()
        if self._watch is not None:
            self._watch.begin_round(self._rounds + 1)
        try:
            with trio.CancelScope() as self._waits:
                await open_stream(stream)
        except APIError as error:
            self._fail(error)
            return  # noqa: ASYNC910 - a request that failed has passed a checkpoint
        finally:
            self._waits = None
        if self._failure is not None:  # another task closed the run meanwhile
            await stream.aclose()
            return
        if self._stream is not None:
            self._earlier_rounds.add(source_of(self._stream).protocol.usage)
        self._rounds += 1
        if self._watch is not None:
            self._watch.receive_head(source_of(stream).call_id)
        self._stream, self._parts = stream, cast("HasDeltas", source_of(stream).protocol).deltas()
        self._printable = Printable()
        self._calls.begin_round()
        self._is_cut_off = self._call_is_cut_off = False
        self._step = self._read
        self._report(RoundStarted(self._rounds, stream))

    async def _read(self) -> None:  # noqa: ASYNC910 - the stream's step is a checkpoint, also when it fails
        stream, parts = self._stream, self._parts
        assert stream is not None
        assert parts is not None
        try:
            with trio.CancelScope() as self._waits:
                event = await anext(stream)
                self._events.append(RoundEvent(self._rounds, event, self._printable.add(source_of(stream).text_delta)))
                is_cut_off = self._plan.conversation.is_cut_off_by(event)
                self._is_cut_off = self._is_cut_off or is_cut_off
                self._begin_calls(parts.add(event), is_cut_off=is_cut_off)
        except StopAsyncIteration:
            self._begin_calls(parts.end(), is_cut_off=self._is_cut_off)
            self._step = self._finish_round
        except APIError as error:
            self._fail(error)
        finally:
            self._waits = None

    async def _finish_round(self) -> None:
        if self._calls.has_open:
            try:
                with trio.CancelScope() as self._waits:
                    await trio.sleep_forever()
            finally:
                self._waits = None
            return
        await trio.lowlevel.checkpoint()
        assert self._stream is not None
        self._answer = answer = self._stream.snapshot
        calls = sorted(self._calls.round, key=lambda call: call.part)
        self._plan.conversation.add(answer, [(call, self._calls.outputs[call.part]) for call in calls])
        self._report(RoundDone(self._rounds, answer))
        self._choose_next(answer)
        if self._watch is not None:
            self._watch.end_round()

    def _choose_next(self, answer: WholeT) -> None:
        """Choose the step that follows a completed round."""
        if not self._calls.round or self._plan.conversation.has_failed(answer):
            self._step = None
        elif self._call_is_cut_off:
            words = "the answer was cut off while the model was writing a tool call; raise its token limit"
            self._step = functools.partial(self._give_up, ToolRunError(words, partial=answer))
        elif self._rounds >= self._plan.max_rounds:
            words = f"the model still called tools in round {self._rounds}, the last one that max_rounds allows"
            self._step = functools.partial(self._give_up, ToolRunError(words, partial=answer))
        else:
            self._make = self._plan.opening(self._plan.conversation.request())
            self._step = self._open_round

    async def _give_up(self, error: ToolRunError) -> None:
        await trio.lowlevel.checkpoint()
        self._fail(error)

    def _final(self) -> WholeT:
        assert self._answer is not None
        return self._answer

    def _begin_calls(self, parts: Iterable[Delta], *, is_cut_off: bool) -> None:
        """Collect the calls that have become complete, and start as many as may run.

        Args:
            parts: the deltas of the last event.
            is_cut_off: whether the answer was cut off there, so that a call may only look complete.
        """
        if self._failure is not None:  # a tool failed just as the event arrived
            return
        for call in parts:
            if not isinstance(call, ToolCallDone) or call.kind == "mcp" or call.choice:
                continue
            if is_cut_off and not is_complete(call):
                self._call_is_cut_off = True
                self._calls.add_truncated(call)
            else:
                self._calls.add(call)
        self._calls.start_waiting()


def _is_urgent(error: BaseException | None) -> bool:
    """Return whether an error is meant for the whole program, such as Ctrl-C or `SystemExit`."""
    return error is not None and not isinstance(error, Exception)


class ChatToolRun(ToolRun[ChatT]):
    """A run over Chat Completions."""

    async def get_final_completion(self) -> ChatT:
        """Run to the end and return the completion of the last round.

        Raises:
            Exception: what iterating raises.
        """
        await self.until_done()
        return self._final()


class ResponseToolRun(ToolRun[ResponseT]):
    """A run over the Responses API."""

    async def get_final_response(self) -> ResponseT:
        """Run to the end and return the response of the last round: completed, incomplete or failed.

        Raises:
            Exception: what iterating raises.
        """
        await self.until_done()
        return self._final()


class ToolRunManager(EntersAsync, AbstractAsyncContextManager[RunT]):
    """The context manager that `run_tools(...)` returns.

    Args:
        run_class: the class of the run.
        plan: the settings of the run.

    Attributes:
        plan: the settings of the run. The blocking client changes them before it enters this.
    """

    _what = "run_tools(...)"
    _names = ("run", "event")

    def __init__(self, run_class: Callable[[Plan[Any], trio.Nursery], RunT], plan: Plan[Any]) -> None:
        self.plan = plan
        self._run_class = run_class
        self._block: AbstractAsyncContextManager[RunT] | None = None

    async def __aenter__(self) -> RunT:
        if self._block is not None:
            raise RuntimeError("this run has been entered already; call run_tools(...) again for another one")
        self._block = _running(self._run_class, self.plan)
        return await self._block.__aenter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._block is not None
        return await self._block.__aexit__(exc_type, exc, traceback)  # noqa: ASYNC102 - it is the block's own end


@asynccontextmanager
async def _running(run_class: Callable[[Plan[Any], trio.Nursery], RunT], plan: Plan[Any]) -> AsyncGenerator[RunT]:
    """Open a run for the duration of the block. An exception of the block is raised bare."""
    run: RunT | None = None
    try:
        async with nursery_around_block() as nursery:
            run = run_class(plan, nursery)
            try:
                yield run
            finally:
                await run.aclose()  # noqa: ASYNC102 - it closes the connection before its checkpoint
    except BaseException:
        if run is not None:
            # Ctrl-C inside a tool takes precedence over the block's own error.
            run._raise_unreported(only_urgent=True)  # pyright: ignore[reportPrivateUsage]
        raise
    finally:
        if run is not None:
            run._end_watch()  # pyright: ignore[reportPrivateUsage]
    assert run is not None
    run._raise_unreported()  # pyright: ignore[reportPrivateUsage]
