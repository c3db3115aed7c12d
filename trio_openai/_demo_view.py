"""How the demo looks: a live view on a terminal, lines elsewhere."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any, Literal, Self

import attrs

if TYPE_CHECKING:
    from . import OpenAIError, Stream

_COLUMNS = ("", "prompt", "verdict", "events", "first content", "text")
_FROM_THE_RIGHT = ("events", "first content", "text")
_LIVE_REST = 20  # columns of the live table that are not prompt or text: lines, spaces, the two numbers


@attrs.define
class Row:
    """One prompt and what becomes of it.

    Attributes:
        events: how many have arrived.
        was_cut: its deadline passed.
        freed: after that, how it shows that the server is done with it.
    """

    number: int
    prompt: str
    stream: Stream[Any, Any] | None = None
    events: int = 0
    is_open: bool = True
    was_cut: bool = False
    freed: str | None = None
    error: OpenAIError | None = None

    @property
    def text(self) -> str:
        """What has arrived of the answer, in the middle of it or after it."""
        choices = self.stream.snapshot.choices if self.stream else ()
        return (choices[0].message.content or "") if choices else ""

    def tail(self, width: int) -> str:
        """The end of the text, on one line, without what a terminal could take for a command."""
        text = " ".join(self.text[-4 * width :].split())
        return "".join(c if c.isprintable() else "?" for c in text)[-width:]

    @property
    def state(self) -> str:
        """The verdict, or why there is none."""
        if self.error:
            return type(self.error).__name__
        verdict = str(self.stream.verdict) if self.stream else "waiting"
        return f"{verdict} (deadline)" if self.was_cut else verdict

    @property
    def first_content(self) -> str:
        """When the first text was there."""
        seconds = self.stream.timings.first_content if self.stream else None
        return "" if seconds is None else f"{seconds:.2f} s"

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table at the end."""
        return (str(self.number), self.prompt, self.state, str(self.events), self.first_content, str(len(self.text)))


class View:
    """Lines as things happen, and a table of spaces. Any stdout can show it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)

    def draw(self, rows: list[Row]) -> None:
        """Show how far the streams are."""

    def over(self, row: Row) -> None:
        """A stream has ended; what went wrong with it is told at the end."""
        if not row.error:
            self.say(f"[{row.number}] {row.state}: {row.events} events, {len(row.text)} characters")

    def table(self, rows: list[Row]) -> None:
        """Show how the streams ended."""
        widths = _widths(rows)
        for line in (_COLUMNS, *(row.cells for row in rows)):
            cells = zip(line, widths, _COLUMNS, strict=True)
            self.say("  ".join(f"{c:>{w}}" if n in _FROM_THE_RIGHT else f"{c:<{w}}" for c, w, n in cells).rstrip())


class LiveView(View):
    """A table that fills as the text arrives, and another at the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False, markup=False)
        # We draw at our own pace: its own would be a thread.
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        self._console.print(line)

    def draw(self, rows: list[Row]) -> None:
        prompt = min(50, self._console.width // 3)
        text = max(10, self._console.width - prompt - _LIVE_REST)
        table = _rich_table(("", 1), ("prompt", prompt), ("events", 6), ("text so far", text))
        for row in rows:
            table.add_row(str(row.number), row.prompt, str(row.events), row.tail(text), style=_style(row))
        self._live.update(table, refresh=True)

    def over(self, row: Row) -> None:
        """The next drawing shows it."""

    def table(self, rows: list[Row]) -> None:
        widths = _widths(rows)
        lines_and_spaces = 3 * len(widths) + 1
        widths[1] = max(6, min(widths[1], self._console.width - lines_and_spaces - sum(widths) + widths[1]))
        table = _rich_table(*zip(_COLUMNS, widths, strict=True))
        for row in rows:
            table.add_row(*row.cells, style=_style(row))
        self._console.print(table)


def _widths(rows: list[Row]) -> list[int]:
    """What each column of the table needs."""
    lines = [_COLUMNS, *(row.cells for row in rows)]
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def _rich_table(*columns: tuple[str, int]) -> Any:
    from rich.table import Table

    table = Table()
    for name, width in columns:
        justify: Literal["left", "right"] = "right" if name in _FROM_THE_RIGHT else "left"
        table.add_column(name, width=width, justify=justify, no_wrap=True)
    return table


def _style(row: Row) -> str:
    if row.error:
        return "red"
    return "" if row.is_open else ("yellow" if row.was_cut else "green")


def make_view(*, plain: bool) -> View:
    """The live view if stdout is a terminal and `rich` is installed (the extra `demo`)."""
    if plain or not sys.stdout.isatty() or importlib.util.find_spec("rich") is None:
        return View()
    return LiveView()
