"""The calls of a run: their approval, the tasks in which their tools run, and what the model is told of each.

Each call goes through two queues: one for approval, if it needs any, and one for running. In both, at most
`max_concurrent` calls have a task. So a call that waits for a person holds up no tool, and an answer with a hundred
thousand calls does not start as many tasks. A call without a task is an entry in a queue.

Nothing but a cancellation is ever raised into the nursery, which surrounds the user's block. A tool's exception is told
to the model, or passed to the run, whose next step raises it.

Where to look next: `queue.py` for which call is next, `output.py` for what the model gets, `run.py` for the rounds.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs
import trio

from trio_openai._http.nursery import split_cancelled
from trio_openai.types.deltas import ToolCallDone

from .events import ToolDone, ToolFailed, ToolRefused, ToolStarted
from .hooks import ToolRequest, reason_to_refuse
from .normalize import name_to_send, name_to_show
from .output import ToolOutput, output_of, text_of
from .plan import Plan
from .queue import CallQueue, QueuedCall
from .tool import Tool, plain_function

if TYPE_CHECKING:
    from .watched import RunWatch


@attrs.frozen
class Caller:
    """The functions of a run that its calls use.

    Attributes:
        has_failed: returns whether the run has ended with an error, so that nothing may start.
        report: hands an event to whoever iterates the run.
        fail: ends the run with an error, or with a sentence about a call that is invalid.
        wake: lets the current step of the run look again.
    """

    has_failed: Callable[[], bool]
    report: Callable[[Any], None]
    fail: Callable[[BaseException | str], None]
    wake: Callable[[], None]


class Calls:
    """The calls of a run.

    Args:
        plan: the settings of the run.
        nursery: the nursery in which the tools run.
        run: the run.
        watch: tells the observers; None without observers.

    Attributes:
        round: the calls of this round, in the order in which they became complete.
        outputs: what the model is told of each call, by `call.part`.
    """

    def __init__(self, plan: Plan[Any], nursery: trio.Nursery, run: Caller, watch: RunWatch | None = None) -> None:
        self.round: list[ToolCallDone] = []
        self.outputs: dict[int, ToolOutput] = {}
        self.running = self.done = self.failed = self.cancelled = self.refused = 0
        self._plan, self._nursery, self._run, self._watch = plan, nursery, run, watch
        self._approvals = CallQueue(plan.max_concurrent, heeds_tools=False)
        self._queue = CallQueue(plan.max_concurrent, heeds_tools=True)
        self._tasks: dict[int, trio.CancelScope] = {}

    @property
    def waiting(self) -> int:
        """The number of calls whose tool has not started."""
        return len(self._approvals) + len(self._queue) + len(self._tasks) - self.running

    @property
    def has_open(self) -> bool:
        """True if a call of this round has not ended."""
        return bool(self._tasks or self._queue or self._approvals)

    def begin_round(self) -> None:
        """Forget the calls of the last round."""
        self.round, self.outputs = [], {}

    def stop(self) -> None:
        """Cancel every tool, and start no other one."""
        self._queue.clear()
        self._approvals.clear()
        for scope in self._tasks.values():
            scope.cancel()

    def add(self, call: ToolCallDone) -> None:
        """Add a call that is complete. `start_waiting` starts it."""
        self.round.append(call)
        tool = self._tool_of(call)
        approve = None if tool is None else tool.approve or self._plan.approve
        (self._queue if approve is None else self._approvals).add(QueuedCall(call, tool, approve))

    def add_truncated(self, call: ToolCallDone) -> None:
        """Add a call in which the answer was cut off. It is not run."""
        self.round.append(call)
        self._tell_failure(call, ValueError("the answer was cut off inside this call"), "the call is truncated")

    def start_waiting(self) -> None:
        """Start as many waiting calls as may run."""
        if self._run.has_failed():
            return
        for queue, work in ((self._approvals, self._approve), (self._queue, self._call)):
            while (pending := queue.take()) is not None:
                call = pending.call
                self._tasks[call.part] = scope = trio.CancelScope()
                name = f"<tool {name_to_send(call.name)}>"
                self._nursery.start_soon(self._run_task, pending, queue, work, scope, name=name)

    def _tool_of(self, call: ToolCallDone) -> Tool | None:
        # A server may send any JSON value as the name, also one that cannot be hashed.
        tool = self._plan.tools.get(call.name) if type(call.name) is str else None
        return None if tool is None or (tool.kind == "custom") != (call.kind == "custom") else tool

    @trio.lowlevel.enable_ki_protection  # Ctrl-C must hit the program's own code, where it is raised bare
    async def _run_task(  # noqa: ASYNC910 - nobody awaits it
        self, pending: QueuedCall, queue: CallQueue, work: Callable[[QueuedCall], Any], scope: trio.CancelScope
    ) -> None:
        """Approve or run one call. This is the body of its task."""
        try:
            with scope:
                await trio.lowlevel.checkpoint()  # if the run has ended meanwhile, do not start the tool
                await work(pending)
        finally:
            del self._tasks[pending.call.part]
            queue.end(pending)
            self._run.wake()
        self.start_waiting()  # outside of `finally`: if the whole block is cancelled, start nothing

    async def _approve(self, pending: QueuedCall) -> None:  # noqa: ASYNC910 - its task has passed a checkpoint
        """Ask the program about a call. If it approves, let the call wait for its turn to run."""
        if (arguments := self._parse(pending)) is None:
            return  # noqa: ASYNC910
        assert pending.approve is not None
        request = ToolRequest(pending.call, arguments)
        try:
            # A thread that asks a person may wait forever, so it is left behind if the run ends.
            ask = functools.partial(pending.approve, request)
            reason = reason_to_refuse(await _called(ask, in_thread=self._plan.in_threads, abandon=True))
        except BaseException as error:  # noqa: ASYNC103 - an approval that fails is never reported to the model
            cancelled = self._pass_to_run(error)
            if cancelled is error:
                raise
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104
            return  # noqa: ASYNC104, ASYNC910
        if self._run.has_failed():
            return
        if reason is None:
            pending.approve = None
            self._queue.add(pending)
        else:
            self._refuse(pending.call, reason)

    def _refuse(self, call: ToolCallDone, reason: str) -> None:
        output = text_of(f"Error: this call was refused{': ' if reason else ''}{reason}")
        self.outputs[call.part] = output
        self.refused += 1
        self._run.report(ToolRefused(call, text_of(reason), output))

    async def _call(self, pending: QueuedCall) -> None:  # noqa: ASYNC910 - its task has passed a checkpoint
        """Parse a call's arguments, run the tool, and record the outcome. Only a cancellation is raised."""
        self.running += 1
        try:
            if (arguments := self._parse(pending)) is not None:
                assert pending.tool is not None
                self._run.report(ToolStarted(pending.call, arguments))
                await self._run_tool(pending.call, pending.tool, arguments)
        finally:
            self.running -= 1

    def _parse(self, pending: QueuedCall) -> dict[str, Any] | str | None:
        """Return the arguments of a call. If they are invalid, report that and return None."""
        if pending.arguments is None:
            if pending.tool is None:
                names = ", ".join(self._plan.tools)
                words = f"there is no tool named {name_to_show(pending.call.name)}; the tools are: {names}"
                self._tell_failure(pending.call, LookupError(words), words)
                return None
            try:
                text = pending.call.arguments
                pending.arguments = text if pending.tool.kind == "custom" else pending.tool.parse(text)
            except ValueError as error:
                self._tell_invalid(pending.call, pending.tool, error)
        return pending.arguments

    async def _run_tool(self, call: ToolCallDone, tool: Tool, arguments: dict[str, Any] | str) -> None:  # noqa: ASYNC910
        try:
            if self._watch is None:
                result = await self._result_of(tool, arguments)
            else:
                result = await self._watch.run(call, tool, functools.partial(self._result_of, tool, arguments))
            output = self._plan.conversation.output_of(output_of(result))
        except Exception as error:  # noqa: BLE001 - the documented behaviour: the model is told what a tool raises
            self._tell_error(call, tool, error, _words_of(error))
        except BaseException as error:  # noqa: ASYNC103 - such as Ctrl-C: it belongs to the program
            cancelled = self._pass_to_run(error)
            if cancelled is error:
                self.cancelled += 1
                raise
            self.failed += 1
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104
        else:
            self.outputs[call.part] = output
            self.done += 1
            self._run.report(ToolDone(call, result, output))

    async def _result_of(self, tool: Tool, arguments: dict[str, Any] | str) -> Any:
        """Run a tool's function within its timeout."""
        given: tuple[Any, ...] = (arguments,) if isinstance(arguments, str) else ()
        named: Mapping[str, Any] = {} if isinstance(arguments, str) else arguments
        function = functools.partial(tool.function, *given, **named)
        if tool.timeout is None:
            return await _called(function, in_thread=self._plan.in_threads)
        with trio.move_on_after(tool.timeout):
            return await _called(function, in_thread=True, abandon=True)
        raise trio.TooSlowError(f"the tool took longer than its timeout of {tool.timeout:g} seconds")

    def _pass_to_run(self, error: BaseException) -> BaseException | None:
        """End the run with an exception. Return the cancellation in it, which must be raised again, if there is any."""
        cancelled, rest = split_cancelled(error)
        if rest is None:
            return error
        self._run.fail(rest)
        return cancelled

    def _tell_invalid(self, call: ToolCallDone, tool: Tool, error: ValueError) -> None:
        """Report invalid arguments to the model, or end the run."""
        words = f"the arguments are invalid: {'; '.join(map(str, error.args))}"
        if (tool.on_error or self._plan.on_error) == "raise":
            self._tell_failure(call, error, words)
            self._run.fail(f"the model called {call.name}, and {words}")
        else:
            self._tell_error(call, tool, error, words)

    def _tell_error(self, call: ToolCallDone, tool: Tool, error: Exception, words: str) -> None:
        """Do what `on_error` says about an exception: report it to the model, or end the run with it."""
        on_error = tool.on_error or self._plan.on_error
        if not callable(on_error):
            self._tell_failure(call, error, words)
            if on_error == "raise":
                self._run.fail(error)
            return
        try:
            output = _words_from(on_error, call, error)
        except BaseException as raised:  # noqa: ASYNC103, BLE001 - the function ends the run by raising
            self._tell_failure(call, error, words)
            self._run.fail(raised)
        else:
            self._tell_failure(call, error, output, is_whole=True)

    def _tell_failure(self, call: ToolCallDone, error: Exception, words: str, *, is_whole: bool = False) -> None:
        """Record that a call failed, and what the model is told about it."""
        self.outputs[call.part] = output = text_of(words if is_whole else f"Error: {words}")
        self.failed += 1
        self._run.report(ToolFailed(call, error, output))


