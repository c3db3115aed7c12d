"""The page docs/comparison.md: each row links to a test of ours, and what it says of `openai` is tested here.

The tests of `openai` are skipped unless the version of which the page speaks is installed.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import inspect
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from example_scripts import broken
from test_examples import EXAMPLES, run_scripted

from trio_openai.testing import Cut, Pause, Reply, ScriptedServer, Stall, Step, sse_event

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # openai's

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "comparison.md").read_text()
REPOSITORY = "https://github.com/trio-openai/trio-openai/blob/main/"


def test_every_row_links_to_a_test_that_exists() -> None:
    rows = re.findall(r"^\| ([^|]+) \|.*\|$", PAGE.partition("## What it costs")[0], re.MULTILINE)
    links = [re.fullmatch(rf"\[.+\]\({REPOSITORY}(tests/[\w/]+\.py) \"(\w+)\"\)", row) for row in rows]
    assert len(links) >= 26
    for row, link in zip(rows, links, strict=True):
        assert link is not None, row
        assert f"def {link[2]}(" in (ROOT / link[1]).read_text(), row


# ---------------------------------------------------------------------------------------- what the page says of openai

Openai = Any  # `openai.AsyncOpenAI`, as Any: openai is not a dependency
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def chunk(finish_reason: str | None = None, *, index: int = 0, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def call(index: int, **more: Any) -> dict[str, Any]:
    return chunk(tool_calls=[{"index": index, "id": f"call_{index}", **more}])


async def words_of(client: Openai) -> list[str]:
    stream = await client.chat.completions.create(stream=True, **CHAT)
    return [piece.choices[0].delta.content async for piece in stream]


async def words_within_a_second_of(client: Openai) -> list[str]:
    return await words_of(client.with_options(timeout=1))


async def final_of(client: Openai, **params: Any) -> Any:
    async with client.chat.completions.stream(**CHAT, **params) as stream:
        return await stream.get_final_completion()


async def response_of(client: Openai) -> Any:
    async with client.responses.stream(model="m", input="Hi") as stream:
        return await stream.get_final_response()


async def second_event_of(client: Openai) -> str:
    stream = await client.responses.create(model="m", input="Hi", stream=True)
    return [type(event).__name__ async for event in stream][1]


def body(*parts: Step, content_type: str = "text/event-stream") -> Reply:
    return Reply(headers={"content-type": content_type}, body=parts)


WEATHER: dict[str, Any] = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
CREATED = {"type": "response.created", "response": {"id": "r", "object": "response", "output": []}}
INCOMPLETE = {"type": "response.incomplete", "response": {"id": "r", "object": "response", "output": []}}

OF_OPENAI: dict[str, tuple[Any, Reply, Any]] = {
    "an end that is none": (words_of, Reply.sse(chunk(content="Hi"), done=False), ["Hi"]),
    "HTML": (words_of, body(b"<html>We are closed.</html>", content_type="text/html"), []),
    "an error object": (words_of, Reply.json({"error": {"message": "We are closed."}}), []),
    "a server that only pings, for twice the timeout": (
        words_within_a_second_of,
        body(*Reply.sse(chunk(content="Hi"), done=False).body, *([Pause(0.25), b": ping\n\n"] * 8)),
        ["Hi"],
    ),
    "an event without data": (words_of, body(b"event: ping\n\n", sse_event("[DONE]")), "JSONDecodeError"),
    "a byte-order mark": (words_of, body(b"\xef\xbb\xbf", *Reply.sse(chunk(content="Hi")).body), []),
    "tool calls out of order": (final_of, Reply.sse(call(1, **WEATHER), call(0, **WEATHER)), "IndexError"),
    "choices out of order": (final_of, Reply.sse(chunk(index=1, content="b"), chunk(content="a")), "IndexError"),
    "an event of a new type": (
        second_event_of,
        Reply.sse(CREATED, {"type": "response.telepathy.delta"}, named=True),
        "ResponseAudioDeltaEvent",
    ),
    "an incomplete response": (response_of, Reply.sse(CREATED, INCOMPLETE, named=True), "RuntimeError"),
}


def openai_version() -> str:
    try:
        return importlib.metadata.version("openai")
    except importlib.metadata.PackageNotFoundError:
        return "none"


async def ask_openai(reply: Reply, ask: Any) -> Any:
    """Run a claim's code. Return its value or the name of its exception."""
    import openai

    async with trio.open_nursery() as nursery:
        server = ScriptedServer(reply)
        await server.start(nursery)
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="sk-example", max_retries=0) as client:
            try:
                came = await ask(client, server) if ask is left_early else await ask(client)
            except Exception as error:  # noqa: BLE001 - the class of the exception is the result
                came = type(error).__name__
        gc.collect()
        nursery.cancel_scope.cancel()
    return came


