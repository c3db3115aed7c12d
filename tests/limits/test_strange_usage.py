"""Invalid token counts: they end no call and no batch, and delay no limiter."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from net_helpers import CHAT, client_over, serve

from trio_openai import AdaptiveLimiter, Attempt, Outcome, RateLimiter
from trio_openai._limits.rate import Rates
from trio_openai._wire.usage import bounded, count_of, estimated_tokens, used_tokens
from trio_openai.testing import Reply

STRANGE: dict[str, Any] = {
    "text": "many",
    "a list": [1],
    "an object": {"n": 1},
    "true": True,
    "a fraction": 1.5,
    "negative": -(10**12),
    "huge": 10**15,
    "larger than a float": 10**400,
    "null": None,
}


def answered(usage: Any, *, plain: bool = False) -> Reply:
    """Return a response with a usage of any shape, plain or streamed."""
    if plain:
        message = {"role": "assistant", "content": "Hi"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return Reply.json({"id": "c", "object": "chat.completion", "choices": choices, "usage": usage})
    text = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    return Reply.sse(text, {"id": "c", "choices": [], "usage": usage})


@pytest.mark.parametrize("limiter", [None, AdaptiveLimiter, lambda: RateLimiter(tokens_per_minute=6_000)])
@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("field", ["total_tokens", "completion_tokens", None])
async def test_invalid_usage_ends_neither_its_call_nor_run_many(
    nursery: trio.Nursery, autojump_clock: object, strange: str, field: str | None, limiter: Any
) -> None:
    usage = {field: STRANGE[strange]} if field else STRANGE[strange]
    server = await serve(nursery, answered(usage))
    client, _ = client_over(server, limiter=limiter and limiter())
    calls = [client.chat.completions.call(key=number, **CHAT) for number in range(3)]
    async with client, client.run_many(calls) as results:
        found = [result async for result in results]
        assert [result.error for result in found] == [None] * 3
        assert results.statistics().tokens >= 0


@pytest.mark.parametrize("strange", STRANGE)
async def test_invalid_usage_of_a_plain_response_is_ignored(
    nursery: trio.Nursery, autojump_clock: object, strange: str
) -> None:
    server = await serve(nursery, answered({"total_tokens": STRANGE[strange]}, plain=True))
    client, _ = client_over(server, limiter=RateLimiter(tokens_per_minute=60_000))
    async with client:
        for _ in range(3):
            await client.chat.completions.create(**CHAT)
    assert trio.current_time() < 1.0


@pytest.mark.parametrize("used", [10**5, 10**8, 10**9, 10**15, 10**400])
async def test_token_debt_delays_a_rate_limiter_by_at_most_twenty_minutes(autojump_clock: object, used: int) -> None:
    limiter = RateLimiter(tokens_per_minute=60)
    for _ in range(5):  # several debts together are limited as well
        permit = await limiter.acquire(Attempt(method="POST", path="/x", tokens=0))
        permit.settle(Outcome(status=200, tokens=used))
    began = trio.current_time()
    await limiter.acquire(Attempt(method="POST", path="/x", tokens=1))
    assert trio.current_time() - began <= 1200.0


async def test_refused_request_with_absurd_max_tokens_leaves_no_debt(autojump_clock: object) -> None:
    limiter = RateLimiter(tokens_per_minute=6_000)
    permit = await limiter.acquire(Attempt(method="POST", path="/x", tokens=10**400))
    permit.settle(Outcome(status=400))
    await limiter.acquire(Attempt(method="POST", path="/x", tokens=1))
    assert trio.current_time() < 1.0


async def test_limit_below_one_per_twenty_minutes_is_kept(autojump_clock: object) -> None:
    limiter = RateLimiter(requests_per_minute=0.05)
    for _ in range(3):
        await limiter.acquire(Attempt(method="POST", path="/x"))
    assert trio.current_time() == pytest.approx(2 * 1200.0)


anything = st.one_of(
    st.integers(),
    st.just(10**400),
    st.just(-(10**400)),
    st.floats(),
    st.booleans(),
    st.text(),
    st.none(),
    st.lists(st.none()),
)


@given(st.dictionaries(st.sampled_from(["total_tokens", "input_tokens", "prompt_tokens", "output_tokens"]), anything))
def test_used_tokens_are_plausible_or_none(usage: Any) -> None:
    used = used_tokens(usage)
    assert used is None or 0 <= used <= 2 * 10**8


@given(anything, st.lists(anything, max_size=3))
def test_any_estimate_and_usage_result_in_a_finite_delay(estimate: Any, outcomes: list[Any]) -> None:
    rates = Rates(None, 60.0)
    for used in outcomes:
        flight = rates.begin(min(bounded(estimate), 1000), 0.0)
        rates.end(flight, 200, count_of(used), 0.0)
    assert rates.ready_at(1, 0.0) <= 5000.0
    assert not math.isnan(rates.ready_at(1, 0.0))


@given(anything, anything)
def test_estimate_is_plausible_whatever_the_request_allows(most: Any, choices: Any) -> None:
    assert 0 <= estimated_tokens({"max_tokens": most, "n": choices, "messages": []}) <= 10**8


async def test_adaptive_limiter_accepts_any_estimate(autojump_clock: object) -> None:
    limiter = AdaptiveLimiter(initial=20)
    for estimate in STRANGE.values():
        permit = await limiter.acquire(Attempt(method="POST", path="/x", tokens=estimate))
        permit.settle(Outcome(status=200, tokens=estimate, headers={"x-ratelimit-remaining-tokens": "9" * 400}))
    assert limiter.statistics().in_flight == 0
