"""Observers that fail: what they raise is logged and changes nothing else, except Ctrl-C, which goes to the program."""

from __future__ import annotations

import functools
import logging
from typing import Any

import attrs
import pytest
import trio
from net_helpers import CHAT, client_over, no_environment, outcome, serve
from observer_helpers import METHODS, CallOrder, Heard
from tool_helpers import add

from trio_openai import Observer, RateLimiter, TrioOpenAI
from trio_openai.testing import RecordedRequest, Reply

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
BUSY = Reply.error(503, "busy", headers={"retry-after-ms": "1"})
OF_A_CALL = METHODS[: METHODS.index("race")]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


class Raises:
    """An observer whose methods raise, or only some of them."""

    def __init__(self, error: BaseException, *names: str) -> None:
        self.error = error
        for name in names or METHODS:
            setattr(self, name, self._raise)

    def _raise(self, _: object) -> None:
        raise self.error


async def everything(client: TrioOpenAI) -> list[str]:
    """Use each way of making calls, and return the answers."""
    texts: list[str] = []
    completion = await client.chat.completions.create(**CHAT)
    texts.append(completion.text)
    async with client.chat.completions.stream(**CHAT) as stream:
        texts.append((await stream.get_final_completion()).text)
    call = client.chat.completions.call(**CHAT)
    async with client.race([call, call]) as stream:
        texts.append((await stream.get_final_completion()).text)
    async with client.run_many([call, call]) as results:
        texts += [result.text async for result in results]
    async with client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
        texts.append((await run.get_final_completion()).text)
    return texts


def script() -> Any:
    """Return a script whose first answer is an error. It calls a tool where there are tools and no result yet."""
    first = [BUSY, PLAIN]

    def reply(request: RecordedRequest) -> Reply:
        if first:
            return first.pop(0)
        asks_for_tool = b'"tools"' in request.body and b'"tool_call_id"' not in request.body
        return Reply.tool_calls(("add", {"a": 1, "b": 2})) if asks_for_tool else HELLO

    return reply


