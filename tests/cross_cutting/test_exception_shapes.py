"""Promise 2: a block raises what went wrong in it, without a group around it, at each way to open a stream.

A door is a way to open a stream: one function and a line in `DOORS`. A mishap is a line in `MISHAPS`. Every mishap is
tried at every door.
"""

from __future__ import annotations

import gc
import resource
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from net_helpers import CHAT, client_over, no_environment, serve

from trio_openai import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    BadRequestError,
    Deadlines,
    Items,
    TrioOpenAI,
    TrioTransport,
)
from trio_openai.testing import RecordedRequest, Reply, ScriptedServer

pytestmark = pytest.mark.promise(n=2)

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
ONE_EVENT = len(bytes(HELLO.body[0]))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


# ---------------------------------------------------------------- doors: the ways to open a stream and to run a body

Body = Callable[[Any], Awaitable[None]]


async def block(client: TrioOpenAI, body: Body) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await body(stream)


async def third_door(client: TrioOpenAI, body: Body) -> None:
    async with await client.chat.completions.create(**CHAT, stream=True) as stream:
        await body(stream)


async def third_door_by_hand(client: TrioOpenAI, body: Body) -> None:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    try:
        await body(stream)
    finally:
        await stream.aclose()


async def in_the_block_of_a_client(client: TrioOpenAI, body: Body) -> None:
    async with client:
        await body(await client.chat.completions.create(**CHAT, stream=True))


async def two_blocks(client: TrioOpenAI, body: Body) -> None:
    create = client.chat.completions.stream
    async with create(**CHAT) as stream, create(**CHAT):
        await body(stream)


async def nursery_of_the_user(client: TrioOpenAI, body: Body) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(block, client, body)
        await trio.lowlevel.checkpoint()


async def task_in_a_nursery(client: TrioOpenAI, body: Body) -> None:
    async with trio.open_nursery() as nursery:
        stream = await client.chat.completions.start_stream(nursery, **CHAT)
        await body(stream)
        await stream.aclose()


async def race(client: TrioOpenAI, body: Body) -> None:
    async with client.race([client.chat.completions.call(**CHAT)]) as stream:
        await body(stream)


async def many(client: TrioOpenAI, body: Body) -> None:
    async with client.stream_many([client.chat.completions.call(**CHAT)], fail_fast=True) as items:
        await body(OneOfMany(items))


class OneOfMany:
    """The only stream of a `stream_many`, with the interface of a stream."""

    def __init__(self, items: Items) -> None:
        self._items = items

    def __aiter__(self) -> OneOfMany:
        return self

    async def __anext__(self) -> object:
        item = await anext(self._items)
        if item.result is not None:
            raise StopAsyncIteration
        return item.event

    @property
    def text_deltas(self) -> OneOfMany:
        return self

    async def get_final_completion(self) -> None:
        async for _ in self:
            pass


class NoStream:
    """An empty stream, for the door that opens none."""

    def __aiter__(self) -> NoStream:
        return self

    async def __anext__(self) -> None:
        await trio.lowlevel.checkpoint()
        raise StopAsyncIteration

    @property
    def text_deltas(self) -> NoStream:
        return self

    async def get_final_completion(self) -> None:
        await trio.lowlevel.checkpoint()


async def plain(client: TrioOpenAI, body: Body) -> None:
    """Make a call without a stream. Its only code of the program is the function that returns the API key."""

    async def key() -> str:
        await body(NoStream())
        return "sk-key"

    await client.with_options(api_key=key).chat.completions.create(**CHAT)


@attrs.frozen
class Door:
    """A way to open a stream, and the number of the program's nurseries around the body. Each of them adds a group."""

    go: Callable[[TrioOpenAI, Body], Awaitable[None]]
    nurseries: int = 0


DOORS = {
    "a plain answer": Door(plain),
    "a block": Door(block),
    "the third door, async with": Door(third_door),
    "the third door, aclose": Door(third_door_by_hand),
    "the third door, the client's block": Door(in_the_block_of_a_client),
    "two blocks": Door(two_blocks),
    "a nursery of the user's": Door(nursery_of_the_user, nurseries=1),
    "a task in a nursery": Door(task_in_a_nursery, nurseries=1),
    "a race": Door(race),
    "one of many": Door(many),
}


# --------------------------------------- mishaps: the reply of the server, the body, and the exception that must result


class Boom(Exception):  # noqa: N818
    """An exception of the program."""


class Bang(BaseException):
    """A BaseException of the program, which `except Exception` does not catch."""


def raising(error: BaseException) -> Body:
    async def body(stream: Any) -> None:
        raise error

    return body


def raising_after_an_event(error: BaseException) -> Body:
    async def body(stream: Any) -> None:
        async for _ in stream:
            raise error
        raise error

    return body


async def read(stream: Any) -> None:
    async for _ in stream:
        pass


async def read_text(stream: Any) -> None:
    async for _ in stream.text_deltas:
        pass


async def read_whole(stream: Any) -> None:
    await stream.get_final_completion()


