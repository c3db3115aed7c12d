"""The README's claims about `openai` after the first dozen rows. `test_examples.py` tests the first ones."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from test_examples import CHAT, Openai, ask_openai, chunk, final_of, with_openai_3_52

from trio_openai.testing import Reply, ScriptedServer

pytestmark = [with_openai_3_52, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": "f"} if more else {})}
    return chunk(tool_calls=[{"index": index, "function": function, **more}])


async def test_openai_reports_incomplete_calls() -> None:
    async def done(client: Openai) -> list[str]:
        async with client.chat.completions.stream(**CHAT) as stream:
            return [one.arguments async for one in stream if one.type == "tool_calls.function.arguments.done"]

    begun = [piece(0, '{"a"', id="c0", type="function"), piece(1, '{"b"', id="c1", type="function")]
    reply = Reply.sse(*begun, piece(0, ":1}"), piece(1, ":2}"), chunk("tool_calls"))
    assert await ask_openai(reply, done) == ['{"a"', '{"b"']


async def test_openai_raises_for_an_answer_cut_off_at_its_token_limit() -> None:
    import pydantic  # a dependency of openai

    answer = pydantic.create_model("Answer", number=int)
    came = await ask_openai(
        Reply.sse(chunk(content='{"number": '), chunk("length")), partial(final_of, response_format=answer)
    )
    assert came == "LengthFinishReasonError"


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
