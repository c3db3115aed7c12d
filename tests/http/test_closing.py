"""Closing a client: waiting tasks get `trio.ClosedResourceError`, and everything is closed in bounded time."""

from __future__ import annotations

import gc
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import every_client
import httpx
import pytest
import trio
import trio.testing
from every_client import Kind
from net_helpers import CHAT, client_over, no_environment, outcome, serve, watch

from trio_openai import Deadlines, TrioOpenAI, TrioTransport
from trio_openai._limits.limiter import Attempt, Outcome
from trio_openai.testing import Reply
from trio_openai.testing._memory import MemoryStream

HELLO = Reply.chat("Hello there, you.")
NEVER = Reply(delay=math.inf)

pytestmark = pytest.mark.promise(n=1)
every = every_client.of()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0.02)


async def plain(client: TrioOpenAI) -> None:
    await client.chat.completions.create(**CHAT)


async def block(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()


async def by_hand(client: TrioOpenAI) -> None:
    async with await client.chat.completions.create(**CHAT, stream=True) as stream:
        await stream.until_done()


async def in_a_nursery(client: TrioOpenAI) -> None:
    async with trio.open_nursery() as nursery:
        found = await outcome(client.chat.completions.start_stream, nursery, **CHAT)
        if not isinstance(found, Exception):
            found = await outcome(found.until_done)
    if found is not None:
        raise found


async def many(client: TrioOpenAI) -> None:
    async with client.run_many([client.chat.completions.call(**CHAT)] * 3) as results:
        async for _ in results:
            pass


async def race(client: TrioOpenAI) -> None:
    async with client.race([client.chat.completions.call(**CHAT)] * 2) as stream:
        await stream.until_done()


async def of_bytes(client: TrioOpenAI) -> None:
    async with client.audio.speech.stream_bytes(model="m", input="x", voice="alloy") as stream:
        await stream.read()


async def with_tools(client: TrioOpenAI) -> None:
    def nothing() -> None:
        """Do nothing."""

    async with client.chat.completions.run_tools(model="m", messages=CHAT["messages"], tools=[nothing]) as run:
        await run.until_done()


CALLS = [plain, block, by_hand, in_a_nursery, many, race, of_bytes, with_tools]
calls = pytest.mark.parametrize("call", CALLS)
Call = Callable[[TrioOpenAI], Awaitable[None]]


async def close_while_it_waits(client: TrioOpenAI, call: Call) -> Any:
    """Return what a call raises when another task closes the client."""
    found: list[Any] = []

    async def make() -> None:
        found.append(await outcome(call, client))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(make)
        await trio.testing.wait_all_tasks_blocked(0.001)
        assert not found
        began = trio.current_time()
        await client.aclose()
        await trio.testing.wait_all_tasks_blocked(0.001)
        assert found, "it waits on"
        assert trio.current_time() - began < 0.5
    return found[0]


def unwilling_key() -> Callable[[], Awaitable[str]]:
    async def key() -> str:
        await trio.sleep_forever()
        raise AssertionError

    return key


class UnwillingLimiter:
    async def acquire(self, attempt: Attempt) -> Any:
        await trio.sleep_forever()


async def never_connects(host: str, port: int) -> trio.abc.Stream:
    await trio.sleep_forever()
    raise AssertionError


async def never_answers(host: str, port: int) -> trio.abc.Stream:
    """Accept a connection and stay silent, like a hanging proxy or TLS handshake."""
    await trio.lowlevel.checkpoint()
    near, far = MemoryStream.pair()
    silent.append(far)
    return near


silent: list[MemoryStream] = []


def over(**transport: Any) -> Callable[[], TrioOpenAI]:
    def make(url: str = "http://api.test/v1", **options: Any) -> TrioOpenAI:
        http = httpx.AsyncClient(transport=TrioTransport(**transport))
        return TrioOpenAI(api_key="k", base_url=url, http_client=http, timeout=None, **options)

    return make


def secure(**transport: Any) -> Callable[[], TrioOpenAI]:
    return lambda: over(**transport)("https://api.test/v1")  # type: ignore[call-arg]


WAITS: dict[str, Callable[[], TrioOpenAI]] = {
    "a key function": lambda: TrioOpenAI(api_key=unwilling_key(), base_url="http://api.test/v1"),
    "a limiter": lambda: TrioOpenAI(api_key="k", base_url="http://api.test/v1", limiter=UnwillingLimiter()),  # type: ignore[arg-type]
    "a name or a connection": over(open_stream=never_connects),
    "a TLS handshake": secure(open_stream=never_answers),
    "CONNECT": secure(open_stream=never_answers, proxy="http://proxy.test:3128"),
    "TLS with a proxy": secure(open_stream=never_answers, proxy="https://proxy.test:3128"),
    "SOCKS": over(open_stream=never_answers, proxy="socks5://proxy.test"),
    "an answer": over(open_stream=never_answers),
}


@calls
@pytest.mark.parametrize("wait", WAITS)
async def test_closing_the_client_wakes_every_waiting_task(
    nursery: trio.Nursery, autojump_clock: object, call: Call, wait: str
) -> None:
    nursery.start_soon(watch)
    error = await close_while_it_waits(WAITS[wait](), call)
    assert isinstance(error, trio.ClosedResourceError), repr(error)


@calls
async def test_closing_the_client_wakes_tasks_waiting_for_a_slot_or_a_retry(
    nursery: trio.Nursery, autojump_clock: object, call: Call
) -> None:
    slow = Reply.error(429, "slow down", headers={"retry-after": "30"})
    for reply, others in ((slow, False), (HELLO.stall_after(400), True)):
        client, transport = client_over(await serve(nursery, reply), max_connections=1, timeout=None)
        held = await client.chat.completions.create(**CHAT, stream=True) if others else None
        error = await close_while_it_waits(client, call)
        assert isinstance(error, trio.ClosedResourceError), repr(error)
        assert transport.statistics().active == transport.statistics().waiting == 0
        assert held is None or held.verdict.state == "closed"


@every
@pytest.mark.parametrize("when", ["head", "body", "slot", "retry"])
async def test_closing_any_client_wakes_its_waiting_tasks(
    nursery: trio.Nursery, clock: object, kind: Kind, when: str
) -> None:
    if when == "body" and not kind.is_live:
        return
    reply = {
        "head": NEVER,
        "body": HELLO.stall_after(400),
        "slot": NEVER,
        "retry": Reply.error(429, "slow down", headers={"retry-after": "30"}),
    }[when]
    for call in (plain, block, many):
        stage = await kind.build(nursery, [reply])
        client = stage.client(max_connections=1, timeout=None)
        if when == "slot":
            nursery.start_soon(outcome, plain, client)
            await stage.server.wait_requests()
        async with trio.open_nursery() as waiting:
            found: list[Any] = []

            async def make(call: Call = call, found: list[Any] = found, client: TrioOpenAI = client) -> None:
                found.append(await outcome(call, client))

            waiting.start_soon(make)
            await stage.server.wait_requests()
            await trio.sleep(0.1)
            await client.aclose()
        assert isinstance(found[0], trio.ClosedResourceError), repr(found)
        assert stage.slots_in_use(client) == 0
        assert isinstance(await outcome(call, client), trio.ClosedResourceError)
    gc.collect()


async def test_response_that_arrives_while_the_client_closes_is_dropped(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, HELLO.stall_after(400))
    client, transport = client_over(server)
    closing: list[TrioOpenAI] = []

    async def key() -> str:
        await trio.lowlevel.checkpoint()
        return "k"

    async def on_response(response: httpx.Response) -> None:
        client._session.lifetime.is_closed = True  # as if another task closed the client at this moment
        closing.append(client)

    client._session.http.event_hooks = {"response": [on_response]}
    assert isinstance(await outcome(by_hand, client), trio.ClosedResourceError)
    assert closing
    assert transport.statistics().active == 0


# Bounded time, and no lost error.


class HangingBody(httpx.AsyncByteStream):
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
        await trio.sleep_forever()

    async def aclose(self) -> None:
        await trio.sleep_forever()


class HangingTransport(httpx.AsyncBaseTransport):
    """A transport whose bodies hang when they are closed, and which may itself hang or raise."""

    def __init__(self, closing: Callable[[], Awaitable[None]] | None = None) -> None:
        self.closing = closing
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=HangingBody())

    async def aclose(self) -> None:
        self.closed = True
        if self.closing is not None:
            await self.closing()