async def read_for_ever(stream: Any) -> None:
    await read(stream)
    await trio.sleep_forever()


def raising_from_what_the_library_raised(error: Exception) -> Body:
    async def body(stream: Any) -> None:
        try:
            await read(stream)
        except APIError as cause:
            raise error from cause
        raise error

    return body


def raising_when_cancelled(error: Exception) -> Body:
    async def body(stream: Any) -> None:
        done = False
        try:
            await read_for_ever(stream)
            done = True
        finally:
            if not done:
                raise error

    return body


def raising_in_a_nursery(error: Exception) -> Body:
    async def body(stream: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, stream)
            nursery.start_soon(raising(error), stream)

    return body


async def too_slow(stream: Any) -> None:
    with trio.fail_after(1):
        await read_for_ever(stream)


async def giving_up_and_going_on(stream: Any) -> None:
    with trio.move_on_after(0.1) as scope:
        await read_for_ever(stream)
    assert scope.cancelled_caught, "the scope that was cancelled must catch its own cancellation"
    await read(stream)


async def pressing_ctrl_c_while_it_reads(stream: Any) -> None:
    trio.lowlevel.spawn_system_task(press_ctrl_c)
    await read(stream)


@trio.lowlevel.enable_ki_protection
async def press_ctrl_c() -> None:
    await trio.testing.wait_all_tasks_blocked()
    signal.raise_signal(signal.SIGINT)


@attrs.frozen
class Mishap:
    """Something that goes wrong, and the exception that it must end with.

    Attributes:
        body: The code that the program runs inside the door.
        out: The exception that the door must raise: this object, an instance of this type, or None for no exception.
        stream: The server's reply to a request for a stream.
        plain: The server's reply to a request without a stream.
        patience: The seconds after which a scope around the door is cancelled.
        timeout: The deadlines of the client.
    """

    body: Body
    out: BaseException | type[BaseException] | None
    stream: Reply = HELLO
    plain: Reply = PLAIN
    patience: float = attrs.field(default=1000.0, kw_only=True)
    timeout: Deadlines | None = attrs.field(default=None, kw_only=True)

    def answer(self, request: RecordedRequest) -> Reply:
        return self.stream if request.json().get("stream") else self.plain


BOOM = Boom("the program's own")
GROUP = ExceptionGroup("the program's own", [Boom(1), ExceptionGroup("", [Boom(2)])])
LONE_GROUP = ExceptionGroup("of one", [Boom(1)])
BANG, EXIT, STOP, INTERRUPT = Bang(), SystemExit(3), StopAsyncIteration("the program's own"), KeyboardInterrupt()
REFUSED = Reply.error(400, "no"), Reply.error(400, "no")
CUT = HELLO.cut_after(ONE_EVENT), PLAIN.cut_after(10)
SILENT = HELLO.stall_after(ONE_EVENT), PLAIN.stall_after(10)
PAUSING = Reply.chat("Hello there.", pace=0.07), PLAIN

MISHAPS = {
    "nothing": Mishap(read, None),
    "the program": Mishap(raising(BOOM), BOOM),
    "the program, after an event": Mishap(raising_after_an_event(BOOM), BOOM),
    "a group of the program's": Mishap(raising(GROUP), GROUP),
    "a group of one of the program's": Mishap(raising_after_an_event(LONE_GROUP), LONE_GROUP),
    "StopAsyncIteration of the program's": Mishap(raising(STOP), STOP),
    "a BaseException of the program's": Mishap(raising_after_an_event(BANG), BANG),
    "sys.exit": Mishap(raising(EXIT), EXIT),
    "KeyboardInterrupt in the program": Mishap(raising_after_an_event(INTERRUPT), INTERRUPT),
    "Ctrl-C while it reads": Mishap(pressing_ctrl_c_while_it_reads, KeyboardInterrupt, *SILENT),
    "a scope of the program's": Mishap(giving_up_and_going_on, None, *PAUSING),
    "fail_after of the program's": Mishap(too_slow, trio.TooSlowError, *SILENT),
    "the server refuses": Mishap(read, BadRequestError, *REFUSED),
    "the server cuts": Mishap(read, APIConnectionError, *CUT),
    "the server cuts the text": Mishap(read_text, APIConnectionError, *CUT),
    "the server cuts what is read whole": Mishap(read_whole, APIConnectionError, *CUT),
    "the server is silent": Mishap(read, APITimeoutError, *SILENT, timeout=Deadlines(idle=1)),
    "both, one because of the other": Mishap(raising_from_what_the_library_raised(BOOM), BOOM, *CUT),
    "both, and the server's was not seen": Mishap(raising_after_an_event(BOOM), BOOM, *CUT),
    "a cancellation": Mishap(read, None, *SILENT, patience=1),
    "a cancellation, and the program": Mishap(raising_when_cancelled(BOOM), BOOM, *SILENT, patience=1),
    "a cancellation before our deadline": Mishap(read, None, *SILENT, patience=1, timeout=Deadlines(idle=2)),
    "a cancellation at our deadline": Mishap(read, None, *SILENT, patience=1, timeout=Deadlines(idle=1)),
    "a cancellation after our deadline": Mishap(read, APITimeoutError, *SILENT, patience=2, timeout=Deadlines(idle=1)),
}


