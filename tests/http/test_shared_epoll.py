"""Many sockets read through one epoll descriptor: nothing is lost, whoever drives it, and whatever ends that task."""

from __future__ import annotations

import errno
import os
import queue
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from epoll_helpers import Pair, pairs, settle

from trio_openai._http import shared_epoll as module
from trio_openai._http.shared_epoll import READ_SIZE, EpollStatistics, SharedReader, shared_epoll

pytestmark = [
    pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll"),
    pytest.mark.promise(n=1),
]


async def test_every_reader_gets_what_its_peer_wrote(nursery: trio.Nursery) -> None:
    with pairs(5) as all_of_them:
        for pair in all_of_them:
            nursery.start_soon(pair.keep_reading)
        for text in (b"one ", b"two ", b"three"):
            await settle()
            for number, pair in enumerate(all_of_them):
                pair.peer.send(b"%d:%b" % (number, text))
        await settle()
        assert [pair.got for pair in all_of_them] == [b"%d:one %d:two %d:three" % (n, n, n) for n in range(5)]
        assert shared_epoll().statistics() == EpollStatistics(sockets=5, tasks_waiting=5)
        nursery.cancel_scope.cancel()


async def test_what_came_before_the_first_read_is_read(nursery: trio.Nursery) -> None:
    with pairs(2) as (first, second):
        first.peer.send(b"early")
        second.peer.send(b"early too")
        assert await first.reader.read() == b"early"
        assert await second.reader.read() == b"early too"


async def test_what_came_while_nobody_read_is_read_later(nursery: trio.Nursery) -> None:
    with pairs(2) as (silent, driver):
        silent.peer.send(b"a")
        assert await silent.reader.read() == b"a"
        nursery.start_soon(driver.keep_reading)
        await settle()
        silent.peer.send(b"b")
        await settle()
        assert await silent.reader.read() == b"b"
        with trio.move_on_after(0.01) as scope:
            await silent.reader.read()
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()


async def test_more_than_one_read_brings_is_read_without_a_new_report(nursery: trio.Nursery) -> None:
    with pairs(1) as (pair,):
        pair.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * READ_SIZE)
        pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * READ_SIZE)
        sent = pair.peer.send(os.urandom(2 * READ_SIZE))
        got = b""
        while len(got) < sent:
            got += await pair.reader.read()
        assert len(got) == sent


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_others_go_on_after_a_reader_is_cancelled(nursery: trio.Nursery, position: int) -> None:
    with pairs(3) as all_of_them:
        scopes = [trio.CancelScope() for _ in all_of_them]
        for pair, scope in zip(all_of_them, scopes, strict=True):
            nursery.start_soon(pair.keep_reading, scope)
            await settle()
        scopes[position].cancel()
        await settle()
        others = [pair for pair in all_of_them if pair is not all_of_them[position]]
        for pair in others:
            pair.peer.send(b"still there")
        await settle()
        assert [pair.got for pair in others] == [b"still there"] * 2
        assert all_of_them[position].outcome == "Cancelled"
        nursery.cancel_scope.cancel()


async def test_cancelled_read_loses_nothing() -> None:
    with pairs(2) as (pair, other):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.keep_reading)
            await settle()
            for text in (b"1", b"2", b"3"):
                with trio.move_on_after(0.001):
                    await pair.reader.read()
                pair.peer.send(text)
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await pair.reader.read()
                assert await pair.reader.read() == text
            nursery.cancel_scope.cancel()


async def test_others_go_on_after_the_nursery_of_the_driver_has_ended(nursery: trio.Nursery) -> None:
    with pairs(2) as (driver, other):
        async with trio.open_nursery() as short:
            short.start_soon(driver.keep_reading)
            await settle()
            nursery.start_soon(other.keep_reading)
            await settle()
            short.cancel_scope.cancel()
        other.peer.send(b"on")
        await settle()
        assert other.got == b"on"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_closing_a_socket_wakes_its_reader_and_no_other(nursery: trio.Nursery, position: int) -> None:
    with pairs(3) as all_of_them:
        for pair in all_of_them:
            nursery.start_soon(pair.keep_reading)
            await settle()
        closed = all_of_them[position]
        closed.reader.close()
        closed.reader.close()
        await settle()
        assert closed.outcome == "ClosedResourceError"
        others = [pair for pair in all_of_them if pair is not closed]
        for pair in others:
            pair.peer.send(b"open")
        await settle()
        assert [pair.got for pair in others] == [b"open"] * 2
        with pytest.raises(trio.ClosedResourceError):
            await closed.reader.read()
        nursery.cancel_scope.cancel()


