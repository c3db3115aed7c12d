"""Records of one call: which ones an observer gets, in what order, and what they say."""

from __future__ import annotations

import functools
import logging
from typing import Any

import attrs
import pytest
import trio
from net_helpers import CHAT, client_over, no_environment, outcome, serve
from observer_helpers import METHODS, CallOrder, Heard
from resume_helpers import ASK, server_that_breaks

from trio_openai import (
    APIConnectionError,
    BadRequestError,
    InternalServerError,
    Observer,
    RateLimiter,
    Usage,
    Verdict,
)
from trio_openai.testing import Pause, Reply, ScriptedServer

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
BUSY = Reply.error(503, "busy", headers={"retry-after": "2", "x-request-id": "req_busy"})
MOVED = Reply(307, {"location": "/v2"}, b"moved")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def test_a_plain_call_is_told_from_its_start_to_its_end(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, PLAIN), observer=heard)
    async with client:
        completion = await client.chat.completions.create(**CHAT)
    assert heard.names == ["started", "attempt", "headers", "ended"]
    ended = heard.one("ended")
    assert (ended.method, ended.endpoint, ended.path) == ("POST", "/chat/completions", "/chat/completions")
    assert (ended.model, ended.is_stream, ended.attempt, ended.request_id) == ("gpt-4o-mini", False, 1, "req_scripted")
    assert (ended.verdict.state, ended.error, ended.answer) == ("done", None, completion)
    assert ended.usage.input_tokens == completion.usage.prompt_tokens > 0
    assert list(ended.phases) == ["headers"]
    assert len({record.call_id for _, record in heard.records}) == 1
    assert b"Say hello." in heard.one("started").body
    assert (heard.one("headers").status, heard.one("headers").headers["X-REQUEST-ID"]) == (200, "req_scripted")


async def test_a_stream_is_told_with_its_first_event_and_first_content(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    heard = Heard()
    reply = attrs.evolve(HELLO, body=(Pause(1), HELLO.body[0], Pause(2), *HELLO.body[1:]), delay=3)
    client, _ = client_over(await serve(nursery, reply), observer=heard)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        completion = await stream.get_final_completion()
    assert heard.names == ["started", "attempt", "headers", "first_event", "first_content", "ended"]
    ended = heard.one("ended")
    assert {name: round(seconds) for name, seconds in ended.phases.items()} == {
        "headers": 3,
        "first_event": 4,
        "first_content": 6,
    }
    assert ended.is_stream
    assert ended.verdict == stream.verdict == Verdict("done", "[DONE]", "stop")
    assert ended.timings == stream.timings
    assert ended.usage == Usage(completion.usage.prompt_tokens, completion.usage.completion_tokens)
    assert ended.answer == completion


async def test_the_first_event_and_content_are_told_before_the_program_goes_on(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, HELLO), observer=heard)
    async with client:
        async with client.chat.completions.stream(**CHAT) as stream:
            assert heard.names[-1] == "headers"
            chunk = await anext(stream)
            assert heard.names[-1] == "first_event" if not chunk.choices[0].delta.content else "first_content"
            async for text in stream.text_deltas:
                assert text
                assert heard.names[-1] == "first_content"
                break
        async with client.chat.completions.stream(**CHAT) as stream:
            await anext(stream.raw_bytes)
            assert heard.names[-1] in ("first_content", "ended")
        async with client.chat.completions.stream(**CHAT) as stream:
            subscription = stream.subscribe(buffer=100)
            await anext(stream)
            assert heard.names[-1] in ("first_event", "first_content")
            await subscription.aclose()


async def test_the_end_of_a_complete_stream_is_told_before_its_block_ends(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, HELLO), observer=heard)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()
        assert heard.names[-1] == "ended"


async def test_retries_are_told_with_their_errors_and_waits(nursery: trio.Nursery, autojump_clock: object) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, [BUSY, HELLO]), observer=heard)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()
    assert heard.names[1:5] == ["attempt", "retry", "attempt", "headers"]
    retry = heard.one("retry")
    assert isinstance(retry.error, InternalServerError)
    assert (retry.attempt, retry.request_id) == (1, "req_busy")
    assert retry.seconds == pytest.approx(2, rel=0.5)
    assert [record.attempt for record in heard.all("attempt")] == [1, 2]
    assert heard.one("ended").phases["headers"] == pytest.approx(retry.seconds, abs=0.01)
    assert (heard.one("ended").timings.retries, heard.one("ended").request_id) == (1, "req_scripted")


async def test_a_retry_after_the_headers_is_told_too(nursery: trio.Nursery, autojump_clock: object) -> None:
    heard = Heard()
    overloaded = Reply.sse({"error": {"message": "busy", "type": "overloaded_error"}})
    client, _ = client_over(await serve(nursery, [overloaded, HELLO]), observer=heard)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()
    assert heard.names[:6] == ["started", "attempt", "headers", "retry", "attempt", "headers"]
    assert heard.names[6:] == ["first_event", "first_content", "ended"]


async def test_a_failed_call_ends_with_the_error_that_it_raises(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, Reply.error(400, "no")), observer=heard)
    async with client:
        plain = await outcome(client.chat.completions.create, **CHAT)
        streamed = await outcome(functools.partial(client.chat.completions.create, stream=True), **CHAT)
    first, second = heard.all("ended")
    assert isinstance(plain, BadRequestError)
    assert (first.error, second.error) == (plain, streamed)
    assert first.verdict.state == second.verdict.state == "failed"
    assert first.request_id == second.request_id == "req_scripted"
    assert "headers" not in heard.names, "only the head of a successful response is told"


