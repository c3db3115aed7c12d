"""A model and its tools: rounds of a stream and the tools that it calls, until the model calls none.

Whoever iterates a run reads the stream of the round, as with a stream alone; there is no task for it and no channel. A
tool is a task in the run's nursery, begun as soon as the call is whole. What a tool has to report waits in a list, and
whoever waits for the stream is woken by cancelling that wait: a step of a stream that is cancelled loses nothing.

A run's nursery is around the caller's block. Nothing is ever raised into it but a cancellation: what a tool raises is
told to the model, or is raised by the run's next step.
"""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar, cast

import attrs
import trio

from trio_openai._http.nursery import nursery_around_block
from trio_openai._protocols.deltas import HasParts, Parts
from trio_openai._stream.stream import Stream
from trio_openai._wire.text import Printable
from trio_openai.errors import APIError, ToolRunError
from trio_openai.types import ChatCompletion, Response
from trio_openai.types.deltas import Delta, ToolCallDone

from .conversation import Conversation, is_whole
from .events import RoundDone, RoundEvent, RoundStarted, RunEvent, ToolDone, ToolFailed, ToolStarted
from .sent_back import name_to_send, name_to_show
from .tool import Tool, text_of

OnError: TypeAlias = Literal["tell_model", "raise"]

WholeT = TypeVar("WholeT")
ChatT = TypeVar("ChatT", bound=ChatCompletion)
ResponseT = TypeVar("ResponseT", bound=Response)
RunT = TypeVar("RunT", bound="ToolRun[Any]")


@attrs.frozen
class ToolRunStatistics:
    """How far a run has got. Every tool that began is in `running`, `done`, `failed` or `cancelled`.

    Attributes:
        rounds: rounds that have begun.
        running: tools that run now.
        waiting: calls that have not begun, since as many tools run as may. They never begin if the run ends before.
        done: tools that have returned.
        failed: tools that have raised, and calls that could not be made.
        cancelled: tools that had begun and were cancelled.
    """

    rounds: int
    running: int
    waiting: int
    done: int
    failed: int
    cancelled: int = attrs.field(default=0, repr=False)  # mostly 0; the repr is for a glance


@attrs.frozen
class Plan(Generic[WholeT]):
    """What a run was asked for.

    Attributes:
        conversation: what is sent, and what comes of it.
        opening: what makes streams of a round, from the parameters of its request.
        first: the same of the first round, whose parameters have been checked.
        tools: by their names.
        max_rounds: requests.
        max_concurrent: tools at a time.
        on_error: whether a tool's exception is the model's or the program's.
    """

    conversation: Conversation[WholeT]
    opening: Callable[[dict[str, Any]], Callable[[], Stream[Any, WholeT]]]
    first: Callable[[], Stream[Any, WholeT]]
    tools: Mapping[str, Tool]
    max_rounds: int
    max_concurrent: int
    on_error: OnError