@trio.lowlevel.disable_ki_protection  # the function is the program's own code, so Ctrl-C may interrupt it
async def _called(function: functools.partial[Any], *, in_thread: bool, abandon: bool = False) -> Any:
    """Call a function, and await its result if it is awaitable.

    Args:
        function: the function with its arguments.
        in_thread: whether a sync function runs in a worker thread.
        abandon: whether the thread is left behind if this is cancelled. Otherwise the cancellation waits for it.
    """
    try:
        if in_thread and not _is_async(function.func):
            # A limiter of its own: the program's other threads may be waiting for this one.
            result = await trio.to_thread.run_sync(function, abandon_on_cancel=abandon, limiter=trio.CapacityLimiter(1))
        else:
            result = function()
        if inspect.isawaitable(result):
            return await result
    except StopAsyncIteration as error:  # if a step raised it, `async for` would mistake it for the end of the run
        raise RuntimeError("the tool raised StopAsyncIteration") from error
    await trio.lowlevel.checkpoint()
    return result


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(plain_function(function))


@trio.lowlevel.disable_ki_protection
def _words_from(on_error: Callable[[ToolCallDone, Exception], object], call: ToolCallDone, error: Exception) -> str:
    """Return what the program wants to tell the model about an error."""
    words = on_error(call, error)
    if isinstance(words, str):
        return words
    if inspect.iscoroutine(words):
        words.close()  # otherwise Python would warn that nobody awaited it
    raise TypeError(f"on_error must return the text for the model as a str, not {type(words).__name__}")


def _words_of(error: BaseException) -> str:
    """Describe an exception to the model; for a group, the exceptions inside it."""
    if isinstance(error, BaseExceptionGroup):
        inner: tuple[BaseException, ...] = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return "; ".join(map(_words_of, inner))
    try:
        return f"{type(error).__name__}: {error}".removesuffix(": ")
    except Exception:  # noqa: BLE001 - the user's exception has a broken `__str__`; its class name is all there is
        return type(error).__name__
