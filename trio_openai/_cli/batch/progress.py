"""Show the progress: on a terminal, in a log, or as JSON for a machine. All on stderr."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from trio_openai.batch import BatchStatistics

from .report import as_json, status_line, summary

if TYPE_CHECKING:
    import argparse


def make_progress(options: argparse.Namespace) -> Progress:
    """Return what shows the progress in the way that the arguments ask for."""
    if options.json_status:
        return JSONProgress()
    if options.quiet:
        return Progress()
    return TerminalProgress() if sys.stderr.isatty() else LogProgress()


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

    def end(self, end: BatchStatistics, output: str | None, code: int) -> None:
        """Print the final summary."""


class LogProgress(Progress):
    """Print a line twice a minute."""

    seconds = 30.0

    def show(self, now: BatchStatistics, *, is_stopping: bool) -> None:  # noqa: ARG002
        """Print one line, but not before something has happened."""
        if now.seconds >= self.seconds / 2:
            self.say(status_line(now, 200))

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr, flush=True)

    def end(self, end: BatchStatistics, output: str | None, code: int) -> None:  # noqa: ARG002
        """Print the summary."""
        for line in summary(end, output):
            self.say(line)


class TerminalProgress(LogProgress):
    """Keep one line of the terminal up to date."""

    seconds = 0.2

    def show(self, now: BatchStatistics, *, is_stopping: bool) -> None:  # noqa: ARG002
        """Draw the line again."""
        print(
            f"\r\x1b[K{status_line(now, shutil.get_terminal_size().columns - 1)}", end="", file=sys.stderr, flush=True
        )

    def say(self, text: str) -> None:
        """Print a line above the progress."""
        super().say(f"\r\x1b[K{text}")


class JSONProgress(Progress):
    """Print an object per second."""

    seconds = 1.0

    def show(self, now: BatchStatistics, *, is_stopping: bool) -> None:
        """Print the statistics."""
        print(as_json(now, "stopping" if is_stopping else "running"), file=sys.stderr, flush=True)

    def end(self, end: BatchStatistics, output: str | None, code: int) -> None:
        """Print the final statistics, with the exit code."""
        print(as_json(end, "ended", output=output, exit_code=code), file=sys.stderr, flush=True)