class ToolRun(Generic[WholeT]):
    """A model at work with its tools: what `async with ... .run_tools(...)` gives.

    Iterate it for what happens: `RoundStarted`, `RoundEvent` for each event of the stream, `ToolStarted`, `ToolDone`,
    `ToolFailed`, `RoundDone`. One task at a time may. Somebody has to, since whoever iterates reads the stream.

    Every step is a checkpoint. A step that is cancelled loses nothing: the next one continues. Only a request that is
    out when its step is cancelled is given up, and sent anew by the next one.
    """

    def __init__(self, plan: Plan[WholeT], nursery: trio.Nursery) -> None:
        self._plan = plan
        self._nursery = nursery
        self._step: Callable[[], Awaitable[None]] | None = self._open_round
        self._make = plan.first
        self._stream: Stream[Any, WholeT] | None = None
        self._parts: Parts | None = None  # of that stream
        self._printable = Printable()
        self._answer: WholeT | None = None
        self._events: deque[Any] = deque()
        self._calls: list[ToolCallDone] = []  # of the round
        self._outputs: dict[int, str] = {}
        self._was_cut = False  # whether the answer of the round was cut,
        self._is_cut = False  # and in the middle of a call
        self._waiting: deque[ToolCallDone] = deque()  # calls that have no task yet
        self._tasks: dict[int, trio.CancelScope] = {}
        self._waits: trio.CancelScope | None = None  # of the step that waits for something to happen
        self._failure: BaseException | None = None
        self._is_owed = False  # whether the block's end has to raise that, if no step has
        self._is_busy = False
        self._rounds = self._running = self._done = self._failed = self._cancelled = 0

    @property
    def messages(self) -> list[Any]:
        """The conversation up to the last round that is done.

        For a chat its messages, for Responses the items of input: those that were given, and what the model said and
        its tools returned.
        """
        return list(self._plan.conversation.messages)

    @property
    def stream(self) -> Stream[Any, WholeT] | None:
        """That of the latest round; None before the first."""
        return self._stream

    def statistics(self) -> ToolRunStatistics:
        """How far it has got, as of now."""
        return ToolRunStatistics(
            rounds=self._rounds,
            running=self._running,
            waiting=len(self._waiting) + len(self._tasks) - self._running,
            done=self._done,
            failed=self._failed,
            cancelled=self._cancelled,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.statistics()}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunEvent[WholeT]:
        """The next thing that happens.

        Raises:
            StopAsyncIteration: the model has answered and called no tool.
            ToolRunError: it called tools in the last round that it was given, or was cut while it wrote a call; with
                `on_error="raise"`, also for arguments that do not fit.
            APIError: a stream failed; what arrived is in the error's `partial`.
            Exception: with `on_error="raise"`, what a tool raised.
            trio.BusyResourceError: another task iterates it.
            trio.ClosedResourceError: it was closed.
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
            return self._events.popleft()  # type: ignore[no-any-return]  # noqa: ASYNC910 - each step is one
        finally:
            self._is_busy = False

    async def until_done(self) -> None:
        """Go on to the end, and raise what iterating raises."""
        async for _ in self:
            pass

    async def aclose(self) -> None:
        """Cancel the tools and close the stream. Idempotent, callable from any task; leaving the block does it.

        The connection is closed before anything is waited for.
        """
        if self._step is not None and self._failure is None:
            self._fail(trio.ClosedResourceError("this run has been closed"))
            self._events.clear()
        if self._stream is not None:
            await self._stream.aclose()
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()

    def raise_owed(self, *, only_urgent: bool = False) -> None:
        """Raise what a tool raised, if no step has; or only if it is Ctrl-C, say. Internal."""
        if self._is_owed and (not only_urgent or _is_urgent(self._failure)):
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._is_owed = False
            raise self._failure

    def _fail(self, error: BaseException, *, by_tool: bool = False) -> None:
        """End the run by an error. The first one counts, but Ctrl-C before any."""
        if self._failure is None or _is_urgent(error) > _is_urgent(self._failure):
            self._failure, self._is_owed = error, by_tool
        self._waiting.clear()
        for scope in self._tasks.values():
            scope.cancel()
        self._wake()

    def _report(self, event: Any) -> None:
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._waits is not None:
            self._waits.cancel()

    # The steps of a round. Each is a checkpoint, and can be done again if it is cancelled, or woken.

    async def _open_round(self) -> None:
        stream = self._make()
        try:
            with trio.CancelScope() as self._waits:
                await stream.open()
        except APIError as error:
            self._fail(error)
            return  # noqa: ASYNC910 - to fail takes one
        finally:
            self._waits = None
        if self._failure is not None:  # closed meanwhile
            await stream.aclose()
            return
        self._rounds += 1
        self._stream, self._parts = stream, cast("HasParts", stream.source.protocol).parts()
        self._printable = Printable()
        self._calls, self._outputs, self._was_cut, self._is_cut = [], {}, False, False
        self._step = self._read
        self._report(RoundStarted(self._rounds, stream))

    async def _read(self) -> None:  # noqa: ASYNC910 - to fail takes one
        stream, parts = self._stream, self._parts
        assert stream is not None
        assert parts is not None
        try:
            with trio.CancelScope() as self._waits:
                event = await anext(stream)
                self._events.append(RoundEvent(self._rounds, event, self._printable.add(stream.text)))
                is_cut = self._plan.conversation.is_cut_by(event)
                self._was_cut = self._was_cut or is_cut
                self._begin_calls(parts.add(event), is_cut=is_cut)
        except StopAsyncIteration:
            self._begin_calls(parts.end(), is_cut=self._was_cut)
            self._step = self._finish_round
        except APIError as error:
            self._fail(error)
        finally:
            self._waits = None

    async def _finish_round(self) -> None:
        if self._tasks or self._waiting:
            try:
                with trio.CancelScope() as self._waits:
                    await trio.sleep_forever()
            finally:
                self._waits = None
            return
        await trio.lowlevel.checkpoint()
        assert self._stream is not None
        self._answer = answer = self._stream.snapshot
        calls = sorted(self._calls, key=lambda call: call.part)
        self._plan.conversation.add(answer, [(call, self._outputs[call.part]) for call in calls])
        self._report(RoundDone(self._rounds, answer))
        self._go_on(answer)

    def _go_on(self, answer: WholeT) -> None:
        """Choose what follows a round."""
        if not self._calls or self._plan.conversation.is_over(answer):
            self._step = None
        elif self._is_cut:
            words = "the answer was cut while the model wrote a call of a tool"
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

    # The tools.

    def _begin_calls(self, parts: Iterable[Delta], *, is_cut: bool) -> None:
        """Take the calls that are complete by now, and begin as many as may run.

        Args:
            parts: what the last event said.
            is_cut: whether the answer was cut there, so that a call may only seem to be complete.
        """
        if self._failure is not None:  # in the last moment, when the event could not be put off any more
            return
        for call in parts:
            if not isinstance(call, ToolCallDone) or call.kind == "mcp" or call.choice:
                continue
            self._calls.append(call)
            if is_cut and not is_whole(call):
                self._is_cut = True
                self._tell_failure(call, ValueError("the answer was cut there"), "the call is not whole")
            else:
                self._waiting.append(call)
        self._fill_up()

    def _fill_up(self) -> None:
        """Begin waiting calls. A call has a task only while it runs, since one answer may hold a hundred thousand."""
        while self._waiting and len(self._tasks) < self._plan.max_concurrent:
            call = self._waiting.popleft()
            self._tasks[call.part] = scope = trio.CancelScope()
            self._nursery.start_soon(self._run_call, call, scope, name=f"<tool {name_to_send(call.name)}>")

    @trio.lowlevel.enable_ki_protection  # Ctrl-C is for the program's own code, where it comes out bare
    async def _run_call(self, call: ToolCallDone, scope: trio.CancelScope) -> None:  # noqa: ASYNC910 - a task
        """The task of a tool."""
        try:
            with scope:
                await trio.lowlevel.checkpoint()  # a run that has ended meanwhile begins no tool
                self._running += 1
                try:
                    await self._call(call)
                finally:
                    self._running -= 1
        finally:
            del self._tasks[call.part]
            self._wake()
        self._fill_up()  # not if the whole block is cancelled

    async def _call(self, call: ToolCallDone) -> None:  # noqa: ASYNC910 - its task has had a checkpoint
        """Call a tool, and note what comes of it. Only a cancellation is raised."""
        try:
            tool = self._tool_of(call)
            arguments = call.arguments if tool.kind == "custom" else tool.parse(call.arguments)
        except LookupError as error:
            self._tell_failure(call, error, str(error))
        except ValueError as error:
            self._refuse(call, error)
        else:
            self._report(ToolStarted(call, arguments))
            await self._run_tool(call, tool, arguments)

    async def _run_tool(self, call: ToolCallDone, tool: Tool, arguments: dict[str, Any] | str) -> None:  # noqa: ASYNC910
        try:
            result = await _called(tool, arguments)
            output = text_of(result)
        except Exception as error:  # noqa: BLE001 - the tool's own, which is the model's to hear of: that is what is offered
            self._tell_failure(call, error, _words_of(error))
            if self._plan.on_error == "raise":
                self._fail(error, by_tool=True)
        except BaseException as error:  # noqa: ASYNC103 - Ctrl-C in the tool, say: for the program
            cancellations, rest = _split(error)
            if rest is None:
                self._cancelled += 1
                raise
            self._failed += 1
            self._fail(rest, by_tool=True)
            if cancellations is not None:
                raise cancellations from None  # noqa: ASYNC104
        else:
            self._outputs[call.part] = output
            self._done += 1
            self._report(ToolDone(call, result, output))

    def _tool_of(self, call: ToolCallDone) -> Tool:
        tool = self._plan.tools.get(call.name) if type(call.name) is str else None  # it is what the server sent
        if tool is None or (tool.kind == "custom") != (call.kind == "custom"):
            names = ", ".join(self._plan.tools)
            raise LookupError(f"there is no tool named {name_to_show(call.name)}; there are: {names}")
        return tool

    def _refuse(self, call: ToolCallDone, error: ValueError) -> None:
        """Arguments do not fit: tell the model, or end the run."""
        words = f"the arguments do not fit: {'; '.join(map(str, error.args))}"
        self._tell_failure(call, error, words)
        if self._plan.on_error == "raise" and self._failure is None:  # a snapshot for each call would be quadratic
            partial = self._stream.snapshot if self._stream is not None else None
            self._fail(ToolRunError(f"the model called {call.name}, and {words}", partial=partial), by_tool=True)

    def _tell_failure(self, call: ToolCallDone, error: Exception, words: str) -> None:
        """A call came to nothing: tell the model."""
        self._outputs[call.part] = output = text_of(f"Error: {words}")
        self._failed += 1
        self._report(ToolFailed(call, error, output))


@trio.lowlevel.disable_ki_protection  # from here on it is the program's code
async def _called(tool: Tool, arguments: dict[str, Any] | str) -> Any:
    try:
        result = tool.function(arguments) if isinstance(arguments, str) else tool.function(**arguments)
        if inspect.isawaitable(result):
            return await result
    except StopAsyncIteration as error:  # raised by a step of the run, it would pass for the run's end
        raise RuntimeError("the tool raised StopAsyncIteration") from error
    await trio.lowlevel.checkpoint()
    return result


def _is_urgent(error: BaseException | None) -> bool:
    """Whether it is for the whole program: Ctrl-C, an exit. Nothing else takes its place."""
    return error is not None and not isinstance(error, Exception)


def _words_of(error: BaseException) -> str:
    """An exception, for the model. Of a group, those that are in it."""
    if isinstance(error, BaseExceptionGroup):
        inner: tuple[BaseException, ...] = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return "; ".join(map(_words_of, inner))
    try:
        return f"{type(error).__name__}: {error}".removesuffix(": ")
    except Exception:  # noqa: BLE001 - the program's own, of which the model cannot be told more
        return type(error).__name__


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Return the cancellations in an exception, and the rest."""
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(trio.Cancelled)
    return (error, None) if isinstance(error, trio.Cancelled) else (None, error)


class ChatToolRun(ToolRun[ChatT]):
    """A run by Chat Completions."""

    async def get_final_completion(self) -> ChatT:
        """Go on to the end; what the model said in the last round.

        Raises:
            Exception: what iterating raises.
        """
        await self.until_done()
        return self._final()


class ResponseToolRun(ToolRun[ResponseT]):
    """A run by Responses."""

    async def get_final_response(self) -> ResponseT:
        """Go on to the end; the response of the last round, whether it completed, is incomplete, or failed.

        Raises:
            Exception: what iterating raises.
        """
        await self.until_done()
        return self._final()


@asynccontextmanager
async def running(run_class: Callable[[Plan[Any], trio.Nursery], RunT], plan: Plan[Any]) -> AsyncGenerator[RunT]:
    """A run, while the block runs. What the block raises comes out bare."""
    run: RunT | None = None
    try:
        async with nursery_around_block() as nursery:
            run = run_class(plan, nursery)
            try:
                yield run
            finally:
                await run.aclose()  # noqa: ASYNC102 - the connection is closed before it waits
    except BaseException:
        if run is not None:
            run.raise_owed(only_urgent=True)
        raise
    run.raise_owed()
