"""`run_tools` of the blocking client: the same runs, whose functions run in worker threads."""

from __future__ import annotations

import faulthandler
import inspect
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from net_helpers import no_environment, serve
from sync_helpers import in_thread, loop_threads, served, signal_when_waiting
from tool_helpers import (
    ANSWER,
    CHAT,
    RESPONSE,
    WorkError,
    add,
    calling,
    fail,
    function_item,
    kinds,
    piece,
    response_calling,
)

from trio_openai import BadRequestError, Tool, ToolDone, ToolFailed, ToolRequest, ToolStarted, TrioOpenAI
from trio_openai.sync import SyncChatCompletionStream, SyncChatToolRun, SyncOpenAI, SyncResponseToolRun
from trio_openai.testing import Reply, Stall

ADD = ("add", {"a": 1, "b": 2})


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the run if a test hangs, since nothing else could interrupt it. Check that no loop is left."""
    no_environment(monkeypatch)
    faulthandler.dump_traceback_later(60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    assert loop_threads() == []


def outputs(run: Any) -> list[Any]:
    return [message["content"] for message in run.messages if message["role"] == "tool"]


def stalling(name: str) -> Reply:
    """Return a chat stream that calls a function and never ends."""
    return Reply.sse(piece(0, '{"number": 1}', name), Stall())


def start_tool(run: Any) -> None:
    for event in run:
        if isinstance(event, ToolStarted):
            return
    pytest.fail("no tool has started")


# The same runs.


def test_blocking_run_yields_the_same_events() -> None:
    with served([calling(ADD), ANSWER]) as server, server.client() as client:
        with client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
            assert isinstance(run, SyncChatToolRun)
            assert run.stream is None
            events = list(run)
            assert run.get_final_completion().choices[0].message.content == "It is done."
            assert isinstance(run.stream, SyncChatCompletionStream)
            assert run.stream.text == "It is done."
        assert client.statistics().open_streams == 0
    assert kinds(events) == [
        *("round.started", "tool.started", "tool.done", "round.done"),
        *("round.started", "round.done"),
    ]
    assert outputs(run) == ['{"sum":3}']
    assert (run.statistics().rounds, run.statistics().done) == (2, 1)
    assert server.server.requests[1].json()["messages"] == run.messages[:-1]


def test_blocking_run_over_responses() -> None:
    replies = [response_calling(function_item(0, "add", {"a": 1, "b": 2})), Reply.response("It is done.")]
    with served(replies) as server, server.client() as client:
        with client.responses.run_tools(**RESPONSE, tools=[add]) as run:
            assert isinstance(run, SyncResponseToolRun)
            assert run.get_final_response().output_text == "It is done."
    assert run.messages[2]["output"] == '{"sum":3}'


def test_sync_functions_run_at_the_same_time_in_threads_of_their_own() -> None:
    barrier = threading.Barrier(2)
    threads = set[str]()

    def meet(name: str) -> str:
        barrier.wait(30)
        threads.add(threading.current_thread().name)
        return name

    calls = calling(("meet", {"name": "a"}), ("meet", {"name": "b"}))
    with served([calls, ANSWER]) as server, server.client() as client:
        with client.chat.completions.run_tools(**CHAT, tools=[meet]) as run:
            run.until_done()
    assert outputs(run) == ["a", "b"]
    assert threading.current_thread().name not in threads
    assert "trio_openai.sync" not in threads


def test_async_functions_run_in_the_loop() -> None:
    async def where() -> str:
        await trio.lowlevel.checkpoint()
        return threading.current_thread().name

    with served([calling(("where", {})), ANSWER]) as server, server.client() as client:
        with client.chat.completions.run_tools(**CHAT, tools=[where]) as run:
            run.until_done()
    assert outputs(run) == ["trio_openai.sync"]


def test_a_tool_may_use_the_client() -> None:
    with served([calling(("ask", {})), Reply.chat("inner"), ANSWER]) as server, server.client() as client:

        def ask() -> str | None:
            with client.chat.completions.stream(**CHAT) as stream:
                return stream.get_final_completion().choices[0].message.content

        with client.chat.completions.run_tools(**CHAT, tools=[ask]) as run:
            run.until_done()
    assert outputs(run) == ["inner"]


@pytest.mark.parametrize("is_async", [True, False])
def test_approve_may_be_async_or_block(*, is_async: bool) -> None:
    def decide(request: ToolRequest) -> bool | str:
        return "no" if request.arguments == {"a": 1, "b": 2} else True

    async def decide_later(request: ToolRequest) -> bool | str:
        await trio.lowlevel.checkpoint()
        return decide(request)

    calls = calling(ADD, ("add", {"a": 3, "b": 4}))
    with served([calls, ANSWER]) as server, server.client() as client:
        approve = decide_later if is_async else decide
        with client.chat.completions.run_tools(**CHAT, tools=[add], approve=approve) as run:
            run.until_done()
    assert outputs(run) == ["Error: this call was refused: no", '{"sum":7}']


def test_invalid_parameters_raise_when_the_block_is_entered() -> None:
    with served(ANSWER) as server, server.client() as client:
        with pytest.raises(TypeError, match="run_tools needs tools="), client.chat.completions.run_tools(**CHAT):
            pass
        manager = client.chat.completions.run_tools(**CHAT, tools=[add])
        with manager:
            pass
        with pytest.raises(RuntimeError, match="call run_tools"), manager:
            pass
    assert server.server.requests == []


def test_signature_is_that_of_the_async_method() -> None:
    ours, its = SyncOpenAI(api_key="k").responses.run_tools, TrioOpenAI(api_key="k").responses.run_tools
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(its).parameters)
    assert inspect.signature(ours).return_annotation == "SyncToolRunManager[SyncResponseToolRun[Any]]"


# Failures.


def test_exception_of_a_blocking_tool_is_raised_bare() -> None:
    mine = WorkError("mine")

    def broken() -> None:
        raise mine

    with served(calling(("broken", {}))) as server, server.client() as client:
        with pytest.raises(WorkError) as caught:
            with client.chat.completions.run_tools(**CHAT, tools=[broken], on_error="raise") as run:
                for event in run:
                    assert not isinstance(event, ToolDone)
        assert caught.value is mine
        assert client.statistics().open_streams == 0


def test_the_end_of_the_block_raises_a_tools_exception_that_no_step_raised() -> None:
    failed = threading.Event()

    def broken(number: int) -> None:
        failed.set()
        raise WorkError("mine")

    with (
        served(stalling("broken")) as server,
        server.client() as client,
    ):
        with pytest.raises(WorkError, match="mine"):
            with client.chat.completions.run_tools(**CHAT, tools=[broken], on_error="raise") as run:
                start_tool(run)
                failed.wait(30)
                while not run.statistics().failed:
                    pass


def test_keyboard_interrupt_in_a_tool_is_raised_bare_and_the_client_stays_usable() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with served([calling(("stop", {})), ANSWER]) as server, server.client() as client:
        with pytest.raises(KeyboardInterrupt):
            with client.chat.completions.run_tools(**CHAT, tools=[stop]) as run:
                run.until_done()
        with client.chat.completions.run_tools(**CHAT, tools=[stop]) as run:
            assert run.get_final_completion().choices[0].message.content == "It is done."


def test_errors_of_the_server_are_raised_as_is() -> None:
    with served([calling(("fail", {"after": 0})), Reply.error(400, "too long")]) as server, server.client() as client:
        with client.chat.completions.run_tools(**CHAT, tools=[fail]) as run:
            with pytest.raises(BadRequestError, match="too long"):
                run.until_done()
        assert outputs(run) == ["Error: WorkError: no luck"]


def test_exception_of_the_block_is_raised_bare_and_closes_the_connection() -> None:
    mine = ValueError("mine")
    with served(Reply.sse(Stall())) as server, server.client() as client:
        with pytest.raises(ValueError, match="mine") as caught:
            with client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
                next(run)
                raise mine
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        server.wait_disconnect()


# Nothing is left.


def waiting(ended: list[str]) -> Tool:
    async def wait(number: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("wait")

    return Tool.of(wait)


def test_leaving_the_block_cancels_the_tools_and_waits_for_them() -> None:
    ended: list[str] = []
    with served(calling(("wait", {"number": 1}))) as server, server.client() as client:
        with client.chat.completions.run_tools(**CHAT, tools=[waiting(ended)]) as run:
            start_tool(run)
            assert ended == []
        assert ended == ["wait"]
        assert client.statistics().open_streams == 0
        with pytest.raises(trio.ClosedResourceError):
            next(run)


def test_leaving_the_block_waits_for_a_sync_function_which_can_notice_it() -> None:
    ended: list[str] = []

    def work() -> None:
        try:
            while True:
                trio.from_thread.check_cancelled()
        finally:
            ended.append("work")

    with served(calling(("work", {}))) as server, server.client() as client:
        with client.chat.completions.run_tools(**CHAT, tools=[work]) as run:
            start_tool(run)
        assert ended == ["work"]


def test_a_timeout_leaves_a_blocked_function_behind() -> None:
    release = threading.Event()

    def stuck() -> None:
        release.wait(30)

    with served([calling(("stuck", {})), ANSWER]) as server, server.client() as client:
        with client.chat.completions.run_tools(**CHAT, tools=[Tool.of(stuck, timeout=0.01)]) as run:
            (error,) = [event.error for event in run if isinstance(event, ToolFailed)]
        release.set()
    assert isinstance(error, trio.TooSlowError)


def test_ctrl_c_ends_the_tools_and_closes_the_connection() -> None:
    ended: list[str] = []
    with (
        served(stalling("wait")) as server,
        server.client() as client,
    ):
        with pytest.raises(KeyboardInterrupt) as caught:
            with client.chat.completions.run_tools(**CHAT, tools=[waiting(ended)]) as run:
                start_tool(run)
                with signal_when_waiting():
                    run.until_done()
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        assert ended == ["wait"]
        server.wait_disconnect()


def test_ctrl_c_while_the_answer_is_awaited_closes_the_connection() -> None:
    with served(Reply.sse(Stall())) as server, server.client() as client:
        with pytest.raises(KeyboardInterrupt), signal_when_waiting():
            with client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
                run.until_done()
        server.wait_disconnect()


def test_another_thread_may_close_the_run_or_the_client() -> None:
    ended: list[str] = []
    with served(calling(("wait", {"number": 1}))) as server:
        for what in ("run", "client"):
            client = server.client()
            with client.chat.completions.run_tools(**CHAT, tools=[waiting(ended)]) as run:
                start_tool(run)
                thread, _ = in_thread(run.close if what == "run" else client.close)
                with pytest.raises(trio.ClosedResourceError):
                    run.until_done()
                thread.join()
            client.close()
    assert ended == ["wait", "wait"]


async def test_cancelling_a_worker_ends_its_run(nursery: trio.Nursery) -> None:
    ended: list[str] = []
    server = await serve(nursery, calling(("wait", {"number": 1})), memory=False)
    client = SyncOpenAI(api_key="k", base_url=server.base_url)
    started = trio.Event()

    def work() -> None:
        with client.chat.completions.run_tools(**CHAT, tools=[waiting(ended)]) as run:
            for event in run:
                if isinstance(event, ToolStarted):
                    trio.from_thread.run_sync(started.set)

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as workers:
            workers.start_soon(trio.to_thread.run_sync, work)
            await started.wait()
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    assert ended == ["wait"]
    assert client.statistics().open_streams == 0
    await trio.to_thread.run_sync(client.close)