def hanging(transport: HangingTransport) -> TrioOpenAI:
    http = httpx.AsyncClient(transport=transport)
    return TrioOpenAI(api_key="k", base_url="http://api.test/v1", http_client=http)


async def test_hanging_streams_are_closed_under_one_time_limit(nursery: trio.Nursery, autojump_clock: object) -> None:
    nursery.start_soon(watch)
    for given, expected in ((math.inf, 5.0), (1.0, 1.0), (0.0, 1.0)):
        for closing in (None, trio.sleep_forever):
            transport = HangingTransport(closing)
            client = hanging(transport)
            streams = [await client.chat.completions.create(**CHAT, stream=True) for _ in range(6)]
            for stream in streams[:3]:
                await anext(stream)
            before = trio.current_time()
            with trio.move_on_after(given):
                await client.aclose()
            assert trio.current_time() - before == pytest.approx(expected)
            assert transport.closed
            assert client.statistics().open_streams == 0
            assert all(stream.verdict.state == "closed" for stream in streams)
    gc.collect()


async def test_hanging_transport_does_not_block_closing(nursery: trio.Nursery, autojump_clock: object) -> None:
    nursery.start_soon(watch)
    transport = HangingTransport(trio.sleep_forever)
    before = trio.current_time()
    with pytest.raises(KeyError):
        async with hanging(transport):
            raise KeyError
    assert trio.current_time() - before == pytest.approx(5)
    assert transport.closed


