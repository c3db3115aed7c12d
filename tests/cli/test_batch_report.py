"""The report of `trio-openai batch`: its status line, its summary, its JSON, and the exit code."""

from __future__ import annotations

import json
import signal

import pytest

from trio_openai import Usage
from trio_openai._cli.batch.report import as_json, exit_code, expected_lines, status_line, summary
from trio_openai.batch import BatchStatistics

BUSY = BatchStatistics(
    read=600,
    skipped=100,
    skipped_failed=2,
    done=490,
    failed=10,
    copied=7,
    running=64,
    retries=3,
    failures={"RateLimitError": 3, "BadRequestError": 7},
    usage=Usage(10_000, 20_000, 500),
    cost=0.125,
    first_content_p50=0.25,
    first_content_p99=1.5,
    seconds=100.0,
    bytes_read=500,
    bytes_total=1000,
)


def test_the_status_line_has_the_progress() -> None:
    assert status_line(BUSY, 100.0) == (
        "500 done, 50%, 10 failed, 100 skipped, 64 running, 30,000 tokens, cost 0.125, 5 lines/s, 1:40 left"
    )


def test_the_status_line_of_an_input_of_unknown_size_has_no_fraction() -> None:
    assert status_line(BatchStatistics(done=1, seconds=2.0), None) == "1 done, 0 running, 0 lines/s, 0:02"


def test_lines_that_are_skipped_do_not_count_for_the_remaining_time() -> None:
    assert expected_lines(BUSY) == 1100
    assert expected_lines(BatchStatistics(read=9)) is None


def test_the_summary_has_rate_tokens_failures_retries_and_times() -> None:
    assert summary(BUSY, "out.jsonl") == [
        (
            "500 lines in 100.0 s (5.0/s): 490 complete, 10 failed, 7 of them copies; "
            "100 were already in out.jsonl, 2 of them failed"
        ),
        "failures: 7 BadRequestError, 3 RateLimitError",
        "tokens: 10,000 in, 20,000 out, 500 cached (300/s); cost 0.125",
        "retries: 3; time to first token: p50 0.250 s, p99 1.500 s",
        "--retry-failed sends again what failed",
    ]


def test_the_summary_of_a_dry_run_says_what_would_be_sent() -> None:
    end = BatchStatistics(
        read=9, skipped=2, invalid=1, would_send=6, estimated_tokens=600, estimated_cost=0.5, seconds=1.0
    )
    assert summary(end, None) == [
        "would send 6 requests for 9 lines; nothing was sent",
        "done already: 2 lines",
        "not a request: 1 line",
        "about 600 tokens: the input, and the output that max_tokens allows",
        "about 0.5 in the currency of the prices",
    ]


@pytest.mark.parametrize("why", ["max_failures", "max_tokens_total", "max_cost"])
def test_the_summary_names_the_option_that_stopped_the_job(why: str) -> None:
    last = summary(BatchStatistics(done=1, seconds=1.0, stopped_by=why), "out")[-1]
    assert last == f"stopped by --{why.replace('_', '-')}; run the command again to continue"


def test_json_has_every_figure() -> None:
    figures = json.loads(as_json(BUSY, "running"))
    assert figures["state"] == "running"
    assert figures["done"] == 490
    assert figures["usage"]["output_tokens"] == 20_000
    assert figures["failures"] == {"RateLimitError": 3, "BadRequestError": 7}
    assert figures["lines_per_second"] == 5.0
    assert figures["fraction"] == 0.5
    assert json.loads(as_json(BUSY, "ended", exit_code=1))["exit_code"] == 1


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (BatchStatistics(done=5, skipped=5), 0),
        (BatchStatistics(done=5, stopped_by="limit"), 0),
        (BatchStatistics(done=5, failed=1), 1),
        (BatchStatistics(skipped=5, skipped_failed=1), 1),
        (BatchStatistics(done=5, stopped_by="max_cost"), 1),
        (BatchStatistics(done=5, stopped_by="max_tokens_total"), 1),
    ],
)
def test_the_exit_code_is_0_only_if_all_that_was_asked_for_is_complete(end: BatchStatistics, code: int) -> None:
    assert exit_code(end, None) == code
    assert exit_code(end, signal.SIGINT) == 130
    assert exit_code(end, signal.SIGTERM) == 143
