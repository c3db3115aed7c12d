"""The tasks of `run_tools`: one per running tool, and every started tool is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import client_over, no_environment, serve
from tool_helpers import ANSWER, CHAT, RESPONSE, calling, chunk, completed, end, function_item, piece

from trio_openai import ToolRunStatistics, ToolStarted
from trio_openai.testing import Reply, Stall


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def in_one_event(count: int) -> Reply:
    """Return a chat stream that makes all its calls in one event. Every third call is invalid."""
    calls = [
        {
            "index": n,
            "id": f"c{n}",
            "function": {"name": "work", "arguments": json.dumps({"number": n}) if n % 3 else "x"},
        }
        for n in range(count)
    ]
    return Reply.sse(chunk({"tool_calls": calls}), end())


def items_at_once(count: int) -> Reply:
    """Return a response whose items arrive all at once, at its end."""
    items = [function_item(n, "work", {"number": n} if n % 3 else "x") for n in range(count)]
    return Reply.sse(completed(items), done=False)


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_call_has_a_task_only_while_its_tool_runs(nursery: trio.Nursery, api: str) -> None:
    count, at_a_time = 1500, 4
    tasks: list[int] = []

    async def work(number: int) -> int:
        await trio.lowlevel.checkpoint()
        tasks.append(trio.lowlevel.current_statistics().tasks_living)
        return number

    replies = [in_one_event(count), ANSWER] if api == "chat" else [items_at_once(count), Reply.response("Done.")]
    server = await serve(nursery, replies)
    client, _ = client_over(server)
    before = trio.lowlevel.current_statistics().tasks_living
    async with client:
        endpoint: Any = client.chat.completions if api == "chat" else client.responses
        params = CHAT if api == "chat" else RESPONSE
        async with endpoint.run_tools(**params, tools=[work], max_concurrent=at_a_time) as run:
            await run.until_done()
    assert max(tasks) <= before + at_a_time + 5, "the server has some tasks of its own"
    statistics = run.statistics()
    assert (statistics.done, statistics.failed, statistics.waiting, statistics.running) == (1000, 500, 0, 0)
    sent = server.requests[1].json()["messages" if api == "chat" else "input"]
    assert (
        sum(message.get("role") == "tool" or message.get("type") == "function_call_output" for message in sent) == count
    )


def counted(statistics: ToolRunStatistics) -> int:
    """Return the number of tools that were started."""
    return statistics.running + statistics.done + statistics.failed + statistics.cancelled


async def nothing_ends() -> None:
    await trio.sleep_forever()


async def ends() -> str:
    await trio.lowlevel.checkpoint()
    return "done"


async def breaks() -> None:
    await trio.sleep(1)
    raise RuntimeError("broken")


async def catches() -> str:
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        return "caught"  # noqa: ASYNC104 - a user may write such a tool
    return ""


async def interrupts() -> None:
    await trio.sleep(1)
    raise KeyboardInterrupt


async def in_a_group() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(trio.sleep_forever)


async def run_until(nursery: trio.Nursery, how: str, *tools: Any, **options: Any) -> tuple[Any, int]:
    """Run these tools, each called once, until the run ends early. Return the run and the number of started tools."""
    calls = [piece(n, "{}", tool.__name__) for n, tool in enumerate(tools)]
    server = await serve(nursery, [Reply.sse(*calls, end(), Stall()), ANSWER])
    client, _ = client_over(server)
    began = 0
    run: Any = None
    async with client:
        try:
            with trio.move_on_after(5):
                async with client.chat.completions.run_tools(**CHAT, tools=list(tools), **options) as run:
                    async for event in run:
                        began += isinstance(event, ToolStarted)
                        if how == "break" and run.statistics().running == len(tools):
                            break
                        if how == "close" and run.statistics().running == len(tools):
                            await run.aclose()
        except (RuntimeError, KeyboardInterrupt, trio.ClosedResourceError):
            pass
    return run, began


@pytest.mark.parametrize("how", ["break", "close", "deadline"])
@pytest.mark.parametrize("tool", [nothing_ends, in_a_group])
async def test_a_started_and_cancelled_tool_is_counted(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, how: str, tool: Any
) -> None:
    run, _ = await run_until(nursery, how, tool)
    assert run.statistics() == ToolRunStatistics(rounds=1, running=0, waiting=0, done=0, failed=0, cancelled=1)


@pytest.mark.parametrize(
    ("tools", "done", "failed", "cancelled"),
    [
        ([ends, breaks, nothing_ends], 1, 1, 1),
        ([breaks, in_a_group, nothing_ends], 0, 1, 2),
        ([interrupts, nothing_ends], 0, 1, 1),
    ],
)
async def test_tools_cancelled_by_another_tools_error_are_counted(
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    tools: list[Any],
    done: int,
    failed: int,
    cancelled: int,
) -> None:
    run, _ = await run_until(nursery, "error", *tools, on_error="raise")
    assert attrs_of(run.statistics()) == (done, failed, cancelled)


async def test_a_tool_that_swallows_its_cancellation_counts_as_done(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    run, _ = await run_until(nursery, "break", catches)
    assert counted(run.statistics()) == 1


def attrs_of(statistics: ToolRunStatistics) -> tuple[int, int, int]:
    assert statistics.running == statistics.waiting == 0
    return statistics.done, statistics.failed, statistics.cancelled


async def test_calls_waiting_when_the_run_ends_never_start(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    begun: list[int] = []

    async def work(number: int) -> None:
        begun.append(number)
        await trio.sleep_forever()

    server = await serve(nursery, calling(*(("work", {"number": n}) for n in range(50))))
    client, _ = client_over(server)
    async with client:
        with trio.move_on_after(1):
            async with client.chat.completions.run_tools(**CHAT, tools=[work], max_concurrent=3) as run:
                await run.until_done()
    assert len(begun) == 3
    assert attrs_of(run.statistics()) == (0, 0, 3)
