"""Observers of every client and endpoint: copies, Azure, blocking clients, other HTTP clients, lists, raw answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio
from net_helpers import CHAT, client_over, no_environment, serve
from observer_helpers import CallOrder, Heard
from sync_helpers import served
from tool_helpers import add

from trio_openai import AzureOpenAI, Observer, TrioOpenAI, TrioTransport
from trio_openai.sync import SyncAzureOpenAI, SyncOpenAI
from trio_openai.testing import Reply

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
STREAMED = ["started", "attempt", "headers", "first_event", "first_content", "ended"]
ANSWERED = ["started", "attempt", "headers", "ended"]
AZURE: dict[str, Any] = {
    "azure_endpoint": "http://mine.openai.azure.test",
    "api_version": "2024-10-21",
    "api_key": "az-9f8e7d6c5b4a",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def stream(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()


# Copies of a client.


async def test_a_copy_has_the_observers_of_its_client_or_its_own(nursery: trio.Nursery) -> None:
    first, second = Heard(), Heard()
    client, _ = client_over(await serve(nursery, PLAIN), observer=first)
    async with client:
        await client.with_options(max_retries=0).chat.completions.create(**CHAT)
        assert first.names == ANSWERED
        await client.with_options(observer=second).chat.completions.create(**CHAT)
        assert (first.names, second.names) == (ANSWERED, ANSWERED)
        for nobody in (None, [], ()):
            await client.with_options(observer=nobody).chat.completions.create(**CHAT)
        assert (first.names, second.names) == (ANSWERED, ANSWERED)


# Other clients.


async def test_the_endpoint_of_a_deployment_on_azure_is_the_documented_one(nursery: trio.Nursery) -> None:
    heard = Heard()
    server = await serve(nursery, HELLO)
    http = httpx.AsyncClient(transport=TrioTransport(open_stream=server.open_stream), trust_env=False)
    async with AzureOpenAI(**AZURE, http_client=http, observer=heard) as client:
        await stream(client)
    ended = heard.one("ended")
    assert heard.names == STREAMED
    assert (ended.endpoint, ended.path) == ("/chat/completions", "/deployments/gpt-4o-mini/chat/completions")
    assert ended.server == "mine.openai.azure.test:80"


async def test_calls_through_another_http_client_are_told(nursery: trio.Nursery) -> None:
    heard = Heard()
    server = await serve(nursery, HELLO, memory=False)
    async with server.client(http_client=httpx.AsyncClient(trust_env=False), observer=heard) as client:
        await stream(client)
    assert heard.names == STREAMED
    assert heard.one("ended").server == server.base_url.removeprefix("http://").removesuffix("/v1")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://api.example.com/v1", "api.example.com:443"),
        ("http://api.example.com", "api.example.com:80"),
        ("https://me:pass@api.example.com:8443/v1", "api.example.com:8443"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
async def test_the_server_is_told_as_host_and_port(url: str, server: str) -> None:
    heard = Heard()
    client = TrioOpenAI(api_key="sk", base_url=url, observer=heard)
    await client.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await client.models.list()
    assert heard.one("ended").server == server


# Endpoints.


async def test_plain_calls_of_other_endpoints_are_told(nursery: trio.Nursery) -> None:
    heard, order = Heard(), CallOrder()
    answer = Reply.json({"id": "x", "data": [], "usage": {"prompt_tokens": 4, "total_tokens": 4}})
    client, _ = client_over(await serve(nursery, answer), observer=[heard, order])
    calls: list[Callable[[], Any]] = [
        lambda: client.embeddings.create(model="m", input="x"),
        lambda: client.models.retrieve("m"),
        lambda: client.responses.cancel("resp_1"),
        lambda: client.files.retrieve("file_1"),
        lambda: client.post("/things", body={"model": "m"}),
        lambda: client.get("/things/1"),
    ]
    async with client:
        for call in calls:
            await call()
    assert heard.names == ANSWERED * len(calls)
    assert [(record.method, record.endpoint, record.path, record.model) for record in heard.all("ended")] == [
        ("POST", "/embeddings", "/embeddings", "m"),
        ("GET", "/models/{model}", "/models/m", None),
        ("POST", "/responses/{response_id}/cancel", "/responses/resp_1/cancel", None),
        ("GET", "/files/{file_id}", "/files/file_1", None),
        ("POST", "/things", "/things", None),
        ("GET", "/things/1", "/things/1", None),
    ]
    used = [record.usage and record.usage.input_tokens for record in heard.all("ended")]
    assert used == [4, None, 4, None, 4, None], "what a GET returns was used before"
    assert order.faults() == []


async def test_each_page_of_a_list_is_a_call(nursery: trio.Nursery) -> None:
    heard = Heard()
    pages = [{"data": [{"id": "a"}], "has_more": True, "last_id": "a"}, {"data": [{"id": "b"}], "has_more": False}]
    client, _ = client_over(await serve(nursery, [*map(Reply.json, pages)]), observer=heard)
    async with client:
        assert [item.id async for item in client.responses.input_items.list("resp_1")] == ["a", "b"]
    assert heard.names == ANSWERED * 2
    assert {record.endpoint for record in heard.all("ended")} == {"/responses/{response_id}/input_items"}


async def test_raw_answers_are_told(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, [PLAIN, HELLO]), observer=heard)
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
        ended = heard.one("ended")
        assert ended.answer is raw
        assert ended.usage.input_tokens > 0
        streamed: Any = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
        async with streamed.parse() as opened:
            await opened.until_done()
    assert heard.names == ANSWERED + STREAMED


async def test_streams_read_as_messages_or_bytes_are_told(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, HELLO), observer=heard)
    async with client:
        for name in ("messages", "raw_bytes"):
            async with client.chat.completions.stream(**CHAT) as stream:
                async for _ in getattr(stream, name):
                    pass
    assert heard.names == STREAMED * 2


async def test_a_stream_of_bytes_is_told(nursery: trio.Nursery) -> None:
    heard = Heard()
    sound = Reply(headers={"content-type": "audio/mpeg"}, body=(b"one",))
    client, _ = client_over(await serve(nursery, sound), observer=heard)
    async with client, client.audio.speech.stream_bytes(model="m", input="Hello.", voice="alloy") as stream:
        await stream.read()
    assert heard.names == ANSWERED
    assert heard.one("ended").endpoint == "/audio/speech"


async def test_a_stream_of_an_unknown_endpoint_is_told(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, Reply.sse({"a": 1}, "[DONE]")), observer=heard)
    async with client, client.stream_request("POST", "/mine", json={}) as stream:
        await stream.until_done()
    assert heard.names[-2:] == ["first_event", "ended"] or heard.names[-1] == "ended"
    assert (heard.one("ended").endpoint, heard.one("ended").verdict.state) == ("/mine", "done")


# Blocking clients.


class Threads(Observer):
    """An observer that notes the thread of each record."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def started(self, record: Any, /) -> None:
        self.note()

    def headers(self, record: Any, /) -> None:
        self.note()

    def first_event(self, record: Any, /) -> None:
        self.note()

    def first_content(self, record: Any, /) -> None:
        self.note()

    def ended(self, record: Any, /) -> None:
        self.note()

    def note(self) -> None:
        self.names.add(threading.current_thread().name)


