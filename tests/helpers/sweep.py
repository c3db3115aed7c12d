"""Cancel a scenario at every step of the scheduler, and check each time that nothing is left behind.

A `Scenario` is one async function and a line that says where it runs and what the server answers (`sweep_places.py`).
`sweep` plays it in a run of its own for every point: for k = 0, 1, 2, ... until it runs through, an instrument of
trio's cancels it at the k-th step of its task or of a task that it started, and then again at the k-th wake-up. Then,
while the client is still open:

* no slot is held, nobody waits for one, no stream is open; this is looked at before anything is awaited;
* nobody waits for the limiter, and it knows of no attempt in flight; this too;
* nobody waits for one of several servers, and none has an attempt in flight or probing it;
* no connection is open but those that the pool says it keeps: at this end, at the server's, and among the sockets;
* every call that an observer of the client has heard of has ended, exactly once, and its records came in order;
* no task is there that was not there before;
* no time, on a clock that jumps, has passed between the blow and the end of the scope;
* the collector finds nothing to warn of;
* the next request on the same client works; and when the client is closed, nothing at all is left.

What is found wrong is in `Point.faults`, so a test can ask for none, or show that there would be some.

The blow falls on the whole scenario, or, if that is about neighbours, on the part of it that is inside `world.victim`.
"""

from __future__ import annotations

import contextlib
import enum
import gc
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence

import attrs
import trio
import trio.testing
from sweep_places import Blow, Scenario, World

from trio_openai import Servers, TrioOpenAI
from trio_openai.testing import ScriptedServer

_HANGS = 10_000.0  # seconds on a clock that jumps
_NO_LIMIT = 2_000  # steps: more than any scenario has
_QUIET = 0.005  # real seconds without an event, after which the clock jumps: sockets in one process answer sooner
_PATIENCE = 100  # how often sockets get half a millisecond to catch up


class Moment(enum.Enum):
    """The moment of the blow, relative to a step of the task whose steps are counted."""

    AFTER = "after step"  # it waits, has let others run, or has ended
    WOKEN = "at wake-up"  # it was rescheduled, and has not run yet


@attrs.define
class Point:
    """One blow: its step, whether the scenario had so many steps, and what was wrong afterwards."""

    moment: Moment
    step: int
    fired: bool = False
    faults: list[str] = attrs.field(factory=list[str])

    def __str__(self) -> str:
        return f"{self.moment.value} {self.step}: " + "; ".join(self.faults)


def sweep(scenario: Scenario) -> list[Point]:
    """Play a scenario once for each step, and return the points. The last point of each moment runs to the end."""
    points: list[Point] = []
    gc.collect()
    gc.freeze()  # each point calls the collector, which then has little to look at
    for moment in Moment:
        for step in range(_NO_LIMIT):
            points.append(_play(scenario, Point(moment, step)))
            if not points[-1].fired:
                break
        else:
            raise AssertionError("the scenario never ends")
    return points


def faults_of(points: Sequence[Point]) -> list[str]:
    """Return the points at which something was wrong, in words."""
    return [str(point) for point in points if point.faults]


def _play(scenario: Scenario, point: Point) -> Point:
    """Play one point in a separate trio run."""
    clock = trio.testing.MockClock(autojump_threshold=_QUIET if scenario.place.sockets else 0)
    with warnings.catch_warnings(record=True) as warned, _unraisable() as lost:
        warnings.simplefilter("always")
        gc.disable()  # cleanup must not depend on the collector
        try:
            trio.run(_in_a_world, scenario, point, clock=clock)
        except Exception as error:  # noqa: BLE001 - a fault of this point, and there are others to come
            point.faults.append(f"raised {_flat(error)}")
        finally:
            gc.enable()
            if not point.fired:
                gc.collect()  # finds what the last point left behind
    point.faults += [f"warned: {warning.message}" for warning in warned]
    point.faults += [f"lost: {error!r}" for error in lost]
    return point


@contextlib.contextmanager
def _unraisable() -> Iterator[list[object]]:
    """Collect exceptions that the interpreter cannot raise anywhere, such as those in `__del__`."""
    lost: list[object] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda what: lost.append(what.exc_value)
    try:
        yield lost
    finally:
        sys.unraisablehook = before


