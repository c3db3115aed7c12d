"""The demo's output: rows that update in place on a terminal, and the same rows as plain text elsewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import textwrap
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import trio

import trio_openai

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from trio_openai import Items

_FRAME = 0.1  # seconds between two drawings
_LEFT = 34  # the smallest width of the left column; a wider one takes it from the text
_GAP = "  "


@attrs.frozen
class Row:
    """Two lines: on the left a title above its state, on the right the last two lines of a text.

    The text is broken into lines at words, from its beginning. So a line stays as it is while the text grows.

    Attributes:
        style: the colour of the state, as rich names it.
    """

    title: str
    state: str
    text: str = ""
    style: str = ""


Rows = Callable[[], list[Row]]
"""A function that returns the rows as they are now."""


class Display:
    """Plain output, which any stdout can show: it prints rows once, when they are final."""

    def say(self, line: str = "", style: str = "") -> None:  # noqa: ARG002 - for a terminal
        """Print a line."""
        print(line, flush=True)

    @contextlib.asynccontextmanager
    async def showing(self, rows: Rows) -> AsyncGenerator[None]:
        """Show the rows: on a terminal during the block and after it, elsewhere only after it."""
        await trio.lowlevel.checkpoint()
        yield
        await trio.lowlevel.checkpoint()
        for left, right, _style in laid_out(rows(), shutil.get_terminal_size().columns):
            self.say((left + _GAP + right).rstrip())

    @contextlib.asynccontextmanager
    async def progress(self, results: Items[Any]) -> AsyncGenerator[None]:
        """Show the progress of many calls: on a terminal during the block and after it, elsewhere only after it."""
        await trio.lowlevel.checkpoint()
        yield
        await trio.lowlevel.checkpoint()
        end = results.statistics()
        counts = f"{end.done} of {end.total} done, {end.failed} failed"
        self.say(f"{counts}, {end.usage.total_tokens} tokens, {end.seconds:.1f} s")


class LiveDisplay(Display):
    """Output on a terminal: rows that update in place."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console(highlight=False, markup=False)

    def say(self, line: str = "", style: str = "") -> None:
        self._console.print(line, style=style)

    @contextlib.asynccontextmanager
    async def showing(self, rows: Rows) -> AsyncGenerator[None]:
        from rich.live import Live

        # `_animate` redraws. Rich's own refresh would need a thread.
        with Live(console=self._console, auto_refresh=False) as live:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._animate, live, rows)
                yield
                nursery.cancel_scope.cancel()
            live.update(self.drawn(rows()), refresh=True)

    @contextlib.asynccontextmanager
    async def progress(self, results: Items[Any]) -> AsyncGenerator[None]:
        async with trio_openai.progress(results, console=self._console):
            yield

    async def _animate(self, live: Any, rows: Rows) -> None:
        while True:
            live.update(self.drawn(rows()), refresh=True)
            await trio.sleep(_FRAME)

    def drawn(self, rows: list[Row]) -> RenderableType:
        """Return the rows for rich to print."""
        from rich.text import Text

        lines = laid_out(rows, self._console.width)
        parts = (Text.assemble((left, style), _GAP, right) for left, right, style in lines)
        return Text("\n", no_wrap=True, overflow="ellipsis").join(parts)


def laid_out(rows: list[Row], width: int) -> Iterator[tuple[str, str, str]]:
    """Return the lines of the rows as (left side, right side, style of the left side), for a terminal's width."""
    left = max([_LEFT, *(len(side) for row in rows for side in (row.title, row.state))])
    left = min(left, width * 11 // 20)
    for row in rows:
        lines = wrapped(row.text, width - left - len(_GAP))[-2:]
        for side, style in ((row.title, ""), (row.state, row.style)):
            yield side[:left].ljust(left), lines.pop(0) if lines else "", style


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines, at its own line breaks and between words."""
    return [line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, max(1, width))]


def one_line(text: str) -> str:
    """Return a text on one line, without characters that a terminal could take as a command."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def make_display(*, plain: bool) -> Display:
    """Return a live display if stdout is a terminal and `rich` is installed (the extra `demo`), else a plain one."""
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    if plain or not is_terminal or importlib.util.find_spec("rich") is None:
        return Display()
    return LiveDisplay()
