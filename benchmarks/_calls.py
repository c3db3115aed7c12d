"""The cost of a call in this library, depending on the number of other calls and on who makes it. For `scale.py`.

python _calls.py CONTENDER PORT CPU CALLS       prints one line of JSON: the CPU seconds of the ways to make the calls
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

import trio
from _contenders import CHAT_REQUEST
from _machine import cores, pin
from _runner import say, server

from trio_openai import TrioOpenAI

_WARM_UP = 50
_AT_A_TIME = 100
_ROUND = 5000  # calls of one kind before the next kind has its turn


def _client(port: int) -> TrioOpenAI:
    return TrioOpenAI(base_url=f"http://127.0.0.1:{port}/short/v1", api_key="benchmark", max_connections=2000)


def _at(client: TrioOpenAI, port: int, wanted: str) -> TrioOpenAI:
    return client.with_options(base_url=f"http://127.0.0.1:{port}/{wanted}/v1")


# Opening.


@asynccontextmanager
async def _others(client: TrioOpenAI, port: int, busy: int, idle: int) -> AsyncIterator[None]:
    """Keep `busy` silent streams open, or `idle` connections waiting in the pool, during the block."""
    held = _at(client, port, "held")
    opened = 0
    async with trio.open_nursery() as nursery:

        async def hold() -> None:
            nonlocal opened
            async with held.chat.completions.stream(**CHAT_REQUEST) as stream:
                await anext(aiter(stream))
                opened += 1
                await stream.until_done()

        for _ in range(busy or idle):
            nursery.start_soon(hold)
        while opened < (busy or idle):
            await trio.sleep(0.01)
        if idle:
            await _one(_at(client, port, "release"))
            while client.statistics().transport.idle < idle:  # type: ignore[union-attr]
                await trio.sleep(0.01)
        yield
        nursery.cancel_scope.cancel()


async def _one(client: TrioOpenAI) -> float:
    """Make one call. Return the seconds until its stream was open."""
    began = time.perf_counter()
    async with client.chat.completions.stream(**CHAT_REQUEST) as stream:
        opened = time.perf_counter() - began
        await stream.until_done()
    return opened


async def _time_opening(port: int, wanted: str, busy: int, idle: int, requests: int) -> tuple[float, float]:
    """Return the wall-clock seconds until a stream is open, and the CPU seconds until its end."""
    async with _client(port) as client, _others(client, port, busy, idle):
        asking = _at(client, port, wanted)
        for _ in range(min(requests, _WARM_UP)):
            await _one(asking)
        cpu = -time.process_time()
        opened = [await _one(asking) for _ in range(requests)]
        return median(opened), (cpu + time.process_time()) / requests


def _cases(others: int) -> Iterator[tuple[str, str, int, int]]:
    """Yield the requested path, the kind of the other calls, and how many are busy and idle; first one, then many."""
    for count in (1, others):
        yield "short", "idle", 0, count
    for wanted in ("short", "close"):  # a new connection is only made if none is idle
        for count in (1, others):
            yield wanted, "busy", count, 0


def measure_opening(others: int, repeats: int, requests: int) -> list[dict[str, Any]]:
    """Measure every case in turn, and repeat."""
    results: dict[str, dict[str, Any]] = {}
    for number in range(repeats):
        for wanted, kind, busy, idle in _cases(others):
            connection = "a new connection" if wanted == "close" else "a connection of the pool"
            case = f"{connection}, beside {busy or idle:,} {kind}"
            say(f"{number + 1}/{repeats}  {case}")
            with server("_answers.py", cores()[1]) as port:
                wall, cpu = trio.run(_time_opening, port, wanted, busy, idle, requests)
            group = f"{wanted}, {kind}"
            result = results.setdefault(case, {"case": case, "group": group, "wall": [], "cpu": []})
            result["wall"].append(wall * 1e6)
            result["cpu"].append(cpu * 1e6)
    say("")
    return [{**r, "wall_us": median(r["wall"]), "cpu_us": median(r["cpu"])} for r in results.values()]


# Many calls.


async def _by_workers(client: TrioOpenAI, calls: int) -> None:
    """Make the calls without `run_many`: each of 100 tasks takes the next call."""
    left: Iterator[int] = iter(range(calls))

    async def work() -> None:
        for _ in left:
            async with client.chat.completions.stream(**CHAT_REQUEST) as stream:
                await stream.get_final_completion()

    async with trio.open_nursery() as nursery:
        for _ in range(_AT_A_TIME):
            nursery.start_soon(work)


async def _by_run_many(client: TrioOpenAI, calls: int) -> None:
    supply = (client.chat.completions.call(key=key, **CHAT_REQUEST) for key in range(calls))
    async with client.run_many(supply, max_concurrent=_AT_A_TIME) as results:
        async for result in results:
            if result.error is not None:
                raise result.error


_WAYS: dict[str, Callable[[TrioOpenAI, int], Awaitable[None]]] = {
    "by hand: 100 tasks that take the next one each": _by_workers,
    "run_many": _by_run_many,
}


async def _time_calls(port: int, calls: int) -> list[dict[str, Any]]:
    results = [{"case": name, "calls": 0, "cpu": 0.0, "wall": 0.0} for name in _WAYS]
    async with _client(port) as client:
        await _by_workers(client, min(calls, _AT_A_TIME * 2))  # warm up and open the connections
        while (left := calls - results[-1]["calls"]) > 0:
            count = min(_ROUND, left)
            for result in results:
                say(f"{result['case']}: {result['calls']:,}/{calls:,}")
                cpu, wall = -time.process_time(), -time.perf_counter()
                await _WAYS[result["case"]](client, count)
                result["cpu"] += cpu + time.process_time()
                result["wall"] += wall + time.perf_counter()
                result["calls"] += count
    say("")
    return [{**r, "cpu_us": r["cpu"] / calls * 1e6, "wall_us": r["wall"] / calls * 1e6} for r in results]


def measure_calls(calls: int) -> list[dict[str, Any]]:
    """Make short calls in each way, in alternating rounds."""
    with server("_answers.py", cores()[1]) as port:
        return trio.run(_time_calls, port, calls)


def main(contender: str, port: str, cpu: str, calls: str) -> None:
    """Run the command."""
    pin(int(cpu))
    by_hand, run_many = trio.run(_time_calls, int(port), int(calls))
    print(json.dumps({"by hand": by_hand["cpu"], "run_many": run_many["cpu"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