async def test_closing_the_task_that_was_just_made_the_driver_hands_the_role_on(nursery: trio.Nursery) -> None:
    with pairs(3) as (first, second, third):
        scope = trio.CancelScope()
        nursery.start_soon(first.keep_reading, scope)
        await settle()
        nursery.start_soon(second.keep_reading)
        await settle()
        nursery.start_soon(third.keep_reading)
        await settle()
        first.peer.send(b"x")
        while shared_epoll().driver is None or first.got == b"":
            await trio.lowlevel.checkpoint()
        second.reader.close()
        await settle()
        third.peer.send(b"y")
        await settle()
        assert (second.outcome, third.got) == ("ClosedResourceError", b"y")
        nursery.cancel_scope.cancel()


async def test_cancellation_comes_before_closing_for_a_task_that_was_just_made_the_driver() -> None:
    with pairs(2) as (first, second):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.keep_reading)
            await settle()
            nursery.start_soon(second.keep_reading)
            await settle()
            first.reader.close()  # the first task, when it runs, schedules the second
            while first.outcome == "reading":
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
            second.reader.close()
        assert second.outcome == "Cancelled"


async def test_number_of_a_closed_socket_can_be_used_again_at_once(nursery: trio.Nursery) -> None:
    with pairs(2) as (driver, old):
        nursery.start_soon(driver.keep_reading)
        await settle()
        nursery.start_soon(old.keep_reading)
        await settle()
        number = old.sock.fileno()
        old.reader.close()
        new = Pair(number)
        nursery.start_soon(new.keep_reading)
        await settle()
        new.peer.send(b"new")
        await settle()
        assert (old.outcome, old.got, new.got) == ("ClosedResourceError", b"", b"new")
        new.close()
        nursery.cancel_scope.cancel()


async def test_number_of_the_closed_driver_can_be_used_again_at_once(nursery: trio.Nursery) -> None:
    with pairs(1) as (old,):
        nursery.start_soon(old.keep_reading)
        await settle()
        number = old.sock.fileno()
        old.reader.close()
        new = Pair(number)
        nursery.start_soon(new.keep_reading)
        await settle()
        new.peer.send(b"new")
        await settle()
        assert (old.outcome, new.got) == ("ClosedResourceError", b"new")
        new.close()
        nursery.cancel_scope.cancel()


@pytest.mark.promise(n=4)
async def test_end_that_arrives_with_data_is_not_missed(nursery: trio.Nursery) -> None:
    with pairs(2) as (pair, other):
        nursery.start_soon(other.keep_reading)
        await settle()
        nursery.start_soon(pair.keep_reading)
        await settle()
        pair.peer.send(b"last words")
        pair.peer.shutdown(socket.SHUT_WR)
        await settle()
        assert (pair.got, pair.outcome) == (b"last words", "end")
        assert await pair.reader.read() == b""
        nursery.cancel_scope.cancel()


@pytest.mark.promise(n=4)
async def test_end_that_arrives_while_nobody_reads_is_not_missed(nursery: trio.Nursery) -> None:
    with pairs(2) as (pair, other):
        nursery.start_soon(other.keep_reading)
        pair.peer.send(b"a")
        assert await pair.reader.read() == b"a"
        pair.peer.close()
        await settle()
        assert await pair.reader.read() == b""
        nursery.cancel_scope.cancel()


async def test_reset_raises_an_os_error(nursery: trio.Nursery) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
    server = await listeners[0].accept()
    reader = SharedReader(client.socket)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    server.socket.close()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    reader.close()
    await listeners[0].aclose()