def _flat(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "[" + ", ".join(map(_flat, error.exceptions)) + "]"
    return repr(error)


async def _in_a_world(scenario: Scenario, point: Point) -> None:
    async with trio.open_nursery() as nursery:
        home: trio.Nursery = await nursery.start(_run)
        world = World(scenario, home, ScriptedServer(scenario.script()))
        sockets = world.sockets()
        await scenario.place.build(world)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(_HANGS):
            listening = world.sockets()
            tasks = _tasks(home)
            await _strike(world, point)
            _look_at_once(world, point)
            await _look_around(world, point, listening)
            if left := set(_tasks(home).items()) - set(tasks.items()):
                point.faults.append(f"tasks left: {sorted(name for _, name in left)}")
            await _end(world, point, listening)
        home.cancel_scope.cancel()
    if (more := world.sockets() - sockets) > 0:
        point.faults.append(f"{more} sockets left")


async def _run(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Run a nursery for the tasks that are not under test, such as the server's."""
    async with trio.open_nursery() as nursery:
        task_status.started(nursery)
        await trio.sleep_forever()


async def _strike(world: World, point: Point) -> None:
    """Play the scenario, and strike at the point's step."""
    interrupting = world.scenario.blow is Blow.INTERRUPT
    striker = _Striker(world, point, _interrupt if interrupting else world.victim.strike)
    trio.lowlevel.add_instrument(striker)
    try:
        with contextlib.nullcontext() if world.scenario.neighbours else world.victim:
            await world.scenario.act(world)
        if interrupting:
            await trio.lowlevel.checkpoint()  # raises a cancellation that struck at the end
    except KeyboardInterrupt:
        if not interrupting:
            raise
    finally:
        trio.lowlevel.remove_instrument(striker)


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


class _Striker(trio.abc.Instrument):
    """Calls a function at the k-th step, or wake-up, of the current task or of a task that it started."""

    def __init__(self, world: World, point: Point, strike: Callable[[], None]) -> None:
        self._victim = world.victim
        self._point = point
        self._strike = strike
        self._left = point.step
        self._tasks = {trio.lowlevel.current_task()}
        self._running: trio.lowlevel.Task | None = trio.lowlevel.current_task()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        if task.parent_nursery is not None and task.parent_nursery.parent_task in self._tasks:
            self._tasks.add(task)

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        if task is not self._running:  # otherwise the end of this step is the same moment
            self._count(task, Moment.WOKEN)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._running = task

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._running = None
        self._count(task, Moment.AFTER)

    @trio.lowlevel.enable_ki_protection
    def _count(self, task: trio.lowlevel.Task, moment: Moment) -> None:
        if moment is self._point.moment and task in self._tasks and self._victim.inside and not self._point.fired:
            self._left -= 1
            if self._left < 0:
                self._point.fired = True
                self._strike()


def _tasks(home: trio.Nursery) -> dict[int, str]:
    """Yield all tasks of this run, except those of the nursery that is not under test."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    found: dict[int, str] = {}
    rest = [root]
    for task in rest:  # the loop appends to this list
        found[id(task)] = task.name
        rest += [child for nursery in task.child_nurseries if nursery is not home for child in nursery.child_tasks]
    return found


def _look_at_once(world: World, point: Point) -> None:
    """Check what must hold at once: without an await and without the garbage collector."""
    held = world.held()
    if held is not None and (held.active or held.waiting):
        point.faults.append(f"{held.active} slots held, {held.waiting} waiting")
    if isinstance(world.client, TrioOpenAI) and (streams := world.client.statistics().open_streams):
        point.faults.append(f"{streams} streams open at the client")
    if held is not None and len(world.open_streams) > held.idle:
        point.faults.append(f"{len(world.open_streams)} connections open here, {held.idle} idle in the pool")
    if world.limiter is not None and ((known := world.limiter.statistics()).in_flight or known.waiting):
        point.faults.append(f"{known.in_flight} attempts in flight for the limiter, {known.waiting} waiting")
    if isinstance(world.client, Servers):
        now = world.client.statistics()
        busy = [str(one) for one in now.servers if one.in_flight or one.state == "probing"]
        if now.waiting or busy:
            point.faults.append(f"{now.waiting} attempts in the queue for a server; busy: {busy}")
    point.faults += world.calls.faults()
    if world.victim.seconds_to_leave > 0:
        point.faults.append(f"it took {world.victim.seconds_to_leave} s to leave")


async def _look_around(world: World, point: Point, listening: int) -> None:
    """Check what must hold after the server has run, and let the garbage collector report what was abandoned."""
    held = world.held()
    most = held.idle if held is not None else world.scenario.max_connections
    await _check_connections(world, point, most, listening)
    gc.collect()
    await trio.lowlevel.checkpoint()  # trio closes an abandoned generator in a task


async def _end(world: World, point: Point, listening: int) -> None:
    """Send one more request, and close the client."""
    if world.scenario.survives:
        try:
            await world.scenario.ask(world)
        except Exception as error:  # noqa: BLE001 - whatever it is
            point.faults.append(f"the next request failed: {error!r}")
        _look_at_once(world, point)
    await world.client.aclose()
    if world.open_streams:
        point.faults.append(f"{len(world.open_streams)} connections open after the client was closed")
    await _check_connections(world, point, 0, listening)


async def _check_connections(world: World, point: Point, most: int, listening: int) -> None:
    """Check that no more connections than `most` are open, once every task waits."""
    for _ in range(_PATIENCE):
        await trio.testing.wait_all_tasks_blocked()
        there, sockets = world.server.statistics().connections, world.sockets() - listening
        if there <= most and sockets <= most * world.scenario.place.sockets:
            return
        await trio.testing.wait_all_tasks_blocked(0.0005)
    point.faults.append(f"{there} connections at the server, {sockets} sockets, not {most}: {world.held()}")
