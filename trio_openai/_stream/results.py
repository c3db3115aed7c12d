"""The results and items of `run_many` and `stream_many`, and the channel that they come through.

A `Result` and an `Item` are generic in what the stream of their call adds up to, so `result.value.choices` is checked.
Type checkers get from a call to its results in three steps:

1. `StreamCall` declares `_results`: the manager that `run_many` would return for this call alone, in a union with
   `NoCalls`.
2. `run_many` takes `Iterable[GivesResults[T]]` and returns `T`. For calls of two kinds that is a union of managers.
3. `async with` gives a union of `Items`, so each result is a `Result[ChatCompletion] | Result[Response]`.

`NoCalls` is why mypy infers a union in step 2. It joins two plain classes into their common base, and the results would
be a `Result[WireObject]`; unions it joins into a union. `NoCalls` opens nothing, so nothing of it is left in step 3.
pyright would need neither.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Generic, Never, Protocol, TypeAlias, TypeVar

import attrs
import trio

from trio_openai._wire.timings import Timings
from trio_openai.errors import APIError

if TYPE_CHECKING:
    from trio_openai._statistics import Usage

EventT_co = TypeVar("EventT_co", covariant=True)
WholeT_co = TypeVar("WholeT_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class Result(Generic[WholeT_co]):
    """The outcome of one call.

    Attributes:
        key: The call's key.
        value: The complete `ChatCompletion` or `Response`. It is None if the call failed, so look at `error` first, or
            use `unwrap`. Its type leaves None out, because a type checker cannot know that you have looked.
        error: The reason why the call failed; None if it succeeded. Its `partial` holds what had arrived.
        timings: When the request was sent, when the first content arrived, and so on.
    """

    key: Any
    value: WholeT_co = attrs.field(default=None)
    error: APIError | None = None
    timings: Timings = attrs.field(factory=Timings, repr=False)

    def unwrap(self) -> WholeT_co:
        """Return the value of a call that succeeded.

        Raises:
            APIError: The call failed. It is the call's own error, with its `partial`.
        """
        if self.error is not None:
            raise self.error
        return self.value

    @property
    def text(self) -> str:
        """The text of the answer, as `Stream.text` has it. If the call failed, the text that had arrived."""
        whole: object = self.value if self.error is None else self.error.partial
        for name in ("output_text", "text"):  # the `text` of a response is the format of its text
            if isinstance(text := getattr(whole, name, None), str):
                return text
        return ""


@attrs.frozen
class Item(Generic[EventT_co, WholeT_co]):
    """One event of one stream or, as the last item of its call, the call's result.

    Attributes:
        key: The call's key.
        event: The event. It is None if this item is a result, so look at `result` first. Its type leaves None out.
        result: The result; None if this item is an event.
    """

    key: Any
    event: EventT_co = attrs.field(default=None)
    result: Result[WholeT_co] | None = None


@attrs.frozen
class ManyStatistics:
    """The progress of `run_many` or `stream_many`.

    Attributes:
        queued: Calls taken from the iterable whose response has not begun: they wait for a connection, a limiter, the
            server, or the pause before a retry.
        running: Streams that are being read.
        done: Calls that completed.
        failed: Calls that ended with an error.
        tokens: Total tokens of the completed calls, as far as their servers report usage.
        events: Events received so far.
        events_per_second: The rate over about the last five seconds.
        seconds: Time since the start.
        total: The number of calls: what `total=` says, or the length of `calls`. None if neither is known, until all
            calls have been taken.
        usage: The tokens of all calls that have ended, as far as their servers report usage.
    """

    queued: int
    running: int
    done: int
    failed: int
    tokens: int
    events: int
    events_per_second: float
    seconds: float
    total: int | None
    usage: Usage

    @property
    def waiting(self) -> int | None:
        """The number of calls that have not been taken from the iterable yet; None if `total` is not known."""
        if self.total is None:
            return None
        return self.total - self.queued - self.running - self.done - self.failed

    @property
    def fraction(self) -> float | None:
        """The part of the calls that have ended, from 0 to 1; None if `total` is not known."""
        if self.total is None:
            return None
        return (self.done + self.failed) / self.total if self.total else 1.0


class RunBehind(Protocol):
    """The run behind `Items`, as far as they need it."""

    def cancel(self) -> None:
        """Close all streams."""
        ...

    def raise_failure(self) -> None:
        """Raise the error that ended the run early, if there is one."""
        ...

    def statistics(self) -> ManyStatistics:
        """Return the progress so far."""
        ...


class Items(trio.abc.ReceiveChannel[T_co]):
    """The `Item`s of `stream_many` or the `Result`s of `run_many`. It ends after the last call."""

    def __init__(self, channel: trio.MemoryReceiveChannel[Any], run: RunBehind) -> None:
        self._channel = channel
        self._run = run

    async def receive(self) -> T_co:
        """Return the next item or result.

        Raises:
            trio.EndOfChannel: All calls are done.
            APIError: A call failed and `fail_fast` is set. All other streams have been closed.
            Exception: The iterable of calls raised it. The results of the calls before it have been received.
        """
        try:
            received: T_co = await self._channel.receive()
        except trio.EndOfChannel:
            self._run.raise_failure()
            raise
        return received

    async def aclose(self) -> None:
        """Close all streams. Idempotent."""
        self._run.cancel()
        await self._channel.aclose()

    def statistics(self) -> ManyStatistics:
        """Return the progress so far. Cheap enough to poll."""
        return self._run.statistics()


# For type checkers; see the top of this file.


class ItemsManager(AbstractAsyncContextManager[T_co]):
    """The type of the context manager that `run_many` and `stream_many` return. It gives `Items`."""


class NoCalls(AbstractAsyncContextManager[Never]):
    """The type of a manager that opens nothing."""


class GivesResults(Protocol[T_co]):
    """A call, as `run_many` sees it."""

    @property
    def _results(self) -> T_co: ...


class GivesItems(Protocol[T_co]):
    """A call, as `stream_many` sees it."""

    @property
    def _items(self) -> T_co: ...


class GivesBoth(Protocol[EventT_co, WholeT_co]):
    """A stream, as far as the types of its events and its snapshot go."""

    def __anext__(self) -> Awaitable[EventT_co]: ...
    @property
    def snapshot(self) -> WholeT_co: ...


# mypy gives `[chat_call, response_call]` the type `list[StreamCall[A] | StreamCall[B]]` only where a type that contains
# itself is expected. Otherwise it looks for a common base class. This one accepts nothing but empty lists.
EmptyLists: TypeAlias = "list[EmptyLists]"