async def test_the_request_id_is_that_of_the_latest_attempt(nursery: trio.Nursery, autojump_clock: object) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, [BUSY, Reply.raw(b"")]), observer=heard, max_retries=1)
    async with client:
        assert isinstance(await outcome(client.chat.completions.create, **CHAT), APIConnectionError)
    assert heard.one("ended").request_id is None


async def test_the_wait_for_the_limiter_is_told(nursery: trio.Nursery, autojump_clock: object) -> None:
    heard = Heard()
    limiter = RateLimiter(requests_per_minute=30)
    client, _ = client_over(await serve(nursery, PLAIN), observer=heard, limiter=limiter)
    async with client:
        for _ in range(2):
            await client.chat.completions.create(**CHAT)
    assert heard.names == ["started", "limiter_wait", "attempt", "headers", "ended"] * 2
    waits = [record.seconds for record in heard.all("limiter_wait")]
    assert waits == [0, pytest.approx(2)]
    assert heard.all("ended")[1].phases["limiter"] == pytest.approx(2)
    assert heard.all("ended")[1].phases["headers"] >= 2


async def test_a_redirect_belongs_to_its_attempt(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, [MOVED, PLAIN]), observer=heard)
    async with client:
        await client.chat.completions.create(**CHAT)
    assert heard.names == ["started", "attempt", "headers", "ended"]


async def test_asking_again_without_the_usage_is_told_as_a_retry(nursery: trio.Nursery) -> None:
    heard = Heard()
    refusal = Reply.error(400, "Unrecognized request argument supplied: stream_options")
    client, _ = client_over(await serve(nursery, [refusal, HELLO]), observer=heard)
    async with client, client.chat.completions.stream(**CHAT, usage=True) as stream:
        await stream.until_done()
    assert heard.names[:5] == ["started", "attempt", "retry", "attempt", "headers"]
    assert isinstance(heard.one("retry").error, BadRequestError)
    assert heard.one("retry").seconds == 0


async def test_a_resumed_stream_is_one_call_that_keeps_its_times(nursery: trio.Nursery, autojump_clock: object) -> None:
    heard, order = Heard(), CallOrder()
    client, _ = client_over(await serve(nursery, server_that_breaks(5)), observer=[heard, order])
    async with client, client.responses.stream(**ASK, resume=True) as stream:
        await stream.until_done()
    assert heard.names[:3] == ["started", "attempt", "headers"]
    assert heard.names[-4:] == ["retry", "attempt", "headers", "ended"]
    ended = heard.one("ended")
    assert (ended.endpoint, ended.attempt, ended.timings.resumes) == ("/responses", 2, 1)
    assert ended.phases["headers"] <= ended.phases["first_event"] <= ended.phases["first_content"]
    assert order.faults() == []


async def test_several_observers_are_told_in_their_order(nursery: trio.Nursery) -> None:
    names: list[str] = []

    class Named(Observer):
        def __init__(self, name: str) -> None:
            self.name = name

        def ended(self, record: Any, /) -> None:
            names.append(self.name)

    client, _ = client_over(await serve(nursery, PLAIN), observer=(Named("one"), Named("two")))
    async with client:
        await client.chat.completions.create(**CHAT)
    assert names == ["one", "two"]


async def test_records_are_frozen_and_each_has_its_own_phases(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, HELLO), observer=heard)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        heard.one("ended").attempt = 7
    assert [list(record.phases) for _, record in heard.records] == [
        [],
        [],
        ["headers"],
        ["headers", "first_event"],
        ["headers", "first_event", "first_content"],
        ["headers", "first_event", "first_content"],
    ]


async def test_headers_that_an_observer_adds_are_sent_with_each_attempt(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    class Traces(Observer):
        def attempt(self, record: Any, /) -> None:
            record.extra_headers["traceparent"] = f"00-{record.attempt}"

    server = await serve(nursery, [BUSY, PLAIN])
    client, _ = client_over(server, observer=Traces(), default_headers={"x-mine": "1"})
    own = server.client(observer=Traces(), default_headers={"x-mine": "1"})
    async with client:
        await client.chat.completions.create(**CHAT)
    assert [request.header("traceparent") for request in server.requests] == ["00-1", "00-2"]
    assert {request.header("x-mine") for request in server.requests} == {"1"}
    await own.aclose()


async def test_headers_of_one_attempt_do_not_reach_other_calls(nursery: trio.Nursery) -> None:
    class Once(Observer):
        def attempt(self, record: Any, /) -> None:
            if record.call_id == min(calls := [*seen, record.call_id]):
                record.extra_headers["traceparent"] = "00-1"
            seen.extend(calls[len(seen) :])

    seen: list[int] = []
    server: ScriptedServer = await serve(nursery, PLAIN)
    async with server.client(observer=Once()) as client:
        for _ in range(2):
            await client.chat.completions.create(**CHAT)
    assert [request.header("traceparent") for request in server.requests] == ["00-1", None]


def test_an_observer_may_have_some_of_the_methods_only() -> None:
    assert set(METHODS) == {
        *("started", "limiter_wait", "attempt", "headers", "first_event", "first_content", "retry", "ended"),
        *("race", "many", "tool_started", "tool_ended", "round"),
    }


async def test_without_an_observer_nobody_watches_a_call(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trio_openai._request.watched as watched

    def fail(*_: object) -> None:
        raise AssertionError("somebody watches")

    monkeypatch.setattr(watched, "watch_of", fail)
    monkeypatch.setattr(logging.getLogger("trio_openai"), "level", logging.WARNING)
    client, _ = client_over(await serve(nursery, HELLO))
    async with client:
        async with client.chat.completions.stream(**CHAT) as stream:
            await stream.until_done()
        await client.chat.completions.create(**CHAT)
