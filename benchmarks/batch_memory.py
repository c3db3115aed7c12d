"""The memory of a batch job: `python benchmarks/batch_memory.py --lines 1000000`.

First a job sends the lines of a short file to a server on this machine. Then a job gets a file of many lines, finds
every one in an output of the same size, and sends nothing. That takes more memory than sending them: the job has to
know which lines are done, and where the answer of each request is. Each job is a process of its own. Printed are its
memory when it has imported everything, its largest memory, and the lines per second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import trio

_PROMPT = "Is this review positive or negative? Answer with one word. The review: number %d was as I had expected it."


def write_input(path: Path, lines: int) -> None:
    with path.open("w") as file:
        for line in range(lines):
            file.write(json.dumps({"custom_id": f"line-{line}", "prompt": _PROMPT % line}) + "\n")


def write_output(path: Path, source: Path) -> None:
    """Write what a job writes: the first lines of the output again and again, with the ids of the others."""
    from trio_openai._batch.journal import id_of
    from trio_openai._batch.rows import BatchRow, Defaults, parse_line

    line = json.loads(path.read_bytes().partition(b"\n")[0])
    with source.open("rb") as given, path.open("w") as file:
        for number, text in enumerate(given, 1):
            row = parse_line(text, number, Defaults(model="local"))
            assert isinstance(row, BatchRow)
            line["id"], line["custom_id"] = id_of(row.digest, is_request=True), row.custom_id
            file.write(json.dumps(line) + "\n")


# The server: one answer for all requests, as fast as possible.


class _Server(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            self._data = b""
            self._transport.write(self._answer)


def _answer() -> bytes:
    about = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "local"}
    usage = {"prompt_tokens": 30, "completion_tokens": 1, "total_tokens": 31}

    def choice(text: str, reason: str | None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]

    events = [
        {**about, "choices": choice("positive", None)},
        {**about, "choices": choice("", "stop")},
        {**about, "choices": [], "usage": usage},
    ]
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def serve(ready: Connection) -> None:
    async def run() -> None:
        answer = _answer()
        server = await asyncio.get_running_loop().create_server(lambda: _Server(answer), "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


# The job.


def _resident() -> float:
    """Return the memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def work(port: int, folder: str, done: Connection) -> None:
    from trio_openai import TrioOpenAI, batch

    async def run() -> None:
        source, sink = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        async with TrioOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", trust_env=False) as client:
            before, cpu, started = _resident(), time.process_time(), time.perf_counter()
            async with batch.run(source, sink, clients=client, model="local", max_concurrent=100) as job:
                result = await job.wait()
            took, cpu = time.perf_counter() - started, time.process_time() - cpu
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        done.send((result.done, result.skipped, before, most, took, cpu))

    trio.run(run)


def measured(port: int, folder: str) -> tuple[int, int, float, float, float, float]:
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=work, args=(port, folder, send))
    process.start()
    figures: tuple[int, int, float, float, float, float] = receive.recv()
    process.join()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines that are found again")
    parser.add_argument("--send", type=int, default=20_000, help="lines that are sent")
    parser.add_argument("--quick", action="store_true", help="a thousand lines of each")
    arguments = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    receive, send = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=serve, args=(send,), daemon=True)
    server.start()
    port = receive.recv()
    with tempfile.TemporaryDirectory() as folder:
        source, sink = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        print(f"{'lines':22}{'MiB before':>12}{'MiB most':>10}{'bytes/line':>12}{'lines/s':>9}{'µs CPU/line':>13}")
        for name, wanted in (("sent", arguments.send), ("found again", arguments.lines)):
            lines = min(wanted, 1000) if arguments.quick else wanted
            write_input(source, lines)
            if name != "sent":
                write_output(sink, source)
            done, skipped, before, most, took, cpu = measured(port, folder)
            assert done + skipped == lines
            a_line = (most - before) * 2**20 / lines
            row = f"{before:>12.0f}{most:>10.0f}{a_line:>12.0f}{lines / took:>9.0f}{cpu / lines * 1e6:>13.0f}"
            print(f"{f'{lines:,} {name}':22}{row}", flush=True)
    server.terminate()


if __name__ == "__main__":
    main()
