"""`trio-openai batch` from its arguments to its files and its exit code, in child processes where signals matter."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import served

from trio_openai._cli.main import main
from trio_openai.testing import RecordedRequest, Reply


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")


def write_lines(count: int, path: str = "in.jsonl") -> None:
    lines = [json.dumps({"custom_id": f"r{number}", "prompt": f"Say {number}."}) for number in range(count)]
    Path(path).write_text("\n".join([*lines, ""]))


def read_lines(path: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def texts(lines: list[dict[str, Any]]) -> dict[str, str]:
    """Return the answers by the custom_id."""
    return {
        line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"]
        for line in lines
        if not line["error"]
    }


class Answers:
    """A server's answers. `bodies` are the requests that it got, `keys` their API keys."""

    def __init__(self, refuse: str = "no such prompt") -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._refuse = refuse

    def __call__(self, request: RecordedRequest) -> Reply:
        body = request.json()
        self.bodies.append(body)
        self.keys.append(request.header("authorization") or "")
        if self._refuse in request.body.decode():
            return Reply.error(400, "This prompt is refused.")
        return Reply.chat("A river.")


def batch(*arguments: str) -> int:
    return main(["batch", *arguments])


def test_each_line_gets_its_answer_and_the_exit_code_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(3)
    with served(Answers()) as url:
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url) == 0
    assert texts(read_lines()) == {"r0": "A river.", "r1": "A river.", "r2": "A river."}
    said = capsys.readouterr()
    assert said.out == ""
    assert "3 lines in " in said.err
    assert "3 complete, 0 failed" in said.err
    assert "time to first token: p50 " in said.err


def test_options_complete_the_short_lines() -> None:
    write_lines(1)
    answers = Answers()
    more = ["--system", "Be brief.", "--param", "temperature=0", "--param", 'stop=["x"]', "--param", "user=me"]
    with served(answers) as url:
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url, *more) == 0
    (body,) = answers.bodies
    assert body["model"] == "m"
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert (body["temperature"], body["stop"], body["user"]) == (0, ["x"], "me")


def test_a_failed_line_and_an_invalid_line_make_the_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(3)
    with Path("in.jsonl").open("a") as file:
        file.write("{broken\n")
    with served(Answers(refuse="Say 1.")) as url:
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url) == 1
        said = capsys.readouterr().err
        assert "2 complete, 2 failed" in said
        assert "failures: 1 BadRequestError, 1 InvalidLine" in said
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url) == 1
    said = capsys.readouterr().err
    assert "4 were already in out.jsonl, 2 of them failed" in said
    assert len(read_lines()) == 4


def test_retry_failed_sends_only_what_failed() -> None:
    write_lines(3)
    with served(Answers(refuse="Say 1.")) as url:
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url) == 1
    answers = Answers()
    with served(answers) as url:
        command = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url)
        assert batch(*command, "--retry-failed") == 0
        assert [body["messages"][0]["content"] for body in answers.bodies] == ["Say 1."]
        assert batch(*command) == 0
    assert len(answers.bodies) == 1
    assert texts(read_lines()).keys() == {"r0", "r1", "r2"}


def test_limit_and_the_same_command_again_send_each_line_once() -> None:
    write_lines(5)
    answers = Answers()
    with served(answers) as url:
        command = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url, "--limit", "2")
        for sent in (2, 4, 5, 5):
            assert batch(*command) == 0
            assert len(answers.bodies) == sent
    assert texts(read_lines()).keys() == {f"r{number}" for number in range(5)}


def test_shards_are_disjoint_and_complete() -> None:
    write_lines(20)
    answers = Answers()
    with served(answers) as url:
        for part in (1, 2, 3):
            command = ("in.jsonl", "-o", f"{part}.jsonl", "--model", "m", "--base-url", url, "--shard", f"{part}/3")
            assert batch(*command) == 0
    parts = [texts(read_lines(f"{part}.jsonl")) for part in (1, 2, 3)]
    assert sum(map(len, parts)) == len(answers.bodies) == 20
    assert len(parts[0] | parts[1] | parts[2]) == 20