async def go(door: Door, mishap: Mishap) -> tuple[BaseException | None, bool]:
    """Return what a door raises, and whether the outer scope was cancelled. Check that nothing stays open."""
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, mishap.answer)
        client, transport = client_over(server, timeout=mishap.timeout, max_retries=0)
        out: BaseException | None = None
        with trio.move_on_after(mishap.patience) as scope:
            try:
                await door.go(client, mishap.body)
            except BaseException as error:
                if only_cancelled(error):
                    raise
                out = error
        await look_for_leftovers(client, transport, server)
        nursery.cancel_scope.cancel()
    return out, scope.cancelled_caught


def only_cancelled(error: BaseException) -> bool:
    """Return whether an exception is only a cancellation, which a nursery wraps into a group too."""
    rest = error.split(trio.Cancelled)[1] if isinstance(error, BaseExceptionGroup) else error
    return rest is None or isinstance(rest, trio.Cancelled)


async def look_for_leftovers(client: TrioOpenAI, transport: TrioTransport, server: ScriptedServer) -> None:
    held = transport.statistics()
    assert (held.active, held.waiting, client.statistics().open_streams) == (0, 0, 0)
    await trio.testing.wait_all_tasks_blocked()
    assert server.statistics().connections == held.idle
    await client.aclose()
    await server.wait_closed()


def anatomy(error: BaseException | None) -> Any:
    """Describe a group by its message and its members, and any other exception by its identity."""
    return [error.message, *map(anatomy, error.exceptions)] if isinstance(error, BaseExceptionGroup) else id(error)


def fits(door: str, mishap: str) -> bool:
    """Return whether a mishap can happen at a door.

    A race has no winner before there is content. How a program's nursery groups an error and a cancellation is decided
    by trio.
    """
    if door == "a race":
        return MISHAPS[mishap].stream not in (CUT[0], SILENT[0])
    return (door, mishap) != ("a task in a nursery", "a cancellation, and the program")


CASES = [(door, mishap) for door in DOORS for mishap in MISHAPS if fits(door, mishap)]


@pytest.mark.parametrize(("door", "mishap"), [(DOORS[d], MISHAPS[m]) for d, m in CASES], ids=map("-".join, CASES))
def test_a_mishap_raises_one_exception_without_a_group(door: Door, mishap: Mishap) -> None:
    out, cancelled = trio.run(go, door, mishap, clock=trio.testing.MockClock(autojump_threshold=0))
    assert cancelled == (mishap.out is None and mishap.patience < 1000), (
        "only the scope that was cancelled may catch the cancellation"
    )
    for _ in range(door.nurseries if out is not None else 0):
        assert isinstance(out, BaseExceptionGroup)
        (out,) = out.exceptions
    if isinstance(mishap.out, type):
        assert isinstance(out, mishap.out)
    elif door.nurseries and isinstance(mishap.out, BaseExceptionGroup):
        assert anatomy(out) == anatomy(mishap.out), "a nursery copies a group that passes through it"
    else:
        assert out is mishap.out
    forget(mishap.out, out)
    del out
    gc.collect()  # makes abandoned generators and sockets warn inside this test


def forget(*errors: object) -> None:
    """Drop the tracebacks of exceptions, so that their frames can be collected."""
    for error in errors:
        if isinstance(error, BaseException):
            error.__traceback__ = error.__cause__ = error.__context__ = None
            forget(*getattr(error, "exceptions", ()))


# ---------------------------------------------------------------------------------------------- 500 streams at once


def room_for_sockets(count: int) -> bool:
    """Raise this process's limit of open files as far as it may go, and return whether that is enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard or hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= count


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "sockets"])
async def test_one_failing_stream_of_500_disconnects_all_of_them(nursery: trio.Nursery, memory: bool) -> None:
    if not memory and not room_for_sockets(1200):
        pytest.skip("this process may not open 1,200 files")
    server = await serve(nursery, HELLO.stall_after(ONE_EVENT), memory=memory)
    client, transport = client_over(server)
    reading = 0
    all_read = trio.Event()

    async def stream(number: int) -> None:
        nonlocal reading
        async with client.chat.completions.stream(**CHAT) as events:
            async for _ in events:
                reading += 1
                if reading == 500:
                    all_read.set()
                if number == 250:
                    await all_read.wait()
                    raise BOOM

    async with client:
        with pytest.RaisesGroup(pytest.RaisesExc(Boom, check=lambda error: error is BOOM)):
            async with trio.open_nursery() as streams:
                for number in range(500):
                    streams.start_soon(stream, number)
        held = transport.statistics()
        assert (held.active, held.waiting, held.idle, client.statistics().open_streams) == (0, 0, 0, 0)
        await server.wait_disconnect(500, since=FROM_START)
        await server.wait_closed()
    assert server.statistics().disconnects == server.statistics().accepted == 500