async def test_what_an_observer_raises_is_logged_and_affects_nothing_else(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    heard, order = Heard(), CallOrder()
    observers = [Raises(ValueError("mine")), heard, order]
    client, transport = client_over(
        await serve(nursery, script()), observer=observers, limiter=RateLimiter(requests_per_minute=1e6)
    )
    async with client:
        assert await everything(client) == ["Hello there."] * 6
        assert transport.statistics().active == 0
    assert set(heard.names) == set(METHODS), "the observer after the one that raises hears everything"
    assert order.faults() == []
    logged = [record for record in caplog.records if record.name == "trio_openai" and record.levelno >= logging.ERROR]
    assert len(logged) == len(heard.records)
    assert {record.getMessage() for record in logged} == {f"Raises.{name} raised an exception" for name in METHODS}


async def test_an_observer_that_raises_in_ended_does_not_disturb_a_cancellation(
    nursery: trio.Nursery, autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    client, transport = client_over(
        await serve(nursery, HELLO.stall_after(500)), observer=Raises(ValueError("mine"), "ended"), max_connections=1
    )
    async with client:
        with trio.move_on_after(1) as scope:
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
        assert scope.cancelled_caught
        with trio.move_on_after(1) as scope:
            await client.chat.completions.create(**CHAT)
        assert scope.cancelled_caught
        assert transport.statistics().active == 0
    assert caplog.text.count("Raises.ended raised an exception") == 2


@pytest.mark.parametrize("name", OF_A_CALL)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_ctrl_c_in_an_observer_reaches_the_program_and_leaves_nothing_open(
    nursery: trio.Nursery, name: str, is_stream: bool
) -> None:
    error, order = KeyboardInterrupt(), CallOrder()
    limiter = RateLimiter(requests_per_minute=1e6)
    replies = iter([BUSY, HELLO if is_stream else PLAIN] if name in ("retry", "limiter_wait") else [])
    server = await serve(nursery, lambda _: next(replies, HELLO if is_stream else PLAIN))
    client, transport = client_over(server, observer=[Raises(error, name), order], limiter=limiter, max_connections=1)

    async def ask() -> None:
        if is_stream:
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
        else:
            await client.chat.completions.create(**CHAT)

    async with client:
        if is_stream or not name.startswith("first"):
            with pytest.raises(KeyboardInterrupt) as caught:
                await ask()
            assert caught.value is error
        assert transport.statistics().active == 0
        assert client.statistics().open_streams == 0
        assert limiter.statistics().in_flight == 0
        assert order.faults() == [], "the other observers hear of the end"
        await client.with_options(observer=None).chat.completions.create(**CHAT)


@pytest.mark.parametrize("name", ["race", "many", "tool_started", "tool_ended", "round"])
async def test_ctrl_c_in_an_observer_of_many_calls_reaches_the_program(nursery: trio.Nursery, name: str) -> None:
    error, order = KeyboardInterrupt(), CallOrder()
    client, transport = client_over(await serve(nursery, script()), observer=[Raises(error, name), order])
    async with client:
        with pytest.raises(KeyboardInterrupt) as caught:
            await everything(client)
        assert caught.value is error
        assert transport.statistics().active == 0
        assert client.statistics().open_streams == 0
        assert order.faults() == []


async def test_ctrl_c_when_the_client_is_closed_does_not_leave_another_stream_open(nursery: trio.Nursery) -> None:
    error = KeyboardInterrupt()
    client, transport = client_over(
        await serve(nursery, HELLO.stall_after(500)), observer=Raises(error, "ended"), max_connections=2
    )
    streams = [await client.chat.completions.create(**CHAT, stream=True) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        await client.aclose()
    assert transport.statistics().active == 0
    assert [stream.verdict.state for stream in streams] == ["closed", "closed"]


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"bad\nname": "x"}, "bad"),
        ({"x-mine": "a\r\nb: c"}, "x-mine"),
        ({"x-mine": 3}, "x-mine"),
        ({3: "x"}, ""),
        ({"content-length": "3"}, "content-length"),
    ],
)
async def test_a_header_that_cannot_be_sent_is_logged_and_left_out(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, header: Any, why: str
) -> None:
    class Adds(Observer):
        def attempt(self, record: Any, /) -> None:
            record.extra_headers.update(header)
            record.extra_headers["traceparent"] = "00-1"

    server = await serve(nursery, PLAIN)
    client, _ = client_over(server, observer=Adds())
    async with client:
        await client.chat.completions.create(**CHAT)
    assert server.requests[0].header("traceparent") == "00-1"
    assert server.requests[0].header("x-mine") is None
    assert "an observer added a header that cannot be sent" in caplog.text
    assert why in caplog.text


class Waits(Observer):
    async def ended(self, record: Any, /) -> None:  # type: ignore[override]
        raise NotImplementedError


@attrs.define
class Nothing:
    started: int = 0


@pytest.mark.parametrize(
    ("observer", "why"),
    [
        (Observer, "takes an object, not a class: make one, as in Observer()"),
        (Nothing(), "Nothing has none of: subclass trio_openai.Observer"),
        (print, "takes an object with methods"),
        ([Observer(), 3], "int has none of"),
        (Waits(), "Waits.ended must be a plain function: write `def` instead of `async def`"),
    ],
)
async def test_what_is_no_observer_is_refused_where_the_client_is_made(observer: Any, why: str) -> None:
    with pytest.raises(TypeError) as caught:
        TrioOpenAI(api_key="sk", observer=observer)
    assert why in str(caught.value)
    async with TrioOpenAI(api_key="sk") as client:
        assert type(await outcome(_changed, client, observer)) is TypeError


async def _changed(client: TrioOpenAI, observer: Any) -> None:
    await trio.lowlevel.checkpoint()
    client.with_options(observer=observer)


class Kept(list[str]):
    """An observer that is a list of what it hears, and empty at first."""

    def ended(self, record: Any, /) -> None:
        self.append(record.verdict.state)


async def test_an_observer_may_be_a_list_itself(nursery: trio.Nursery) -> None:
    kept = Kept()
    client, _ = client_over(await serve(nursery, PLAIN), observer=kept)
    async with client:
        await functools.partial(client.chat.completions.create, **CHAT)()
    assert kept == ["done"]
