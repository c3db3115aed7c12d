"""Usage: the total of a client, and `usage=True`, which falls back where a server refuses to be asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from net_helpers import CHAT, client_over, serve
from tool_helpers import add, calling

from trio_openai import BadRequestError, Usage
from trio_openai.testing import RecordedRequest, Reply, ScriptedServer

COUNTS = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
ONE = Usage(input_tokens=5, output_tokens=3)
ASKED = {"include_usage": True}


def usage_if_asked(request: RecordedRequest) -> Reply:
    last: list[Any] = [{"id": "c", "choices": [], "usage": COUNTS}] if request.json().get("stream_options") else []
    return Reply.sse({"id": "c", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}, *last)


def refusing(status: int, message: str, **more: Any) -> Callable[[RecordedRequest], Reply]:
    """Return a script that refuses `include_usage` with an error."""

    def script(request: RecordedRequest) -> Reply:
        options = request.json().get("stream_options") or {}
        return Reply.error(status, message, **more) if "include_usage" in options else Reply.chat("hi")

    return script


def options_of(server: ScriptedServer) -> list[Any]:
    return [request.json().get("stream_options") for request in server.requests]


async def test_usage_true_asks_the_server_for_it(nursery: trio.Nursery) -> None:
    server = await serve(nursery, usage_if_asked)
    client, _ = client_over(server)
    async with client:
        async with client.chat.completions.stream(**CHAT, usage=True) as stream:
            completion = await stream.get_final_completion()
        assert completion.usage is not None
        assert completion.usage.total_tokens == 8
        async with client.chat.completions.stream(**CHAT, usage=True, stream_options={"a": 1}) as stream:
            await stream.until_done()
        async with client.chat.completions.stream(**CHAT, usage=False) as stream:
            await stream.until_done()
    assert options_of(server) == [ASKED, {"a": 1, **ASKED}, None]
    assert all("usage" not in request.json() for request in server.requests)


async def test_usage_true_of_a_whole_result_changes_nothing(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.json({"id": "c", "choices": [], "usage": COUNTS}))
    client, _ = client_over(server)
    async with client:
        await client.chat.completions.create(**CHAT, usage=True)
    assert options_of(server) == [None]
    assert "usage" not in server.requests[0].json()


@pytest.mark.parametrize(
    "script",
    [
        refusing(400, "Unrecognized request argument supplied: stream_options"),
        refusing(422, "Extra inputs are not permitted", param="stream_options"),
        refusing(400, "unknown field `include_usage`"),
    ],
)
async def test_refused_usage_is_left_out_once_and_remembered(
    nursery: trio.Nursery, autojump_clock: object, script: Callable[[RecordedRequest], Reply]
) -> None:
    server = await serve(nursery, script)
    client, _ = client_over(server, max_retries=0)
    async with client:
        async with client.chat.completions.stream(**CHAT, usage=True, stream_options={"a": 1}) as stream:
            assert await stream.get_final_completion()
        assert stream.timings.retries == 0
        stream = await client.with_options(timeout=3).chat.completions.create(**CHAT, usage=True, stream=True)
        async with stream:
            assert (await stream.get_final_completion()).text == "hi"
    assert options_of(server) == [{"a": 1, **ASKED}, {"a": 1}, None]


@pytest.mark.parametrize("reply", [Reply.error(400, "bad prompt"), Reply.error(404, "no stream_options here")])
async def test_other_errors_do_not_fall_back(nursery: trio.Nursery, reply: Reply) -> None:
    server = await serve(nursery, reply)
    client, _ = client_over(server)
    async with client:
        with pytest.raises(Exception, match=r"bad prompt|no stream_options"):
            async with client.chat.completions.stream(**CHAT, usage=True):
                pytest.fail("the server answered with an error")
        assert len(server.requests) == 1


async def test_refusal_without_usage_true_is_raised(nursery: trio.Nursery) -> None:
    server = await serve(nursery, refusing(400, "no stream_options"))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(BadRequestError):
            async with client.chat.completions.stream(**CHAT, stream_options=ASKED):
                pytest.fail("the server refused")
    assert len(server.requests) == 1


async def test_another_server_is_asked_again(nursery: trio.Nursery) -> None:
    server = await serve(nursery, refusing(400, "no stream_options"))
    client, _ = client_over(server)
    async with client:
        for each in (client, client.with_options(base_url=f"{client.base_url}other")):
            async with each.chat.completions.stream(**CHAT, usage=True) as stream:
                await stream.until_done()
    assert options_of(server) == [ASKED, None, ASKED, None]


async def test_client_adds_up_the_usage_of_streams_and_whole_results(nursery: trio.Nursery) -> None:
    def script(request: RecordedRequest) -> Reply:
        if "stream" in request.json():
            return usage_if_asked(request)
        return Reply.json({"id": "c", "choices": [], "usage": COUNTS})

    client, _ = client_over(await serve(nursery, script))
    async with client:
        assert client.statistics().usage == Usage()
        async with client.chat.completions.stream(**CHAT, usage=True) as stream:
            await stream.until_done()
        await client.chat.completions.create(**CHAT)
        await client.with_options(max_retries=1).with_raw_response.chat.completions.create(**CHAT)
        assert client.statistics().usage == Usage(input_tokens=15, output_tokens=9)


async def test_usage_counts_as_soon_as_the_stream_is_complete(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, usage_if_asked))
    async with client, client.chat.completions.stream(**CHAT, usage=True) as stream:
        await stream.until_done()
        assert client.statistics().usage == ONE
    assert client.statistics().usage == ONE


async def test_settled_stream_counts_its_usage(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, usage_if_asked))
    async with client, client.chat.completions.stream(**CHAT, usage=True) as stream:
        await anext(stream)
        await stream.settle(5)
    assert client.statistics().usage == ONE


async def test_retrieved_response_is_not_counted_twice(nursery: trio.Nursery) -> None:
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    made = {"id": "resp_1", "object": "response", "status": "completed", "output": [], "usage": usage}
    client, _ = client_over(await serve(nursery, Reply.json(made)))
    async with client:
        await client.responses.create(model="m", input="a")
        await client.responses.retrieve("resp_1")
        await client.responses.cancel("resp_1")
    assert client.statistics().usage == ONE


@pytest.mark.parametrize("usage", [None, "many", {"prompt_tokens": -1, "completion_tokens": "3"}, {"seconds": 3}, []])
async def test_usage_that_is_no_usage_counts_nothing(nursery: trio.Nursery, usage: Any) -> None:
    client, _ = client_over(await serve(nursery, Reply.json({"id": "c", "choices": [], "usage": usage})))
    async with client:
        await client.chat.completions.create(**CHAT)
    assert client.statistics().usage == Usage()


async def test_run_of_tools_adds_up_the_usage_of_its_rounds(nursery: trio.Nursery) -> None:
    rounds = iter([calling(("add", {"a": 1, "b": 2})), None])

    def script(request: RecordedRequest) -> Reply:
        assert request.json()["stream_options"] == ASKED
        return next(rounds) or usage_if_asked(request)

    client, _ = client_over(await serve(nursery, script))
    async with client, client.chat.completions.run_tools(**CHAT, tools=[add], usage=True) as run:
        assert run.statistics().usage == Usage()
        await run.until_done()
        assert run.statistics().usage == ONE
