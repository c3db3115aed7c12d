"""Tell the observers of a client about the tools and the rounds of a run.

A run has a `RunWatch` only if somebody observes it. Each tool that starts also ends, and each round ends once: when it
is complete, or else at the end of the block, after its tools.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import trio

from trio_openai._observers.records import Observer, ToolCallEnded, ToolCallStarted, ToolRoundEnded
from trio_openai._observers.watch import tell
from trio_openai.types.deltas import ToolCallDone

from .normalize import name_to_send
from .tool import Tool

_numbers = itertools.count(1)


class RunWatch:
    """Tells the observers about one run.

    Args:
        observers: who is told.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._run_id = next(_numbers)
        self._round = 0
        self._call_id: int | None = None
        self._began = 0.0
        self._tools: list[str] = []
        self._is_open = False  # a round has begun, and has not ended

    def begin_round(self, number: int) -> None:
        """Note that a round begins. Idempotent, since a request that was cancelled is sent again."""
        if not self._is_open:
            self._round, self._call_id, self._tools = number, None, []
            self._began, self._is_open = trio.current_time(), True

    def receive_head(self, call_id: int) -> None:
        """Note which call brings the answer of the round."""
        self._call_id = call_id

    def end_round(self, error: BaseException | None = None) -> None:
        """Tell that the round has ended: completely, or with an error. Idempotent."""
        if not self._is_open:
            return
        self._is_open = False
        record = ToolRoundEnded(
            run_id=self._run_id,
            call_id=self._call_id,
            round=self._round,
            tools=self._tools,
            seconds=trio.current_time() - self._began,
            error=error,
        )
        tell(self._observers, "round", record)

    async def run(self, call: ToolCallDone, tool: Tool, function: Callable[[], Awaitable[Any]]) -> Any:
        """Run a tool, and tell that it starts and ends."""
        name = name_to_send(call.name)
        about: dict[str, Any] = {
            "run_id": self._run_id,
            "call_id": self._call_id,
            "name": name,
            "description": tool.description,
            "tool_call_id": call.id,
            "round": self._round,
            "arguments": call.arguments,
        }
        self._tools.append(name)
        began = trio.current_time()
        result, error = None, cast("BaseException | None", None)
        try:
            tell(self._observers, "tool_started", ToolCallStarted(**about))
            result = await function()
            return result
        except BaseException as raised:
            error = raised
            raise
        finally:
            seconds = trio.current_time() - began
            ended = ToolCallEnded(**about, seconds=seconds, result=result, error=error)
            tell(self._observers, "tool_ended", ended)
            del error, ended  # break the reference cycle: error, traceback, this frame
