"""The types of many calls, for mypy and pyright: the functions are checked, and never called."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, assert_type

from trio_openai import (
    ChatCompletionStream,
    Item,
    Items,
    ManyStatistics,
    ParsedChatCompletionStream,
    ResponseStream,
    Result,
    StreamCall,
    Subscription,
    TrioOpenAI,
    Usage,
)
from trio_openai.types import (
    ChatCompletion,
    ChatCompletionChunk,
    ParsedChatCompletion,
    Response,
    ResponseStreamEvent,
)


class Answer:
    """The class of a structured output."""


async def results_have_the_type_of_their_call(client: TrioOpenAI) -> None:
    calls = [client.chat.completions.call(model="m", messages=[])]
    assert_type(calls, list[StreamCall[ChatCompletionStream]])
    async with client.run_many(calls) as results:
        assert_type(results, Items[Result[ChatCompletion]])
        assert_type(results.statistics(), ManyStatistics)
        async for result in results:
            assert_type(result, Result[ChatCompletion])
            assert_type(result.value, ChatCompletion)
            assert_type(result.unwrap(), ChatCompletion)
            assert_type(result.text, str)
            _ = result.valeu  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
            _ = result.value.choises  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def results_of_a_generator(client: TrioOpenAI) -> None:
    calls = (client.responses.call(model="m", input=word) for word in ("a", "b"))
    async with client.run_many(calls, ordered=True, total=2) as results:
        assert_type([result.value async for result in results], list[Response])


async def results_of_an_async_iterable(client: TrioOpenAI, calls: AsyncIterator[StreamCall[ResponseStream]]) -> None:
    async with client.run_many(calls) as results:
        assert_type(await results.receive(), Result[Response])


async def results_of_structured_outputs(client: TrioOpenAI) -> None:
    call = client.chat.completions.call(model="m", messages=[], response_format=Answer)
    assert_type(call, StreamCall[ParsedChatCompletionStream[Answer]])
    async with client.run_many([call]) as results:
        assert_type(await results.receive(), Result[ParsedChatCompletion[Answer]])


async def results_of_two_kinds_are_a_union(
    client: TrioOpenAI, given: list[StreamCall[ChatCompletionStream] | StreamCall[ResponseStream]]
) -> None:
    async with client.run_many(given) as results:
        async for result in results:
            assert_type(result.value, ChatCompletion | Response)
    chat = client.chat.completions.call(model="m", messages=[])
    response = client.responses.call(model="m", input="a")
    async with client.run_many([chat, response]) as results_of_list:
        async for result in results_of_list:
            assert_type(result.unwrap(), ChatCompletion | Response)


async def items_have_the_types_of_their_call(client: TrioOpenAI) -> None:
    async with client.stream_many([client.chat.completions.call(model="m", messages=[])]) as items:
        async for item in items:
            assert_type(item, Item[ChatCompletionChunk, ChatCompletion])
            assert_type(item.result, Result[ChatCompletion] | None)
            assert_type(item.event, ChatCompletionChunk)
            _ = item.evnet  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def items_of_two_kinds_are_a_union(client: TrioOpenAI) -> None:
    chat = client.chat.completions.call(model="m", messages=[])
    response = client.responses.call(model="m", input="a")
    async with client.stream_many([chat, response]) as items:
        async for item in items:
            assert_type(item.event, ChatCompletionChunk | ResponseStreamEvent)


async def other_ways_to_enter(client: TrioOpenAI, calls: list[StreamCall[Any]]) -> None:
    async with AsyncExitStack() as stack:
        chat = client.chat.completions.call(model="m", messages=[])
        results = await stack.enter_async_context(client.run_many([chat]))
        assert_type(results, Items[Result[ChatCompletion]])
    async with client.run_many(calls) as any_results:
        assert_type(await any_results.receive(), Result[Any])
    client.run_many(["a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.run_many(calls, max_concurent=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def a_subscription_has_the_type_of_the_events(stream: ChatCompletionStream) -> None:
    subscription = stream.subscribe()
    assert_type(subscription, Subscription[ChatCompletionChunk])
    assert_type(await subscription.receive(), ChatCompletionChunk)


async def a_race_gives_a_stream_with_its_call(client: TrioOpenAI) -> None:
    calls = [client.chat.completions.call(key=model, model=model, messages=[]) for model in ("a", "b")]
    async with client.race(calls) as stream:
        assert_type(stream, ChatCompletionStream)
        assert_type(stream.call, StreamCall[ChatCompletionStream] | None)


def usage_is_a_sum(client: TrioOpenAI) -> None:
    assert_type(client.statistics().usage, Usage)
    assert_type(client.statistics().usage + Usage(), Usage)
    client.chat.completions.call(model="m", messages=[], usage=True)