def test_dry_run_sends_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(4)
    Path("prices.json").write_text('{"*": {"input": 1, "output": 2}}')
    answers = Answers()
    with served(answers) as url:
        command = ("in.jsonl", "--model", "m", "--base-url", url, "--dry-run", "--prices", "prices.json")
        assert batch(*command) == 0
        assert batch(*command, "-o", "out.jsonl") == 0
    assert answers.bodies == []
    assert not Path("out.jsonl").exists()
    said = capsys.readouterr().err
    assert said.count("would send 4 requests for 4 lines; nothing was sent") == 2
    assert "in the currency of the prices" in said


def test_identical_requests_are_sent_once_unless_no_dedupe() -> None:
    line = {"prompt": "Name a river."}
    Path("in.jsonl").write_text("".join(json.dumps(line | {"custom_id": name}) + "\n" for name in ("a", "b", "c")))
    for more, sent in (([], 1), (["--no-dedupe"], 3)):
        answers = Answers()
        with served(answers) as url:
            assert batch("in.jsonl", "-o", f"{sent}.jsonl", "--model", "m", "--base-url", url, *more) == 0
        assert len(answers.bodies) == sent
        assert texts(read_lines(f"{sent}.jsonl")).keys() == {"a", "b", "c"}


def test_max_failures_stops_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(50)
    answers = Answers(refuse="Say")
    with served(answers) as url:
        more = ["--max-failures", "3", "--max-concurrent", "1"]
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url, *more) == 1
    assert len(read_lines()) == len(answers.bodies) == 3
    assert "stopped by --max-failures; run the command again to continue" in capsys.readouterr().err


def test_a_budget_stops_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(50)
    answers = Answers()
    with served(answers) as url:
        more = ["--max-tokens-total", "300", "--max-concurrent", "1", "--param", "max_tokens=100"]
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url, *more) == 1
    assert 1 <= len(answers.bodies) < 50
    assert "stopped by --max-tokens-total" in capsys.readouterr().err


def test_text_writes_only_the_text() -> None:
    write_lines(2)
    with served(Answers()) as url:
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url, "--text") == 0
    assert {(line["custom_id"], line["text"]) for line in read_lines()} == {("r0", "A river."), ("r1", "A river.")}


def test_parquet_writes_a_table_with_a_row_for_each_line() -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    write_lines(2)
    with served(Answers()) as url:
        assert batch("in.jsonl", "-o", "out.parquet", "--model", "m", "--base-url", url, "--parquet") == 0
    table = pyarrow.parquet.read_table("out.parquet")
    assert sorted(table["custom_id"].to_pylist()) == ["r0", "r1"]


def test_a_gzipped_input_is_read() -> None:
    write_lines(2)
    Path("in.jsonl.gz").write_bytes(gzip.compress(Path("in.jsonl").read_bytes()))
    with served(Answers()) as url:
        assert batch("in.jsonl.gz", "-o", "out.jsonl", "--model", "m", "--base-url", url) == 0
    assert texts(read_lines()).keys() == {"r0", "r1"}


def test_several_servers_share_the_work_each_with_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_A", "key-a")
    monkeypatch.setenv("KEY_B", "key-b")
    write_lines(40)
    first, second = Answers(), Answers()
    with served(first) as a, served(second) as b:
        servers = ["--base-url", a, "--api-key-env", "KEY_A", "--base-url", b, "--api-key-env", "KEY_B"]
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", *servers) == 0
    assert set(first.keys) == {"Bearer key-a"}
    assert set(second.keys) == {"Bearer key-b"}
    assert len(first.bodies) + len(second.bodies) == len(texts(read_lines())) == 40


