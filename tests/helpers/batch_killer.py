"""A program that kills a batch job again and again, and reports what the server and the output saw.

    python batch_killer.py DIRECTORY KILLS SEED

It forks, so that a job starts within milliseconds: once for a server that counts requests, and once for each job. Half
of the jobs are killed at a random time. The other half kill themselves in the middle of a random write. At the end, one
job runs to its end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from trio_openai import TrioOpenAI, batch
from trio_openai.testing import Pause, RecordedRequest, Reply, ScriptedServer

LINES_A_KILL = 20
MOST_BEFORE_A_KILL = 10  # lines of a job that is killed from outside, however fast the machine is
AT_ONCE = 4
DUPLICATED = 10  # every tenth line repeats the request of the one before, under another name


def prompt_of(line: int) -> str:
    return f"prompt {line - 1 if line % DUPLICATED == 1 else line}"


def write_input(path: Path, lines: int) -> None:
    with path.open("w") as file:
        for line in range(lines):
            text = {"custom_id": f"line {line}", "prompt": prompt_of(line)}
            file.write("no JSON\n" if line == 50 else json.dumps(text) + "\n")


async def serve(directory: Path, port: int) -> None:
    """Answer every request, and note it in a file."""
    log = os.open(directory / "requests", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def answer(request: RecordedRequest) -> Reply:
        prompt = request.json()["messages"][0]["content"]
        os.write(log, prompt.encode() + b"\n")
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        delta = {"index": 0, "delta": {"role": "assistant", "content": f"answer to {prompt}"}, "finish_reason": "stop"}
        return Reply.sse(Pause(0.001), {**chunk, "choices": [delta]}, {**chunk, "choices": [], "usage": usage})

    async with trio.open_nursery() as nursery:
        server = ScriptedServer(answer)
        await server.start(nursery, port=port)
        (directory / "port.tmp").write_text(server.base_url)
        (directory / "port.tmp").rename(directory / "port")


async def work(directory: Path, base_url: str) -> None:
    """Run the job."""
    async with (
        TrioOpenAI(base_url=base_url, api_key="none", trust_env=False) as client,
        batch.run(
            directory / "in.jsonl", directory / "out.jsonl", clients=client, model="m", max_concurrent=AT_ONCE
        ) as job,
    ):
        await job.wait()


def forked(function: Callable[..., Awaitable[object]], *args: Any) -> int:
    """Run a function in a process of its own, and return the id of the process."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        trio.run(function, *args)
        code = 0
    finally:
        os._exit(code)


async def work_and_die(directory: Path, base_url: str, rng: random.Random) -> None:
    """Run the job, and kill it in the middle of a write."""
    real, left = os.write, rng.randrange(20)

    def torn(fd: int, data: Any) -> int:
        nonlocal left
        left -= 1
        if left < 0 and bytes(data).startswith(b'{"id":'):
            real(fd, data[: rng.randrange(len(data) + 1)])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(fd, data)

    os.write = torn  # type: ignore[assignment]
    await work(directory, base_url)


def wait_a_moment(output: Path, seconds: float) -> None:
    """Wait this long, or until a job has written some lines."""
    before, deadline = lines_of(output), time.monotonic() + seconds
    while time.monotonic() < deadline and lines_of(output) < before + MOST_BEFORE_A_KILL:
        time.sleep(0.001)


def lines_of(output: Path) -> int:
    return output.read_bytes().count(b"\n") if output.exists() else 0


def main() -> None:
    directory, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    write_input(directory / "in.jsonl", kills * LINES_A_KILL)
    server = forked(serve, directory, 0)
    try:
        while not (directory / "port").exists():
            time.sleep(0.01)
        base_url = (directory / "port").read_text()
        killed = 0
        for number in range(kills):
            if number % 2:
                pid = forked(work_and_die, directory, base_url, rng)
            else:
                pid = forked(work, directory, base_url)
                wait_a_moment(directory / "out.jsonl", rng.uniform(0.0, 0.12))
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            killed += os.WIFSIGNALED(status)
        written = lines_of(directory / "out.jsonl")
        _, status = os.waitpid(forked(work, directory, base_url), 0)
        report = {"killed": killed, "written": written, "last": os.waitstatus_to_exitcode(status), "at_once": AT_ONCE}
        print(json.dumps(report))
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


if __name__ == "__main__":
    main()
