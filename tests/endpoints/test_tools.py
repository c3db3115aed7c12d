"""Python functions in the parameter `tools`, at every door."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import trio
from net_helpers import client_over, no_environment, serve
from sync_helpers import served
from tool_helpers import CHAT, RESPONSE, calling

from trio_openai import Tool
from trio_openai.testing import Reply


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def bare(city): ...  # type: ignore[no-untyped-def]


SEARCH = {"type": "web_search"}
TOOLS = [add, Tool.of(add, name="plus"), SEARCH]
CHAT_TOOLS = [Tool.of(add).for_chat(), Tool.of(add, name="plus").for_chat(), SEARCH]
RESPONSE_TOOLS = [Tool.of(add).for_responses(), Tool.of(add, name="plus").for_responses(), SEARCH]


async def test_chat_sends_functions_as_tools_at_every_door(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [*[calling(("add", {"a": 1, "b": 2}))] * 4, Reply.chat("Hi", stream=False)])
    client, _ = client_over(server)
    chat = client.chat.completions
    async with client:
        async with chat.stream(**CHAT, tools=TOOLS) as stream:
            await stream.until_done()
        await (await chat.start_stream(nursery, **CHAT, tools=iter(TOOLS))).until_done()
        async with client.run_many([chat.call(**CHAT, tools=tuple(TOOLS))]) as results:
            assert [result.error async for result in results] == [None]
        async with await chat.create(**CHAT, stream=True, tools=TOOLS) as stream:
            await stream.until_done()
        await chat.create(**CHAT, tools=TOOLS)
    assert [request.json()["tools"] for request in server.requests] == [CHAT_TOOLS] * 5


async def test_responses_send_functions_as_tools_at_every_door(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [*[Reply.response("Hi")] * 4, Reply.response("Hi", stream=False)])
    client, _ = client_over(server)
    responses = client.responses
    async with client:
        async with responses.stream(**RESPONSE, tools=TOOLS) as stream:
            await stream.until_done()
        await (await responses.start_stream(nursery, **RESPONSE, tools=TOOLS)).until_done()
        async with client.run_many([responses.call(**RESPONSE, tools=TOOLS)]) as results:
            assert [result.error async for result in results] == [None]
        async with await responses.create(**RESPONSE, stream=True, tools=TOOLS) as stream:
            await stream.until_done()
        await responses.create(**RESPONSE, tools=TOOLS)
    assert [request.json()["tools"] for request in server.requests] == [RESPONSE_TOOLS] * 5


def test_blocking_client_sends_functions_as_tools() -> None:
    with served([calling(("add", {"a": 1, "b": 2})), Reply.response("Hi", stream=False)]) as threaded:
        with threaded.client() as client:
            with client.chat.completions.stream(**CHAT, tools=TOOLS) as stream:
                stream.until_done()
            client.responses.create(**RESPONSE, tools=TOOLS)
        asked = [request.json()["tools"] for request in threaded.server.requests]
    assert asked == [CHAT_TOOLS, RESPONSE_TOOLS]


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([bare], "its parameter city has no annotation: write city: str, for example"),
        ([3], "tools takes functions, Tools, and dictionaries; one of its items is of type int"),
        (add, "tools takes a list, not function"),
        (SEARCH, "tools takes a list, not dict"),
        ([int], "int is a class"),
    ],
)
async def test_invalid_tool_is_refused_before_anything_is_sent(nursery: trio.Nursery, tools: Any, words: str) -> None:
    server = await serve(nursery, Reply.chat("Hi"))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(TypeError, match=words):
            client.chat.completions.stream(**CHAT, tools=tools)
        with pytest.raises(TypeError, match=words):
            await client.responses.create(**RESPONSE, tools=tools)
    assert server.requests == []


async def test_traceback_of_an_invalid_tool_shows_no_header(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat("Hi")))
    async with client:
        for method in (client.chat.completions.stream, client.chat.completions.run_tools, client.responses.run_tools):
            params: Any = {**CHAT, **RESPONSE, "extra_headers": {"x-key": "secret"}}
            try:
                method(**params, tools=[bare])
            except TypeError as error:
                trace = error.__traceback__
            else:
                pytest.fail("it was not refused")
            while trace is not None:
                if "trio_openai" in trace.tb_frame.f_code.co_filename:
                    assert "secret" not in repr(trace.tb_frame.f_locals)
                trace = trace.tb_next


def test_program_without_functions_does_not_import_the_tools() -> None:
    program = (
        "import sys, trio_openai\n"
        "client = trio_openai.TrioOpenAI(api_key='k')\n"
        "client.chat.completions.stream(model='m', messages=[], tools=[{'type': 'web_search'}])\n"
        "names = ['_tools.tool', '_tools.conversation', '_tools.run', 'types.responses']\n"
        "names += ['_protocols.structured.answer_format']\n"
        "print(sorted({'msgspec', *('trio_openai.' + name for name in names)} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