async def left_early(client: Openai, server: ScriptedServer) -> tuple[int, int]:
    """Return the numbers of connections that are open after a `break` and that were closed."""
    stream = await client.chat.completions.create(stream=True, **CHAT)
    async for _ in stream:
        break
    await trio.testing.wait_all_tasks_blocked(0.05)
    return server.statistics().connections, server.statistics().disconnects


with_openai = pytest.mark.skipif(
    not openai_version().startswith("3.54."), reason="the page speaks of openai 3.54, which is not installed"
)


@with_openai
@pytest.mark.parametrize(("ask", "reply", "expected"), OF_OPENAI.values(), ids=OF_OPENAI.keys())
async def test_claims_of_the_page_about_openai(ask: Any, reply: Reply, expected: Any) -> None:
    assert await ask_openai(reply, ask) == expected


@with_openai
async def test_openai_leaves_the_connection_open_after_break() -> None:
    assert await ask_openai(Reply.sse(chunk(content="Hi"), Stall()), left_early) == (1, 0)


@with_openai
def test_openai_runs_tools_only_for_responses_and_early_only_on_asyncio() -> None:
    openai: Any = importlib.import_module("openai")
    runner: Any = importlib.import_module("openai.lib.responses_tool_runner")
    assert not hasattr(openai.AsyncOpenAI(api_key="k").chat.completions, "run_tools")
    assert "asyncio.create_task(self._execute_function" in inspect.getsource(runner.AsyncResponsesToolRunner)


@with_openai
async def test_openai_lets_only_one_task_read_a_stream() -> None:
    async def two_readers(client: Openai) -> list[str]:
        stream = await client.chat.completions.create(stream=True, **CHAT)
        ends: list[str] = []

        async def read() -> None:
            try:
                async for _ in stream:
                    pass
                ends.append("whole")
            except RuntimeError as error:
                ends.append(str(error))

        async with trio.open_nursery() as readers:
            readers.start_soon(read)
            readers.start_soon(read)
        return ends

    came = await ask_openai(Reply.chat("Hi there.", pace=0.02), two_readers)
    assert came == ["anext(): asynchronous generator is already running", "whole"]


@with_openai
async def test_openai_does_not_resume_and_downloads_everything_again() -> None:
    import openai

    whole = Reply.response("One, two, three.")
    async with trio.open_nursery() as nursery:
        server = ScriptedServer([broken(whole, 6, Cut()), whole])
        await server.start(nursery)
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="sk-example") as client:
            with pytest.raises(openai.APIConnectionError):
                async with client.responses.stream(model="m", input="Hi", background=True) as stream:
                    [event async for event in stream]
            assert len(server.requests) == 1
            async with client.responses.stream(response_id="resp_scripted", starting_after=5) as stream:
                numbers = [event.sequence_number async for event in stream]
            assert numbers[0] == 6
            assert "starting_after" not in server.requests[1].target
        nursery.cancel_scope.cancel()


