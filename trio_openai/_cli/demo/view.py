"""How the demo looks: tables that fill on a terminal, lines elsewhere."""

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

_FRAME = 0.1  # seconds from one drawing to the next
_SMALLEST = 6  # columns of the terminal for a column of a table


@attrs.frozen
class Column:
    """A column of a table.

    Attributes:
        right: its cells are aligned to the right.
        share: on a terminal it has at most this part of the width.
        fills: on a terminal it has what the others leave. One of a table at most.
        end: of a cell that is too long for it the end is seen, and not the beginning.
        shrinks: on a terminal it has less than it needs if the others leave no more.
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
    """What to draw, on whatever there is."""

    columns: tuple[Column, ...]
    lines: list[Line]

    def needed(self) -> list[int]:
        """The width that each column needs."""
        rows = [tuple(column.name for column in self.columns), *(line.cells for line in self.lines)]
        return [max(map(len, cells)) for cells in zip(*rows, strict=True)]

    def fitted(self, total: int) -> list[int]:
        """The width that each column has on a terminal."""
        widths = [min(n, int(total * c.share)) for n, c in zip(self.needed(), self.columns, strict=True)]
        left = total - sum(widths) - 3 * len(widths) - 1
        for number, column in enumerate(self.columns):
            if column.fills or (column.shrinks and left < 0):
                widths[number] = max(_SMALLEST, widths[number] + left)
        return widths


class View:
    """Lines as things happen, and tables of spaces. Any stdout can show it."""

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
        """Have what is drawn take the place of what was drawn before, in this block."""
        yield

    def draw(self, table: Table) -> None:
        """Show how far things are."""

    def table(self, table: Table) -> None:
        """Show how things ended."""
        for cells in (tuple(column.name for column in table.columns), *(line.cells for line in table.lines)):
            places = zip(cells, table.needed(), table.columns, strict=True)
            padded = (text.rjust(width) if column.right else text.ljust(width) for text, width, column in places)
            self.say("  ".join(padded).rstrip())


class LiveView(View):
    """Tables that fill as things happen."""

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

        # We draw at our own pace: its own would be a thread.
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


async def animate(view: View, table: Callable[[], Table]) -> None:
    """Draw a table again and again."""
    while True:
        view.draw(table())
        await trio.sleep(_FRAME)


def one_line(text: str) -> str:
    """A text on one line, without what a terminal could take for a command."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def tail(text: str, width: int) -> str:
    """The end of a text, on one line."""
    return one_line(text[-4 * width :])[-width:]


def make_view(*, plain: bool) -> View:
    """The live view if stdout is a terminal and `rich` is installed (the extra `demo`)."""
    if plain or not sys.stdout.isatty() or importlib.util.find_spec("rich") is None:
        return View()
    return LiveView()