def use(client: SyncOpenAI) -> None:
    client.chat.completions.create(**CHAT)
    with client.chat.completions.stream(**CHAT) as stream:
        stream.until_done()
    with client.chat.completions.stream(**CHAT) as stream:
        for _ in stream.raw_bytes:
            pass
    with client.chat.completions.stream(**CHAT) as stream:
        for _ in stream:
            break


def by_request() -> Reply:
    return Reply.auto("Hello there.")


def test_a_blocking_client_tells_all_records_in_its_own_thread() -> None:
    heard, order, threads = Heard(), CallOrder(), Threads()
    with served(by_request()) as server, server.client(observer=[heard, order, threads]) as client:
        use(client)
    assert heard.names == ANSWERED + STREAMED * 2 + [*STREAMED[:4], "ended"]
    assert [record.verdict.state for record in heard.all("ended")] == ["done", "done", "done", "closed"]
    assert order.faults() == []
    assert threads.names == {"trio_openai.sync"}


def test_a_blocking_client_tells_the_first_event_before_the_program_goes_on() -> None:
    heard = Heard()
    with served(by_request()) as server, server.client(observer=heard) as client:
        with client.chat.completions.stream(**CHAT) as stream:
            assert heard.names[-1] == "headers"
            next(stream)
            assert heard.names[-1] in ("first_event", "first_content")
            next(stream.text_deltas)
            assert heard.names[-1] == "first_content"


