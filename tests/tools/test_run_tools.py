"""`run_tools`: when tools run, which events it yields, and that nothing stays open after the block."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from net_helpers import cancel_everywhere, client_over, no_environment, outcome, serve
from tool_helpers import (
    ANSWER,
    CHAT,
    QUESTION,
    WorkError,
    add,
    all_of,
    calling,
    chunk,
    end,
    kinds,
    nap,
    piece,
)

from trio_openai import (
    ChatToolRun,
    RoundDone,
    RoundEvent,
    RoundStarted,
    Tool,
    ToolDone,
    ToolRun,
    ToolStarted,
)
from trio_openai.testing import Pause, Reply, Stall


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


# -------------------------------------------------------------------------------------------- when tools run


async def test_a_tool_runs_while_the_answer_still_streams(autojump_clock: trio.testing.MockClock) -> None:
    """Complete the arguments at once, while the model goes on writing for five seconds."""
    first = Reply.sse(piece(0, '{"seconds"', "nap"), piece(0, ": 1}"), chunk({"content": "Wait."}), Pause(5), end())
    times: dict[str, float] = {}
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, [first, ANSWER])
        client, _ = client_over(server)
        began = trio.current_time()
        async with client, client.chat.completions.run_tools(**CHAT, tools=[nap]) as run:
            async for event in run:
                times.setdefault(event.type, trio.current_time() - began)
                if isinstance(event, ToolDone):
                    assert run.stream is not None
                    assert run.stream.verdict.state == "open"
                    assert event.output == "slept 1.0"
        nursery.cancel_scope.cancel()
    assert times == {
        "round.started": 0,
        "round.event": 0,
        "tool.started": 0,
        "tool.done": pytest.approx(1),
        "round.done": pytest.approx(5),
    }


async def test_interleaved_calls_run_concurrently(autojump_clock: trio.testing.MockClock) -> None:
    first = Reply.sse(
        piece(0, "{", "nap"), piece(1, "{", "nap"), piece(1, '"seconds": 2}'), piece(0, '"seconds": 3}'), end()
    )
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, [first, ANSWER])
        client, _ = client_over(server)
        began = trio.current_time()
        async with client, client.chat.completions.run_tools(**CHAT, tools=[nap]) as run:
            events = await all_of(run)
            completion = await run.get_final_completion()
        assert trio.current_time() - began == pytest.approx(3)
        nursery.cancel_scope.cancel()
    assert kinds(events) == [
        "round.started",
        *("tool.started", "tool.started", "tool.done", "tool.done"),
        "round.done",
        "round.started",
        "round.done",
    ]
    assert [event.call.index for event in events if isinstance(event, ToolDone)] == [1, 0]
    assert completion.choices[0].message.content == "It is done."
    assert run.messages == [
        *QUESTION,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_0", "type": "function", "function": {"name": "nap", "arguments": '{"seconds": 3}'}},
                {"id": "call_1", "type": "function", "function": {"name": "nap", "arguments": '{"seconds": 2}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": "slept 3.0"},
        {"role": "tool", "tool_call_id": "call_1", "content": "slept 2.0"},
        {"role": "assistant", "content": "It is done."},
    ]
    assert server.requests[1].json()["messages"] == run.messages[:-1]
    assert server.requests[1].json()["tools"] == [Tool.of(nap).for_chat()]


async def test_every_event_is_delivered_once_in_order(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [calling(("add", {"a": 1, "b": 2})), ANSWER, ANSWER])
    client, _ = client_over(server)
    async with client:
        async with client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
            events = await all_of(run)
        async with client.chat.completions.stream(**CHAT) as stream:
            alone = [event async for event in stream]
    assert [event.event for event in events if isinstance(event, RoundEvent) and event.number == 2] == alone
    assert "".join(event.text for event in events if isinstance(event, RoundEvent)) == "It is done."
    started = [event for event in events if isinstance(event, RoundStarted)]
    assert [(event.number, event.stream.verdict.state) for event in started] == [(1, "done"), (2, "done")]
    done = [event.answer for event in events if isinstance(event, RoundDone)]
    assert done == [event.stream.snapshot for event in started]


async def test_max_concurrent_limits_the_running_tools(autojump_clock: trio.testing.MockClock) -> None:
    running, most = 0, 0

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return number

    async with trio.open_nursery() as nursery:
        server = await serve(nursery, [calling(*(("work", {"number": n}) for n in range(5))), ANSWER])
        client, _ = client_over(server)
        began = trio.current_time()
        async with client, client.chat.completions.run_tools(**CHAT, tools=[work], max_concurrent=2) as run:
            waiting = [run.statistics().waiting async for _ in run]
        assert trio.current_time() - began == pytest.approx(3)
        nursery.cancel_scope.cancel()
    assert (most, max(waiting), waiting[-1]) == (2, 3, 0)
    assert (run.statistics().done, run.statistics().failed, run.statistics().rounds) == (5, 0, 2)
    assert [message["content"] for message in run.messages if message["role"] == "tool"] == list("01234")


async def test_tool_done_is_reported_while_the_server_is_silent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, Reply.sse(piece(0, '{"seconds": 1}', "nap"), Stall()))
        client, _ = client_over(server)
        async with client, client.chat.completions.run_tools(**CHAT, tools=[nap]) as run:
            with trio.fail_after(2):
                events = [await anext(run) for _ in range(4)]
        nursery.cancel_scope.cancel()
    assert kinds(events) == ["round.started", "tool.started", "tool.done"]


async def test_a_cancelled_step_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    first = Reply.sse(piece(0, '{"seconds": 0.25}', "nap"), Pause(1), chunk({"content": "So."}), Pause(1), end())
    events: list[Any] = []
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, [first, Reply.chat("It is done.", pace=0.3)])
        client, _ = client_over(server)
        async with client, client.chat.completions.run_tools(**CHAT, tools=[nap]) as run:
            while not events or not isinstance(events[-1], RoundDone) or events[-1].number == 1:
                with trio.move_on_after(0.1):
                    events.append(await anext(run))
        nursery.cancel_scope.cancel()
    assert kinds(events) == ["round.started", "tool.started", "tool.done", "round.done", "round.started", "round.done"]
    assert [event.text for event in events if isinstance(event, RoundEvent) and event.text] == [
        *("So.", "It ", "is ", "done."),
    ]
    assert len(server.requests) == 2


# ------------------------------------------------------------------------------------------------- leaving and closing


async def test_leaving_the_block_cancels_the_tools_and_closes_the_stream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ended: list[str] = []

    async def wait(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(name)

    answer = Reply.sse(piece(0, '{"name": "a"}', "wait"), piece(1, '{"name": "b"}', "wait"), Stall())
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, answer)
        client, transport = client_over(server)
        async with client:
            async with client.chat.completions.run_tools(**CHAT, tools=[wait]) as run:
                async for _ in run:
                    if run.statistics().running == 2:
                        break
            assert sorted(ended) == ["a", "b"]
            assert client.statistics().open_streams == 0
            await server.wait_disconnect(since=FROM_START)
            assert transport.statistics().active == 0
            with pytest.raises(trio.ClosedResourceError):
                await anext(run)
        nursery.cancel_scope.cancel()


async def test_cancellation_is_not_reported_to_the_model_as_a_tool_error(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, calling(("nap", {"seconds": 100})))
        client, _ = client_over(server)
        async with client:
            with trio.move_on_after(5) as scope:
                async with client.chat.completions.run_tools(**CHAT, tools=[nap]) as run:
                    await run.until_done()
            assert scope.cancelled_caught
            assert run.statistics().failed == 0
            assert client.statistics().open_streams == 0
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("before", [True, False])
async def test_cancellation_at_any_step_leaves_nothing_open(nursery: trio.Nursery, *, before: bool) -> None:
    def script(request: Any) -> Reply:
        return ANSWER if len(request.json()["messages"]) > 1 else calling(("pause", {}), ("add", {"a": 1, "b": 2}))

    ended = 0

    async def pause() -> None:
        nonlocal ended
        try:
            await trio.testing.wait_all_tasks_blocked()
        finally:
            ended += 1

    server = await serve(nursery, script)
    client, transport = client_over(server)
    runs: list[ChatToolRun[Any]] = []

    async def scenario() -> None:
        async with client.chat.completions.run_tools(**CHAT, tools=[pause, add]) as run:
            runs.append(run)
            await run.until_done()

    async def check() -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert client.statistics().open_streams == 0
        assert transport.statistics().active == 0
        if runs:
            assert runs[-1].statistics().running == runs[-1].statistics().waiting == 0

    async with client:
        steps = await cancel_everywhere(scenario, check, before=before)
    assert steps > 10
    assert ended > 0


async def test_exception_of_the_block_is_raised_bare(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, calling(("nap", {"seconds": 100})))
        client, _ = client_over(server)
        async with client:
            with pytest.raises(WorkError, match="mine"):
                async with client.chat.completions.run_tools(**CHAT, tools=[nap]) as run:
                    async for event in run:
                        if isinstance(event, ToolStarted):
                            raise WorkError("mine")
        nursery.cancel_scope.cancel()


async def test_aclose_wakes_the_iterating_task_and_only_one_task_may_iterate(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, Reply.sse(chunk({"content": "Hi"}), Stall()))
        client, _ = client_over(server)
        got: list[Any] = []

        async def read(run: ToolRun[Any]) -> None:
            got.append(await outcome(run.until_done))

        async with client, client.chat.completions.run_tools(**CHAT, tools=[nap]) as run, trio.open_nursery() as inner:
            inner.start_soon(read, run)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await anext(run)
            await run.aclose()
            await run.aclose()
        assert isinstance(got[0], trio.ClosedResourceError)
        nursery.cancel_scope.cancel()


async def test_aclose_while_waiting_for_the_response(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, attrs.evolve(ANSWER, delay=100))
        client, transport = client_over(server)
        async with client, client.chat.completions.run_tools(**CHAT, tools=[nap]) as run:
            async with trio.open_nursery() as inner:
                inner.start_soon(outcome, run.until_done)
                await server.wait_requests()
                await trio.testing.wait_all_tasks_blocked()
                await run.aclose()
            assert transport.statistics().active == 0
            assert repr(run) == ("<ChatToolRun ToolRunStatistics(rounds=0, running=0, waiting=0, done=0, failed=0)>")
            with pytest.raises(trio.ClosedResourceError):
                await run.get_final_completion()
        nursery.cancel_scope.cancel()
