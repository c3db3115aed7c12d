"""The progress of `trio-openai batch`: a bar on a terminal with rich, plain lines elsewhere."""

from __future__ import annotations

import argparse
import importlib.util
import io
import re
import sys

import pytest

from trio_openai import Usage
from trio_openai._cli.batch.progress import JSONProgress, LiveProgress, LogProgress, Progress, make_progress
from trio_openai.batch import BatchStatistics

BUSY = BatchStatistics(
    read=500,
    done=490,
    failed=10,
    running=64,
    usage=Usage(10_000, 20_000),
    seconds=100.0,
    bytes_read=500,
    bytes_total=1000,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """The lines that were on the screen, one after the other, without control sequences."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\r", self.getvalue())
        return [line.strip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


def options(**more: object) -> argparse.Namespace:
    return argparse.Namespace(**{"json_status": False, "quiet": False, "output": "out.jsonl", **more})


def terminal_as_stderr(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Call it in the test: pytest sets stderr again after the fixtures."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "110"}.items():
        monkeypatch.setenv(name, value)
    file = Terminal()
    monkeypatch.setattr(sys, "stderr", file)
    return file


def test_a_terminal_has_a_bar_with_failures_tokens_rate_and_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_as_stderr(monkeypatch)
    shown = make_progress(options())
    shown.show(BUSY, is_stopping=False)
    shown.hide()
    figures = "500 done   50%  10 failed  64 running  30,000 tokens  5 lines/s  1:40 left"
    assert re.fullmatch(r"[━╸╺ ]+" + figures, terminal.lines[-1])


def test_the_remaining_time_is_not_shown_while_the_job_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_as_stderr(monkeypatch)
    shown = make_progress(options())
    shown.show(BUSY, is_stopping=True)
    shown.hide()
    assert "left" not in terminal.lines[-1]


def test_sentences_appear_above_the_bar_and_the_summary_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_as_stderr(monkeypatch)
    shown = make_progress(options())
    shown.show(BUSY, is_stopping=False)
    shown.say("finishing 64 running requests")
    assert terminal.lines[1].startswith("finishing 64 running requests")
    assert "500 done" in terminal.lines[2]
    shown.hide()
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") == 1
    shown.end(BUSY, "out.jsonl", 1)
    assert "500 done" not in terminal.lines[-1]
    assert terminal.getvalue().endswith("\n")
    assert sys.stderr is terminal


def test_a_job_that_ends_before_anything_is_shown_leaves_the_screen_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_as_stderr(monkeypatch)
    make_progress(options()).hide()
    assert terminal.getvalue() == ""


def test_without_rich_a_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_as_stderr(monkeypatch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    shown = make_progress(options())
    shown.show(BUSY, is_stopping=False)
    shown.hide()
    assert terminal.getvalue() == ("500 done, 50%, 10 failed, 64 running, 30,000 tokens, 5 lines/s, 1:40 left\n")


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_as_stderr(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    assert type(make_progress(options())) is LogProgress
    assert terminal.getvalue() == ""


def test_results_that_are_printed_on_the_terminal_have_no_bar_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal_as_stderr(monkeypatch)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert type(make_progress(options(output="-"))) is LogProgress
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert type(make_progress(options(output="-"))) is LiveProgress


def test_a_file_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(make_progress(options())) is LogProgress


def test_options_decide_also_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal_as_stderr(monkeypatch)
    assert type(make_progress(options(json_status=True))) is JSONProgress
    assert type(make_progress(options(quiet=True))) is Progress
