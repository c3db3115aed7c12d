"""The demo's output: tables that update in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import attrs
import trio

if TYPE_CHECKING:
    from rich.live import Live

_FRAME = 0.1  # seconds between two drawings
_SMALLEST = 6  # the smallest width of a table's column, in characters


@attrs.frozen
class Column:
    """A column of a table.

    Attributes:
        right: align the cells to the right.
        share: the largest share of the terminal's width that it may take.
        fills: take all width that the other columns leave. At most one column of a table has this.
        end: show the end of a cell that is too long, not its beginning.
        shrinks: become narrower than its content if the terminal is too narrow.
    """

    name: str
    right: bool = False
    share: float = 1.0
    fills: bool = False
    end: bool = False
    shrinks: bool = False


@attrs.frozen
class Line:
    """A line of a table, and its colour on a terminal."""

    cells: tuple[str, ...]
    style: str = ""


@attrs.frozen
class Table:
    """A table to draw, on a terminal or elsewhere."""

    columns: tuple[Column, ...]
    lines: list[Line]

    def needed(self) -> list[int]:
        """Return the width that each column needs."""
        rows = [tuple(column.name for column in self.columns), *(line.cells for line in self.lines)]
        return [max(map(len, cells)) for cells in zip(*rows, strict=True)]

    def fitted(self, total: int) -> list[int]:
        """Return the width that each column gets on a terminal of the given total width."""
        widths = [min(n, int(total * c.share)) for n, c in zip(self.needed(), self.columns, strict=True)]
        left = total - sum(widths) - 3 * len(widths) - 1
        for number, column in enumerate(self.columns):
            if column.fills or (column.shrinks and left < 0):
                widths[number] = max(_SMALLEST, widths[number] + left)
        return widths


class Display:
    """Plain output that any stdout can show: lines as things happen, and tables aligned with spaces."""

    is_live = False

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)

    def heading(self, line: str) -> None:
        """Begin a scene."""
        self.say(line)

    def end(self) -> None:
        """End a scene."""
        self.say("")

    @contextlib.contextmanager
    def drawing(self) -> Generator[None]:
        """Let each `draw` in the block replace the previous one."""
        yield

    def draw(self, table: Table) -> None:
        """Show the progress. A plain display prints lines instead, so it does nothing here."""

    def table(self, table: Table) -> None:
        """Print the final table."""
        for cells in (tuple(column.name for column in table.columns), *(line.cells for line in table.lines)):
            places = zip(cells, table.needed(), table.columns, strict=True)
            padded = (text.rjust(width) if column.right else text.ljust(width) for text, width, column in places)
            self.say("  ".join(padded).rstrip())


class LiveDisplay(Display):
    """Output on a terminal: tables that update in place."""

    is_live = True

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, markup=False)
        self._live: Live | None = None

    def say(self, line: str) -> None:
        self._console.print(line)

    def heading(self, line: str) -> None:
        self._console.print(line, style="bold")

    @contextlib.contextmanager
    def drawing(self) -> Generator[None]:
        from rich.live import Live

        # `animate` redraws. Rich's own refresh would need a thread.
        with Live(console=self._console, auto_refresh=False) as self._live:
            yield
        self._live = None

    def draw(self, table: Table) -> None:
        assert self._live is not None
        self._live.update(self._rich(table), refresh=True)

    def table(self, table: Table) -> None:
        self._console.print(self._rich(table))

    def _rich(self, table: Table) -> Any:
        from rich.table import Table as RichTable

        widths = table.fitted(self._console.width)
        rich = RichTable()
        for column, width in zip(table.columns, widths, strict=True):
            rich.add_column(column.name, width=width, justify="right" if column.right else "left", no_wrap=True)
        for line in table.lines:
            cells = zip(line.cells, widths, table.columns, strict=True)
            rich.add_row(*(text[-width:] if column.end else text for text, width, column in cells), style=line.style)
        return rich


async def animate(display: Display, table: Callable[[], Table]) -> None:
    """Redraw a table until cancelled."""
    while True:
        display.draw(table())
        await trio.sleep(_FRAME)


def one_line(text: str) -> str:
    """Return a text on one line, without characters that a terminal could take as a command."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def tail(text: str, width: int) -> str:
    """Return the end of a text, on one line."""
    return one_line(text[-4 * width :])[-width:]


def make_display(*, plain: bool) -> Display:
    """Return a live display if stdout is a terminal and `rich` is installed (the extra `demo`), else a plain one."""
    if plain or not sys.stdout.isatty() or importlib.util.find_spec("rich") is None:
        return Display()
    return LiveDisplay()
