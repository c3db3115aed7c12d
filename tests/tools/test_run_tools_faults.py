"""Regression tests for `run_tools`. Each docstring says what went wrong before."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import client_over, no_environment, serve
from tool_helpers import ANSWER, CHAT, RESPONSE, calling, chunk, completed, end, function_item, item_events, piece

from trio_openai import ToolFailed
from trio_openai.testing import Reply

PAIR, HALF = "\ud83d\ude00", "\ud800"  # two surrogates in a Python str, which UTF-8 cannot encode
REPLACED = "\U0001f600\ufffd"


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def escaped(*events: Any, done: bool = True) -> Reply:
    """Encode a chunk as a Python server does: with escapes, also for a lone surrogate."""
    return Reply.sse(*map(json.dumps, events), done=done)


def echo(text: str) -> str:
    """Say it again."""
    return text


async def messages_of(nursery: trio.Nursery, reply: Reply, tool: Any) -> list[Any]:
    """Run one tool and return the messages, after the server has accepted the second request."""
    server = await serve(nursery, [reply, ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[tool]) as run:
        await run.until_done()
    return run.messages


async def test_a_tool_name_that_is_not_a_string_is_reported_to_the_model(nursery: trio.Nursery) -> None:
    """Check an unhashable name, which raised a TypeError inside an exception group."""
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": ["echo"], "arguments": "{}"}}
    messages = await messages_of(nursery, Reply.sse(chunk({"tool_calls": [call]}), end()), echo)
    assert messages[2]["content"] == "Error: there is no tool named ['echo']; the tools are: echo"


async def test_a_lone_surrogate_in_a_tools_output_does_not_end_the_run(nursery: trio.Nursery) -> None:
    """Check a file name from `os.listdir`, which could not be sent and ended the run with an error."""

    def name_of_file() -> str:
        return "a\udc80"

    assert (await messages_of(nursery, calling(("name_of_file", {})), name_of_file))[2]["content"] == "a\ufffd"


async def test_a_lone_surrogate_in_a_tools_exception_does_not_end_the_run(nursery: trio.Nursery) -> None:
    def open_file() -> None:
        raise FileNotFoundError("a\udc80")

    messages = await messages_of(nursery, calling(("open_file", {})), open_file)
    assert messages[2]["content"] == "Error: FileNotFoundError: a\ufffd"


async def test_lone_surrogates_in_a_chat_message_do_not_end_the_run(nursery: trio.Nursery) -> None:
    said = chunk({"content": PAIR[0]}), chunk({"content": PAIR[1] + HALF})
    called = piece(0, f'{{"text": "{PAIR[0]}', "echo"), piece(0, f'{PAIR[1]}{HALF}"}}'), end()
    messages = await messages_of(nursery, escaped(*said, *called), echo)
    assert messages[1]["content"] == REPLACED
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == f'{{"text": "{REPLACED}"}}'
    assert messages[2]["content"] == REPLACED


async def test_lone_surrogates_in_a_response_do_not_end_the_run(nursery: trio.Nursery) -> None:
    item = function_item(0, "echo", f'{{"text": "{PAIR}{HALF}"}}')
    first = escaped(*item_events(0, item), completed([item]), done=False)
    server = await serve(nursery, [first, Reply.response("It is done.")])
    client, _ = client_over(server)
    async with client, client.responses.run_tools(**RESPONSE, tools=[echo]) as run:
        await run.until_done()
    assert run.messages[1] == {**item, "arguments": f'{{"text": "{REPLACED}"}}'}
    assert run.messages[2]["output"] == REPLACED


@pytest.mark.parametrize("result", [b"text", {"parts": [b"text"]}])
async def test_bytes_are_refused_and_not_encoded_in_base_85(nursery: trio.Nursery, result: object) -> None:
    def read() -> object:
        return result

    messages = await messages_of(nursery, calling(("read", {})), read)
    assert (
        messages[2]["content"]
        == "Error: TypeError: a tool cannot return bytes, which JSON cannot express: decode them to a str first"
    )


@pytest.mark.parametrize("is_async", [True, False])
async def test_stop_async_iteration_in_a_tool_does_not_end_the_run_as_complete(
    nursery: trio.Nursery, *, is_async: bool
) -> None:
    """Check StopAsyncIteration, which silently ended the `async for`."""

    async def late() -> None:
        raise StopAsyncIteration

    def soon() -> None:
        raise StopAsyncIteration

    tool = late if is_async else soon
    server = await serve(nursery, [calling((tool.__name__, {})), ANSWER])
    client, _ = client_over(server)
    async with client:
        with pytest.raises(RuntimeError, match="the tool raised StopAsyncIteration") as raised:
            async with client.chat.completions.run_tools(**CHAT, tools=[tool], on_error="raise") as run:
                await run.get_final_completion()
    assert isinstance(raised.value.__cause__, StopAsyncIteration)


async def test_an_exception_with_a_broken_str_is_described_by_its_class(nursery: trio.Nursery) -> None:
    """Check an error in `__str__`, which was raised inside an exception group."""

    class DumbError(Exception):
        def __str__(self) -> str:
            raise LookupError("no words")

    def fail() -> None:
        raise DumbError

    server = await serve(nursery, [calling(("fail", {})), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[fail]) as run:
        events = [event async for event in run]
    assert [event.output for event in events if isinstance(event, ToolFailed)] == ["Error: DumbError"]


async def start_tool(run: Any) -> None:
    async for event in run:
        if event.type == "tool.started":
            return


async def test_ctrl_c_in_the_cleanup_of_a_tool_is_not_lost(nursery: trio.Nursery) -> None:
    """Check a run that was closed already, of which only the first error was kept."""

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    server = await serve(nursery, calling(("wait", {})))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(KeyboardInterrupt):
            async with client.chat.completions.run_tools(**CHAT, tools=[wait]) as run:
                await start_tool(run)


async def test_ctrl_c_in_a_tool_beats_an_exception_of_the_block(autojump_clock: trio.testing.MockClock) -> None:
    async def interrupted() -> None:
        await trio.sleep(1)
        raise KeyboardInterrupt

    async with trio.open_nursery() as nursery:
        server = await serve(nursery, [calling(("interrupted", {})), calling(("interrupted", {}))])
        client, _ = client_over(server)
        async with client:
            with pytest.raises(KeyboardInterrupt) as raised:
                async with client.chat.completions.run_tools(**CHAT, tools=[interrupted]) as run:
                    await start_tool(run)
                    await trio.sleep(2)
                    raise ValueError("the block's")
            assert isinstance(raised.value.__context__, ValueError)
            with pytest.raises(KeyboardInterrupt), trio.move_on_after(2):
                async with client.chat.completions.run_tools(**CHAT, tools=[interrupted]) as run:
                    await start_tool(run)
                    await trio.sleep_forever()
        nursery.cancel_scope.cancel()


async def test_a_failed_run_starts_no_tool(nursery: trio.Nursery) -> None:
    """Check a tool that starts just as another tool fails, which nothing cancelled in time."""
    failed_before: list[int] = []

    async def late() -> None:  # trio chooses which of the two tasks runs first, so it may start before the failure
        failed_before.append(run.statistics().failed)
        await trio.sleep_forever()

    async def fail() -> None:
        assert run.stream is not None
        while run.stream.verdict.state == "open":
            await trio.lowlevel.checkpoint()
        raise ValueError("no luck")

    first, second = function_item(0, "fail", {}), function_item(1, "late", {})
    server = await serve(nursery, Reply.sse(*item_events(0, first), completed([first, second]), done=False))
    client, _ = client_over(server)
    async with client, client.responses.run_tools(**RESPONSE, tools=[late, fail], on_error="raise") as run:
        with pytest.raises(ValueError, match="no luck"):
            await run.until_done()
        await trio.testing.wait_all_tasks_blocked()
        assert failed_before in ([], [0])
        assert run.statistics().waiting == run.statistics().running == 0


# What is sent back to strict servers.

ODD_CALLS: list[dict[str, Any]] = [
    {"id": "c", "name": "echo", "arguments": '{"text": "hi"}'},
    {"id": "c", "name": "echo", "arguments": '{"text": "ho"}'},
    {"id": HALF, "name": "echo" + HALF, "arguments": "{}"},
    {"id": 5, "name": 5, "arguments": "{}"},
    {"id": ["x"], "name": {"a": [1]}, "arguments": "{}"},
    {"name": "echo", "arguments": ""},
    {"id": "g", "name": "echo", "arguments": '{"text": '},
    {"id": "h", "name": "echo", "arguments": "[1]"},
]
TOLD = [
    "hi",
    "ho",
    "Error: there is no tool named",
    "Error: there is no tool named",
    "Error: there is no tool named",
    "Error: the arguments are invalid: $.text: this argument is missing",
    "Error: the arguments are invalid: it is not JSON",
    "Error: the arguments are invalid: $: Expected an object",
]


def check_strictly(request: Any, ids: list[Any], functions: list[Any], told: list[str], count: int) -> None:
    """Check as a strict server does: each call has its own id, a valid name, an object as arguments, and an output."""
    assert len(set(ids)) == len(functions) == len(told) == count
    for name in ids:
        assert isinstance(name, str)
        assert name.strip()
        assert name.encode()
    for function in functions:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", function["name"])
        assert type(json.loads(function["arguments"])) is dict
    assert json.loads(request.body.decode())
    for text, beginning in zip(told, TOLD, strict=True):
        assert text.startswith(beginning)


async def test_a_strict_server_accepts_odd_chat_calls_sent_back(nursery: trio.Nursery) -> None:
    calls = [
        chunk({"tool_calls": [{"index": n, "id": call.get("id"), "function": {**call, "id": None}}]})
        for n, call in enumerate(ODD_CALLS)
    ]
    server = await serve(nursery, [escaped(*calls, end()), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[echo]) as run:
        await run.until_done()
        assert run.statistics().done + run.statistics().failed == len(ODD_CALLS)
    message, *outputs = server.requests[1].json()["messages"][1:]
    ids = [call["id"] for call in message["tool_calls"]]
    assert [output["tool_call_id"] for output in outputs] == ids
    functions = [call["function"] for call in message["tool_calls"]]
    check_strictly(server.requests[1], ids, functions, [output["content"] for output in outputs], len(ODD_CALLS))


async def test_a_strict_server_accepts_odd_response_calls_sent_back(nursery: trio.Nursery) -> None:
    items = []
    for n, call in enumerate(ODD_CALLS):
        item = {"type": "function_call", **call, "id": f"fc_{n}"}
        items.append({**item, "call_id": call["id"]} if "id" in call else item)
    events = [event for index, item in enumerate(items) for event in item_events(index, item)]
    server = await serve(nursery, [escaped(*events, completed(items), done=False), Reply.response("It is done.")])
    client, _ = client_over(server)
    async with client, client.responses.run_tools(**RESPONSE, tools=[echo]) as run:
        await run.until_done()
    sent = server.requests[1].json()["input"][1:]
    functions = [item for item in sent if item["type"] == "function_call"]
    outputs = [item for item in sent if item["type"] == "function_call_output"]
    ids = [item["call_id"] for item in functions]
    assert [output["call_id"] for output in outputs] == ids
    assert ids[5] == "fc_5", "a call without a call_id is answered by its item's id"
    check_strictly(server.requests[1], ids, functions, [output["output"] for output in outputs], len(ODD_CALLS))
