"""One worker of a job on Ray: it sends the requests that it is given, and hands out their results. Runs in a Ray actor.

trio runs in a thread of the process, next to the asyncio loop of Ray, which calls the methods: `send` brings requests,
and `results` is a generator that hands out whatever has arrived since the last time. So the driver gets one object for
many results when it is slow, and each result at once when it is not.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import attrs
import trio

from trio_openai._client import TrioOpenAI

from .clients import ClientsOfJob
from .limits import Gate, NotStartedError
from .results import BatchResult
from .rows import BatchRow, BatchRowError

Given = tuple[int, BatchRow]
"""A request, with the number that its result gets."""

Answer = tuple[int, "BatchResult | BaseException | None"]
"""A number with the result, the error that ends the job, or None if the request did not begin."""

_NO_ROW = BatchRowError(message="", line=0, digest=b"")  # in a result, since the driver has the row
_MOST = 500  # results in one object
_CLOSE_SECONDS = 5.0
_GATHER_SECONDS = 0.01  # results of so long travel together: an object of Ray costs more than a line


class BatchWorker:
    """A process that sends requests.

    Args:
        servers: The arguments of a `TrioOpenAI` for each server.
        max_concurrent: The number of requests at a time.
        rpm: Requests per minute of this worker, or None.
        tpm: Tokens per minute of this worker, or None.
    """

    def __init__(
        self, servers: Sequence[Mapping[str, Any]], max_concurrent: int, rpm: float | None, tpm: float | None
    ) -> None:
        self._servers = servers
        self._limits = (max_concurrent, rpm, tpm)
        self._answers = deque[Answer | None]()
        self._wake: Callable[[], object] = bool  # until somebody waits
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - raised in the thread of Ray
            self._failure = error
        finally:
            self._put(None)
            self._ready.set()

    async def _main(self) -> None:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(TrioOpenAI(**options)) for options in self._servers]
            self._gate = Gate()
            self._clients = ClientsOfJob(clients, self._gate, *self._limits)
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._token = trio.lowlevel.current_trio_token()
                self._ready.set()
                await trio.sleep_forever()

    async def _answer(self, number: int, row: BatchRow) -> None:  # noqa: ASYNC910 - sending has checkpoints
        answer: BatchResult | BaseException | None = None
        try:
            answer = attrs.evolve(await self._clients.send(row, replaces=False), row=_NO_ROW)
        except NotStartedError:
            await trio.lowlevel.checkpoint()
        except Exception as error:  # noqa: BLE001 - the driver raises it
            answer = error
        self._put((number, answer))

    def _put(self, answer: Answer | None) -> None:
        self._answers.append(answer)
        self._wake()

    # Called by Ray, in the thread of its asyncio loop. With threads instead, Ray 2.60 leaves calls waiting.

    async def send(self, rows: Sequence[Given]) -> None:  # noqa: ASYNC910 - it runs on asyncio
        """Send requests. Does not wait for them."""
        self._token.run_sync_soon(self._start, rows)

    def _start(self, rows: Sequence[Given]) -> None:
        for number, row in rows:
            self._nursery.start_soon(self._answer, number, row)

    async def results(self) -> AsyncGenerator[list[Answer]]:  # noqa: ASYNC900 - what Ray streams
        """Hand out the results in lists, as they come, until `close`."""
        loop = asyncio.get_running_loop()
        while True:
            arrived = asyncio.Event()
            self._wake = partial(loop.call_soon_threadsafe, arrived.set)
            while self._answers:
                answers = [self._answers.popleft() for _ in range(min(len(self._answers), _MOST))]
                if answers[-1] is None:
                    yield [answer for answer in answers if answer is not None]  # noqa: ASYNC911
                    return  # noqa: ASYNC911
                yield [answer for answer in answers if answer is not None]  # noqa: ASYNC911
            await arrived.wait()
            await asyncio.sleep(_GATHER_SECONDS)

    async def stop(self) -> None:  # noqa: ASYNC910 - it runs on asyncio
        """Begin no more requests."""
        self._token.run_sync_soon(self._gate.close)

    async def close(self) -> None:
        """Cancel all requests, and wait until trio has run their `finally` blocks."""
        self._token.run_sync_soon(self._nursery.cancel_scope.cancel)
        await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)
