"""Results of many calls: `unwrap`, `text`, and the progress and usage that `statistics()` reports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio
from net_helpers import client_over, serve

from trio_openai import BadRequestError, Result, StreamTruncatedError, TrioOpenAI, Usage
from trio_openai.testing import Cut, RecordedRequest, Reply

USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 3,
    "total_tokens": 8,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def chunk(content: str, finish: str | None = None) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]}


def script(request: RecordedRequest) -> Reply:
    words = request.json()["messages"][0]["content"]
    if words == "fail":
        return Reply.error(400, "no")
    if words == "cut":
        return Reply.sse(chunk("half"), Cut())
    return Reply.sse(chunk(words), chunk("", "stop"), {"id": "c", "choices": [], "usage": USAGE})


def call(client: TrioOpenAI, words: str) -> Any:
    return client.chat.completions.call(key=words, model="m", messages=[{"role": "user", "content": words}])


async def results_of(client: TrioOpenAI, *words: str) -> dict[str, Result[Any]]:
    async with client.run_many([call(client, word) for word in words]) as results:
        return {result.key: result async for result in results}


async def test_unwrap_returns_the_value_or_raises_the_error_of_the_call(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, script))
    async with client:
        results = await results_of(client, "hello", "fail")
    assert results["hello"].unwrap() is results["hello"].value
    assert results["hello"].unwrap().choices[0].message.content == "hello"
    with pytest.raises(BadRequestError) as raised:
        results["fail"].unwrap()
    assert raised.value is results["fail"].error
    assert raised.value.__cause__ is None


async def test_text_is_that_of_the_answer_or_what_had_arrived(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, script), max_retries=0)
    async with client:
        results = await results_of(client, "hello", "fail", "cut")
    assert results["hello"].text == "hello"
    assert results["fail"].text == ""
    assert isinstance(results["cut"].error, StreamTruncatedError)
    assert results["cut"].text == "half"


async def test_text_of_a_response_is_its_output(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.response("Bonjour")))
    async with client, client.run_many([client.responses.call(model="m", input="a")]) as results:
        assert (await results.receive()).text == "Bonjour"


async def test_total_of_a_lazy_input_gives_waiting_and_fraction(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, script))

    def supply() -> Iterator[Any]:
        for number in range(8):
            yield call(client, str(number))

    async with client, client.run_many(supply(), max_concurrent=2, total=8) as results:
        await trio.sleep(1)
        now = results.statistics()
        assert (now.total, now.waiting, now.fraction) == (8, 6, 0.25)
        assert len([result async for result in results]) == 8
        now = results.statistics()
        assert (now.total, now.waiting, now.fraction) == (8, 0, 1.0)


async def test_length_of_the_calls_is_their_total(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, script))
    calls = [call(client, word) for word in "abc"]
    async with client:
        for many in (client.run_many(calls, max_concurrent=1), client.stream_many(calls, max_concurrent=1)):
            async with many as items:
                assert (items.statistics().total, items.statistics().waiting) == (3, 3)
        async with client.run_many(calls, total=10) as results:
            assert results.statistics().total == 10
        async with client.run_many([]) as nothing:
            assert nothing.statistics().fraction == 1.0


async def test_total_is_unknown_until_all_calls_have_been_taken(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, script))

    async def supply() -> AsyncIterator[Any]:
        for word in "abc":
            await trio.sleep(1)
            yield call(client, word)

    async with client, client.run_many(supply()) as results:
        await results.receive()
        now = results.statistics()
        assert (now.total, now.waiting, now.fraction) == (None, None, None)
        assert len([result async for result in results]) == 2
        assert results.statistics().total == 3


async def test_total_that_is_too_small_grows_with_the_calls(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, script))
    calls = iter([call(client, word) for word in "abc"])
    async with client, client.run_many(calls, total=1) as results:
        await trio.sleep(1)
        now = results.statistics()
        assert (now.total, now.waiting) == (3, 0)


def test_total_that_is_no_number_of_calls_is_refused() -> None:
    client = TrioOpenAI(api_key="k", base_url="http://localhost")
    for bad in (-1, 1.5, True, "3"):
        with pytest.raises(ValueError, match="total takes the number of calls"):
            client.run_many([], total=bad)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="total takes the number of calls"):
            client.stream_many([], total=bad)  # type: ignore[arg-type]


async def test_usage_of_many_calls_is_added_up(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, script))
    async with client, client.run_many([call(client, word) for word in ("a", "b", "fail")]) as results:
        async for _ in results:
            pass
        usage = results.statistics().usage
    assert usage == Usage(input_tokens=10, output_tokens=6, cached_tokens=8, reasoning_tokens=4)
    assert usage.total_tokens == results.statistics().tokens == 16
    assert client.statistics().usage == usage


async def test_race_gives_a_stream_with_the_key_and_the_call_of_the_winner(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, script))
    calls = [call(client, word) for word in ("fail", "b")]
    async with client:
        async with client.race(calls, stagger=1) as stream:
            assert stream.key == "b"
            assert stream.call is calls[1]
        manager = client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "a"}])
        async with manager as alone:
            assert (alone.key, alone.call) == (None, None)