async def test_bytes_that_another_took_make_a_reader_wait_again(nursery: trio.Nursery) -> None:
    with pairs(2) as (driver, pair):
        nursery.start_soon(driver.keep_reading)
        await settle()
        nursery.start_soon(pair.keep_reading)
        await settle()
        pair.peer.send(b"taken")
        real, module.os.read = os.read, lambda fd, size: real(fd, size) and real(fd, size)  # type: ignore[assignment]
        try:
            await settle()
        finally:
            module.os.read = real
        assert (pair.got, pair.outcome) == (b"", "reading")
        pair.peer.send(b"mine")
        await settle()
        assert pair.got == b"mine"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("position", [0, 1])
async def test_two_tasks_cannot_wait_for_one_socket(nursery: trio.Nursery, position: int) -> None:
    with pairs(2) as both:
        for pair in both:
            nursery.start_soon(pair.keep_reading)
            await settle()
        with pytest.raises(trio.BusyResourceError):
            await both[position].reader.read()
        both[position].peer.send(b"unharmed")
        await settle()
        assert both[position].got == b"unharmed"
        nursery.cancel_scope.cancel()


@pytest.mark.promise(n=7)
async def test_other_tasks_run_between_many_ready_sockets(nursery: trio.Nursery) -> None:
    reads_between: list[int] = []
    with pairs(300) as all_of_them:
        for pair in all_of_them:
            nursery.start_soon(pair.keep_reading)
        await settle()
        for pair in all_of_them:
            pair.peer.send(b"x")
        done = 0
        while done < 300:
            await trio.lowlevel.checkpoint()
            now = sum(map(len, [pair.got for pair in all_of_them]))
            reads_between.append(now - done)
            done = now
        nursery.cancel_scope.cancel()
    # One pass schedules 64 tasks, and runs the old driver and the new one. This task may see two passes as one.
    assert max(reads_between) <= 2 * 66


def _refuse(*_: object) -> Any:
    raise OSError(errno.EMFILE, "too many open files")


class _FullEpoll:
    def register(self, *_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("epoll", [_refuse, _FullEpoll, None])
async def test_sockets_are_read_without_an_epoll_descriptor(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, epoll: Callable[[], object] | None
) -> None:
    if epoll is None:
        monkeypatch.delattr(module.select, "epoll")
    else:
        monkeypatch.setattr(module.select, "epoll", epoll)
    with pairs(3) as all_of_them:
        for pair in all_of_them:
            nursery.start_soon(pair.keep_reading)
        for text in (b"one ", b"two"):
            await settle()
            for pair in all_of_them:
                pair.peer.send(text)
        await settle()
        assert [pair.got for pair in all_of_them] == [b"one two"] * 3
        all_of_them[0].reader.close()
        all_of_them[1].peer.close()
        await settle()
        assert [pair.outcome for pair in all_of_them] == ["ClosedResourceError", "end", "reading"]
        nursery.cancel_scope.cancel()


async def test_silent_sockets_let_a_mock_clock_jump(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    with pairs(2) as both, trio.move_on_after(3600) as scope:
        async with trio.open_nursery() as readers:
            for pair in both:
                readers.start_soon(pair.keep_reading)
    assert scope.cancelled_caught


async def _echo_of(text: bytes) -> bytes:
    with pairs(2) as (pair, other):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.keep_reading)
            nursery.start_soon(pair.keep_reading)
            for letter in text:
                await trio.sleep(0.001)
                pair.peer.send(bytes([letter]))
            await settle()
            nursery.cancel_scope.cancel()
        return pair.got


def test_each_run_has_its_own_descriptor() -> None:
    texts = [b"%d says hello" % number for number in range(4)]
    heard: dict[bytes, bytes] = {}

    def run(text: bytes) -> None:
        heard[text] = trio.run(_echo_of, text)

    threads = [threading.Thread(target=run, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {text: text for text in texts}


def test_guest_mode() -> None:
    calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    outcomes: list[Any] = []
    trio.lowlevel.start_guest_run(_echo_of, b"guest", run_sync_soon_threadsafe=calls.put, done_callback=outcomes.append)
    while not outcomes:
        calls.get(timeout=10)()
    assert outcomes[0].unwrap() == b"guest"
