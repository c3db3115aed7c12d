"""Permits: every attempt acquires one and settles it exactly once, however the attempt ends."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from net_helpers import CHAT, cancel_everywhere, client_over, outcome, serve

from trio_openai import (
    APIConnectionError,
    APITimeoutError,
    Attempt,
    BadRequestError,
    Deadlines,
    Outcome,
    RateLimitError,
    StreamTruncatedError,
    TrioOpenAI,
)
from trio_openai.testing import Cut, Pause, RecordedRequest, Reply, Stall

HELLO = Reply.chat("Hello there.")  # 8 tokens for the prompt, and 2
PLAIN = Reply.chat("Hello there.", stream=False)
RESPONSE = Reply.response("Hello there.")
BUSY = Reply.error(503, "busy", headers={"retry-after-ms": "1"})
OVERLOADED = Reply.sse({"error": {"message": "busy", "type": "overloaded_error"}})
ONE_EVENT = len(bytes(HELLO.body[0]))  # type: ignore[arg-type]
FAILED: dict[str, Any] = {
    "type": "response.failed",
    "response": {"id": "r", "status": "failed", "output": [], "error": {"code": "slow_down", "message": "no"}},
}


@attrs.define
class Told:
    """A permit that remembers its outcome."""

    attempt: Attempt
    outcomes: list[Outcome] = attrs.field(factory=list[Outcome])

    def settle(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Watcher:
    """A limiter that admits every attempt after a delay, and remembers it."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.permits: list[Told] = []
        self.waiting = 0
        self._seconds = seconds

    async def acquire(self, attempt: Attempt) -> Told:
        self.waiting += 1
        try:
            await trio.sleep(self._seconds)
        finally:
            self.waiting -= 1
        self.permits.append(Told(attempt))
        return self.permits[-1]

    def told(self) -> list[tuple[int | None, int | None, str | int | None]]:
        """Return the status, tokens and code of every attempt, after checking that each was settled once."""
        assert [len(permit.outcomes) for permit in self.permits] == [1] * len(self.permits)
        outcomes = [permit.outcomes[0] for permit in self.permits]
        return [(outcome.status, outcome.tokens, outcome.code) for outcome in outcomes]


# Acquiring.


async def plain(client: TrioOpenAI) -> None:
    await client.chat.completions.create(**CHAT)


async def block(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()


async def block_left_early(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)


async def block_never_read(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT):
        pass


async def a_response(client: TrioOpenAI) -> None:
    async with client.responses.stream(model="m", input="Hi") as stream:
        await stream.until_done()


async def resumed(client: TrioOpenAI) -> None:
    async with client.responses.stream(model="m", input="Hi", background=True, resume=True) as stream:
        await stream.until_done()


async def in_a_nursery(client: TrioOpenAI) -> None:
    async with trio.open_nursery() as nursery:
        stream = await client.chat.completions.start_stream(nursery, **CHAT)
        await stream.until_done()


async def settled(client: TrioOpenAI) -> None:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    await anext(stream)
    await stream.settle(10)


async def a_race(client: TrioOpenAI) -> None:
    call = client.chat.completions.call(**CHAT)
    async with client.race([call, call], stagger=1) as stream:
        await stream.until_done()


async def within_a_second(client: TrioOpenAI) -> None:
    with trio.move_on_after(1):
        await block(client)


async def closed_by_another(client: TrioOpenAI) -> None:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.aclose)
        with pytest.raises(trio.ClosedResourceError):
            await stream.until_done()


async def the_client_is_closed(client: TrioOpenAI) -> None:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    await client.aclose()
    assert stream.verdict.state == "closed"


MOVED = Reply(307, {"location": "/v2"}, b"moved")
MOVED_FOR_EVER = Reply(307, {"location": "/v1/chat/completions"}, b"moved")
GZIP = Reply(200, {"content-encoding": "gzip"}, b"hello")

