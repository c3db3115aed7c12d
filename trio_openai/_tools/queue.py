"""The calls that wait for their turn, and which one is next. No I/O.

There are two limits: for all calls together, and for each tool. A call whose tool is at its limit must not hold up
calls of other tools, so it is set aside until a call of its tool has ended. Each call is set aside at most once, so an
answer with a hundred thousand calls takes linear time.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import Any

import attrs

from trio_openai.types.deltas import ToolCallDone

from .hooks import Approve
from .tool import Tool


@attrs.define(eq=False)
class QueuedCall:
    """A call that has not ended.

    Attributes:
        call: the call as the model wrote it.
        tool: the tool; None if there is none of this name.
        approve: the function that decides about the call; None if nobody needs to, or if it has been approved.
        arguments: the parsed arguments; None until they are parsed.
    """

    call: ToolCallDone
    tool: Tool | None
    approve: Approve | None = None
    arguments: dict[str, Any] | str | None = None


class CallQueue:
    """Calls in the order in which they start.

    Args:
        at_a_time: the largest number of calls that have started and not ended.
        heeds_tools: whether `Tool.max_concurrent` counts too.
    """

    def __init__(self, at_a_time: int, *, heeds_tools: bool) -> None:
        self._at_a_time = at_a_time
        self._heeds_tools = heeds_tools
        self._calls: deque[QueuedCall] = deque()
        self._set_aside: defaultdict[str, deque[QueuedCall]] = defaultdict(deque)  # by the name of the tool
        self._started = 0
        self._by_tool: Counter[str] = Counter()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, call: QueuedCall) -> None:
        """Let a call wait for its turn."""
        self._calls.append(call)
        self._length += 1

    def take(self) -> QueuedCall | None:
        """Return the next call that may start, or None. The caller must pass it to `end` later."""
        while self._calls and self._started < self._at_a_time:
            call = self._calls.popleft()
            if (name := self._name_at_limit(call)) is not None:
                self._set_aside[name].append(call)
                continue
            self._length -= 1
            self._started += 1
            if call.tool is not None:
                self._by_tool[call.tool.name] += 1
            return call
        return None

    def end(self, call: QueuedCall) -> None:
        """Record that a call has ended, so that another one may start."""
        self._started -= 1
        if call.tool is not None:
            self._by_tool[call.tool.name] -= 1
            if others := self._set_aside.get(call.tool.name):
                self._calls.appendleft(others.popleft())

    def clear(self) -> None:
        """Forget every call that has not started."""
        self._calls.clear()
        self._set_aside.clear()
        self._length = 0

    def _name_at_limit(self, call: QueuedCall) -> str | None:
        """Return the name of the call's tool if as many of its calls are running as it allows."""
        tool = call.tool
        if not self._heeds_tools or tool is None or tool.max_concurrent is None:
            return None
        return tool.name if self._by_tool[tool.name] >= tool.max_concurrent else None
