"""Killing a batch job at any moment loses no line and doubles none, and pays twice only for requests in flight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "helpers" / "batch_killer.py"
KILLS = int(os.environ.get("TRIO_OPENAI_TEST_KILLS", "25"))  # a run, of which there are four


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks")
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_job_killed_a_hundred_times_has_each_line_once(tmp_path: Path, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), str(KILLS), str(seed)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    given = [json.loads(line) for line in (tmp_path / "in.jsonl").read_text().splitlines() if line != "no JSON"]
    results = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (report["killed"], report["last"]) == (KILLS, 0)
    assert report["written"] < len(given)  # the kills did not come too late
    # No line is lost, none is doubled, and each has its own answer.
    invalid = [result for result in results if result["error"]]
    assert [(one["error"]["code"], one["error"]["line"]) for one in invalid] == [("invalid_line", 51)]
    answers = {
        result["custom_id"]: result["response"]["body"]["choices"][0]["message"]["content"]
        for result in results
        if not result["error"]
    }
    assert Counter(result["custom_id"] for result in results if not result["error"]) == Counter(
        line["custom_id"] for line in given
    )
    assert all(answers[line["custom_id"]] == f"answer to {line['prompt']}" for line in given)
    # At most the requests in flight are paid for twice.
    requests = Counter((tmp_path / "requests").read_text().splitlines())
    assert requests.keys() == {line["prompt"] for line in given}
    assert requests.total() - len(requests) <= report["killed"] * report["at_once"]
