"""Records of several calls: a race, `run_many` and `stream_many`, and the tools and rounds of `run_tools`."""

from __future__ import annotations

import contextvars
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from net_helpers import CHAT, client_over, no_environment, outcome, serve
from observer_helpers import CallOrder, Heard
from tool_helpers import add, nap

from trio_openai import BadRequestError, Observer, RaceError, TrioOpenAI, Usage
from trio_openai.testing import Pause, RecordedRequest, Reply

HELLO = Reply.chat("Hello there.")
SLOW = attrs.evolve(HELLO, body=(HELLO.body[0], Pause(100), *HELLO.body[1:]))
SILENT = Reply.chat("")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def by_model(request: RecordedRequest) -> Reply:
    """Answer as the name of the model says."""
    replies = {"fast": HELLO, "slow": SLOW, "bad": Reply.error(400, "no"), "silent": SILENT}
    return replies[request.json()["model"]]


def calls(client: TrioOpenAI, *models: str, keys: bool = True) -> list[Any]:
    return [client.chat.completions.call(key=model if keys else None, model=model, messages=[]) for model in models]


async def race(client: TrioOpenAI, *models: str, keys: bool = True, stagger: float = 0.0) -> None:
    async with client.race(calls(client, *models, keys=keys), stagger=stagger) as stream:
        await stream.until_done()


# Races.


async def test_a_race_is_told_with_its_winner_and_losers(nursery: trio.Nursery, autojump_clock: object) -> None:
    heard, order = Heard(), CallOrder()
    client, _ = client_over(await serve(nursery, by_model), observer=[heard, order])
    async with client:
        await race(client, "slow", "bad", "fast", "never started", stagger=1)
    record = heard.one("race")
    assert (record.winner, record.losers, list(record.errors)) == ("fast", ["slow"], ["bad"])
    assert isinstance(record.errors["bad"], BadRequestError)
    assert (record.seconds, record.error) == (pytest.approx(1, abs=0.01), None)
    assert order.faults() == []
    verdicts = {ended.model: ended.verdict.state for ended in heard.all("ended")}
    assert verdicts == {"slow": "closed", "bad": "failed", "fast": "done"}


async def test_calls_of_a_race_without_keys_are_told_by_their_positions(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, by_model), observer=heard)
    async with client:
        await race(client, "slow", "fast", keys=False)
        call = calls(client, "fast", keys=False)[0]
        async with client.race([call, call]):
            pass
    first, second = heard.all("race")
    assert (first.winner, first.losers) == (1, [0])
    assert sorted([second.winner, *second.losers]) == [0, 1]


async def test_a_call_without_content_loses_a_race(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, by_model), observer=heard)
    async with client:
        await race(client, "silent", "fast", stagger=60)
        await race(client, "silent", "bad", stagger=60)
    first, second = heard.all("race")
    assert (first.winner, first.losers) == ("fast", ["silent"])
    assert (second.winner, second.losers, list(second.errors)) == ("silent", [], ["bad"])


async def test_a_race_without_a_winner_is_told_with_its_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, by_model), observer=heard)
    async with client:
        error = await outcome(race, client, "bad", "bad", keys=False)
        assert isinstance(error, RaceError)
        with trio.move_on_after(1):
            await race(client, "slow", "slow")
    failed, cancelled = heard.all("race")
    assert (failed.winner, failed.losers, sorted(failed.errors)) == (None, [], [0, 1])
    assert failed.error is error
    assert (cancelled.winner, cancelled.losers) == (None, ["slow", "slow"])
    assert isinstance(cancelled.error, trio.Cancelled)


# Many calls.


@pytest.mark.parametrize("function", ["run_many", "stream_many"])
async def test_many_calls_are_told_when_all_have_ended(nursery: trio.Nursery, function: str) -> None:
    heard, order = Heard(), CallOrder()
    client, _ = client_over(await serve(nursery, by_model), observer=[heard, order])
    async with client, getattr(client, function)(calls(client, "fast", "bad", "fast")) as results:
        async for _ in results:
            pass
        usage = results.statistics().usage
    record = heard.one("many")
    assert (record.function, record.done, record.failed, record.closed, record.error) == (function, 2, 1, 0, None)
    assert record.usage == usage != Usage()
    assert heard.names[-1] == "many"
    assert order.faults() == []


