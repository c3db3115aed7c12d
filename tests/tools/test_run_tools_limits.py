"""`run_tools`: the timeout, the number of calls, `on_error` and `approve`, for a run and for a single tool."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import client_over, no_environment, serve
from tool_helpers import ANSWER, CHAT, WorkError, add, all_of, calling, fail, nap

from trio_openai import Tool, ToolDone, ToolFailed, ToolRefused, ToolRequest, ToolRun
from trio_openai.testing import Reply
from trio_openai.types import ToolCallDone

ADD = ("add", {"a": 1, "b": 2})
FAIL = ("fail", {"after": 0})


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def run_with(first: Reply, **params: Any) -> tuple[ToolRun[Any], list[Any]]:
    """Run tools against one round of calls and an answer. Return the run and its events."""
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, [first, ANSWER])
        client, _ = client_over(server)
        async with client, client.chat.completions.run_tools(**CHAT, **params) as run:
            events = await all_of(run)
        nursery.cancel_scope.cancel()
    return run, events


def outputs(run: ToolRun[Any]) -> list[Any]:
    return [message["content"] for message in run.messages if message["role"] == "tool"]


# Timeouts.


async def test_a_tool_that_exceeds_its_timeout_is_cancelled_and_reported(
    autojump_clock: trio.testing.MockClock,
) -> None:
    began = trio.current_time()
    run, events = await run_with(calling(("nap", {"seconds": 100})), tools=[Tool.of(nap, timeout=2)])
    assert trio.current_time() - began == pytest.approx(2)
    assert outputs(run) == ["Error: TooSlowError: the tool took longer than its timeout of 2 seconds"]
    assert [type(event.error) for event in events if isinstance(event, ToolFailed)] == [trio.TooSlowError]


async def test_a_timeout_begins_when_the_tool_starts(autojump_clock: trio.testing.MockClock) -> None:
    calls = calling(("nap", {"seconds": 2}), ("nap", {"seconds": 2}))
    run, _ = await run_with(calls, tools=[Tool.of(nap, timeout=3)], max_concurrent=1)
    assert outputs(run) == ["slept 2.0", "slept 2.0"]


async def test_a_sync_tool_with_a_timeout_runs_in_a_thread_that_is_left_behind(nursery: trio.Nursery) -> None:
    release, ended = threading.Event(), threading.Event()

    def stuck() -> None:
        release.wait(30)
        ended.set()

    server = await serve(nursery, [calling(("stuck", {})), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[Tool.of(stuck, timeout=0.01)]) as run:
        await run.until_done()
        assert not ended.is_set()
    assert outputs(run)[0].startswith("Error: TooSlowError")
    release.set()
    await trio.to_thread.run_sync(ended.wait, 30)


# Numbers of calls.


async def test_a_tool_at_its_limit_does_not_hold_up_others(autojump_clock: trio.testing.MockClock) -> None:
    running, most = 0, 0

    async def database(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return number

    calls = [*(("database", {"number": n}) for n in range(5)), ("nap", {"seconds": 1})]
    tools = [Tool.of(database, max_concurrent=2), nap]
    run, events = await run_with(calling(*calls), tools=tools, max_concurrent=3)
    assert most == 2
    assert outputs(run) == ["0", "1", "2", "3", "4", "slept 1.0"]
    done = [event.call.name for event in events if isinstance(event, ToolDone)]
    assert "nap" in done[:3], "it started although calls of the other tool were waiting before it"


# on_error.


async def test_on_error_function_makes_the_text_for_the_model(nursery: trio.Nursery) -> None:
    def explain(call: ToolCallDone, error: Exception) -> str:
        return f"{call.name} is out of order ({error})"

    run, events = await run_with(calling(FAIL, ("add", {"a": 1})), tools=[fail, add], on_error=explain)
    assert outputs(run) == [
        "fail is out of order (no luck)",
        "add is out of order ($.b: this argument is missing)",
    ]
    assert {event.output for event in events if isinstance(event, ToolFailed)} == set(outputs(run))


async def test_exception_of_an_on_error_function_is_raised_bare(nursery: trio.Nursery) -> None:
    mine = WorkError("mine")

    def give_up(call: ToolCallDone, error: Exception) -> str:
        raise mine

    # The helper's own nursery makes the group.
    with pytest.RaisesGroup(pytest.RaisesExc(WorkError, check=lambda error: error is mine)):
        await run_with(calling(FAIL), tools=[fail], on_error=give_up)


async def test_on_error_function_must_return_text(nursery: trio.Nursery) -> None:
    async def explain(call: ToolCallDone, error: Exception) -> str:
        return "too late"

    wrong: Any = explain
    server = await serve(nursery, calling(FAIL))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(TypeError, match="on_error must return the text for the model as a str, not coroutine"):
            async with client.chat.completions.run_tools(**CHAT, tools=[fail], on_error=wrong) as run:
                await run.until_done()


async def test_on_error_of_a_tool_takes_precedence(nursery: trio.Nursery) -> None:
    tools = [Tool.of(fail, on_error="raise"), add]
    server = await serve(nursery, [calling(("add", {})), calling(FAIL)])
    client, _ = client_over(server)
    async with client:
        with pytest.raises(WorkError, match="no luck"):
            async with client.chat.completions.run_tools(**CHAT, tools=tools) as run:
                await run.until_done()
    assert run.statistics().rounds == 2
    run, _ = await run_with(calling(FAIL), tools=[Tool.of(fail, on_error="tell_model")], on_error="raise")
    assert outputs(run) == ["Error: WorkError: no luck"]


# approve.


async def test_a_refusal_is_reported_to_the_model_with_its_reason(nursery: trio.Nursery) -> None:
    asked: list[ToolRequest] = []

    async def approve(request: ToolRequest) -> bool | str:
        asked.append(request)
        return {1: True, 2: False}.get(request.arguments["a"], "numbers over 2 are secret")  # type: ignore[index, call-overload, no-any-return]

    calls = calling(*(("add", {"a": n, "b": 0}) for n in (1, 2, 3)))
    run, events = await run_with(calls, tools=[add], approve=approve)
    assert outputs(run) == [
        '{"sum":1}',
        "Error: this call was refused",
        "Error: this call was refused: numbers over 2 are secret",
    ]
    assert {event.reason for event in events if isinstance(event, ToolRefused)} == {"", "numbers over 2 are secret"}
    assert {request.name for request in asked} == {"add"}
    assert sorted(request.arguments["a"] for request in asked) == [1, 2, 3]  # type: ignore[index]
    statistics = run.statistics()
    assert (statistics.done, statistics.failed, statistics.refused) == (1, 0, 2)


async def test_other_tools_go_on_while_one_waits_for_approval(autojump_clock: trio.testing.MockClock) -> None:
    async def approve(request: ToolRequest) -> bool:
        await trio.sleep(10)
        return True

    calls = calling(ADD, ("nap", {"seconds": 1}), ("nap", {"seconds": 2}))
    began = trio.current_time()
    run, events = await run_with(calls, tools=[Tool.of(add, approve=approve), nap], max_concurrent=1)
    assert [event.output for event in events if isinstance(event, ToolDone)] == ["slept 1.0", "slept 2.0", '{"sum":3}']
    assert trio.current_time() - began == pytest.approx(10)
    assert outputs(run) == ['{"sum":3}', "slept 1.0", "slept 2.0"]


async def test_nobody_is_asked_about_a_call_that_cannot_run(nursery: trio.Nursery) -> None:
    async def approve(request: ToolRequest) -> bool:
        pytest.fail("there is nothing to approve")

    run, _ = await run_with(calling(("add", {"a": 1}), ("bda", {})), tools=[add], approve=approve)
    assert outputs(run)[0] == "Error: the arguments are invalid: $.b: this argument is missing"
    assert outputs(run)[1] == "Error: there is no tool named 'bda'; the tools are: add"


@pytest.mark.parametrize("error", [WorkError("nobody is there"), KeyboardInterrupt()])
async def test_exception_of_an_approval_is_raised_bare_and_the_tool_does_not_run(
    nursery: trio.Nursery, error: BaseException
) -> None:
    async def approve(request: ToolRequest) -> bool:
        raise error

    server = await serve(nursery, calling(ADD))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(type(error)) as caught:
            async with client.chat.completions.run_tools(**CHAT, tools=[add], approve=approve) as run:
                await run.until_done()
    assert caught.value is error
    assert run.statistics().done == 0


async def test_an_approval_that_returns_nothing_approves_nothing(nursery: trio.Nursery) -> None:
    async def approve(request: ToolRequest) -> None: ...

    wrong: Any = approve
    server = await serve(nursery, calling(ADD))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(TypeError, match="approve must return True, False or the reason for a refusal, not None"):
            async with client.chat.completions.run_tools(**CHAT, tools=[add], approve=wrong) as run:
                await run.until_done()
    assert run.statistics().done == 0


async def test_leaving_the_block_cancels_an_approval(autojump_clock: trio.testing.MockClock) -> None:
    cancelled = False

    async def approve(request: ToolRequest) -> bool:
        nonlocal cancelled
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled = True
            raise

    async with trio.open_nursery() as nursery:
        server = await serve(nursery, calling(ADD))
        client, _ = client_over(server)
        async with client:
            with trio.move_on_after(1):
                async with client.chat.completions.run_tools(**CHAT, tools=[add], approve=approve) as run:
                    await run.until_done()
        nursery.cancel_scope.cancel()
    assert cancelled
    assert (run.statistics().done, run.statistics().waiting) == (0, 0)


# Bad input.


@pytest.mark.parametrize(
    ("error", "words", "given"),
    [
        (ValueError, "the timeout of the tool 'add' takes seconds, more than 0", {"timeout": 0}),
        (ValueError, "the timeout of the tool 'add' takes seconds", {"timeout": "1"}),
        (ValueError, "max_concurrent of the tool 'add' takes a whole number", {"max_concurrent": 0}),
        (ValueError, "on_error takes", {"on_error": "ignore"}),
        (TypeError, "approve takes an async function, not bool", {"approve": True}),
    ],
)
def test_an_invalid_limit_of_a_tool_is_refused(error: type[Exception], words: str, given: dict[str, Any]) -> None:
    with pytest.raises(error, match=words):
        Tool.of(add, **given)
    with pytest.raises(error, match=words):
        Tool.custom(add, **given)
