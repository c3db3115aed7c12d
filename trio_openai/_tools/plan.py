"""The settings of a run, and its progress as numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from trio_openai._statistics import Usage
from trio_openai._stream.stream import Stream

from .conversation import ToolConversation
from .hooks import Approve, OnError
from .tool import Tool

if TYPE_CHECKING:
    from trio_openai._observers.records import Observer

WholeT = TypeVar("WholeT")


@attrs.frozen
class ToolRunStatistics:
    """The progress of a run. Every tool that has started is in `running`, `done`, `failed` or `cancelled`.

    Attributes:
        rounds: rounds started so far.
        running: tools that are running now.
        waiting: calls whose tool has not started, because it needs approval or because as many tools are running as
            the limits allow. They never start if the run ends first.
        done: tools that have returned.
        failed: tools that have raised, and calls whose arguments or name were wrong.
        cancelled: tools that had started and were cancelled.
        refused: calls that `approve` refused, so their tools never started.
        usage: the tokens of all rounds so far, as far as the server reports them.
    """

    rounds: int
    running: int
    waiting: int
    done: int
    failed: int
    cancelled: int = attrs.field(default=0, repr=False)  # nearly always 0, so it would only make the repr longer
    refused: int = attrs.field(default=0, repr=False)
    usage: Usage = attrs.field(factory=Usage, repr=False)


@attrs.frozen
class Plan(Generic[WholeT]):
    """The settings of a run.

    Attributes:
        conversation: builds each request and records each round.
        opening: takes a round's parameters and returns the function that makes its stream.
        first: makes the stream of the first round, whose parameters have been checked already.
        tools: the tools by name.
        max_rounds: the largest number of requests.
        max_concurrent: the largest number of tools running at a time, and of calls waiting for approval at a time.
        on_error: what happens if a tool raises.
        approve: decides about the calls of tools without an `approve` of their own; None approves them.
        in_threads: whether sync functions run in worker threads.
        observers: who is told of the tools and the rounds.
    """

    conversation: ToolConversation[WholeT]
    opening: Callable[[dict[str, Any]], Callable[[], Stream[Any, WholeT]]]
    first: Callable[[], Stream[Any, WholeT]]
    tools: Mapping[str, Tool]
    max_rounds: int
    max_concurrent: int
    on_error: OnError
    approve: Approve | None = None
    in_threads: bool = False
    observers: Sequence[Observer] = ()
