"""`run_tools`: the requests of each round, for Chat Completions and for Responses."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
import trio.testing
from net_helpers import client_over, no_environment, serve
from tool_helpers import (
    ANSWER,
    CHAT,
    QUESTION,
    RESPONSE,
    add,
    calling,
    chunk,
    completed,
    end,
    function_item,
    item_events,
    nap,
    piece,
    response_calling,
)

from trio_openai import Tool, ToolDone, ToolRunError, ToolStarted
from trio_openai.testing import Pause, Reply
from trio_openai.types import Unparsed


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def run_code(code: str) -> str:
    return f"ran {code}"


# ------------------------------------------------------------------------------------------------ what is sent, by chat


async def test_tool_choice_that_forces_a_call_applies_to_the_first_round_only(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [calling(("add", {"a": 1, "b": 2})), ANSWER] * 2)
    client, _ = client_over(server)
    async with client:
        for choice in ("required", "auto"):
            async with client.chat.completions.run_tools(**CHAT, tools=[add], tool_choice=choice) as run:
                await run.until_done()
    assert [request.json().get("tool_choice") for request in server.requests] == ["required", None, "auto", "auto"]


async def test_reasoning_and_unknown_fields_are_sent_back(nursery: trio.Nursery) -> None:
    said = chunk({"content": "Let me see.", "reasoning_content": "Hm."})
    server = await serve(nursery, [Reply.sse(said, piece(0, '{"a": 1, "b": 2}', "add"), end()), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
        await run.until_done()
    message = server.requests[1].json()["messages"][1]
    assert (message["content"], message["reasoning_content"]) == ("Let me see.", "Hm.")


async def test_the_legacy_function_call_is_answered_in_the_legacy_format(nursery: trio.Nursery) -> None:
    called = chunk({"function_call": {"name": "add", "arguments": '{"a": 1, "b": 2}'}})
    server = await serve(nursery, [Reply.sse(called, end("function_call")), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
        await run.until_done()
    assert run.messages[1:3] == [
        {
            "role": "assistant",
            "content": None,
            "function_call": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
        },
        {"role": "function", "name": "add", "content": '{"sum":3}'},
    ]


async def test_a_custom_tool_gets_the_models_text(nursery: trio.Nursery) -> None:
    def custom(text: str, **more: Any) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": 0, "custom": {"input": text, **more.pop("own", {})}, **more}]})

    first = Reply.sse(custom("print(", id="call_c", type="custom", own={"name": "run_code"}), custom("1)"), end())
    server = await serve(nursery, [first, ANSWER])
    client, _ = client_over(server)
    tool = Tool.custom(run_code, description="Runs it.")
    async with client, client.chat.completions.run_tools(**CHAT, tools=[tool]) as run:
        events = [event async for event in run]
    started = next(event for event in events if isinstance(event, ToolStarted))
    assert started.arguments == "print(1)"
    assert run.messages[1]["tool_calls"] == [
        {"id": "call_c", "type": "custom", "custom": {"name": "run_code", "input": "print(1)"}}
    ]
    assert run.messages[2] == {"role": "tool", "tool_call_id": "call_c", "content": "ran print(1)"}
    assert server.requests[0].json()["tools"] == [tool.for_chat()]


@attrs.define
class Total:
    total: int


async def test_run_tools_supports_structured_outputs(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [calling(("add", {"a": 1, "b": 2})), Reply.chat('{"total": 3}')])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[add], response_format=Total) as run:
        completion = await run.get_final_completion()
    assert not isinstance(completion.parsed, Unparsed)
    assert completion.parsed.total == 3


async def test_other_parameters_are_sent_in_every_round(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [calling(("add", {"a": 1, "b": 2})), ANSWER])
    client, _ = client_over(server)
    messages = iter(QUESTION)
    params: Any = {"model": "m", "temperature": 0.5, "extra_headers": {"x-mine": "1"}, "extra_body": {"top_k": 3}}
    async with client, client.chat.completions.run_tools(messages=messages, tools=iter([add]), **params) as run:
        await run.until_done()
    for request in server.requests:
        assert ("x-mine", "1") in request.headers
        assert (request.json()["temperature"], request.json()["top_k"]) == (0.5, 3)
    assert server.requests[0].json()["messages"] == QUESTION


# --------------------------------------------------------------------------------------------------------- by Responses

REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz"}


async def test_a_responses_run_sends_everything_again_by_default(autojump_clock: trio.testing.MockClock) -> None:
    naps = [function_item(n + 1, "nap", {"seconds": 2 - n}) for n in range(2)]
    events = [event for index, item in enumerate([REASONING, *naps]) for event in item_events(index, item)]
    first = Reply.sse(*events, Pause(5), completed([REASONING, *naps]), done=False)
    times: list[float] = []
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, [first, Reply.response("It is done.")])
        client, _ = client_over(server)
        began = trio.current_time()
        async with client, client.responses.run_tools(**RESPONSE, tools=[nap]) as run:
            async for event in run:
                if isinstance(event, ToolDone):
                    times.append(trio.current_time() - began)
            response = await run.get_final_response()
        nursery.cancel_scope.cancel()
    assert times == [pytest.approx(1), pytest.approx(2)]
    assert response.output_text == "It is done."
    assert server.requests[0].json()["tools"] == [Tool.of(nap).for_responses()]
    assert server.requests[1].json()["input"] == [
        {"role": "user", "content": "What is it?"},
        REASONING,
        *naps,
        {"type": "function_call_output", "call_id": "call_1", "output": "slept 2.0"},
        {"type": "function_call_output", "call_id": "call_2", "output": "slept 1.0"},
    ]
    assert run.messages[:-1] == server.requests[1].json()["input"]
    assert run.messages[-1]["type"] == "message"


OUTPUT = {"type": "function_call_output", "call_id": "call_0", "output": '{"sum":3}'}


@pytest.mark.parametrize(
    ("given", "previous", "whole"),
    [
        ({"previous_response_id": "resp_0"}, ["resp_0", "resp_1", "resp_2"], False),
        ({"previous_response_id": "resp_0", "store": False}, ["resp_0"] * 3, True),
        ({"conversation": "conv_1"}, [None] * 3, False),
        ({}, [None] * 3, True),
    ],
)
async def test_items_that_the_server_stores_are_not_sent_again(
    nursery: trio.Nursery, given: dict[str, Any], previous: list[str | None], *, whole: bool
) -> None:
    item = function_item(0, "add", {"a": 1, "b": 2})
    replies = [response_calling(item, name=name) for name in ("resp_1", "resp_2")]
    server = await serve(nursery, [*replies, Reply.response("It is done.")])
    client, _ = client_over(server)
    async with client, client.responses.run_tools(**RESPONSE, **given, tools=[add]) as run:
        await run.until_done()
    asked = [request.json() for request in server.requests]
    assert [request.get("previous_response_id") for request in asked] == previous
    everything = [{"role": "user", "content": "What is it?"}, item, OUTPUT, item, OUTPUT]
    assert asked[2]["input"] == (everything if whole else [OUTPUT])
    assert run.messages[:-1] == everything


async def test_responses_custom_tools_run_here_and_server_tools_do_not(nursery: trio.Nursery) -> None:
    custom = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_c", "name": "run_code", "input": "1 + 1"}
    mcp = {"type": "mcp_call", "id": "mcp_1", "name": "add", "server_label": "s", "arguments": "{}", "output": "3"}
    server = await serve(nursery, [response_calling(mcp, custom), Reply.response("It is done.")])
    client, _ = client_over(server)
    hosted = {"type": "mcp", "server_label": "s", "server_url": "https://example.com"}
    async with client, client.responses.run_tools(**RESPONSE, tools=[Tool.custom(run_code), hosted]) as run:
        events = [event async for event in run]
    assert [event.call.name for event in events if isinstance(event, ToolStarted)] == ["run_code"]
    assert run.messages[1:4] == [
        mcp,
        custom,
        {"type": "custom_tool_call_output", "call_id": "call_c", "output": "ran 1 + 1"},
    ]
    assert server.requests[0].json()["tools"][1] == hosted


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "left out"])
@pytest.mark.parametrize("has_call_id", [True, False])
async def test_calls_with_the_same_output_index_are_answered_by_their_own_ids(
    nursery: trio.Nursery, has_call_id: bool, is_whole: bool
) -> None:
    """Check servers that send only item ids, or leave the items out of the last event, too."""
    items = [function_item(n, "add", {"a": n, "b": 10}) for n in range(3)]
    if not has_call_id:
        items = [{name: value for name, value in item.items() if name != "call_id"} for item in items]
    events = [{**event, "output_index": 0} for item in items for event in item_events(0, item)]
    text = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hm."}]}
    last = completed([*items, text] if is_whole else [text])
    server = await serve(nursery, [Reply.sse(*events, last, done=False), Reply.response("Done.")])
    client, _ = client_over(server)
    async with client, client.responses.run_tools(**RESPONSE, tools=[add]) as run:
        await run.until_done()
    sent = server.requests[1].json()["input"][1:]
    expected = [f"{'call' if has_call_id else 'fc'}_{n}" for n in range(3)]
    assert [item["call_id"] for item in sent if item["type"] == "function_call"] == expected
    outputs = [(item["call_id"], item["output"]) for item in sent if item["type"] == "function_call_output"]
    assert outputs == [(name, f'{{"sum":{n + 10}}}') for n, name in enumerate(expected)]


async def test_a_truncated_call_of_a_response_is_not_run(nursery: trio.Nursery) -> None:
    item = {**function_item(0, "nothing", ""), "status": "incomplete"}
    server = await serve(nursery, Reply.sse(*item_events(0, item), completed([item], "incomplete"), done=False))
    client, _ = client_over(server)
    called: list[str] = []

    def nothing() -> None:
        called.append("nothing")

    async with client:
        with pytest.raises(ToolRunError, match="cut"):
            async with client.responses.run_tools(**RESPONSE, tools=[nothing]) as run:
                await run.until_done()
    assert called == []


async def test_a_failed_response_ends_the_run_whatever_it_called(nursery: trio.Nursery) -> None:
    item = function_item(0, "add", {"a": 1, "b": 2})
    server = await serve(nursery, Reply.sse(*item_events(0, item), completed([item], "failed"), done=False))
    client, _ = client_over(server)
    async with client, client.responses.run_tools(**RESPONSE, tools=[add]) as run:
        response = await run.get_final_response()
    assert response.status == "failed"
    assert len(server.requests) == 1
