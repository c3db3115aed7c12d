"""`Servers`: which server gets an attempt, when another one is asked instead, and when a failed one is tried again."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import attrs
import pytest
import trio
from net_helpers import CHAT, client_over, no_environment, serve

from trio_openai import (
    AdaptiveLimiter,
    APIConnectionError,
    APIError,
    APITimeoutError,
    Attempt,
    AuthenticationError,
    AzureOpenAI,
    BadRequestError,
    Deadlines,
    InternalServerError,
    NotFoundError,
    Observer,
    OpenAIError,
    Outcome,
    RateLimiter,
    RateLimitError,
    Server,
    Servers,
    StreamTruncatedError,
    TrioOpenAI,
)
from trio_openai.testing import Cut, RecordedRequest, Reply, Script, ScriptedServer, Stall

SLOW = {"delay": 10.0}


def text(words: str, **options: Any) -> Reply:
    return attrs.evolve(Reply.chat(words), **options)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


class Some:
    """Several servers in memory and a `Servers` of their clients."""

    def __init__(self, servers: list[ScriptedServer], clients: list[TrioOpenAI], **about: Any) -> None:
        self.servers = servers
        self.client = Servers(
            [Server(client, name=name, **about) for client, name in zip(clients, "abcd", strict=False)]
        )

    @property
    def asked(self) -> list[int]:
        return [len(server.requests) for server in self.servers]

    async def answer(self, **more: Any) -> str:
        async with self.client.chat.completions.stream(**{**CHAT, **more}) as stream:
            await stream.until_done()
        return stream.text

    @property
    def states(self) -> list[str]:
        return [server.state for server in self.client.statistics().servers]


async def some(nursery: trio.Nursery, *scripts: Script, **options: Any) -> Some:
    servers = [await serve(nursery, script) for script in scripts]
    return Some(servers, [client_over(server, **options)[0] for server in servers])


class Refusing(ScriptedServer):
    """A server that refuses connections while `is_down`."""

    is_down = True
    tries = 0

    async def open_stream(self, *where: Any) -> Any:
        self.tries += 1
        if self.is_down:
            await trio.sleep(0.001)  # several attempts begin before the first one is refused
            raise ConnectionRefusedError("connection refused")
        return await super().open_stream()


async def refusing(nursery: trio.Nursery, *scripts: Script, **options: Any) -> tuple[Refusing, Some]:
    """Return a server that refuses connections, and a `Servers` of it and others."""
    first = Refusing(text("back"))
    await first.start(nursery, memory=True)
    others = [await serve(nursery, script) for script in scripts]
    servers = [first, *others]
    return first, Some(servers, [client_over(server, **options)[0] for server in servers])


# Which server is asked.


async def test_calls_one_after_another_take_turns(nursery: trio.Nursery, autojump_clock: object) -> None:
    pool = await some(nursery, text("a"), text("b"), text("c"))
    async with pool.client:
        assert [await pool.answer() for _ in range(6)] == ["a", "b", "c"] * 2


async def test_work_goes_to_the_server_with_the_least_load(nursery: trio.Nursery, autojump_clock: object) -> None:
    servers = [await serve(nursery, text(name, **SLOW)) for name in "ab"]
    limiters = [AdaptiveLimiter(initial=2), AdaptiveLimiter(initial=8)]
    clients = [client_over(server, limiter=limiter)[0] for server, limiter in zip(servers, limiters, strict=True)]
    pool = Some(servers, clients)
    async with pool.client, trio.open_nursery() as tasks:
        for _ in range(5):
            tasks.start_soon(pool.answer)
            await trio.testing.wait_all_tasks_blocked()
        assert pool.asked == [1, 4]
        assert [server.load for server in pool.client.statistics().servers] == [0.5, 0.5]


async def test_attempts_wait_in_one_queue_and_keep_their_order(nursery: trio.Nursery, autojump_clock: object) -> None:
    servers = [await serve(nursery, text(name, delay=delay)) for name, delay in (("a", 1.0), ("b", 5.0))]
    clients = [client_over(one, limiter=AdaptiveLimiter(initial=1, maximum=1))[0] for one in servers]
    pool = Some(servers, clients)
    order: list[tuple[int, str]] = []

    async def ask(number: int) -> None:
        order.append((number, await pool.answer()))

    async with pool.client, trio.open_nursery() as tasks:
        for number in range(6):
            tasks.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
        assert pool.client.statistics().waiting == 4
    assert order == [(0, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "a"), (1, "b")] or order == [
        (0, "a"),
        (2, "a"),
        (3, "a"),
        (4, "a"),
        (1, "b"),
        (5, "a"),
    ]


async def test_each_limiter_is_obeyed(nursery: trio.Nursery, autojump_clock: object) -> None:
    servers = [await serve(nursery, text(name)) for name in "ab"]
    limiters = [RateLimiter(requests_per_minute=60), RateLimiter(requests_per_minute=30)]
    clients = [client_over(server, limiter=limiter)[0] for server, limiter in zip(servers, limiters, strict=True)]
    pool = Some(servers, clients)
    async with pool.client:
        began = trio.current_time()
        calls = (pool.client.chat.completions.call(**CHAT) for _ in range(32))
        async with pool.client.run_many(calls) as results:
            assert not [result async for result in results if result.error]
        assert 18 <= trio.current_time() - began <= 22
    assert pool.asked[0] == pytest.approx(21, abs=1)


class OwnLimiter:
    """A limiter that the program wrote: so many at a time."""

    def __init__(self, most: int) -> None:
        self.slots = trio.Semaphore(most)
        self.attempts: list[Attempt] = []

    async def acquire(self, attempt: Attempt) -> OwnLimiter:
        await self.slots.acquire()
        self.attempts.append(attempt)
        return self

    def settle(self, outcome: Outcome) -> None:
        self.slots.release()


async def test_limiter_of_the_programs_own_class_is_asked_after_a_server_was_chosen(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    servers = [await serve(nursery, text(name)) for name in "ab"]
    limiters = [OwnLimiter(1), OwnLimiter(3)]
    pool = Some(servers, [client_over(one, limiter=own)[0] for one, own in zip(servers, limiters, strict=True)])
    async with pool.client:
        calls = (pool.client.chat.completions.call(**CHAT) for _ in range(8))
        async with pool.client.run_many(calls) as results:
            assert len([result.unwrap() async for result in results]) == 8
    assert pool.asked == [4, 4]
    assert [len(own.attempts) for own in limiters] == [4, 4]
    assert [own.slots.value for own in limiters] == [1, 3]
    assert limiters[0].attempts[0].model == CHAT["model"]


async def test_limiter_that_is_shared_with_another_client_counts_both(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    limiter = AdaptiveLimiter(initial=1, maximum=1)
    servers = [await serve(nursery, text("a", delay=1.0))]
    alone, _ = client_over(servers[0], limiter=limiter)
    pool = Some(servers, [client_over(servers[0], limiter=limiter)[0]])
    async with alone, pool.client, trio.open_nursery() as tasks:
        began = trio.current_time()
        tasks.start_soon(pool.answer)
        await trio.testing.wait_all_tasks_blocked()
        tasks.start_soon(pool.answer)
        await trio.testing.wait_all_tasks_blocked()
        async with alone.chat.completions.stream(**CHAT):
            assert trio.current_time() - began == pytest.approx(2, abs=0.1)


# Failover.


@pytest.mark.parametrize("status", [401, 403, 404, 408, 409, 429, 500, 503])
async def test_another_server_is_asked_at_once_after_a_status(
    nursery: trio.Nursery, autojump_clock: object, status: int
) -> None:
    pool = await some(nursery, Reply.error(status, "no", headers={"retry-after": "30"}), text("b"))
    async with pool.client:
        began = trio.current_time()
        assert [await pool.answer() for _ in range(3)] == ["b"] * 3
        assert trio.current_time() - began < 0.01


async def test_another_server_is_asked_at_once_after_a_refused_connection(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    first, pool = await refusing(nursery, text("b"))
    async with pool.client:
        began = trio.current_time()
        assert [await pool.answer() for _ in range(3)] == ["b"] * 3
        assert trio.current_time() - began < 0.01
        assert first.tries == 1
        assert pool.states == ["down", "up"]


@pytest.mark.parametrize("phase", ["headers", "first_event", "idle"])
async def test_another_server_is_asked_after_a_deadline_before_the_first_event(
    nursery: trio.Nursery, autojump_clock: object, phase: str
) -> None:
    silent = Reply.sse(Stall()) if phase != "headers" else text("late", delay=100.0)
    pool = await some(nursery, silent, text("b"), timeout=Deadlines(**{phase: 2}))
    async with pool.client:
        began = trio.current_time()
        assert await pool.answer() == "b"
        assert trio.current_time() - began == pytest.approx(2)


async def test_another_server_is_asked_after_a_cut_before_the_first_event(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    pool = await some(nursery, Reply.sse(Cut()), text("b"))
    async with pool.client:
        assert await pool.answer() == "b"


async def test_plain_answer_that_is_cut_is_asked_of_another_server(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    whole = Reply.chat("b", stream=False)
    pool = await some(nursery, whole.cut_after(20), whole)
    async with pool.client:
        answer = await pool.client.chat.completions.create(**CHAT)
        assert answer.choices[0].message.content == "b"
        assert [server.failed for server in pool.client.statistics().servers] == [1, 0]


@pytest.mark.promise(n=5)
async def test_nothing_is_repeated_after_the_first_event(nursery: trio.Nursery, autojump_clock: object) -> None:
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "first"}}]}
    pool = await some(nursery, Reply.sse(chunk, Cut()), text("b"))
    async with pool.client:
        with pytest.raises(StreamTruncatedError) as caught:
            await pool.answer()
    assert caught.value.partial.choices[0].message.content == "first"
    assert pool.asked == [1, 0]


async def test_error_that_is_about_the_request_is_raised_at_once(nursery: trio.Nursery, autojump_clock: object) -> None:
    pool = await some(nursery, Reply.error(400, "bad"), text("b"))
    async with pool.client:
        with pytest.raises(BadRequestError):
            await pool.answer()
    assert pool.asked == [1, 0]
    assert pool.states == ["up", "up"]


async def test_total_deadline_counts_all_servers(nursery: trio.Nursery, autojump_clock: object) -> None:
    pool = await some(nursery, text("late", delay=100.0), text("late", delay=100.0), timeout=Deadlines(total=3))
    async with pool.client:
        with pytest.raises(APITimeoutError) as caught, trio.fail_after(3.1):
            await pool.answer()
    assert caught.value.phase == "total"
    assert pool.asked == [1, 0]


async def test_each_server_is_asked_max_retries_times_again_and_then_the_last_error_is_raised(
    nursery: trio.Nursery,
    autojump_clock: object,
) -> None:
    pool = await some(nursery, Reply.error(500, "a"), Reply.error(500, "b"), max_retries=1)
    async with pool.client:
        with pytest.raises(InternalServerError):
            await pool.answer()
    assert pool.asked == [2, 2]


async def test_server_that_does_not_have_an_object_is_not_asked_for_it_again(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    pool = await some(nursery, Reply.error(404, "a"), Reply.error(404, "b"))
    async with pool.client:
        with pytest.raises(NotFoundError):
            await pool.client.models.retrieve("m")
        assert pool.asked == [1, 1]
        assert pool.states == ["up", "up"]


async def test_second_attempt_at_the_only_server_waits_as_for_one_client(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    pool = await some(nursery, Script_of(Reply.error(500, "no"), text("a")))
    async with pool.client:
        began = trio.current_time()
        assert await pool.answer() == "a"
        assert 0.3 < trio.current_time() - began <= 0.5


def Script_of(*replies: Reply) -> Script:  # noqa: N802
    left = list(replies)

    def choose(_: RecordedRequest) -> Reply:
        return left.pop(0) if len(left) > 1 else left[0]

    return choose


async def test_refused_rate_waits_no_longer_than_the_first_server_that_is_free_again(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    def busy(seconds: int) -> Reply:
        return Reply.error(429, "slow down", headers={"retry-after": str(seconds)})

    pool = await some(nursery, Script_of(busy(40), text("a")), Script_of(busy(7), text("b")))
    async with pool.client:
        began = trio.current_time()
        assert await pool.answer() == "b"
        assert trio.current_time() - began == pytest.approx(7)


# Servers that are down.


async def test_server_that_is_down_is_tried_by_real_work_and_used_again(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    first, pool = await refusing(nursery, text("b"))
    async with pool.client:
        await pool.answer()
        assert pool.states == ["down", "up"]
        await trio.sleep(1)
        assert await pool.answer() == "b"  # this one has tried it
        assert first.tries == 2
        first.is_down = False
        await trio.sleep(2)
        assert await pool.answer() == "back"
        assert pool.states == ["up", "up"]


async def test_wait_for_a_server_that_is_down_doubles_up_to_half_a_minute(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    first, pool = await refusing(nursery, text("b"))
    times = []
    async with pool.client:
        for _ in range(2000):
            tries = first.tries
            await pool.answer()
            if first.tries > tries:
                times.append(trio.current_time())
            await trio.sleep(0.1)
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    for number, wait in enumerate(waits):
        longest = min(0.5 * 2**number, 30)
        assert 0.7 * longest <= wait <= longest + 0.2


async def test_only_one_attempt_probes_a_server_that_is_down(nursery: trio.Nursery, autojump_clock: object) -> None:
    first, pool = await refusing(nursery, text("b", delay=1.0))
    async with pool.client:
        await pool.answer()
        await trio.sleep(5)
        calls = (pool.client.chat.completions.call(**CHAT) for _ in range(8))
        async with pool.client.run_many(calls) as results:
            assert {result.unwrap().text async for result in results} == {"b"}
    assert first.tries == 2 or first.tries == 3  # the second wait may have ended meanwhile


async def test_server_that_fails_for_one_request_only_stays_up(nursery: trio.Nursery, autojump_clock: object) -> None:
    def script(request: RecordedRequest) -> Reply:
        return Reply.error(500, "poison") if b"poison" in request.body else text("a")

    pool = await some(nursery, script, script, max_retries=0)
    async with pool.client:
        for _ in range(5):
            with pytest.raises(InternalServerError):
                await pool.answer(messages=[{"role": "user", "content": "poison"}])
            await pool.answer()
            await pool.answer()
        assert pool.states == ["up", "up"]


async def test_server_that_fails_three_times_in_a_row_is_down(nursery: trio.Nursery, autojump_clock: object) -> None:
    pool = await some(nursery, Reply.error(500, "no"), text("b"))
    async with pool.client:
        for _ in range(12):
            assert await pool.answer() == "b"
        assert pool.states == ["down", "up"]
        assert pool.asked[0] == 3
        assert pool.client.statistics().servers[0].last_error == "InternalServerError: HTTP 500: no"


async def test_connections_that_break_together_count_as_one_failure(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    first, pool = await refusing(nursery, text("b"))
    async with pool.client:
        calls = (pool.client.chat.completions.call(**CHAT) for _ in range(20))
        async with pool.client.run_many(calls) as results:
            assert {result.unwrap().text async for result in results} == {"b"}
        assert first.tries > 1
        assert pool.client.statistics().servers[0].retry_in <= 0.5


async def test_call_fails_soon_if_all_servers_are_down(nursery: trio.Nursery, autojump_clock: object) -> None:
    down = [Refusing(text("no")) for _ in range(2)]
    for server in down:
        await server.start(nursery, memory=True)
    pool = Some(list(down), [client_over(server)[0] for server in down])
    began = trio.current_time()
    async with pool.client:
        calls = (pool.client.chat.completions.call(**CHAT) for _ in range(50))
        async with pool.client.run_many(calls) as results:
            errors = [result.error async for result in results]
        assert {type(error) for error in errors} == {APIConnectionError}
        assert trio.current_time() - began < 60
        assert any("all servers are down (a: cannot connect" in str(error) for error in errors)
        assert pool.client.statistics().waiting == 0


async def test_request_waits_for_a_server_if_all_are_down_for_a_moment(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    first, pool = await refusing(nursery)
    async with pool.client, trio.open_nursery() as tasks:

        async def restart() -> None:
            await trio.sleep(0.4)
            first.is_down = False

        tasks.start_soon(restart)
        assert await pool.answer() == "back"


async def test_account_without_credit_is_not_asked_again_soon(nursery: trio.Nursery, autojump_clock: object) -> None:
    pool = await some(nursery, Reply.error(429, "no credit", code="insufficient_quota"), text("b"))
    async with pool.client:
        assert [await pool.answer() for _ in range(4)] == ["b"] * 4
        assert pool.asked == [1, 4]


async def test_only_server_that_refuses_the_key_raises_its_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    pool = await some(nursery, Reply.error(401, "wrong key"))
    async with pool.client:
        with pytest.raises(AuthenticationError):
            await pool.answer()
        assert pool.asked == [1]


async def test_client_that_the_program_closed_is_not_asked(nursery: trio.Nursery, autojump_clock: object) -> None:
    pool = await some(nursery, text("a"), text("b"))
    async with pool.client:
        await pool.client.clients[0].aclose()
        assert [await pool.answer() for _ in range(2)] == ["b", "b"]
        await pool.client.clients[1].aclose()
        with pytest.raises(trio.ClosedResourceError, match="clients of all servers"):
            await pool.answer()


# Every way to make a call.


async def test_stream_many_spreads_the_calls(nursery: trio.Nursery, autojump_clock: object) -> None:
    pool = await some(nursery, text("a"), text("b"))
    async with pool.client:
        calls = [pool.client.chat.completions.call(key=number, **CHAT) for number in range(10)]
        async with pool.client.stream_many(calls) as items:
            answers = Counter([item.result.unwrap().text async for item in items if item.result])
    assert answers == {"a": 5, "b": 5}


async def test_contenders_of_a_race_go_to_different_servers(nursery: trio.Nursery, autojump_clock: object) -> None:
    pool = await some(nursery, text("a", **SLOW), text("b", delay=1.0), text("c", **SLOW))
    async with pool.client:
        calls = [pool.client.chat.completions.call(**CHAT) for _ in range(3)]
        async with pool.client.race(calls) as stream:
            await stream.until_done()
        assert stream.text == "b"
        assert pool.asked == [1, 1, 1]
        assert [server.in_flight for server in pool.client.statistics().servers] == [0, 0, 0]


async def test_contender_that_fails_does_not_ask_the_server_of_another_one(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    _, pool = await refusing(nursery, text("b", delay=5.0))
    async with pool.client:
        calls = [pool.client.chat.completions.call(**CHAT) for _ in range(2)]
        async with pool.client.race(calls) as stream:
            await stream.until_done()
        assert stream.text == "b"
        assert pool.asked == [0, 1]


async def test_other_doors_and_endpoints_work(nursery: trio.Nursery, autojump_clock: object) -> None:
    def script(request: RecordedRequest) -> Reply:
        if request.path.endswith("/models"):
            return Reply.json({"object": "list", "data": []})
        return Reply.response("Hi.", stream=b'"stream":true' in request.body)

    pool = await some(nursery, Reply.error(500, "no"), script)
    async with pool.client as client:
        assert (await client.responses.create(model="m", input="hi")).output_text == "Hi."
        async with trio.open_nursery() as tasks:
            stream = await client.responses.start_stream(tasks, model="m", input="hi")
            assert (await stream.get_final_response()).output_text == "Hi."
        raw = await client.with_raw_response.responses.create(model="m", input="hi")
        assert (raw.status_code, raw.parse().output_text) == (200, "Hi.")
        assert await client.get("/models") == {"object": "list", "data": []}
        assert [model async for model in client.models.list()] == []


async def test_response_is_resumed_at_the_server_that_has_it(nursery: trio.Nursery, autojump_clock: object) -> None:
    whole = Reply.response("Hello there.")
    cut = whole.sliced(whole.length() // 2).cut_after(whole.length() // 2)
    pool = await some(nursery, Script_of(cut, whole), Reply.error(400, "unknown"))
    async with pool.client as client:
        ask: dict[str, Any] = {"model": "m", "input": "hi", "background": True, "resume": True}
        async with client.responses.stream(**ask) as stream:
            response = await stream.get_final_response()
        assert response.output_text == "Hello there."
        assert pool.asked == [2, 0]
        assert pool.servers[0].requests[1].method == "GET"


# What differs from server to server.


async def test_models_have_other_names_at_other_servers(nursery: trio.Nursery, autojump_clock: object) -> None:
    servers = [await serve(nursery, Reply.chat("hi", stream=False)) for _ in range(2)]
    clients = [client_over(server)[0] for server in servers]
    several = Servers([clients[0], Server(clients[1], models={"qwen3": "Qwen/Qwen3-8B"})])
    async with several:
        for _ in range(2):
            await several.chat.completions.create(model="qwen3", messages=[], temperature=0.5)
        await several.chat.completions.create(model="other", messages=[])
        await several.chat.completions.create(model="other", messages=[])
    assert [request.json()["model"] for request in servers[0].requests] == ["qwen3", "other"]
    assert [request.json()["model"] for request in servers[1].requests] == ["Qwen/Qwen3-8B", "other"]
    assert servers[1].requests[0].json() == {"model": "Qwen/Qwen3-8B", "messages": [], "temperature": 0.5}


async def test_file_upload_has_the_name_of_the_model_at_its_server(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.json({"text": "hello"}))
    several = Servers([Server(client_over(server)[0], models={"whisper": "whisper-large-v3"})])
    async with several:
        answer = await several.audio.transcriptions.create(model="whisper", file=("a.wav", b"sound"))
    assert answer.text == "hello"
    assert b"whisper-large-v3" in server.requests[0].body


async def test_each_server_gets_its_own_key_headers_and_path(nursery: trio.Nursery, autojump_clock: object) -> None:
    servers = [await serve(nursery, text("hi")) for _ in range(2)]
    one = client_over(servers[0], api_key="sk-one", default_headers={"x-team": "red"})[0]
    _, transport = client_over(servers[1])
    import httpx

    azure = AzureOpenAI(
        azure_endpoint="http://azure.test",
        api_version="2024-10-21",
        api_key="sk-azure",
        http_client=httpx.AsyncClient(transport=transport, trust_env=False),
    )
    several = Servers([one, Server(azure, models={"gpt-4o-mini": "mine"})])
    async with several:
        for _ in range(2):
            async with several.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
    first, second = servers[0].requests[0], servers[1].requests[0]
    assert first.path == "/v1/chat/completions"
    assert second.target == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
    assert [first.header(name) for name in ("authorization", "x-team")] == ["Bearer sk-one", "red"]
    assert [second.header(name) for name in ("api-key", "authorization", "x-team")] == ["sk-azure", None, None]


async def test_server_that_refuses_to_report_usage_is_asked_without_it(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    def strict(request: RecordedRequest) -> Reply:
        return Reply.error(400, "unknown parameter stream_options") if b"stream_options" in request.body else text("a")

    pool = await some(nursery, strict, text("b"))
    async with pool.client:
        assert sorted([await pool.answer(usage=True) for _ in range(4)]) in (
            ["a", "a", "b", "b"],
            ["a", "b", "b", "b"],
        )
    assert sum(b"stream_options" in request.body for request in pool.servers[0].requests) == 1


async def test_with_options_shares_the_state_of_the_servers(nursery: trio.Nursery, autojump_clock: object) -> None:
    _, pool = await refusing(nursery, text("b"))
    async with pool.client:
        hurried = pool.client.with_options(timeout=5, default_headers={"x-a": "b"})
        async with hurried.chat.completions.stream(**CHAT) as stream:
            await stream.until_done()
        assert pool.states == ["down", "up"]
        assert pool.servers[1].requests[0].header("x-a") == "b"
        assert type(hurried) is Servers
        assert hurried.timeout == Deadlines.of(5)
        with pytest.raises(TypeError, match="each server has its own base_url"):
            pool.client.with_options(base_url="http://127.0.0.1:1/v1")


async def test_limiter_for_all_servers_together_is_asked_after_that_of_the_server(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    pool = await some(nursery, text("a"), text("b"))
    both = OwnLimiter(1)
    limited = pool.client.with_options(limiter=both).with_options(timeout=60)
    async with limited:
        calls = [limited.chat.completions.call(**CHAT) for _ in range(6)]
        async with limited.run_many(calls) as results:
            assert Counter([result.unwrap().text async for result in results]) == {"a": 3, "b": 3}
    assert (len(both.attempts), both.slots.value) == (6, 1)


async def test_observers_are_told_which_server_an_attempt_goes_to(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    class Heard(Observer):
        def __init__(self) -> None:
            self.servers: list[str] = []
            self.ended_calls = 0

        def attempt(self, record: Any) -> None:
            self.servers.append(record.server)

        def ended(self, record: Any) -> None:
            self.ended_calls += 1

    heard = Heard()
    servers = [await serve(nursery, script) for script in (Reply.error(500, "no"), text("b"))]
    clients = [
        client_over(one, base_url=f"http://gpu{number}:80/v1", observer=heard)[0] for number, one in enumerate(servers)
    ]
    several = Servers(clients)
    async with several:
        async with several.chat.completions.stream(**CHAT) as stream:
            await stream.until_done()
    assert heard.servers == ["gpu0:80", "gpu1:80"]
    assert heard.ended_calls == 1


async def test_statistics_add_up_the_servers(nursery: trio.Nursery, autojump_clock: object) -> None:
    pool = await some(nursery, text("a"), text("b"))
    async with pool.client:
        for _ in range(4):
            await pool.answer(usage=True)
        now = pool.client.statistics()
    assert [(server.name, server.done, server.failed, server.in_flight) for server in now.servers] == [
        ("a", 2, 0, 0),
        ("b", 2, 0, 0),
    ]
    assert now.usage.total_tokens == sum(server.usage.total_tokens for server in now.servers) > 0
    assert (now.waiting, now.open_streams) == (0, 0)


@pytest.mark.promise(n=1)
async def test_closing_closes_every_client_and_wakes_who_waits(nursery: trio.Nursery, autojump_clock: object) -> None:
    servers = [await serve(nursery, text("a", **SLOW))]
    pool = Some(servers, [client_over(servers[0], limiter=AdaptiveLimiter(initial=1, maximum=1))[0]])
    caught: list[BaseException] = []

    async def ask() -> None:
        try:
            await pool.answer()
        except trio.ClosedResourceError as error:
            caught.append(error)

    async with trio.open_nursery() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await pool.client.aclose()
    assert len(caught) == 3
    assert pool.client.clients[0].is_closed()
    assert pool.client.statistics().waiting == 0
    assert pool.client.statistics().servers[0].in_flight == 0


# The constructor.


def test_base_urls_get_clients_with_the_given_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_KEY", "sk-gpu")
    several = Servers(["http://127.0.0.1:1/v1", Server("https://gpu.test/v1", api_key_env="GPU_KEY")], timeout=7)
    assert [client.timeout for client in several.clients] == [Deadlines.of(7)] * 2
    assert repr(several) == "<Servers 127.0.0.1:1, gpu.test>"
    assert isinstance(several, TrioOpenAI)


def test_servers_with_equal_names_are_told_apart() -> None:
    several = Servers(["http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"])
    assert repr(several) == "<Servers 127.0.0.1:1, 127.0.0.1:1 (2)>"


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Servers([]), ValueError, "at least one server"),
        (lambda: Servers("http://127.0.0.1:1/v1"), TypeError, "a list of servers, not one str"),
        (lambda: Servers([3]), TypeError, "a base URL, a TrioOpenAI, or a Server, not int"),  # type: ignore[list-item]
        (lambda: Servers([Servers(["http://127.0.0.1:1/v1"])]), TypeError, "list all servers in one"),
        (lambda: Servers([Server("http://127.0.0.1:1/v1", api_key_env="NO_KEY")]), OpenAIError, "NO_KEY is not set"),
        (lambda: Servers([Server("http://127.0.0.1:1", models=["a"])]), TypeError, "models takes a dictionary"),  # type: ignore[arg-type]
        (lambda: Servers([Server("http://127.0.0.1:1", limiter=3)]), TypeError, "limiter takes"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_explained(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_client_is_not_given_twice_or_with_options_of_its_own() -> None:
    client = TrioOpenAI(base_url="http://127.0.0.1:1/v1")
    with pytest.raises(ValueError, match="given twice"):
        Servers([client, client])
    with pytest.raises(TypeError, match="pass them to the client"):
        Servers([Server(client, limiter=AdaptiveLimiter())])


async def test_rate_limit_error_of_the_only_server_is_raised_after_its_retries(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    pool = await some(nursery, Reply.error(429, "slow"), max_retries=1)
    async with pool.client:
        with pytest.raises(RateLimitError):
            await pool.answer()
    assert pool.asked == [2]


@pytest.mark.parametrize("words", ["repr", "traceback"])
def test_keys_and_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("GPU_KEY", "sk-secret")
    if words == "repr":
        url = "https://me:sk-secret@gpu.test/v1"
        shown = repr(Server(url)) + repr(Servers([url], api_key="sk-secret"))
    else:
        with pytest.raises(TypeError) as caught:
            Servers([Server("https://gpu.test/v1", api_key_env="GPU_KEY")], api_key="sk-secret", max_retries="many")
        frames = [repr(entry.locals) for entry in caught.traceback if "trio_openai" in str(entry.path)]
        shown = "\n".join(frames)
        assert frames
    assert "sk-secret" not in shown


@pytest.mark.promise(n=1)
@pytest.mark.parametrize("seed", range(5))
async def test_random_failures_and_cancellations_leave_nothing_behind(
    nursery: trio.Nursery, autojump_clock: object, seed: int
) -> None:
    chance = random.Random(seed)

    def script(_: RecordedRequest) -> Reply:
        number = chance.random()
        if number < 0.5:
            return text("ok", delay=chance.random() * 3)
        faults = (Reply.error(429, "slow"), Reply.error(500, "no"), Reply.error(401, "key"), Reply.sse(Cut()))
        return attrs.evolve(chance.choice(faults), delay=chance.random())

    servers = [await serve(nursery, script) for _ in range(3)]
    limiters = [AdaptiveLimiter(initial=2), RateLimiter(requests_per_minute=300), OwnLimiter(3)]
    pool = Some(servers, [client_over(one, limiter=own)[0] for one, own in zip(servers, limiters, strict=True)])
    ended = 0

    async def ask() -> None:
        nonlocal ended
        with trio.move_on_after(chance.choice([0.1, 2.0, 10.0, 1000.0])):
            try:
                await pool.answer()
            except APIError:
                pass
        ended += 1

    async with pool.client:
        async with trio.open_nursery() as tasks:
            for _ in range(150):
                tasks.start_soon(ask)
                await trio.sleep(chance.random() * 0.1)
        now = pool.client.statistics()
        assert (ended, now.waiting, now.open_streams) == (150, 0, 0)
        assert [(server.in_flight, server.state == "probing") for server in now.servers] == [(0, False)] * 3
        assert limiters[0].statistics().in_flight == 0  # type: ignore[union-attr]
        assert limiters[2].slots.value == 3  # type: ignore[union-attr]
        assert sum(server.done for server in now.servers) > 10
