"""Workers on Ray: what one worker does, and jobs in which a worker or the driver is killed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import served

from trio_openai._batch.rows import BatchRow, Defaults, parse_line
from trio_openai._batch.worker import Answer, BatchWorker
from trio_openai.batch import RayWorkers
from trio_openai.testing import RecordedRequest, Reply

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or not Path("/proc").exists(), reason="needs the extra `ray`, and Linux"
)


class Answers:
    """A server's answers. `prompts` counts what it was asked."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.prompts = Counter[str]()
        self._pace = seconds / 3

    def __call__(self, request: RecordedRequest) -> Reply:
        self.prompts[request.json()["messages"][-1]["content"]] += 1
        return Reply.chat("A long river.", pace=self._pace)


def row(number: int) -> BatchRow:
    made = parse_line(json.dumps({"prompt": f"Say {number}."}).encode(), number, Defaults(model="m"))
    assert isinstance(made, BatchRow)
    return made


async def _take(worker: BatchWorker, count: int) -> dict[int, Answer]:
    taken: dict[int, Answer] = {}
    async for answers in worker.results():
        taken |= {answer[0]: answer for answer in answers}
        if len(taken) >= count:
            break
    return taken


def test_a_worker_sends_what_it_is_given_and_hands_out_the_results() -> None:
    async def use(url: str) -> dict[int, Answer]:
        worker = BatchWorker([{"base_url": url, "api_key": "x"}], 4, None, None)
        await worker.send([(number, row(number)) for number in range(10)])
        taken = await _take(worker, 10)
        await worker.close()
        return taken

    with served(Answers()) as url:
        taken = asyncio.run(use(url))
    assert taken.keys() == set(range(10))
    assert {answer.status for _number, answer in taken.values()} == {200}


def test_a_worker_that_is_stopped_begins_no_more_requests_and_finishes_the_others() -> None:
    answers = Answers(seconds=0.6)

    async def use(url: str) -> dict[int, Answer]:
        worker = BatchWorker([{"base_url": url, "api_key": "x"}], 2, None, None)
        await worker.send([(number, row(number)) for number in range(6)])
        while answers.prompts.total() < 2:
            await asyncio.sleep(0.01)
        await worker.stop()
        taken = await _take(worker, 6)
        await worker.close()
        return taken

    with served(answers) as url:
        taken = asyncio.run(use(url))
    assert sum(answer is None for _number, answer in taken.values()) == 4
    assert answers.prompts.total() == 2


def test_closing_a_worker_cancels_its_requests_and_waits_for_their_cleanup() -> None:
    answers = Answers(seconds=300)

    async def use(url: str) -> BatchWorker:
        worker = BatchWorker([{"base_url": url, "api_key": "x"}], 2, None, None)
        await worker.send([(0, row(0))])
        while not answers.prompts:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        await worker.close()
        assert time.monotonic() - began < 3
        return worker

    with served(answers) as url:
        worker = asyncio.run(use(url))
    assert not worker._thread.is_alive()
    assert worker._failure is None


def test_a_worker_whose_arguments_are_wrong_raises_in_its_constructor() -> None:
    with pytest.raises(ValueError, match="base_url"):
        BatchWorker([{"base_url": "nonsense", "api_key": "x"}], 2, None, None)


def test_the_number_of_workers_is_checked() -> None:
    with pytest.raises(ValueError, match="count takes a whole number of at least 1, not 0"):
        RayWorkers(0)


# With Ray: a driver, which is a child process, and two workers.


def driver(url: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "trio_openai", "batch", "in.jsonl", "-o", "out.jsonl", "--model", "m"]
    variables = os.environ | {"OPENAI_API_KEY": "x"}
    return subprocess.Popen(
        [*command, "--base-url", url, *more], cwd=folder, env=variables, stderr=subprocess.PIPE, text=True
    )


def parents() -> dict[int, int]:
    """Return the parent of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return found


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the process ids of a driver's workers."""
    of = parents()

    def is_below(child: int) -> bool:
        while child in of:
            child = of[child]
            if child == process.pid:
                return True
        return False

    def name(child: int) -> bytes:
        try:
            return Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            return b""

    return [child for child in of if name(child).startswith(b"ray::BatchWorker") and is_below(child)]


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)


def lines_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def write_input(folder: Path, count: int) -> None:
    lines = [json.dumps({"custom_id": str(number), "prompt": f"Say {number}."}) for number in range(count)]
    (folder / "in.jsonl").write_text("\n".join([*lines, ""]))


@needs_ray
def test_when_a_worker_is_killed_every_line_gets_one_result_and_only_requests_in_flight_are_sent_again(
    tmp_path: Path,
) -> None:
    write_input(tmp_path, 60)
    answers = Answers(seconds=0.5)
    with served(answers) as url, driver(url, tmp_path, "--workers", "2", "--max-concurrent", "8") as process:
        wait_for(lambda: answers.prompts.total() >= 20, process)
        os.kill(workers_of(process)[0], signal.SIGKILL)
        _out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    lines = lines_in(tmp_path)
    assert sorted(int(line["custom_id"]) for line in lines) == list(range(60))
    assert {line["error"] for line in lines} == {None}
    assert len(answers.prompts) == 60
    assert answers.prompts.total() - 60 <= 4, "one worker had at most four requests in flight"


@needs_ray
def test_when_the_driver_is_killed_the_next_run_continues(tmp_path: Path) -> None:
    write_input(tmp_path, 30)
    answers = Answers(seconds=0.5)
    with served(answers) as url:
        with driver(url, tmp_path, "--workers", "2", "--max-concurrent", "6") as process:
            wait_for(lambda: answers.prompts.total() >= 12, process)
            process.kill()
        with driver(url, tmp_path) as process:
            _out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
    assert sorted(int(line["custom_id"]) for line in lines_in(tmp_path)) == list(range(30))
    # The workers may take up to some seconds to notice: by then they had been given no more than six requests.
    assert answers.prompts.total() - 30 <= 6
