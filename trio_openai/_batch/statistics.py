"""The progress of a batch job."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from trio_openai._statistics import Usage


@attrs.frozen(kw_only=True)
class BatchStatistics:
    """The progress of a batch job.

    Attributes:
        read: Lines of the input that have been read.
        skipped: Lines whose result was in the output already.
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
        """The part of the input that has been read, from 0 to 1; None if its size is not known."""
        if self.bytes_read is None or self.bytes_total is None:
            return None
        return self.bytes_read / self.bytes_total if self.bytes_total else 1.0