def test_a_blocking_client_in_a_worker_tells_in_the_thread_of_its_loop() -> None:
    threads, order = Threads(), CallOrder()

    async def run(client: SyncOpenAI) -> None:
        await trio.to_thread.run_sync(use, client)

    with served(by_request()) as server, server.client(observer=[threads, order]) as client:
        trio.run(run, client)
    assert threads.names == {threading.current_thread().name}
    assert order.faults() == []


def test_a_copy_of_a_blocking_client_has_its_own_observers() -> None:
    first, second = Heard(), Heard()
    with served(by_request()) as server, server.client(observer=first) as client:
        client.with_options(observer=second).chat.completions.create(**CHAT)
        client.with_options(max_retries=1).chat.completions.create(**CHAT)
    assert (first.names, second.names) == (ANSWERED, ANSWERED)


def test_a_blocking_client_of_azure_is_observed() -> None:
    heard = Heard()
    with served(by_request()) as server:
        options = {**AZURE, "azure_endpoint": server.server.base_url.removesuffix("/v1")}
        with SyncAzureOpenAI(**options, observer=heard) as client:
            client.chat.completions.create(**CHAT)
    assert heard.one("ended").endpoint == "/chat/completions"


def test_a_blocking_stream_that_is_forgotten_ends_at_the_latest_with_its_client() -> None:
    heard, order = Heard(), CallOrder()
    with served(by_request()) as server, server.client(observer=[heard, order]) as client:
        stream = client.chat.completions.create(**CHAT, stream=True)
        next(stream)
    assert order.faults() == []
    assert heard.one("ended").verdict.state == stream.verdict.state == "closed"


def test_tools_of_a_blocking_client_are_told() -> None:
    heard, order = Heard(), CallOrder()
    replies = [Reply.tool_calls(("add", {"a": 1, "b": 2})), HELLO]
    with served(replies) as server, server.client(observer=[heard, order]) as client:
        with client.chat.completions.run_tools(**CHAT, tools=[add]) as run:
            run.until_done()
    assert [(record.round, record.tools) for record in heard.all("round")] == [(1, ["add"]), (2, [])]
    assert heard.one("tool_ended").error is None
    assert order.faults() == []


@pytest.mark.parametrize("name", ["started", "headers", "first_event", "ended"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_ctrl_c_in_an_observer_of_a_blocking_client_reaches_the_thread_whose_call_it_is(
    name: str, error: BaseException
) -> None:
    def interrupt(_: object) -> None:
        raise error

    observer: Any = Observer()
    setattr(observer, name, interrupt)
    with served(by_request()) as server, server.client() as client:
        observed = client.with_options(observer=observer)
        with pytest.raises(type(error)) as caught, observed.chat.completions.stream(**CHAT) as stream:
            stream.until_done()
        assert caught.value is error
        assert client.statistics().transport is not None
        assert client.statistics().open_streams == client.statistics().transport.active == 0
        client.chat.completions.create(**CHAT)


def test_ctrl_c_in_an_observer_while_a_blocking_client_closes_is_raised_by_close() -> None:
    class Interrupts(Observer):
        def ended(self, record: Any, /) -> None:
            raise KeyboardInterrupt

    with served(by_request()) as server:
        client = server.client(observer=Interrupts())
        stream = client.chat.completions.create(**CHAT, stream=True)
        with pytest.raises(KeyboardInterrupt):
            client.close()
        assert stream.verdict.state == "closed"
        client.close()