async def test_many_calls_that_end_early_are_told_with_what_ended_them(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, by_model), observer=heard)

    async def use(*models: str, error: Exception | None = None, **options: Any) -> None:
        async with client.run_many(calls(client, *models), **options) as results:
            async for _ in results:
                if error is not None:
                    raise error

    async with client:
        mine = KeyError("mine")
        assert await outcome(lambda: use("fast", "slow", error=mine)) is mine
        failed = await outcome(lambda: use("slow", "bad", fail_fast=True))
        with trio.move_on_after(1):
            await use("slow")
    by_block, by_failure, by_cancellation = heard.all("many")
    assert (by_block.done, by_block.closed, by_block.error) == (1, 1, mine)
    assert (by_failure.failed, by_failure.closed, by_failure.error) == (1, 1, failed)
    assert by_cancellation.closed == 1
    assert isinstance(by_cancellation.error, trio.Cancelled)


# Tools.

TWO_CALLS = Reply.tool_calls(("add", {"a": 1, "b": 2}), ("nap", {"seconds": 5}))


async def test_tools_and_rounds_are_told(nursery: trio.Nursery, autojump_clock: object) -> None:
    heard, order = Heard(), CallOrder()
    client, _ = client_over(await serve(nursery, [TWO_CALLS, HELLO]), observer=[heard, order])
    async with client, client.chat.completions.run_tools(**CHAT, tools=[add, nap]) as run:
        await run.until_done()
    rounds, ended = heard.all("round"), {record.name: record for record in heard.all("tool_ended")}
    assert [(record.round, record.tools, record.error) for record in rounds] == [
        (1, ["add", "nap"], None),
        (2, [], None),
    ]
    assert [record.call_id for record in rounds] == [record.call_id for record in heard.all("started")]
    assert rounds[0].seconds == pytest.approx(5, abs=0.01)
    assert (ended["nap"].tool_call_id, ended["nap"].round, ended["nap"].arguments) == ("call_2", 1, '{"seconds": 5}')
    assert (ended["nap"].seconds, ended["nap"].error) == (pytest.approx(5), None)
    assert {record.call_id for record in ended.values()} == {rounds[0].call_id}
    assert len({record.run_id for record in [*rounds, *ended.values()]}) == 1
    assert order.faults() == []
    assert "seconds" not in repr(ended["add"]).replace("seconds=", ""), "arguments may be private"


async def test_a_tool_that_fails_is_told_with_its_exception(nursery: trio.Nursery) -> None:
    mine = KeyError("mine")

    def add(a: int, b: int) -> int:
        raise mine

    heard = Heard()
    reply = Reply.tool_calls(("add", {"a": 1, "b": 2}), ("unknown", {}))
    client, _ = client_over(await serve(nursery, [reply, HELLO]), observer=heard)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
        await run.until_done()
    assert heard.one("tool_ended").error is mine
    assert heard.all("round")[0].tools == ["add"], "a call of an unknown tool runs nothing"


async def test_a_round_that_is_not_complete_is_told_after_its_tools(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    heard, order = Heard(), CallOrder()
    client, _ = client_over(await serve(nursery, lambda _: TWO_CALLS), observer=[heard, order])
    mine = KeyError("mine")

    async def leave() -> None:
        async with client.chat.completions.run_tools(**CHAT, tools=[add, nap]) as run:
            with trio.move_on_after(1):
                await run.until_done()
            raise mine

    async with client:
        with pytest.raises(KeyError):
            await leave()
    assert heard.names[-2:] == ["tool_ended", "round"]
    assert isinstance(heard.all("tool_ended")[-1].error, trio.Cancelled)
    assert (heard.one("round").tools, heard.one("round").error) == (["add", "nap"], mine)
    assert order.faults() == []


async def test_a_round_whose_request_fails_is_told(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, Reply.error(400, "no")), observer=heard)

    async def run() -> None:
        async with client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
            await run.until_done()

    async with client:
        error = await outcome(run)
    assert (heard.one("round").round, heard.one("round").call_id, heard.one("round").error) == (1, None, error)


async def test_a_context_variable_set_when_a_tool_starts_is_seen_by_the_tool(nursery: trio.Nursery) -> None:
    current = contextvars.ContextVar("current", default="nothing")
    seen: list[str] = []

    class Sets(Observer):
        def tool_started(self, record: Any, /) -> None:
            current.set(record.name)

        def tool_ended(self, record: Any, /) -> None:
            seen.append(f"ended {current.get()}")

    def add(a: int, b: int) -> int:
        seen.append(current.get())
        return a + b

    client, _ = client_over(await serve(nursery, [TWO_CALLS, HELLO]), observer=Sets())
    async with client, client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
        await run.until_done()
    assert seen == ["add", "ended add"]
    assert current.get() == "nothing"
