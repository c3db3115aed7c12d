"""`run_many`, `stream_many` and `race`: lazy input, bounded concurrency and memory, and failures as results."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from net_helpers import CHAT, client_over, serve

from trio_openai import BadRequestError, Item, RaceError, Result, StreamTruncatedError, TrioOpenAI
from trio_openai.testing import Cut, Pause, RecordedRequest, Reply, Stall


def words_of(request: RecordedRequest) -> str:
    return str(request.json()["messages"][0]["content"])


def chunk(content: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {"content": content} if content is not None else {}
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]}


def echo(request: RecordedRequest) -> Reply:
    """Answer with the prompt, after the number of seconds at its beginning."""
    words = words_of(request)
    if words == "fail":
        return Reply.error(400, "no")
    if words == "cut":
        return Reply.sse(chunk("half"), Cut())
    if words == "stall":
        return Reply.sse(chunk("half"), Stall())
    seconds = int(words) if words.isdigit() else 0
    usage = {"id": "c", "choices": [], "usage": {"total_tokens": 3, "completion_tokens": 2, "prompt_tokens": 1}}
    return Reply.sse(Pause(seconds), chunk(words), chunk(finish_reason="stop"), usage)


def calls_of(client: TrioOpenAI, *prompts: str) -> list[Any]:
    return [call_of(client, prompt) for prompt in prompts]


def call_of(client: TrioOpenAI, prompt: str, key: object = None) -> Any:
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.call(key=key or prompt, model="m", messages=messages)


def text_of(result: Result[Any]) -> str:
    return str(result.value.choices[0].message.content)


async def test_results_arrive_in_the_order_of_completion(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, echo))
    async with client, client.run_many(calls_of(client, "3", "1", "2")) as results:
        assert [text_of(result) async for result in results] == ["1", "2", "3"]


async def test_ordered_results_arrive_in_the_order_of_the_calls(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, echo))
    prompts = ["3", "1", "fail", "2", "1"]
    async with client, client.run_many(calls_of(client, *prompts), ordered=True) as results:
        got = [result async for result in results]
    assert [result.key for result in got] == prompts
    assert [result.error is None for result in got] == [True, True, False, True, True]


async def test_ordered_results_look_ahead_at_most_twice_max_concurrent(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, echo)
    client, _ = client_over(server)
    calls = calls_of(client, "1000", *["0"] * 50)
    async with client, client.run_many(calls, ordered=True, max_concurrent=4) as results:
        await trio.sleep(500)
        assert len(server.requests) == 8
        assert [text_of(result) async for result in results] == ["1000", *["0"] * 50]


async def test_stream_many_yields_all_events_and_a_result_for_each_call(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, _ = client_over(await serve(nursery, echo))
    seen: dict[str, list[Item[Any, Any]]] = {}
    async with client, client.stream_many(calls_of(client, "a", "fail", "cut"), max_concurrent=2) as items:
        async for item in items:
            seen.setdefault(item.key, []).append(item)
    assert [item.event is not None for item in seen["a"]] == [True, True, True, False]
    assert seen["a"][-1].result is not None
    assert text_of(seen["a"][-1].result) == "a"
    (failed,) = seen["fail"]
    assert failed.result is not None
    assert isinstance(failed.result.error, BadRequestError)
    _, cut = seen["cut"]
    assert cut.result is not None
    assert isinstance(cut.result.error, StreamTruncatedError)
    assert cut.result.error.partial.choices[0].message.content == "half"


@pytest.mark.promise(n=6)
@pytest.mark.parametrize("most", [1, 3])
async def test_max_concurrent_is_respected_and_the_input_is_read_lazily(
    nursery: trio.Nursery, autojump_clock: object, most: int
) -> None:
    server = await serve(nursery, echo)
    client, transport = client_over(server)
    taken = 0

    def supply() -> Iterator[Any]:
        nonlocal taken
        for _ in range(20):
            taken += 1
            yield call_of(client, "1")

    async with client, client.run_many(supply(), max_concurrent=most) as results:
        assert taken == 0
        await trio.sleep(0.5)
        assert taken == len(server.requests) == transport.statistics().active == most
        await trio.sleep(100)
        assert taken == most, "nobody takes the results, so nothing more is begun"
        assert len([result async for result in results]) == 20
    assert transport.statistics().active == 0


async def test_calls_can_be_an_async_iterable(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, echo))
    closed = False

    async def supply() -> AsyncIterator[Any]:
        nonlocal closed
        try:
            for number in range(100):
                await trio.sleep(0.1)
                yield call_of(client, str(number))
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.1)
            closed = True

    async with client:
        async with client.run_many(supply(), max_concurrent=3) as results:
            assert text_of(await results.receive()) == "0"
        assert closed, "it was left early, and not to the garbage collector"


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_failing_iterable_loses_no_result_and_its_error_is_raised_bare(
    nursery: trio.Nursery, autojump_clock: object, kind: str
) -> None:
    client, transport = client_over(await serve(nursery, echo))

    def supply() -> Iterator[Any]:
        yield from calls_of(client, "2", "1")
        raise LookupError("no more rows")

    async def async_supply() -> AsyncIterator[Any]:
        for call in supply():
            await trio.lowlevel.checkpoint()
            yield call

    got: list[str] = []
    async with client:
        calls = supply() if kind == "sync" else async_supply()
        with pytest.raises(LookupError, match="no more rows"):
            async with client.run_many(calls) as results:
                while True:
                    got.append(text_of(await results.receive()))
        assert got == ["1", "2"]
        assert transport.statistics().active == 0


@pytest.mark.promise(n=2)
async def test_fail_fast_closes_all_streams_and_raises_the_error_bare(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, echo)
    client, transport = client_over(server)
    async with client:
        for many in (client.run_many, client.stream_many):
            with pytest.raises(BadRequestError):
                async with many(calls_of(client, "stall", "stall", "fail"), fail_fast=True) as items:
                    async for _ in items:
                        pass
            assert transport.statistics().active == 0
            assert client.statistics().open_streams == 0


@pytest.mark.promise(n=2)
@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt(), ExceptionGroup("mine", [ValueError()])])
async def test_exception_of_the_block_is_raised_bare(
    nursery: trio.Nursery, autojump_clock: object, error: BaseException
) -> None:
    server = await serve(nursery, echo)
    client, transport = client_over(server)
    async with client:
        caught: BaseException | None = None
        try:
            async with client.stream_many(calls_of(client, "stall", "stall")) as items:
                await items.receive()
                raise error
        except BaseException as raised:  # noqa: BLE001
            caught = raised
        assert caught is error
        assert transport.statistics().active == 0


@pytest.mark.promise(n=1)
async def test_leaving_the_block_early_closes_everything(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, echo)
    client, transport = client_over(server)
    async with client:
        async with client.stream_many(calls_of(client, *["stall"] * 10)) as items:
            async for _ in items:
                break
        assert transport.statistics().active == 0
        await trio.testing.wait_all_tasks_blocked()
        assert server.statistics().connections == 0


@pytest.mark.promise(n=1)
async def test_cancelling_the_block_closes_everything(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, transport = client_over(await serve(nursery, echo))
    async with client:
        with trio.move_on_after(3) as scope:
            async with client.run_many(calls_of(client, *["stall"] * 10)) as results:
                await results.receive()
        assert scope.cancelled_caught
        assert transport.statistics().active == 0


async def test_exception_in_an_api_key_function_ends_the_run(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def key() -> str:
        await trio.lowlevel.checkpoint()
        raise PermissionError("no key today")

    client, transport = client_over(await serve(nursery, echo), api_key=key)
    async with client:
        with pytest.raises(PermissionError, match="no key today"):
            async with client.run_many(calls_of(client, "1", "2")) as results:
                await results.receive()
        assert transport.statistics().active == 0


async def test_items_that_are_not_calls_are_refused(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, echo))
    async with client:
        with pytest.raises(TypeError, match=r"call\(\.\.\.\)"):
            async with client.run_many([CHAT]) as results:  # type: ignore[arg-type]
                await results.receive()
        for bad in (0, -1, 1.5, None):
            with pytest.raises(ValueError, match="max_concurrent"):
                client.run_many([], max_concurrent=bad)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="stop takes"):
            client.chat.completions.call(**CHAT, stop={1, 2})


async def test_statistics_show_the_progress(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, echo))
    async with client, client.run_many(calls_of(client, "2", "4", "fail"), max_concurrent=2) as results:
        got: list[Result[Any]] = []

        async def take() -> None:
            async for result in results:
                got.append(result)

        async with trio.open_nursery() as takers:
            takers.start_soon(take)
            await trio.sleep(1)
            now = results.statistics()
            assert (now.queued, now.running, now.done, now.failed) == (0, 2, 0, 0)
            await trio.sleep(2)
            now = results.statistics()
            assert (now.queued, now.running, now.done, now.failed, now.tokens) == (0, 1, 1, 1, 3)
            assert now.events == 3
            assert now.events_per_second == pytest.approx(1.0)
            assert now.seconds == pytest.approx(3.0)
            await trio.sleep(20)
            now = results.statistics()
            assert attrs.astuple(now)[:6] == (0, 0, 2, 1, 6, 6)
            await trio.sleep(20)
            results.statistics()
            await trio.sleep(20)
            assert results.statistics().events_per_second == 0
        assert len(got) == 3
        assert got[0].timings.retries == 0


@pytest.mark.promise(n=6)
async def test_memory_does_not_grow_with_the_number_of_calls(nursery: trio.Nursery, autojump_clock: object) -> None:
    """Make ten thousand calls; only a few of their objects exist at the same time."""
    client, _ = client_over(await serve(nursery, Reply.sse(chunk("a", finish_reason="stop"))))
    alive = 0
    most = 0

    class Key:
        def __init__(self) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    supply = (call_of(client, "a", Key()) for _ in range(2000))
    done = 0
    async with client, client.run_many(supply, max_concurrent=5) as results:
        async for result in results:
            done += result.error is None
    assert done == 2000
    assert most <= 20


async def test_fail_fast_closes_five_hundred_streams(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, echo)
    client, transport = client_over(server)
    calls = calls_of(client, *["stall"] * 500, "fail")
    async with client:
        with pytest.raises(BadRequestError):
            async with client.run_many(calls, max_concurrent=501, fail_fast=True) as results:
                await results.receive()
        await trio.testing.wait_all_tasks_blocked()
        assert server.statistics().disconnects == 500
        assert transport.statistics().active == 0


# race


def racing(client: TrioOpenAI, *prompts: str, **options: Any) -> Any:
    return client.race(calls_of(client, *prompts), **options)


async def test_race_winner_is_the_first_with_content_and_yields_all_its_events(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, echo)
    client, transport = client_over(server)
    async with client:
        async with racing(client, "5", "1", "stall0", "3") as stream:
            assert stream.snapshot.choices
            assert transport.statistics().active == 1, "the losers are closed before the first event is handed over"
            subscription = stream.subscribe(10)
            events = [event async for event in stream]
            assert [event async for event in subscription] == events
            assert events[0].choices[0].delta.content == "stall0"
            assert len(events) == 3
        assert transport.statistics().active == 0


async def test_race_is_decided_by_content_not_by_the_first_event(nursery: trio.Nursery, autojump_clock: object) -> None:
    def script(request: RecordedRequest) -> Reply:
        if words_of(request) == "early role":
            return Reply.sse(chunk(""), Pause(10), chunk("late", finish_reason="stop"))
        return Reply.sse(Pause(1), chunk(""), chunk("x"), chunk(finish_reason="stop"))

    client, _ = client_over(await serve(nursery, script))
    async with client, racing(client, "early role", "quick") as stream:
        assert [event.choices[0].delta.content async for event in stream] == ["", "x", None]
        assert [text async for text in stream.text_deltas] == []
        assert stream.verdict.state == "done"


async def test_race_winner_has_its_complete_text(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat("Hello there, friend.")))
    async with client, racing(client, "a", "b") as stream:
        assert "".join([text async for text in stream.text_deltas]) == "Hello there, friend."


async def test_race_staggers_the_starts_and_a_failure_starts_the_next_call_at_once(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, echo)
    client, _ = client_over(server)
    async with client:
        began = trio.current_time()
        async with racing(client, "9", "2", "fail", stagger=0.5) as stream:
            assert trio.current_time() - began == pytest.approx(2.5)
            assert (await anext(stream)).choices[0].delta.content == "2"
        assert len(server.requests) == 3
        began = trio.current_time()
        async with racing(client, "fail", "fail", "1", stagger=10):
            assert trio.current_time() - began == pytest.approx(1.0)
        async with racing(client, "1", "1", stagger=5):
            assert len(server.requests) == 7, "the second was never begun"


async def test_race_error_holds_all_errors_if_every_call_fails(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, transport = client_over(await serve(nursery, lambda request: Reply.error(400, words_of(request))))
    async with client:
        with pytest.raises(RaceError, match=r"all 2 calls of the race failed: .*one.*two") as caught:
            async with racing(client, "one", "two"):
                pytest.fail("nobody won")
        assert [type(error) for error in caught.value.errors] == [BadRequestError] * 2
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        with pytest.raises(BadRequestError):
            async with racing(client, "one"):
                pytest.fail("nobody won")
        assert transport.statistics().active == 0


async def test_race_stream_without_content_wins_if_all_others_fail(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    def script(request: RecordedRequest) -> Reply:
        return Reply.error(400, "no") if words_of(request) == "bad" else Reply.sse(chunk(finish_reason="stop"))

    client, transport = client_over(await serve(nursery, script))
    async with client:
        async with racing(client, "bad", "empty", "empty") as stream:
            assert len([event async for event in stream]) == 1
        assert transport.statistics().active == 0


@pytest.mark.promise(n=2)
@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt()])
async def test_exception_of_the_block_of_a_race_is_raised_bare(
    nursery: trio.Nursery, autojump_clock: object, error: BaseException
) -> None:
    client, transport = client_over(await serve(nursery, echo))
    async with client:
        with pytest.raises(type(error)) as caught:
            async with racing(client, "stall", "stall"):
                raise error
        assert caught.value is error
        assert transport.statistics().active == 0


@pytest.mark.promise(n=1)
async def test_cancelled_race_leaves_nothing_open(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, transport = client_over(await serve(nursery, lambda _: Reply.sse(Stall())))
    async with client:
        with trio.move_on_after(1):
            async with racing(client, "a", "b", stagger=0.3):
                pytest.fail("nobody won")
        assert transport.statistics().active == 0


async def test_exception_in_an_api_key_function_of_a_race_is_raised_bare(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def key() -> str:
        await trio.lowlevel.checkpoint()
        raise PermissionError("no key today")

    client, transport = client_over(await serve(nursery, echo), api_key=key)
    async with client:
        with pytest.raises(PermissionError):
            async with racing(client, "1", "2"):
                pytest.fail("nobody won")
        assert transport.statistics().active == 0


def test_race_without_calls_is_refused() -> None:
    client = TrioOpenAI(api_key="k", base_url="http://localhost")
    staggers: list[Any] = [-1, "1"]
    refusals: list[Callable[[], object]] = [lambda: client.race([])]
    refusals += [partial(racing, client, "a", stagger=stagger) for stagger in staggers]
    for refused in refusals:
        with pytest.raises(ValueError, match=r"race|stagger"):
            refused()