@with_openai
def test_openai_lacks_what_the_page_says_it_lacks() -> None:
    import openai

    client = openai.AsyncOpenAI(api_key="sk-example")
    for part in (client, client.chat.completions, client.responses, openai.AsyncStream):
        assert not {"start_stream", "stream_many", "run_many", "race", "subscribe", "settle"} & set(dir(part))


@with_openai
async def test_openai_repeats_an_id() -> None:
    completion = await ask_openai(Reply.sse(call(0, **WEATHER), call(0, **WEATHER), chunk("tool_calls")), final_of)
    assert completion.choices[0].message.tool_calls[0].id == "call_0call_0"


@with_openai
async def test_openai_emits_resource_warnings() -> None:
    done = await run_scripted(EXAMPLES / "openai_python" / "port_basic.py", "-W", "always::ResourceWarning")
    assert "ResourceWarning: Async generator" in done.stderr.decode()


def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": "f"} if more else {})}
    return chunk(tool_calls=[{"index": index, "function": function, **more}])


@with_openai
async def test_openai_reports_incomplete_calls() -> None:
    async def done(client: Openai) -> list[str]:
        async with client.chat.completions.stream(**CHAT) as stream:
            return [one.arguments async for one in stream if one.type == "tool_calls.function.arguments.done"]

    begun = [piece(0, '{"a"', id="c0", type="function"), piece(1, '{"b"', id="c1", type="function")]
    reply = Reply.sse(*begun, piece(0, ":1}"), piece(1, ":2}"), chunk("tool_calls"))
    assert await ask_openai(reply, done) == ['{"a"', '{"b"']


@with_openai
async def test_openai_raises_for_an_answer_cut_off_at_its_token_limit() -> None:
    import pydantic  # a dependency of openai

    answer = pydantic.create_model("Answer", number=int)
    came = await ask_openai(
        Reply.sse(chunk(content='{"number": '), chunk("length")), partial(final_of, response_format=answer)
    )
    assert came == "LengthFinishReasonError"


@with_openai
async def test_openai_gives_either_the_bytes_or_the_events() -> None:
    async def both(client: Openai) -> list[Any]:
        asked = client.chat.completions.with_streaming_response.create(stream=True, **CHAT)
        async with asked as response:
            assert [part async for part in response.iter_bytes()]
            return [event async for event in await response.parse()]

    assert await ask_openai(Reply.chat("Hi"), both) == "StreamConsumed"


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@with_openai
async def test_openai_leaks_the_socket_of_a_cancelled_tls_handshake() -> None:
    import openai

    greeted, gone = trio.Event(), trio.Event()

    async def say_nothing(stream: trio.SocketStream) -> None:
        async for _ in stream:
            greeted.set()
        gone.set()

    async def ask(port: int, scope: trio.CancelScope) -> None:
        client: Any = openai.AsyncOpenAI(base_url=f"https://127.0.0.1:{port}/v1", api_key="k", max_retries=0)
        with scope:
            await client.chat.completions.create(**CHAT)
        await client.close()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not gone.is_set()

    with without_garbage_collection():
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), say_nothing, 0)
            scope = trio.CancelScope()
            async with trio.open_nursery() as inner:
                inner.start_soon(ask, listeners[0].socket.getsockname()[1], scope)
                await greeted.wait()
                scope.cancel()
            nursery.cancel_scope.cancel()
    gc.collect()


@with_openai
async def test_openai_requests_azure_tokens_in_the_event_loop() -> None:
    import openai

    threads: list[int] = []

    def token() -> str:
        threads.append(threading.get_ident())
        return "token"

    async with trio.open_nursery() as nursery:
        server = ScriptedServer(Reply.chat("Hi", stream=False))
        await server.start(nursery)
        place = server.base_url.removesuffix("/v1")
        azure: Any = openai.AsyncAzureOpenAI(azure_endpoint=place, api_version="1", azure_ad_token_provider=token)
        async with azure:
            await azure.chat.completions.create(**CHAT)
        nursery.cancel_scope.cancel()
    assert threads == [threading.get_ident()]