TOLD: dict[str, tuple[Callable[[TrioOpenAI], Awaitable[None]], list[Reply], list[Any]]] = {
    "a stream": (block, [HELLO], [(200, 10, None)]),
    "a stream without usage": (block, [Reply.chat("Hello there.", usage=False)], [(200, None, None)]),
    "a plain answer": (plain, [PLAIN], [(200, 10, None)]),
    "a response": (a_response, [RESPONSE], [(200, 10, None)]),
    "a stream in a nursery": (in_a_nursery, [HELLO], [(200, 10, None)]),
    "a stream that is settled": (settled, [HELLO], [(200, 10, None)]),
    "left early": (block_left_early, [HELLO.sliced(40)], [(200, None, None)]),
    "left unread": (block_never_read, [HELLO], [(200, None, None)]),
    "closed by another task": (closed_by_another, [HELLO.stall_after(ONE_EVENT)], [(200, None, None)]),
    "closed with the client": (the_client_is_closed, [HELLO], [(200, None, None)]),
    "an error": (block, [Reply.error(400, "no", code="bad")], [(400, None, "bad")]),
    "an error with a type alone": (block, [Reply.error(400, "no", type="bad_type")], [(400, None, "bad_type")]),
    "a quota that is used up": (
        block,
        [Reply.error(429, "pay", code="insufficient_quota")],
        [(429, None, "insufficient_quota")],
    ),
    "retries": (
        block,
        [BUSY, BUSY, HELLO],
        [(503, None, "server_error"), (503, None, "server_error"), (200, 10, None)],
    ),
    "retries used up": (block, [BUSY] * 3, [(503, None, "server_error")] * 3),
    "a connection that fails": (block, [Reply.raw(b""), HELLO], [(None, None, None), (200, 10, None)]),
    "a cut before the first event": (block, [Reply.sse(Cut()), HELLO], [(200, None, None), (200, 10, None)]),
    "a cut after it": (block, [HELLO.cut_after(ONE_EVENT)], [(200, None, None)]),
    "an overload inside a 200": (block, [OVERLOADED, HELLO], [(200, None, "overloaded_error"), (200, 10, None)]),
    "a response that fails": (a_response, [Reply.sse(FAILED, named=True)], [(200, None, "slow_down")]),
    "a plain answer that is cut": (plain, [PLAIN.cut_after(9), PLAIN], [(200, None, None), (200, 10, None)]),
    "a plain answer that is none": (plain, [Reply(200, {}, b"hello")], [(200, None, None)]),
    "an answer that is not compressed as it says": (plain, [GZIP], [(200, None, None)]),
    "a redirect is no attempt": (plain, [MOVED, PLAIN], [(200, 10, None)]),
    "redirects without end": (plain, [MOVED_FOR_EVER] * 30, [(307, None, None)]),
    "resuming": (
        resumed,
        [RESPONSE.cut_after(RESPONSE.length() // 2), RESPONSE],
        [(200, None, None), (200, None, None)],
    ),
    "a race": (a_race, [Reply.sse(Stall()), HELLO], [(200, 10, None), (200, None, None)]),
    "cancelled before the headers": (within_a_second, [attrs.evolve(HELLO, delay=9)], [(None, None, None)]),
    "cancelled in the stream": (within_a_second, [HELLO.stall_after(ONE_EVENT)], [(200, None, None)]),
    "cancelled in an error's body": (
        within_a_second,
        [attrs.evolve(Reply.error(400, "no").sliced(9), framing="chunked").stall_after(9)],
        [(None, None, None)],
    ),
}


@pytest.mark.parametrize(("act", "replies", "told"), TOLD.values(), ids=TOLD.keys())
async def test_every_attempt_gets_one_permit_that_is_settled_once(
    nursery: trio.Nursery, autojump_clock: object, act: Any, replies: list[Reply], told: list[Any]
) -> None:
    limiter = Watcher()
    client, _ = client_over(await serve(nursery, replies), limiter=limiter)
    async with client:
        await outcome(act, client)
        assert sorted(limiter.told(), key=repr) == sorted(told, key=repr)


@pytest.mark.parametrize("before", [False, True], ids=["after a step", "before a step"])
@pytest.mark.parametrize(
    "name", ["a stream", "a plain answer", "retries", "resuming", "a race", "a redirect is no attempt"]
)
async def test_cancellation_anywhere_settles_every_permit_once(
    nursery: trio.Nursery, autojump_clock: object, name: str, before: bool
) -> None:
    act, replies, _ = TOLD[name]
    limiter = Watcher(0.1)
    left: list[Reply] = []
    client, _ = client_over(await serve(nursery, lambda _: left.pop(0) if len(left) > 1 else left[0]), limiter=limiter)

    async def again() -> None:
        left[:] = replies
        await outcome(act, client)

    async def check() -> None:
        limiter.told()
        assert limiter.waiting == 0
        limiter.permits.clear()

    async with client:
        assert await cancel_everywhere(again, check, before=before) > 5


# The description of an attempt.


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (
            lambda client: client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x" * 40}]),
            Attempt(method="POST", path="/chat/completions", model="m", tokens=10),
        ),
        (
            lambda client: client.responses.create(model="m", input="x" * 40, max_output_tokens=100),
            Attempt(method="POST", path="/responses", model="m", tokens=110),
        ),
    ],
    ids=["chat", "responses"],
)
async def test_description_of_an_attempt(
    nursery: trio.Nursery, autojump_clock: object, ask: Any, expected: Any
) -> None:
    limiter = Watcher()
    client, _ = client_over(await serve(nursery, Reply.error(400, "no")), limiter=limiter)
    async with client:
        with pytest.raises(BadRequestError):
            await ask(client)
    assert [permit.attempt for permit in limiter.permits] == [expected]


