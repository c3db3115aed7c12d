"""Observers for tests: one that keeps every record, and one that checks the order of the records of each call."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from trio_openai import CallRecord, Observer

METHODS = tuple(name for name in vars(Observer) if not name.startswith("_"))
_LETTERS = {
    "started": "s",
    "limiter_wait": "w",
    "attempt": "a",
    "headers": "h",
    "first_event": "f",
    "first_content": "c",
    "retry": "r",
    "ended": "e",
}
# Each attempt but the last is followed by a retry. One that a limiter has permitted may end before it is sent.
_ORDER = re.compile(r"s(w?a(hf?c?)?r)*(w?(a(hf?c?)?)?)?e")


class Heard:
    """An observer that keeps every record.

    Attributes:
        records: the name of the method and its record, in the order in which they came.
    """

    def __init__(self) -> None:
        self.records: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[[Any], None]:
        if name not in METHODS:
            raise AttributeError(name)
        return lambda record: self.records.append((name, record))

    @property
    def names(self) -> list[str]:
        """The names of the methods that were called."""
        return [name for name, _ in self.records]

    def all(self, name: str) -> list[Any]:
        """Return the records of one method."""
        return [record for heard, record in self.records if heard == name]

    def one(self, name: str) -> Any:
        """Return the only record of one method."""
        (record,) = self.all(name)
        return record


class CallOrder(Observer):
    """An observer that knows which calls have ended, and whether their records came in order. It keeps no record.

    Attributes:
        told: how often the methods were called that are not about a single call, such as `race`.
    """

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()
        self._letters: dict[int, str] = {}

    def _note(self, name: str, record: CallRecord) -> None:
        self._letters[record.call_id] = self._letters.get(record.call_id, "") + _LETTERS[name]

    def started(self, record: Any, /) -> None:
        self._note("started", record)

    def limiter_wait(self, record: Any, /) -> None:
        self._note("limiter_wait", record)

    def attempt(self, record: Any, /) -> None:
        self._note("attempt", record)

    def headers(self, record: Any, /) -> None:
        self._note("headers", record)

    def first_event(self, record: Any, /) -> None:
        self._note("first_event", record)

    def first_content(self, record: Any, /) -> None:
        self._note("first_content", record)

    def retry(self, record: Any, /) -> None:
        self._note("retry", record)

    def ended(self, record: Any, /) -> None:
        self._note("ended", record)

    def race(self, record: Any, /) -> None:
        self.told["race"] += 1

    def many(self, record: Any, /) -> None:
        self.told["many"] += 1

    def tool_started(self, record: Any, /) -> None:
        self.told["tool_started"] += 1

    def tool_ended(self, record: Any, /) -> None:
        self.told["tool_ended"] += 1

    def round(self, record: Any, /) -> None:
        self.told["round"] += 1

    @property
    def call_ids(self) -> list[int]:
        """The calls that this has heard of."""
        return list(self._letters)

    def faults(self) -> list[str]:
        """Return in words what is wrong, if every call should have ended by now."""
        found = ["a tool that started has not ended"] if self.told["tool_started"] != self.told["tool_ended"] else []
        for letters in self._letters.values():
            if "e" not in letters:
                found.append(f"a call that started has not ended: {letters}")
            elif not _ORDER.fullmatch(letters) or max(map(letters.count, "sfce")) > 1:
                found.append(f"records out of order: {letters}")
        return found
