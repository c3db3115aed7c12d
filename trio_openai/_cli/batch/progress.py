"""Show the progress: on a terminal, in a log, or as JSON for a machine. All on stderr."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from trio_openai._concurrent.progress import Screen, View, console_of_stderr
from trio_openai._concurrent.progress_text import Estimate
from trio_openai.batch import BatchStatistics

from .report import as_json, expected_lines, frame_of, status_line, summary

if TYPE_CHECKING:
    import argparse


def make_progress(options: argparse.Namespace) -> Progress:
    """Return what shows the progress in the way that the arguments ask for."""
    if options.json_status:
        return JSONProgress()
    if options.quiet:
        return Progress()
    screen = None if options.output == "-" and sys.stdout.isatty() else _screen()  # results would tear the bar apart
    return LogProgress() if screen is None else LiveProgress(screen)


def _screen() -> Screen | None:
    """Return the display of stderr. None if that is no terminal on which a bar can move, or rich is not installed."""
    if not sys.stderr.isatty() or importlib.util.find_spec("rich") is None:
        return None
    screen = Screen(console_of_stderr())
    return screen if screen.is_live else None


class Progress:
    """Show nothing. The base of the others.

    Attributes:
        seconds: The time between two calls of `show`.
    """

    seconds = 60.0

    def show(self, now: BatchStatistics, *, is_stopping: bool) -> None:
        """Show the progress so far."""

    def say(self, text: str) -> None:
        """Print a sentence."""

    def hide(self) -> None:
        """Remove what `show` keeps on the screen, since the job has ended."""

    def end(self, end: BatchStatistics, output: str | None, code: int) -> None:
        """Print the final summary."""


class LogProgress(Progress):
    """Print a line twice a minute."""

    seconds = 30.0

    def __init__(self) -> None:
        self._estimate = Estimate()

    def show(self, now: BatchStatistics, *, is_stopping: bool) -> None:
        """Print one line, but not before something has happened."""
        if now.seconds >= self.seconds / 2:
            self.say(status_line(now, self._left(now, is_stopping=is_stopping)))

    def _left(self, now: BatchStatistics, *, is_stopping: bool) -> float | None:
        """Return the seconds that the rest of the input takes. None if it is not known, or will not be sent."""
        left = self._estimate.left(now.done + now.failed, expected_lines(now), now.seconds)
        return None if is_stopping else left

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr, flush=True)

    def end(self, end: BatchStatistics, output: str | None, code: int) -> None:  # noqa: ARG002
        """Print the summary."""
        for line in summary(end, output):
            self.say(line)


class LiveProgress(LogProgress):
    """Keep a bar on the terminal up to date.

    Args:
        screen: The display of the terminal.
    """

    seconds = 0.2

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen
        self._view: View | None = None
        self._frame = frame_of(BatchStatistics(), None)

    def show(self, now: BatchStatistics, *, is_stopping: bool) -> None:
        """Draw the bar again."""
        self._frame = frame_of(now, self._left(now, is_stopping=is_stopping))
        if self._view is None:
            self._view = View(lambda _: self._frame, transient=True)  # the summary replaces it
            self._screen.add(self._view)
        self._screen.draw()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._screen.print(text)

    def hide(self) -> None:
        """Remove the bar, and show the cursor again."""
        if self._view is not None:
            self._screen.remove(self._view)
            self._view = None


class JSONProgress(Progress):
    """Print an object per second."""

    seconds = 1.0

    def show(self, now: BatchStatistics, *, is_stopping: bool) -> None:
        """Print the statistics."""
        print(as_json(now, "stopping" if is_stopping else "running"), file=sys.stderr, flush=True)

    def end(self, end: BatchStatistics, output: str | None, code: int) -> None:
        """Print the final statistics, with the exit code."""
        print(as_json(end, "ended", output=output, exit_code=code), file=sys.stderr, flush=True)
