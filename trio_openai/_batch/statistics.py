"""The progress of a batch job: `BatchStatistics`, and the counters behind it. No I/O, no clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import attrs

from trio_openai._statistics import Usage
from trio_openai._wire.timings import Timings

_FINEST = 1e-4  # seconds; times below count as this
_STEP = math.log(1.02)  # times are kept to 2 %


@attrs.frozen(kw_only=True)
class BatchStatistics:
    """The progress of a batch job.

    Attributes:
        read: Lines of the input that have been read.
        skipped: Lines whose result was in the output already.
        skipped_failed: Lines among these whose result is an error. `retry_failed=True` sends their requests again.
        done: Lines that got a complete answer in this run.
        failed: Lines that got an error in this run.
        copied: Lines among these that got the answer of an identical request.
        invalid: Lines among the failed ones that are not requests.
        running: Requests in flight.
        retries: Attempts that failed and were followed by another.
        failures: The number of failed lines by kind: the error's code, or the name of its class.
        usage: The tokens of this run, as far as the servers report them.
        cost: The cost of this run, or None without prices.
        estimated_tokens: In a dry run, an estimate of the tokens of all requests that would be sent.
        estimated_cost: In a dry run with prices, an estimate of their cost.
        would_send: In a dry run, the number of requests that would be sent.
        first_content_p50: The median time to the first content in seconds, or None if there was none.
        first_content_p99: The time to the first content that one request in a hundred exceeds.
        seconds: Time since the start.
        bytes_read: Bytes of the input that have been read, or None if the source does not say.
        bytes_total: The size of the input, or None if it is not known.
        stopped_by: Why the job ended early: `stop`, `limit`, `max_failures`, `max_tokens_total`, `max_cost`; else None.
    """

    read: int = 0
    skipped: int = 0
    skipped_failed: int = 0
    done: int = 0
    failed: int = 0
    copied: int = 0
    invalid: int = 0
    running: int = 0
    retries: int = 0
    failures: Mapping[str, int] = attrs.field(factory=dict[str, int])
    usage: Usage = attrs.field(factory=Usage)
    cost: float | None = None
    estimated_tokens: int | None = None
    estimated_cost: float | None = None
    would_send: int | None = None
    first_content_p50: float | None = None
    first_content_p99: float | None = None
    seconds: float = 0.0
    bytes_read: int | None = None
    bytes_total: int | None = None
    stopped_by: str | None = None

    @property
    def lines_per_second(self) -> float:
        """The lines that got a result, per second since the start."""
        return (self.done + self.failed) / self.seconds if self.seconds else 0.0

    @property
    def fraction(self) -> float | None:
        """The part of the input that has its result, from 0 to 1; None if the size of the input is not known."""
        if self.bytes_read is None or self.bytes_total is None:
            return None
        taken = self.bytes_read / self.bytes_total if self.bytes_total else 1.0
        ended = self.skipped + self.done + self.failed
        return taken * min(ended / self.read, 1.0) if self.read else taken


class Times:
    """The distribution of some times, in a few hundred counters however many there are."""

    def __init__(self) -> None:
        self._counts = Counter[int]()

    def add(self, seconds: float) -> None:
        """Count one time."""
        self._counts[round(math.log(max(seconds, _FINEST)) / _STEP)] += 1

    def percentile(self, part: float) -> float | None:
        """Return the time that this part of all times does not exceed, to 2 %; None if there are none."""
        left = math.ceil(self._counts.total() * part)
        for step in sorted(self._counts):
            left -= self._counts[step]
            if left <= 0:
                return round(math.exp(step * _STEP), 6)
        return None


@attrs.define(eq=False)
class BatchCounters:
    """The mutable counters behind `BatchStatistics`. The attributes have the same meaning."""

    began: float
    read: int = 0
    skipped: int = 0
    skipped_failed: int = 0
    done: int = 0
    failed: int = 0
    copied: int = 0
    invalid: int = 0
    running: int = 0
    retries: int = 0
    usage: Usage = attrs.field(factory=Usage)
    cost: float | None = None
    would_send: int | None = None
    estimated_tokens: int | None = None
    estimated_cost: float | None = None
    stopped_by: str | None = None
    first_content: Times = attrs.field(factory=Times)
    failures: Counter[str] = attrs.field(factory=Counter[str])
    _ended: float | None = attrs.field(default=None, init=False)

    def count_timings(self, timings: Timings | None) -> None:
        """Take in the timings of a request."""
        if timings is None:
            return
        self.retries += timings.retries
        if timings.first_content is not None:
            self.first_content.add(timings.first_content)

    def count_line(self, failure: str | None) -> None:
        """Count a line that got its result.

        Args:
            failure: The kind of its error, or None.
        """
        if failure is None:
            self.done += 1
        else:
            self.failed += 1
            self.failures[failure] += 1

    def end(self, now: float) -> None:
        """Stop the clock."""
        self._ended = now

    def statistics(self, now: float, bytes_read: int | None, bytes_total: int | None) -> BatchStatistics:
        """Return the counters as of now."""
        return BatchStatistics(
            **{name: getattr(self, name) for name in _COUNTED},
            failures=dict(self.failures),
            first_content_p50=self.first_content.percentile(0.5),
            first_content_p99=self.first_content.percentile(0.99),
            seconds=(now if self._ended is None else self._ended) - self.began,
            bytes_read=bytes_read,
            bytes_total=bytes_total,
        )


_COUNTED = (attrs.fields_dict(BatchCounters).keys() & attrs.fields_dict(BatchStatistics).keys()) - {"failures"}
"""The counters that `BatchStatistics` has as they are. A new one only has to be added to both classes."""
