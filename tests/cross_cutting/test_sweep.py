"""Promise 1 at every step of the scheduler: a scenario that is cancelled anywhere leaves nothing behind.

A scenario is one small function and a line in a table; `sweep.py` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing
from net_helpers import CHAT, no_environment
from sweep import faults_of, sweep
from sweep_acts import (
    a_race,
    a_task_reads,
    a_task_reads_and_is_closed,
    block_never_read,
    block_of_text,
    many_events,
    many_results,
    plain,
    plain_big,
    resumed,
    settled,
    settled_behind_a_task,
    slow_subscriber,
    tools,
    two_connections,
    two_tasks,
)
from sweep_places import (
    BURST,
    HELLO,
    ON_SOCKETS,
    PLAIN,
    SEVERAL,
    SHORT,
    Blow,
    Scenario,
    World,
    block,
    block_left_early,
    one_after_another,
    over_tls,
    third_door,
    third_door_by_hand,
    through,
)

from trio_openai import (
    AdaptiveLimiter,
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    BadRequestError,
    Deadlines,
    RateLimiter,
    StreamTruncatedError,
)
from trio_openai.testing import Cut, Pause, Reply, Stall

pytestmark = pytest.mark.promise(n=1)

PACED = Reply.chat("Hello there.", usage=False, pace=0.1)
HELD = attrs.evolve(SHORT, body=(SHORT.body[0], Pause(1), SHORT.body[1]))  # other tasks have time to wait
ONE_EVENT = len(bytes(HELLO.body[0]))  # type: ignore[arg-type]
STALLING = SHORT.stall_after(ONE_EVENT)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


# ------------------------------------------------------------------ scenarios: one call through each door is cancelled


def failing_with(error: type[APIError], act: Callable[[World], Any] = block) -> Callable[[World], Any]:
    """Return the scenario as one that must end with an error."""

    async def fails(world: World) -> None:
        with pytest.raises(error) as caught:
            await act(world)
        assert type(caught.value) is error

    return fails


async def the_client_is_closed(world: World) -> None:
    async with world.client as client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        await anext(stream)


async def key() -> str:
    await trio.sleep(1)
    return "sk-asked-for"


BUSY = Reply.error(503, "busy", headers={"retry-after-ms": "1"})
BUSY_FOR_A_WHILE = Reply.error(503, "busy", headers={"retry-after": "3"})
TWO_TOOLS = Reply.tool_calls(("look_up", {"word": "one"}), ("look_up", {"word": "two"}), usage=False)
NO_RETRY = {"max_retries": 0}
NO_OBSERVER = {"observer": None}
RESPONSE = Reply.response("Hi.")
RESPONSE = RESPONSE.sliced(RESPONSE.length() // 2 + 1)
ENDS_LATE = attrs.evolve(BURST, body=(*BURST.body, Pause(0.003), b": bye\n\n"))
NEVER_ENDS = attrs.evolve(BURST, body=(*BURST.body, Stall()))
OVERLOADED = Reply.sse({"error": {"message": "busy", "type": "overloaded_error"}})
MOVED = Reply(307, {"location": "/v2"}, (b"mo", Pause(0.1), b"ved"))
MOVED_AWAY = Reply(307, {"location": "http://other.test/v2"}, b"moved")
REFUSAL = attrs.evolve(Reply.error(400, "no").sliced(40), framing="chunked")
STALE = attrs.evolve(BURST, close_after=True)


def one_at_a_time() -> AdaptiveLimiter:
    return AdaptiveLimiter(initial=1, maximum=1)


def one_a_second() -> RateLimiter:
    return RateLimiter(requests_per_minute=60)


CALLS = {
    "a plain answer": Scenario(plain, [PLAIN.sliced(150)]),
    "an answer that is not compressed as it says": Scenario(
        failing_with(APIResponseValidationError, plain),
        [Reply(200, {"content-encoding": "gzip"}, b"hello")],
        options=NO_RETRY,
    ),
    "a slow connection": Scenario(plain, [PLAIN], connect_seconds=1),
    "the request's body": Scenario(plain_big, [PLAIN], bytes_a_second=50_000),
    "waiting for the headers": Scenario(block, [attrs.evolve(BURST, delay=1)]),
    "in the middle of the stream": Scenario(block, [PACED]),
    "a burst": Scenario(block, [BURST]),
    "bytes and not events": Scenario(block, [HELLO.sliced(90)]),
    "left early": Scenario(block_left_early, [PACED]),
    "left unread": Scenario(block_never_read),
    "text of a response": Scenario(block_of_text, [Reply.response("Hello there.").sliced(500)]),
    "the third door": Scenario(third_door, [PACED]),
    "the third door, closed by hand": Scenario(third_door_by_hand, [PACED]),
    "a key that is asked for": Scenario(block, options={"api_key": key}),
    "retry of a status": Scenario(block, [Reply.error(503, "busy"), BURST]),
    "retry of a plain answer": Scenario(plain, [Reply.error(429, "slow"), PLAIN.cut_after(9), PLAIN]),
    "retry of a refused connection": Scenario(block, [BURST], refusals=2),
    "retry of a cut before the first event": Scenario(block, [Reply.sse(Cut()), BURST]),
    "retry of an overload inside a 200": Scenario(third_door, [OVERLOADED, BURST]),
    "retries used up": Scenario(failing_with(APIConnectionError), [Reply.raw(b"")], options={"max_retries": 1}),
    "an error's body": Scenario(failing_with(BadRequestError), [REFUSAL]),
    "an error's body that stalls": Scenario(failing_with(BadRequestError), [REFUSAL.stall_after(10)]),
    "a cut stream": Scenario(failing_with(StreamTruncatedError), [SHORT.cut_after(ONE_EVENT)]),
    "a redirect": Scenario(plain, [MOVED, PLAIN]),
    "a redirect to another host": Scenario(plain, [MOVED_AWAY, PLAIN], options={"follow_cross_origin_redirects": True}),
    "deadline for the headers": Scenario(
        failing_with(APITimeoutError),
        [attrs.evolve(HELLO, delay=9)],
        options={**NO_RETRY, "timeout": Deadlines(headers=1)},
    ),
    "deadline for an event": Scenario(
        failing_with(APITimeoutError), [SHORT.stall_after(ONE_EVENT)], options={"timeout": Deadlines(idle=1)}
    ),
    "deadline for all": Scenario(
        failing_with(APITimeoutError), [Reply.error(503, "busy")], options={"timeout": Deadlines(total=0.3)}
    ),
    "the same connection again": Scenario(one_after_another),
    "a parked connection that ends late": Scenario(one_after_another, [ENDS_LATE]),
    "a parked connection that never ends": Scenario(one_after_another, [NEVER_ENDS]),
    "a connection that the server closed": Scenario(one_after_another, [STALE]),
    "two streams of one task": Scenario(two_connections, max_connections=2),
    "two tasks, one slot": Scenario(two_tasks, [BURST]),
    "a task in a nursery reads": Scenario(a_task_reads, [BURST]),
    "a task in a nursery reads, and is closed": Scenario(a_task_reads_and_is_closed, [PACED]),
    "a slow subscriber": Scenario(slow_subscriber, [SHORT]),
    "settling": Scenario(settled, [PACED]),
    "settling a stream that stalls": Scenario(settled, [SHORT.stall_after(ONE_EVENT)]),
    "settling what a task reads": Scenario(settled_behind_a_task, [PACED]),
    "a race": Scenario(a_race, [SHORT.stall_after(1), BURST], max_connections=2),
    "many results, in order": Scenario(many_results, [BURST], max_connections=2),
    "the events of many": Scenario(many_events, [BURST]),
    "tools": Scenario(tools, [TWO_TOOLS, BURST]),
    "resuming": Scenario(resumed, [RESPONSE.cut_after(RESPONSE.length() // 2), RESPONSE]),
    "waiting for the limiter": Scenario(two_tasks, [BURST], limiter=one_at_a_time, max_connections=2),
    "waiting for the rate": Scenario(one_after_another, [BURST], limiter=one_a_second),
    "waiting for the limiter, in a pause": Scenario(two_tasks, [BUSY_FOR_A_WHILE, BURST], limiter=one_at_a_time),
    "waiting for the limiter, in a retry": Scenario(third_door, [OVERLOADED, BURST], limiter=one_a_second),
    "waiting for the limiter, to resume": Scenario(
        resumed, [RESPONSE.cut_after(RESPONSE.length() // 2), RESPONSE], limiter=one_a_second
    ),
    "waiting for the limiter, in a race": Scenario(a_race, [BURST], limiter=one_at_a_time, max_connections=2),
    "waiting for the limiter, of many": Scenario(many_results, [BURST], limiter=one_at_a_time, max_connections=2),
    "a plain answer that nobody observes": Scenario(plain, [PLAIN.sliced(150)], options=NO_OBSERVER),
    "a retry that nobody observes": Scenario(third_door, [OVERLOADED, BURST], options=NO_OBSERVER),
    "closing the client": Scenario(the_client_is_closed, [PACED], survives=False),
}


# ------------------------------------------------------------------------------------- several servers as one client

DOWN = Reply.error(401, "no")  # one such answer, and the server is not asked for half a second


async def asked_again_later(world: World) -> None:
    await block(world)
    await trio.sleep(1)  # then one call tries the server that is down
    await block(world)


def several(act: Callable[[World], Any], replies: Sequence[Reply], **options: Any) -> Scenario:
    """Return a scenario with two servers, each with a limiter and room for one connection."""
    return Scenario(act, replies, SEVERAL, max_connections=2, **options)


SERVERS = {
    "a plain answer": several(plain, [PLAIN.sliced(150)]),
    "in the middle of the stream": several(block, [PACED]),
    "left early": several(block_left_early, [PACED]),
    "another server after a status": several(block, [Reply.error(503, "busy"), BURST]),
    "another server after a refused connection": several(block, [BURST], refusals=1),
    "another server after a cut before the first event": several(third_door, [Reply.sse(Cut()), BURST]),
    "another server after a cut plain answer": several(plain, [PLAIN.cut_after(9), PLAIN]),
    "both servers are down for a moment": several(block, [BURST], refusals=3),
    "both servers are down": several(
        failing_with(APIConnectionError), [BURST], refusals=99, options={"max_retries": 1}, survives=False
    ),
    "a server that is down is tried": several(asked_again_later, [DOWN, BURST]),
    "a server that is down is tried in vain": several(asked_again_later, [DOWN, BURST, DOWN, BURST]),
    "waiting in the queue": several(two_tasks, [BURST], limiter=one_at_a_time),
    "waiting in the queue, in a pause": several(two_tasks, [BUSY_FOR_A_WHILE, BURST], limiter=one_at_a_time),
    "a race": several(a_race, [SHORT.stall_after(1), BURST]),
    "many results, in order": several(many_results, [BURST], limiter=one_at_a_time),
    "the events of many": several(many_events, [BURST]),
    "tools": several(tools, [TWO_TOOLS, BURST]),
    "resuming": several(resumed, [RESPONSE.cut_after(RESPONSE.length() // 2), RESPONSE]),
    "closing the client": several(the_client_is_closed, [PACED], survives=False),
}


# -------------------------------------------- neighbours: one task is cancelled at any step, and the others complete


async def in_turn(world: World, *acts: Callable[[World], Any], waiting: int) -> None:
    """Start each task after the previous one has blocked, and wait until all of them have ended.

    Check that exactly `waiting` tasks have not sent their request yet, unless the victim was cancelled before.
    """
    async with trio.open_nursery() as nursery:
        for act in acts:
            nursery.start_soon(act, world)
            await trio.testing.wait_all_tasks_blocked()
        assert world.victim.was_struck or len(world.server.requests) == len(acts) - waiting


def victim(act: Callable[[World], Any]) -> Callable[[World], Any]:
    """Mark the task that is cancelled."""

    async def struck(world: World) -> None:
        with world.victim:
            await act(world)

    return struck


def together(*acts: Callable[[World], Any], waiting: int = 1) -> Callable[[World], Any]:
    async def neighbours(world: World) -> None:
        await in_turn(world, *acts, waiting=waiting)

    return neighbours


async def block_left_later(world: World) -> None:
    async with world.client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)
        await anext(stream)  # this event arrives after the pause of HELD


async def block_that_fails(world: World) -> None:
    with pytest.raises(StreamTruncatedError):
        await block(world)


def reading_while_closed(*, victim_reads: bool) -> Callable[[World], Any]:
    """Let one task read and another close the stream. One of them is cancelled, and the other goes on."""

    async def neighbours(world: World) -> None:
        stream = await world.client.chat.completions.create(**CHAT, stream=True)

        async def read(_: World) -> None:
            try:
                await stream.until_done()
            except trio.ClosedResourceError:
                pass

        async def close(_: World) -> None:
            await stream.aclose()

        await in_turn(world, *((victim(read), close) if victim_reads else (read, victim(close))), waiting=1)
        await stream.aclose()

    return neighbours


async def the_client_is_closed_by_another(world: World) -> None:
    async def use(_: World) -> None:
        try:
            await one_after_another(world)
        except (trio.ClosedResourceError, RuntimeError):  # httpx raises RuntimeError if the client is closed
            pass

    async def close(_: World) -> None:
        await trio.sleep(0.15)
        await world.client.aclose()

    await in_turn(world, victim(use), use, close, waiting=2)


def pair(act: Callable[[World], Any], replies: Sequence[Reply] = (HELD,), **options: Any) -> Scenario:
    return Scenario(act, replies, neighbours=True, **options)


def limited(act: Callable[[World], Any], replies: Sequence[Reply] = (HELD, BURST)) -> Scenario:
    """Allow enough connections, so that a task that waits is waiting for the limiter."""
    return pair(act, replies, limiter=one_at_a_time, max_connections=3)


NEIGHBOURS = {
    "a waiter": pair(together(block, victim(block)), [HELD, BURST]),
    "a waiter, while the holder leaves early": pair(together(block_left_later, victim(block)), [HELD, BURST]),
    "a waiter, while the holder fails": pair(
        together(block_that_fails, victim(plain)), [HELD.cut_after(HELD.length() - 20), PLAIN]
    ),
    "a waiter, while the server closes the connection": pair(
        together(block, victim(block)), [attrs.evolve(HELD, close_after=True), BURST]
    ),
    "a waiter in front of another": pair(together(block, victim(block), block, waiting=2), [HELD, BURST]),
    "a waiter behind another": pair(together(block, block, victim(block), waiting=2), [HELD, BURST]),
    "the holder": pair(together(victim(block), block), [HELD, BURST]),
    "the holder, in a retry": pair(together(victim(block), block, waiting=0), [Reply.sse(Cut()), HELD]),
    "a reader of a stream that is closed": pair(reading_while_closed(victim_reads=True), [STALLING]),
    "who closes a stream that is read": pair(reading_while_closed(victim_reads=False), [STALLING]),
    "a waiter for the limiter": limited(together(block, victim(block)), [HELD, BURST]),
    "a waiter for the limiter, while the holder leaves early": limited(
        together(block_left_later, victim(block)), [HELD, BURST]
    ),
    "a waiter for the limiter, while the holder is refused": limited(
        together(block, victim(block)), [attrs.evolve(BUSY_FOR_A_WHILE, delay=1), BURST]
    ),
    "a waiter for the limiter in front of another": limited(together(block, victim(block), block, waiting=2)),
    "a waiter for the limiter behind another": limited(together(block, block, victim(block), waiting=2)),
    "the holder of the only permit": limited(together(victim(block), block), [HELD, BURST]),
    "the holder of the only permit, in a retry": limited(
        together(victim(block), block, waiting=0), [Reply.sse(Cut()), HELD]
    ),
    "a user of a client that is closed": pair(the_client_is_closed_by_another, [PACED], survives=False),
}

SERVERS_AND_NEIGHBOURS = {
    name: attrs.evolve(NEIGHBOURS[name], place=SEVERAL) for name in NEIGHBOURS if "limiter" in name or "permit" in name
}


# Ctrl-C instead of a cancellation: trio raises KeyboardInterrupt at the next checkpoint, even inside a shield.

INTERRUPTED = {
    name: attrs.evolve(CALLS[name], blow=Blow.INTERRUPT)
    for name in (
        "a plain answer",
        "the third door, closed by hand",
        "retry of a status",
        "an error's body",
        "waiting for the rate",
        "a parked connection that ends late",
    )
}


# ------------------------------------------------------------------------------------------------- over real sockets

SOCKETS = {
    "a plain answer": Scenario(plain, [PLAIN.sliced(150)], ON_SOCKETS),
    "a big request": Scenario(plain_big, [PLAIN], ON_SOCKETS),
    "a stream": Scenario(block, [SHORT], ON_SOCKETS),
    "left early": Scenario(block_left_early, [SHORT], ON_SOCKETS),
    "retry": Scenario(third_door, [BUSY, BURST], ON_SOCKETS),
    "the same connection again": Scenario(one_after_another, [SHORT], ON_SOCKETS),
    "a waiter": pair(together(block, victim(block)), [HELD, BURST], place=ON_SOCKETS),
}


def check(record_property: Callable[[str, object], None], scenario: Scenario) -> None:
    """Cancel the scenario at every step, and fail if any step left something behind."""
    points = sweep(scenario)
    record_property("points", len(points))
    assert "\n".join(faults_of(points)[:10]) == ""
    assert any(point.fired for point in points)


def table(scenarios: dict[str, Scenario]) -> Any:
    return pytest.mark.parametrize("scenario", scenarios.values(), ids=scenarios.keys())


@table(CALLS)
def test_a_call_cancelled_at_any_step_leaves_nothing_behind(scenario: Scenario, record_property: Any) -> None:
    check(record_property, scenario)


@table(NEIGHBOURS)
def test_a_task_cancelled_at_any_step_of_its_neighbours_does_not_disturb_them(
    scenario: Scenario, record_property: Any
) -> None:
    check(record_property, scenario)


@table(SERVERS)
def test_a_call_of_several_servers_cancelled_at_any_step_leaves_nothing_behind(
    scenario: Scenario, record_property: Any
) -> None:
    check(record_property, scenario)


@table(SERVERS_AND_NEIGHBOURS)
def test_a_task_in_the_queue_of_servers_cancelled_at_any_step_does_not_disturb_the_others(
    scenario: Scenario, record_property: Any
) -> None:
    check(record_property, scenario)


@table(INTERRUPTED)
def test_a_call_interrupted_at_any_step_leaves_nothing_behind(scenario: Scenario, record_property: Any) -> None:
    check(record_property, scenario)


@table(SOCKETS)
def test_a_call_cancelled_at_any_step_leaves_no_socket(scenario: Scenario, record_property: Any) -> None:
    check(record_property, scenario)


def test_a_call_over_tls_cancelled_at_any_step_leaves_nothing_behind(record_property: Any) -> None:
    check(record_property, Scenario(one_after_another, place=over_tls(sockets=False)))


@pytest.mark.parametrize("act", [block, block_left_early])
def test_a_call_over_tls_cancelled_at_any_step_leaves_no_socket(act: Any, record_property: Any) -> None:
    check(record_property, Scenario(act, place=over_tls(sockets=True)))


FOREIGN = {
    "a plain answer": Scenario(plain, [PLAIN]),
    "a stream": Scenario(block),
    "left early": Scenario(block_left_early),
    "retry": Scenario(third_door, [BUSY, BURST]),
    "a waiter": pair(together(block, victim(block)), [HELD, BURST]),
    "a waiter, while the holder leaves early": pair(together(block_left_later, victim(block)), [HELD, BURST]),
    "the holder": pair(together(victim(block), block), [HELD, BURST]),
    "a reader of a stream that is closed": pair(reading_while_closed(victim_reads=True), [STALLING]),
    "who closes a stream that is read": pair(reading_while_closed(victim_reads=False), [STALLING]),
}


FOREIGN2 = {name: FOREIGN[name] for name in ("a stream", "a waiter")}


@table(FOREIGN)
def test_a_call_through_stock_httpx_cancelled_at_any_step_leaves_nothing_behind(
    scenario: Scenario, record_property: Any
) -> None:
    check(record_property, attrs.evolve(scenario, place=through(httpx)))


@table(FOREIGN2)
def test_a_call_through_stock_httpx2_cancelled_at_any_step_leaves_nothing_behind(
    scenario: Scenario, record_property: Any
) -> None:
    check(record_property, attrs.evolve(scenario, place=through(pytest.importorskip("httpx2"))))
