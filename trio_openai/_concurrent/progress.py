"""A live view of `run_many` or `stream_many`: a bar on a terminal, plain lines elsewhere.

A task that lasts as long as the block asks for `statistics()` a few times a second, on trio's clock. rich only draws:
its own refreshing would need a thread. Drawing waits for nothing, so a cancellation cannot leave half of it behind.

Views that run at the same time share one `Screen`, since two displays would overwrite each other. When a view ends,
its last state is printed above those that go on.

`progress_text.py` decides what to say.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from trio_openai._http.nursery import nursery_around_block
from trio_openai._stream.results import Items

from .progress_text import GAP, LARGEST_BAR, SMALLEST_BAR, Frame, fitted, frames_of, plain_line, width_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_FRAME_SECONDS = 0.2
_LINE_SECONDS = 10.0  # between two plain lines,
_LATER_SECONDS = 60.0  # and after two minutes
_LONG = 120.0


def progress(
    results: Items[Any], *, title: str = "", console: Console | None = None, transient: bool = False
) -> AbstractAsyncContextManager[None]:
    """Show the progress of a `run_many` or `stream_many` while a block runs.

    On a terminal this is one line on stderr with a bar, how many calls have ended and failed, the tokens, the events
    per second and the remaining time. It shows less if the terminal is narrow. Elsewhere it prints a plain line every
    ten seconds (every minute after two minutes), and one at the end.

    What the program prints on the same terminal appears above the bar.

    Args:
        results: what `async with client.run_many(...) as results` gives.
        title: words before the bar.
        console: the `rich.console.Console` to draw on. By default stderr.
        transient: whether to remove the bar at the end. Otherwise its last state stays.

    Returns:
        A context manager for `async with`. An exception of the block is raised as it is.

    Raises:
        ModuleNotFoundError: rich is missing. The extra `progress` installs it.
        TypeError: `results` is something else.
    """
    if importlib.util.find_spec("rich") is None:
        raise ModuleNotFoundError("trio_openai.progress needs rich: pip install 'trio-openai[progress]'", name="rich")
    if not isinstance(results, Items):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"progress takes the results of run_many or stream_many, not {type(results).__name__}: write "
            "`async with client.run_many(calls) as results, trio_openai.progress(results):`"
        )
    return _shown(View(frames_of(results.statistics), title, transient=transient), console)


class View:
    """The progress of one run.

    Args:
        frame: returns what to show. Its argument says whether the run is over.
        title: words before the bar.
        transient: whether nothing should be left of the view.
    """

    def __init__(self, frame: Callable[[bool], Frame], title: str = "", *, transient: bool = False) -> None:
        self._frame = frame
        self.title = title
        self.transient = transient

    def line(self, *, is_over: bool = False) -> str:
        """Return the progress as plain text."""
        return plain_line(self._frame(is_over).figures, self.title)

    def drawn(self, width: int, title_width: int = 0, *, is_over: bool = False) -> RenderableType:
        """Return the progress as one line of at most `width` characters, of which its title takes `title_width`."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now = self._frame(is_over)
        title = self.title.ljust(title_width)[: width // 3]
        width -= len(title) + GAP if title else 0
        figures = fitted(now.figures, width)
        room = min(width - width_of(figures) - GAP, LARGEST_BAR) // 5 * 5  # steady while the figures grow
        row: list[RenderableType] = [Text(title)] if title else []
        if room >= SMALLEST_BAR and (now.fraction is not None or not is_over):
            row.append(
                ProgressBar(
                    total=None if now.fraction is None else 1.0,
                    completed=now.fraction or 0.0,
                    width=room,
                    animation_time=now.seconds,
                    complete_style="green",
                    finished_style="green",
                    pulse_style="green",
                )
            )
        row += [Text(figure.text[:width], figure.style, no_wrap=True) for figure in figures]
        grid = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        grid.add_row(*row)
        return grid


class Screen:
    """The display of one console, which several views may share."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._views: list[View] = []
        self._live: Live | None = None
        can_draw = console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None
        self.is_live: bool = can_draw or (console.is_interactive and not console.is_jupyter)

    def add(self, view: View) -> None:
        """Begin to show a view."""
        from rich.live import Live

        self._views.append(view)
        if self.is_live and self._live is None:
            # What a program writes to a file or a pipe must not go to the terminal.
            redirect = self.console.file is sys.stderr and sys.stdout.isatty()
            live = Live(console=self.console, auto_refresh=False, transient=True, redirect_stdout=redirect)
            if self._tolerating(live.start):
                self._live = live

    def remove(self, view: View) -> bool:
        """Stop showing a view. Print its last state. Return whether there is no other."""
        self._views.remove(view)
        self.draw()
        if self._live is not None and not self._views:
            self._tolerating(self._live.stop)
            self._live = None
        if not view.transient:
            self.print(view.drawn(self._width, is_over=True) if self.is_live else view.line(is_over=True))
        return not self._views

    def print(self, line: RenderableType) -> None:
        """Print a line above the views."""
        self._tolerating(self.console.print, line, markup=False, highlight=False, soft_wrap=isinstance(line, str))

    def draw(self) -> None:
        """Draw the present state of all views."""
        from rich.console import Group

        if self._live is not None:
            longest = max((len(view.title) for view in self._views), default=0)
            group = Group(*(view.drawn(self._width, longest) for view in self._views))
            self._tolerating(self._live.update, group, refresh=True)

    @property
    def _width(self) -> int:
        return self.console.width - 1  # some terminals wrap a line that fills them

    def _tolerating(self, function: Callable[..., object], *args: object, **more: object) -> bool:
        """Call a function that draws. A terminal that has gone away must not end the program's calls.

        Returns:
            Whether the terminal is still there.
        """
        try:
            function(*args, **more)
        except OSError:
            self.console.quiet = True
            return False
        return True


def console_of_stderr() -> Console:
    """Return the console of stderr. If that is a broken pipe, it falls silent, where rich would exit the program."""
    from rich.console import Console

    class Stderr(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True

    return Stderr(stderr=True)


_screens: dict[object, Screen] = {}


@trio.lowlevel.enable_ki_protection
def _begin(view: View, console: Console | None) -> tuple[object, Screen]:
    """Show a view on the screen of its console. Return the screen, and its key in `_screens`."""
    key: object = console or threading.get_ident()  # the screen of stderr belongs to a thread, as a trio run does
    if (screen := _screens.get(key)) is None:
        screen = _screens[key] = Screen(console or console_of_stderr())
    screen.add(view)
    screen.draw()
    return key, screen


@trio.lowlevel.enable_ki_protection
def _end(view: View, key: object, screen: Screen) -> None:
    if screen.remove(view):
        del _screens[key]


@asynccontextmanager
async def _shown(view: View, console: Console | None) -> AsyncGenerator[None]:
    await trio.lowlevel.checkpoint()
    key, screen = _begin(view, console)
    try:
        async with nursery_around_block() as nursery:
            nursery.start_soon(_refresh, view, screen)
            yield
    finally:
        _end(view, key, screen)


@trio.lowlevel.enable_ki_protection  # Ctrl-C must hit the user's own task, where it is raised bare
async def _refresh(view: View, screen: Screen) -> None:
    """Draw, or print lines, until cancelled."""
    began = trio.current_time()
    while True:
        if screen.is_live:
            await trio.sleep(_FRAME_SECONDS)
            screen.draw()
        else:
            is_long = trio.current_time() - began >= _LONG
            await trio.sleep(_LATER_SECONDS if is_long else _LINE_SECONDS)
            screen.print(view.line())
