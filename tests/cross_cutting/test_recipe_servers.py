"""The recipe "Several servers": fall back before the first content, and let calls of several clients take turns."""

from __future__ import annotations

import itertools

import pytest
import trio
from net_helpers import CHAT, client_over, serve

from trio_openai import Attempt, Outcome, StreamTruncatedError
from trio_openai.testing import Cut, Reply, Script, Stall


async def race(nursery: trio.Nursery, first_script: Script) -> tuple[str, float, int]:
    """Ask a first server and fall back to a second one. Return the answer, the seconds it took, and what is open."""
    first, second = await serve(nursery, first_script), await serve(nursery, Reply.chat("second"))
    one, _ = client_over(first, max_retries=0)
    two, _ = client_over(second)
    before = trio.current_time()
    async with one, two:
        calls = [client.chat.completions.call(**CHAT) for client in (one, two)]
        async with two.race(calls, stagger=3) as stream:
            answer = "".join([text async for text in stream.text_deltas])
            seconds = trio.current_time() - before
            connections = first.statistics().connections
    return answer, seconds, connections


async def test_failing_server_is_replaced_at_once(nursery: trio.Nursery, autojump_clock: object) -> None:
    answer, seconds, _ = await race(nursery, Reply.error(503, "no"))
    assert (answer, seconds) == ("second", 0)


async def test_silent_server_is_replaced_after_the_stagger_and_closed(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    answer, seconds, connections = await race(nursery, Reply.sse(Stall()))
    assert (answer, connections) == ("second", 0)
    assert seconds == pytest.approx(3)


async def test_server_that_breaks_after_its_first_content_is_not_replaced(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "first"}}]}
    with pytest.raises(StreamTruncatedError) as caught:
        await race(nursery, Reply.sse(chunk, Cut()))
    assert caught.value.partial.choices[0].message.content == "first"


class Counter:
    """A limiter that counts the attempts that ask it."""

    def __init__(self) -> None:
        self.attempts = 0

    async def acquire(self, attempt: Attempt) -> Counter:
        await trio.lowlevel.checkpoint()
        self.attempts += 1
        return self

    def settle(self, outcome: Outcome) -> None:
        pass


async def test_calls_of_several_clients_take_turns_and_ask_their_own_limiter(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    counters = Counter(), Counter()
    one, _ = client_over(await serve(nursery, Reply.chat("one")), limiter=counters[0])
    two, _ = client_over(await serve(nursery, Reply.chat("two")), limiter=counters[1])
    clients = itertools.cycle([one, two])
    calls = (next(clients).chat.completions.call(key=number, **CHAT) for number in range(10))
    async with one, two, two.run_many(calls, max_concurrent=4) as results:
        answers = {result.key: result.unwrap().text async for result in results}
    assert [answers[number] for number in range(10)] == ["one", "two"] * 5
    assert [counter.attempts for counter in counters] == [5, 5]
