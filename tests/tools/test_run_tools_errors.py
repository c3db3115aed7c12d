"""`run_tools`: failures of tools, of requests and of arguments, and how they end a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from net_helpers import client_over, no_environment, outcome, serve
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
    fail,
    kinds,
    nap,
    piece,
)

from trio_openai import (
    BadRequestError,
    RoundDone,
    RoundEvent,
    RoundStarted,
    StreamTruncatedError,
    Tool,
    ToolDone,
    ToolFailed,
    ToolRunError,
    ToolStarted,
)
from trio_openai.testing import Cut, Reply, Stall
from trio_openai.types import ChatCompletion


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


# ----------------------------------------------------------------------------------------------------------- failures


async def test_exception_of_a_tool_is_reported_to_the_model(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [calling(("fail", {"after": 0}), ("add", {"a": 1, "b": 2})), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[fail, add]) as run:
        events = await all_of(run)
    failed = next(event for event in events if isinstance(event, ToolFailed))
    assert isinstance(failed.error, WorkError)
    assert failed.output == "Error: WorkError: no luck"
    assert [message["content"] for message in run.messages[2:4]] == [failed.output, '{"sum":3}']
    assert (run.statistics().done, run.statistics().failed) == (1, 1)


async def test_on_error_raise_raises_a_tools_exception_bare_and_ends_the_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Reply.sse(piece(0, '{"after": 1}', "fail"), piece(1, '{"seconds": 100}', "nap"), Stall())
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, answer)
        client, _ = client_over(server)
        events: list[Any] = []
        async with client:
            with pytest.raises(WorkError, match="no luck"):
                async with client.chat.completions.run_tools(**CHAT, tools=[fail, nap], on_error="raise") as run:
                    async for event in run:
                        events.append(event)
            assert client.statistics().open_streams == 0
            await server.wait_disconnect(since=FROM_START)
        assert isinstance(events[-1], ToolFailed)
        nursery.cancel_scope.cancel()


async def test_the_end_of_the_block_raises_a_tools_exception_that_no_step_raised(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.sse(piece(0, '{"after": 0}', "fail"), Stall()))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(WorkError):
            async with client.chat.completions.run_tools(**CHAT, tools=[fail], on_error="raise") as run:
                await anext(run)
                await anext(run)
                await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(WorkError):
            async with client.chat.completions.run_tools(**CHAT, tools=[fail], on_error="raise") as run:
                assert isinstance(await outcome(run.until_done), WorkError)
                await run.until_done()


@pytest.mark.parametrize("on_error", ["tell_model", "raise"])
async def test_ctrl_c_in_a_tool_is_raised_and_not_reported_to_the_model(nursery: trio.Nursery, on_error: Any) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    server = await serve(nursery, calling(("stop", {}), ("nap", {"seconds": 1})))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(KeyboardInterrupt):
            async with client.chat.completions.run_tools(**CHAT, tools=[stop, nap], on_error=on_error) as run:
                await run.until_done()


async def test_exception_group_of_a_tool_is_described_by_its_inner_exceptions(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def both() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, 1)
            try:
                await trio.sleep_forever()
            finally:
                raise WorkError("no hope")

    async def stubborn() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise WorkError("while it was cancelled")

    async with trio.open_nursery() as nursery:
        server = await serve(nursery, [calling(("both", {})), ANSWER, calling(("stubborn", {}))])
        client, _ = client_over(server)
        async with client:
            async with client.chat.completions.run_tools(**CHAT, tools=[both]) as run:
                await run.until_done()
            told = run.messages[2]["content"].removeprefix("Error: ")
            assert sorted(told.split("; ")) == ["WorkError: no hope", "WorkError: no luck"]
            with trio.move_on_after(5) as scope:
                async with client.chat.completions.run_tools(**CHAT, tools=[stubborn]) as run:
                    await run.until_done()
            assert scope.cancelled_caught
        nursery.cancel_scope.cancel()


async def test_call_of_an_unknown_tool_is_reported_to_the_model(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [calling(("bda", {}), ("run_code", {})), ANSWER])
    client, _ = client_over(server)
    tools = [add, Tool.custom(run_code)]
    async with client, client.chat.completions.run_tools(**CHAT, tools=tools, on_error="raise") as run:
        events = await all_of(run)
    assert [type(event.error) for event in events if isinstance(event, ToolFailed)] == [LookupError, LookupError]
    assert run.messages[2]["content"] == "Error: there is no tool named 'bda'; the tools are: add, run_code"


async def test_invalid_arguments_are_reported_to_the_model(nursery: trio.Nursery) -> None:
    calls = Reply.sse(piece(0, '{"a": "1"}', "add"), piece(1, "nonsense", "add"), end())
    server = await serve(nursery, [calls, ANSWER, calls])
    client, _ = client_over(server)
    async with client:
        async with client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
            events = await all_of(run)
        assert kinds(events)[:4] == ["round.started", "tool.failed", "tool.failed", "round.done"]
        assert run.messages[2]["content"] == (
            "Error: the arguments are invalid: $.a: Expected `int`, got `str`; $.b: this argument is missing"
        )
        assert run.messages[3]["content"].startswith("Error: the arguments are invalid: it is not JSON")
        with pytest.raises(ToolRunError, match="the model called add, and the arguments are invalid") as caught:
            async with client.chat.completions.run_tools(**CHAT, tools=[add], on_error="raise") as run:
                await run.until_done()
    assert isinstance(caught.value.partial, ChatCompletion)


async def test_a_result_that_json_cannot_express_is_a_tool_failure(nursery: trio.Nursery) -> None:
    def thing() -> object:
        return object()

    server = await serve(nursery, [calling(("thing", {})), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[thing]) as run:
        await run.until_done()
    assert run.messages[2]["content"] == "Error: TypeError: object is not JSON"


async def test_max_rounds_raises_and_the_conversation_can_be_continued(nursery: trio.Nursery) -> None:
    server = await serve(nursery, calling(("add", {"a": 1, "b": 2})))
    client, _ = client_over(server)
    async with client:
        async with client.chat.completions.run_tools(**CHAT, tools=[add], max_rounds=2) as run:
            with pytest.raises(ToolRunError, match="still called tools in round 2, the last one") as caught:
                await run.get_final_completion()
            with pytest.raises(ToolRunError):
                await anext(run)
        assert len(server.requests) == 2
        assert caught.value.partial.choices[0].finish_reason == "tool_calls"
        assert [message["role"] for message in run.messages] == ["user", "assistant", "tool", "assistant", "tool"]
        async with client.chat.completions.run_tools(**CHAT, tools=[add], max_rounds=1) as run:
            async for event in run:
                if isinstance(event, RoundDone):
                    break  # leaving the block early raises nothing


async def test_a_truncated_stream_ends_the_run_and_keeps_the_partial_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, Reply.sse(piece(0, '{"seconds": 100}', "nap"), chunk({"content": "Hi"}), Cut()))
        client, _ = client_over(server)
        async with client:
            with pytest.raises(StreamTruncatedError) as caught:
                async with client.chat.completions.run_tools(**CHAT, tools=[nap]) as run:
                    await run.until_done()
            assert caught.value.partial.choices[0].message.content == "Hi"
            assert run.statistics().running == 0
            assert run.messages == QUESTION
        nursery.cancel_scope.cancel()


async def test_a_failed_request_ends_the_run(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [calling(("add", {"a": 1, "b": 2})), Reply.error(400, "too long")])
    client, _ = client_over(server)
    async with client:
        with pytest.raises(BadRequestError, match="too long"):
            async with client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
                await run.until_done()
        assert [message["role"] for message in run.messages] == ["user", "assistant", "tool"]


def run_code(code: str) -> str:
    return f"ran {code}"


CUT_CALLS = {
    "half arguments": [piece(0, '{"a": 1, "b"', "add")],
    "no arguments yet": [piece(0, "", "add")],
    "the text of a custom tool": [
        chunk(
            {"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "run_code", "input": "rm /"}}]}
        )
    ],
}


@pytest.mark.parametrize("chunks", CUT_CALLS.values(), ids=CUT_CALLS.keys())
async def test_a_truncated_call_is_not_run(nursery: trio.Nursery, chunks: list[Any]) -> None:
    server = await serve(nursery, Reply.sse(*chunks, end("length")))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(ToolRunError, match="cut off while the model was writing a tool call"):
            async with client.chat.completions.run_tools(**CHAT, tools=[add, Tool.custom(run_code)]) as run:
                await run.until_done()
    assert run.statistics().done == 0
    assert len(server.requests) == 1


async def test_a_call_that_was_complete_before_the_cut_off_is_run(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [Reply.sse(piece(0, '{"a": 1, "b": 2}', "add"), end("length")), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
        await run.until_done()
    assert run.messages[2]["content"] == '{"sum":3}'


# ------------------------------------------------------------------------------------------------------------ bad input


def no_annotation(city) -> None:  # type: ignore[no-untyped-def]
    ...


@pytest.mark.parametrize(
    ("error", "words", "given"),
    [
        (TypeError, "run_tools needs tools=", {}),
        (TypeError, "run_tools needs tools=", {"tools": {"type": "function"}}),
        (TypeError, "cannot call a tool that is a dictionary of type 'function'", {"tools": [{"type": "function"}]}),
        (TypeError, "its parameter city has no annotation: write city: str", {"tools": [no_annotation]}),
        (ValueError, "two tools are named 'add'", {"tools": [add, Tool.of(nap, name="add")]}),
        (ValueError, "max_rounds takes a whole number, at least 1", {"tools": [add], "max_rounds": 0}),
        (ValueError, "max_concurrent takes a whole number, at least 1", {"tools": [add], "max_concurrent": 1.5}),
        (ValueError, 'on_error takes "tell_model", "raise" or a function', {"tools": [add], "on_error": "ignore"}),
        (ValueError, "leave n out", {"tools": [add], "n": 2}),
        (TypeError, "there is no parameter 'tool'", {"tools": [add], "tool": 1}),
        (TypeError, "this always streams", {"tools": [add], "stream": False}),
    ],
)
async def test_bad_input_is_refused_before_anything_is_sent(
    nursery: trio.Nursery, error: type[Exception], words: str, given: dict[str, Any]
) -> None:
    server = await serve(nursery, ANSWER)
    client, _ = client_over(server)
    async with client:
        with pytest.raises(error, match=words):
            client.chat.completions.run_tools(**CHAT, **given)
    assert server.requests == []


async def test_a_missing_parameter_is_named(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, ANSWER))
    run_tools: Callable[..., Any] = client.chat.completions.run_tools
    async with client:
        with pytest.raises(TypeError, match="messages is missing"):
            run_tools(model="m", tools=[add])
        with pytest.raises(TypeError, match="messages takes a list"):
            run_tools(model="m", messages="Hi", tools=[add])


def test_event_types_have_the_documented_names() -> None:
    types = [RoundStarted, RoundEvent, ToolStarted, ToolDone, ToolFailed, RoundDone]
    assert [cls.type for cls in types] == [
        *("round.started", "round.event", "tool.started", "tool.done", "tool.failed", "round.done"),
    ]
    assert json.loads(json.dumps(CHAT)) == CHAT


# ---------------------------------------------------------------------------------------------- arguments of the model

GIVEN = {
    "after an empty object": [piece(0, "{}", "add"), piece(0, '{"a": 1, '), piece(0, '"b": 2}'), end()],
    "after the finish reason": [
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "add", "arguments": ""}}]}, "tool_calls"),
        piece(0, '{"a": 1, "b": 2}'),
    ],
    "twice": [piece(0, '{"a": 1, "b": 2}', "add"), piece(0, '{"a": 1, "b": 2}', "add"), end()],
    "in a whole completion": [
        {
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a":1,"b":2}'}}
                        ],
                    },
                    "finish_reason": "tool_calls",
                }
            ],
        }
    ],
}


@pytest.mark.parametrize("chunks", GIVEN.values(), ids=GIVEN.keys())
async def test_a_tool_runs_once_and_only_with_the_models_arguments(nursery: trio.Nursery, chunks: list[Any]) -> None:
    made: list[tuple[int, int]] = []

    def add(a: int = 0, b: int = 0) -> str:
        """Add two numbers."""
        made.append((a, b))
        return str(a + b)

    server = await serve(nursery, [Reply.sse(*chunks), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
        await run.until_done()
    assert made == [(1, 2)]
    (call,) = run.messages[1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"a": 1, "b": 2}
    assert run.messages[2]["content"] == "3"


async def test_two_calls_with_index_0_keep_their_own_arguments(nursery: trio.Nursery) -> None:
    made: list[str] = []

    def f() -> str:
        """Do the one."""
        made.append("f")
        return "F"

    def g(a: int) -> str:
        """Do the other."""
        made.append(f"g{a}")
        return "G"

    first = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}
    second = {"index": 0, "id": "c2", "function": {"name": "g", "arguments": '{"a": 2}'}}
    chunks = [chunk({"tool_calls": [first]}), chunk({"tool_calls": [second]}), end()]
    server = await serve(nursery, [Reply.sse(*chunks), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[f, g]) as run:
        await run.until_done()
    assert sorted(made) == ["f", "g2"]
    assert [message["content"] for message in run.messages[2:4]] == ["F", "G"]