class RaisingLimiter:
    """A limiter whose permits each raise a different error when they are settled."""

    def __init__(self) -> None:
        self.raised: list[Exception] = []

    async def acquire(self, attempt: Attempt) -> RaisingLimiter:
        await trio.lowlevel.checkpoint()
        return self

    def settle(self, outcome: Outcome) -> None:
        self.raised.append(ZeroDivisionError())
        raise self.raised[-1]


@pytest.mark.parametrize("count", [1, 3])
async def test_everything_is_closed_although_a_limiter_raises(
    nursery: trio.Nursery, autojump_clock: object, count: int
) -> None:
    limiter = RaisingLimiter()
    server = await serve(nursery, HELLO.stall_after(400))
    client, transport = client_over(server, limiter=limiter)
    streams = [await client.chat.completions.create(**CHAT, stream=True) for _ in range(count)]
    error = await outcome(client.aclose)
    if count == 1:
        assert error is limiter.raised[0]
    else:
        assert isinstance(error, ExceptionGroup)
        assert set(error.exceptions) == set(limiter.raised)
    assert len(limiter.raised) == count
    assert transport.statistics().active == transport.statistics().idle == 0
    assert all(stream.verdict.state == "closed" for stream in streams)
    await server.wait_closed()
    await client.aclose()


async def test_transport_error_is_raised_after_everything_is_closed(autojump_clock: object) -> None:
    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    async def cannot_close() -> None:
        await trio.lowlevel.checkpoint()
        raise httpx.CloseError("broken")

    client = hanging(HangingTransport(fail))
    stream = await client.chat.completions.create(**CHAT, stream=True)
    assert type(await outcome(client.aclose)) is ZeroDivisionError
    assert stream.verdict.state == "closed"
    assert await outcome(hanging(HangingTransport(cannot_close)).aclose) is None


async def test_deadlines_of_a_call_hold_while_the_client_is_open(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, NEVER), timeout=Deadlines(headers=1), max_retries=0)
    async with client:
        assert "headers" in str(await outcome(plain, client))