def test_json_status_prints_only_json(capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(3)
    with served(Answers(refuse="Say 1.")) as url:
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url, "--json-status") == 1
    states = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {state["state"] for state in states[:-1]} <= {"running"}
    end = states[-1]
    assert (end["state"], end["done"], end["failed"], end["exit_code"]) == ("ended", 2, 1, 1)
    assert end["failures"] == {"BadRequestError": 1}
    assert end["first_content_p99"] > 0


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(3)
    with served(Answers()) as url:
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_an_output_that_is_not_ours_is_not_touched_and_the_exit_code_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(3)
    Path("out.jsonl").write_text("my diary\n")
    with served(Answers()) as url:
        assert batch("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url) == 1
    assert Path("out.jsonl").read_text() == "my diary\n"
    assert capsys.readouterr().err.splitlines()[-1].startswith("trio-openai batch: ")


def test_a_file_whose_first_line_names_no_model_is_refused_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_lines(2)
    Path("in.jsonl.gz").write_bytes(gzip.compress(Path("in.jsonl").read_bytes()))
    answers = Answers()
    with served(answers) as url:
        for name in ("in.jsonl", "in.jsonl.gz"):
            with pytest.raises(SystemExit, match="2"):
                batch(name, "-o", "out.jsonl", "--base-url", url)
            told = f"trio-openai batch: the first line of {name} names no model; add --model NAME\n"
            assert capsys.readouterr().err == told
        assert batch("in.jsonl", "-o", "out.jsonl", "--base-url", url, "--param", "model=m") == 0
    assert len(answers.bodies) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_ends_the_run_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(1)
    with served(Answers()) as url:
        assert batch("in.jsonl", "-o", "/dev/full", "--model", "m", "--base-url", url) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("trio-openai batch: the output /dev/full cannot be written: No space left")
    assert second == "1 answer could not be saved; the next run asks again"


# Child processes.


@contextlib.contextmanager
def child(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run the command in a child process, with a handler for Ctrl-C as in a terminal."""
    command = [sys.executable, "-m", "trio_openai", "batch", *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, **options) as process:
        try:
            yield process
        finally:
            process.kill()


class Held:
    """Answers of a server that begin at once and end after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.requests = 0

    def __call__(self, request: RecordedRequest) -> Reply:
        self.requests += 1
        return Reply.chat("A long river.", pace=self.seconds / 3)

    def wait(self, requests: int) -> None:
        """Wait until the server has got so many requests."""
        end = time.monotonic() + 20
        while self.requests < requests:
            assert time.monotonic() < end, f"the server got only {self.requests} requests"
            time.sleep(0.01)


def test_lines_from_stdin_are_answered_on_stdout() -> None:
    with (
        served(Answers()) as url,
        child("-", "-o", "-", "--model", "m", "--base-url", url, stdin=subprocess.PIPE) as run,
    ):
        out, err = run.communicate('{"custom_id": "a", "prompt": "Name a river."}\n', timeout=30)
    assert texts([json.loads(line) for line in out.splitlines()]) == {"a": "A river."}
    assert "1 complete" in err
    assert run.returncode == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_the_first_signal_lets_running_requests_finish(number: signal.Signals, code: int) -> None:
    write_lines(20)
    answers = Held(0.5)
    with served(answers) as url:
        arguments = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url, "--max-concurrent", "2")
        with child(*arguments) as run:
            answers.wait(2)
            run.send_signal(number)
            _out, err = run.communicate(timeout=30)
    assert run.returncode == code
    assert answers.requests == 2
    assert texts(read_lines()) == {"r0": "A long river.", "r1": "A long river."}
    assert "finishing 2 running requests" in err
    assert "stopped; run the command again to continue" in err


def test_the_second_ctrl_c_cancels_and_the_next_run_sends_the_same_again() -> None:
    write_lines(4)
    answers = Held(60.0)
    with served(answers) as url:
        arguments = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url)
        with child(*arguments) as run:
            assert run.stderr is not None
            answers.wait(4)
            run.send_signal(signal.SIGINT)
            assert "finishing 4 running requests" in run.stderr.readline()
            began = time.monotonic()
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=30)
            assert time.monotonic() - began < 10
        assert run.returncode == 130
        assert read_lines() == []
        answers.seconds = 0.0
        assert batch(*arguments) == 0
    assert answers.requests == 8
    assert len(texts(read_lines())) == 4


def test_json_status_says_that_the_job_is_stopping() -> None:
    write_lines(1)
    answers = Held(1.5)
    with (
        served(answers) as url,
        child("in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url, "--json-status") as run,
    ):
        answers.wait(1)
        run.send_signal(signal.SIGINT)
        _out, err = run.communicate(timeout=30)
    states = [json.loads(line) for line in err.splitlines()]
    assert "stopping" in {state["state"] for state in states}
    assert states[-1]["exit_code"] == run.returncode == 130


def test_a_stopped_run_whose_input_is_a_terminal_that_says_nothing_ends() -> None:
    read, write = os.pipe()
    with served(Answers()) as url, os.fdopen(read) as stdin, os.fdopen(write, "w"):
        with child("-", "-o", "out.jsonl", "--model", "m", "--base-url", url, "--json-status", stdin=stdin) as run:
            assert run.stderr is not None
            run.stderr.readline()
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=20)
            assert run.returncode == 130
