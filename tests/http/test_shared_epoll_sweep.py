"""Many sockets read through one epoll descriptor: cancel a reader at every step, and do anything in any order."""

from __future__ import annotations

import contextlib
import random
import select

import pytest
import trio
import trio.testing
from epoll_helpers import Pair, pairs, settle

from trio_openai._http.shared_epoll import shared_epoll

pytestmark = [
    pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll"),
    pytest.mark.promise(n=1),
]


class _CancelAt(trio.abc.Instrument):
    """Cancel a scope before the given step of the scheduler, counted from now."""

    def __init__(self, step: int, scope: trio.CancelScope) -> None:
        self.left = step
        self._scope = scope

    def before_task_step(self, task: object) -> None:
        self.left -= 1
        if self.left == 0:
            self._scope.cancel()


async def _others_hear_everything(cancelled: int, step: int) -> bool:
    """Cancel one of four readers at a step, while all are sent to. Return whether there was such a step."""
    texts = [b"a", b"b", b"c", b"d"]
    with pairs(4) as all_of_them:
        scopes = [trio.CancelScope() for _ in all_of_them]
        async with trio.open_nursery() as nursery:
            for pair, scope in zip(all_of_them, scopes, strict=True):
                nursery.start_soon(pair.keep_reading, scope)
            instrument = _CancelAt(step, scopes[cancelled])
            trio.lowlevel.add_instrument(instrument)
            for text in texts:
                await settle()
                for number, pair in enumerate(all_of_them):
                    if number != ord(text) % 4:  # so that the driver's socket is not always ready
                        pair.peer.send(text)
            await settle()
            trio.lowlevel.remove_instrument(instrument)
            whole = [b"".join(text for text in texts if number != ord(text) % 4) for number in range(4)]
            others = [number for number in range(4) if number != cancelled]
            assert [all_of_them[number].got for number in others] == [whole[number] for number in others]
            # What the cancelled one has not read is still there.
            pair = all_of_them[cancelled]
            rest = b""
            with contextlib.suppress(BlockingIOError):
                rest = pair.sock.recv(100)
            assert pair.got + rest == whole[cancelled]
            nursery.cancel_scope.cancel()
        assert shared_epoll().driver is None
    return instrument.left <= 0


@pytest.mark.parametrize("cancelled", range(4))
async def test_cancelling_at_every_step_loses_nothing(cancelled: int) -> None:
    step = 1
    while await _others_hear_everything(cancelled, step):
        step += 1
    assert step > 20


class _Chaos:
    """Six connections with which anything happens in any order."""

    def __init__(self, all_of_them: list[Pair], seed: int, nursery: trio.Nursery) -> None:
        self.sent: dict[Pair, bytes] = dict.fromkeys(all_of_them, b"")
        self._pairs, self._chance, self._nursery = all_of_them, random.Random(seed), nursery
        self._scopes: dict[Pair, trio.CancelScope] = {}

    async def step(self) -> None:
        """Let something happen to one of them."""
        pair, chance = self._chance.choice(self._pairs), self._chance.random()
        if chance < 0.3:
            await trio.lowlevel.checkpoint()
            if chance < 0.1:
                await settle()
        elif chance < 0.4:
            if scope := self._scopes.pop(pair, None):
                scope.cancel()
        elif chance < 0.42:
            pair.reader.close()
        elif chance < 0.6:
            await self.read(pair)
        elif not pair.reader.is_closed:
            text = b"%.9f " % chance
            pair.peer.send(text)
            self.sent[pair] += text

    async def read(self, pair: Pair) -> None:
        """Start a task that reads, unless there is one."""
        if pair.outcome != "reading":
            self._scopes[pair] = trio.CancelScope()
            self._nursery.start_soon(pair.keep_reading, self._scopes[pair])
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("seed", range(30))
async def test_any_order_of_writes_cancellations_and_closings(seed: int) -> None:
    with pairs(6) as all_of_them:
        async with trio.open_nursery() as nursery:
            chaos = _Chaos(all_of_them, seed, nursery)
            for _ in range(300):
                await chaos.step()
            await settle()
            for pair in all_of_them:
                await chaos.read(pair)
            await settle()
            for pair in all_of_them:
                got, sent = pair.got, chaos.sent[pair]
                assert sent.startswith(got) if pair.reader.is_closed else sent == got
            nursery.cancel_scope.cancel()
        assert shared_epoll().driver is None
