"""Format the progress of a job: as a frame of a live view, as one line, as a summary, or as JSON. No I/O."""

from __future__ import annotations

import json
from typing import Any

import attrs

from trio_openai._concurrent.progress_text import Figure, Frame, duration, plain_line
from trio_openai.batch import BatchStatistics

BUDGETS = {
    "max_failures": "--max-failures",
    "max_tokens_total": "--max-tokens-total",
    "max_cost": "--max-cost",
}
"""The options that end a job before all lines have an answer, by the names that the statistics give them."""


def exit_code(end: BatchStatistics, interrupted: int | None) -> int:
    """Return the exit code of a job that has ended.

    Args:
        end: The final statistics.
        interrupted: The number of the signal that stopped the job, or None.

    Returns:
        0 if every line that was asked for has a complete answer; 1 if lines failed, in this run or an earlier one, or a
        budget left some of them; 128 plus the number of the signal, which is 130 for Ctrl-C.
    """
    if interrupted is not None:
        return 128 + interrupted
    return 1 if end.failed or end.skipped_failed or end.stopped_by in BUDGETS else 0


def as_json(now: BatchStatistics, state: str, **more: object) -> str:
    """Return the statistics as one line of JSON.

    Args:
        now: The statistics.
        state: `running`, `stopping` or `ended`.
        **more: Further members.
    """
    fields: dict[str, Any] = attrs.asdict(now)
    rate = {"lines_per_second": round(now.lines_per_second, 3), "fraction": now.fraction}
    return json.dumps({"state": state, **fields, **rate, **more})


def status_line(now: BatchStatistics, left: float | None) -> str:
    """Return the progress as one line of text.

    Args:
        now: The statistics.
        left: The seconds that the rest takes, or None.
    """
    return plain_line(_figures(now, left), "")


def frame_of(now: BatchStatistics, left: float | None) -> Frame:
    """Return the progress as a frame of a live view."""
    return Frame(_figures(now, left), now.fraction, now.seconds)


def _figures(now: BatchStatistics, left: float | None) -> list[Figure]:
    figures = [Figure(f"{now.done + now.failed:,} done", 0)]
    if now.fraction is not None:
        figures.append(Figure(f"{int(now.fraction * 100)}%".rjust(4), 3))  # rounded down: 100% means all
    if now.failed:
        figures.append(Figure(f"{now.failed:,} failed", 1, "red"))
    if now.skipped:
        figures.append(Figure(f"{now.skipped:,} skipped", 7))
    figures.append(Figure(f"{now.running} running", 6))
    if now.usage.total_tokens:
        figures.append(Figure(f"{now.usage.total_tokens:,} tokens", 4))
    if now.cost is not None:
        figures.append(Figure(f"cost {now.cost:.4g}", 4))
    figures.append(Figure(f"{now.lines_per_second:,.0f} lines/s", 5))
    return [*figures, Figure(duration(now.seconds), 7) if left is None else Figure(f"{duration(left)} left", 2)]


def expected_lines(now: BatchStatistics) -> float | None:
    """Estimate how many lines this run will have sent in the end. None if the size of the input is not known."""
    if not now.bytes_read or now.bytes_total is None:
        return None
    return now.read * now.bytes_total / now.bytes_read - now.skipped


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def summary(end: BatchStatistics, output: str | None) -> list[str]:
    """Return the final report as lines.

    Args:
        end: The final statistics.
        output: The file of results, or None.
    """
    if end.would_send is not None:
        return list(_dry(end))
    lines = [_counts(end, output), *_failures(end), *_tokens(end), *_times(end)]
    return [*lines, *_ending(end)]


def _counts(end: BatchStatistics, output: str | None) -> str:
    results = end.done + end.failed
    text = (
        f"{counted(results, 'line')} in {_duration(end.seconds)} ({end.lines_per_second:,.1f}/s): {end.done:,} complete"
    )
    text += f", {end.failed:,} failed"
    if end.copied:
        text += f", {end.copied:,} of them copies"
    if end.skipped:
        text += f"; {end.skipped:,} were already in {output or 'the output'}"
    return text + (f", {end.skipped_failed:,} of them failed" if end.skipped_failed else "")


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else duration(seconds)


def _failures(end: BatchStatistics) -> list[str]:
    kinds = sorted(end.failures.items(), key=lambda kind: (-kind[1], kind[0]))
    return ["failures: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds)] if kinds else []


def _tokens(end: BatchStatistics) -> list[str]:
    used = end.usage
    if not used.total_tokens and end.cost is None:
        return []
    text = f"tokens: {used.input_tokens:,} in, {used.output_tokens:,} out"
    if used.cached_tokens:
        text += f", {used.cached_tokens:,} cached"
    if end.seconds:
        text += f" ({used.total_tokens / end.seconds:,.0f}/s)"
    return [text + (f"; cost {end.cost:.6g}" if end.cost is not None else "")]


def _times(end: BatchStatistics) -> list[str]:
    parts = [f"retries: {end.retries:,}"]
    if end.first_content_p50 is not None and end.first_content_p99 is not None:
        parts.append(f"time to first token: p50 {end.first_content_p50:.3f} s, p99 {end.first_content_p99:.3f} s")
    return ["; ".join(parts)]


def _ending(end: BatchStatistics) -> list[str]:
    if end.stopped_by in BUDGETS:
        return [f"stopped by {BUDGETS[end.stopped_by]}; run the command again to continue"]
    if end.stopped_by in ("stop", "cancel"):
        return ["stopped; run the command again to continue"]
    if end.skipped_failed:
        return ["--retry-failed sends again what failed"]
    return []


def _dry(end: BatchStatistics) -> list[str]:
    lines = [f"would send {counted(end.would_send or 0, 'request')} for {counted(end.read, 'line')}; nothing was sent"]
    if end.skipped:
        lines.append(f"done already: {counted(end.skipped, 'line')}")
    if end.invalid:
        lines.append(f"not a request: {counted(end.invalid, 'line')}")
    if end.estimated_tokens is not None:
        lines.append(f"about {end.estimated_tokens:,} tokens: the input, and the output that max_tokens allows")
    if end.estimated_cost is not None:
        lines.append(f"about {end.estimated_cost:.6g} in the currency of the prices")
    return lines