async def test_resuming_a_response_is_an_attempt_without_tokens(nursery: trio.Nursery, autojump_clock: object) -> None:
    limiter = Watcher()
    client, _ = client_over(
        await serve(nursery, [RESPONSE.cut_after(RESPONSE.length() // 2), RESPONSE]), limiter=limiter
    )
    async with client:
        await resumed(client)
    assert [permit.attempt.tokens > 0 for permit in limiter.permits] == [False, False]
    first, second = [permit.attempt for permit in limiter.permits]
    assert (first.method, second.method, second.path) == ("POST", "GET", "/responses/resp_scripted")
    assert first.model == second.model == "m"


async def test_response_headers_reach_the_limiter_but_no_repr(nursery: trio.Nursery, autojump_clock: object) -> None:
    headers = {"X-RateLimit-Remaining-Requests": "7"}
    limiter = Watcher()
    replies = [Reply.error(429, "slow", headers={**headers, "retry-after": "1"}), Reply.chat("Hi", headers=headers)]
    client, _ = client_over(await serve(nursery, replies), limiter=limiter)
    async with client:
        await block(client)
    for permit in limiter.permits:
        assert permit.outcomes[0].headers["x-ratelimit-remaining-requests"] == "7"
        assert "ratelimit" not in repr(permit)


async def test_key_repeated_by_a_server_does_not_reach_the_limiter(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    limiter = Watcher()
    error = {"error": {"message": "no", "code": "sk-very-secret"}}
    replies = [Reply.sse(error), Reply.json(error, 400)]
    client, _ = client_over(await serve(nursery, replies), limiter=limiter, api_key="sk-very-secret", max_retries=0)
    async with client:
        await outcome(block, client)
        await outcome(block, client)
    assert [code for _, _, code in limiter.told()] == ["***", "***"]


@pytest.mark.parametrize(
    ("told", "throttled"),
    [
        (Outcome(status=429), True),
        (Outcome(status=503), True),
        (Outcome(status=200, code="overloaded_error"), True),
        (Outcome(status=200, code=429), True),
        (Outcome(status=429, code="insufficient_quota"), False),
        (Outcome(status=200), False),
        (Outcome(status=500, code="server_error"), False),
        (Outcome(), False),
    ],
    ids=repr,
)
def test_throttled_outcomes(told: Outcome, throttled: bool) -> None:
    assert told.is_throttled is throttled


# Errors and deadlines.


class Refuser:
    """A limiter of the program that refuses every attempt."""

    async def acquire(self, attempt: Attempt) -> Told:
        await trio.lowlevel.checkpoint()
        raise LookupError("no budget left")


async def test_exception_of_a_limiter_is_not_wrapped_and_nothing_is_sent(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, HELLO)
    client, transport = client_over(server, limiter=Refuser())
    async with client:
        for act in (plain, block, in_a_nursery, a_race):
            raised = await outcome(act, client)
            if isinstance(raised, BaseExceptionGroup):  # the nursery belongs to the test
                (raised,) = raised.exceptions
            assert type(raised) is LookupError
        with pytest.raises(LookupError):
            async with client.run_many([client.chat.completions.call(**CHAT)]) as results:
                await results.receive()
        assert (server.requests, transport.statistics().active) == ([], 0)


ALL_BUT_TOTAL = Deadlines(connect=1, headers=1, first_event=1, first_content=1, idle=1)


@pytest.mark.parametrize(
    ("act", "replies"),
    [
        (block, [HELLO]),
        (plain, [PLAIN]),
        (block, [BUSY, HELLO]),
        (block, [Reply.sse(Cut()), HELLO]),
        (plain, [PLAIN.cut_after(9), PLAIN]),
        (resumed, [RESPONSE.cut_after(RESPONSE.length() // 2), RESPONSE]),
    ],
    ids=["a stream", "a plain answer", "a retry", "a retry of a stream", "a retry of a plain answer", "resuming"],
)
async def test_only_the_total_deadline_runs_while_waiting_for_the_limiter(
    nursery: trio.Nursery, autojump_clock: object, act: Any, replies: list[Reply]
) -> None:
    client, _ = client_over(await serve(nursery, list(replies)), limiter=Watcher(100), timeout=ALL_BUT_TOTAL)
    async with client:
        await act(client)
    assert trio.current_time() >= 100 * len(replies)

    limiter = Watcher(100)
    bounded = attrs.evolve(ALL_BUT_TOTAL, total=100.0 * len(replies) - 50)
    server = await serve(nursery, list(replies))
    client, transport = client_over(server, limiter=limiter, timeout=bounded)
    async with client:
        with pytest.raises(APITimeoutError) as caught:
            await act(client)
        assert caught.value.phase == "total"
        assert len(server.requests) == len(limiter.told()) == len(replies) - 1
        assert (limiter.waiting, transport.statistics().active) == (0, 0)


async def test_deadlines_start_after_waiting_for_the_limiter(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(
        await serve(nursery, attrs.evolve(HELLO, delay=math.inf)),
        limiter=Watcher(100),
        timeout=Deadlines(headers=3),
        max_retries=0,
    )
    async with client:
        with pytest.raises(APITimeoutError) as caught:
            await block(client)
    assert caught.value.phase == "headers"
    assert trio.current_time() == 103.0


async def test_key_function_is_called_after_waiting_for_the_limiter(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Ask for the key late, because a key that is valid for a minute would have expired."""
    asked_at: list[float] = []

    async def key() -> str:
        await trio.lowlevel.checkpoint()
        asked_at.append(trio.current_time())
        return "sk-short-lived"

    client, _ = client_over(await serve(nursery, HELLO), limiter=Watcher(100), api_key=key)
    async with client:
        await block(client)
    assert asked_at == [100.0]


async def test_stream_holds_its_permit_until_it_ends(nursery: trio.Nursery, autojump_clock: object) -> None:
    limiter = Watcher()
    client, _ = client_over(await serve(nursery, Reply.sse(Pause(5), Stall())), limiter=limiter)
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        await trio.sleep(50)
        assert [permit.outcomes for permit in limiter.permits] == [[]]
        with trio.CancelScope() as scope:  # even if closing is cancelled
            scope.cancel()
            await stream.aclose()
        assert limiter.told() == [(200, None, None)]


async def test_errors_are_the_same_as_without_a_limiter(nursery: trio.Nursery, autojump_clock: object) -> None:
    for reply, expected in (
        (Reply.error(429, "slow", headers={"x-should-retry": "false"}), RateLimitError),
        (HELLO.cut_after(ONE_EVENT), StreamTruncatedError),
        (Reply.raw(b""), APIConnectionError),
    ):
        client, _ = client_over(await serve(nursery, reply), limiter=Watcher(), max_retries=0)
        async with client:
            assert type(await outcome(block, client)) is expected


def test_request_is_the_same_as_without_a_limiter() -> None:
    recorded: list[list[RecordedRequest]] = []

    async def ask(limiter: Any) -> None:
        async with trio.open_nursery() as nursery:
            server = await serve(nursery, HELLO)
            client, _ = client_over(server, limiter=limiter)
            async with client:
                await block(client)
            recorded.append(server.requests)
            nursery.cancel_scope.cancel()

    for limiter in (None, Watcher()):
        trio.run(ask, limiter)
    assert recorded[0] == recorded[1]


# A limiter that raises.


class Raising(Watcher):
    """A limiter that raises at every second attempt, from `acquire` or from `settle`."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where
        self._asked = 0

    async def acquire(self, attempt: Attempt) -> Any:
        self._asked += 1
        if self._asked % 2:
            return await super().acquire(attempt)
        if self._where == "acquire":
            raise ZeroDivisionError(self._where)
        return self

    def settle(self, _: Outcome) -> None:
        raise ZeroDivisionError(self._where)


@pytest.mark.parametrize("where", ["acquire", "settle"])
@pytest.mark.parametrize("use", [plain, block, block_left_early, block_never_read, a_response, settled])
async def test_raising_limiter_loses_no_slot_and_no_other_permit(
    nursery: trio.Nursery, autojump_clock: object, where: str, use: Callable[[TrioOpenAI], Awaitable[None]]
) -> None:
    reply = RESPONSE if use is a_response else PLAIN if use is plain else HELLO
    limiter = Raising(where)
    client, transport = client_over(await serve(nursery, reply), limiter=limiter)
    async with client:
        for _ in range(3):
            await use(client)
            with pytest.raises(ZeroDivisionError, match=where):
                await use(client)
            assert transport.statistics().active == 0
            assert client.statistics().open_streams == 0
    assert len(limiter.told()) == 3
