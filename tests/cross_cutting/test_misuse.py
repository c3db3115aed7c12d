"""Typical mistakes of newcomers. Each error says what to write instead."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import pickle
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypedDict

import attrs
import httpx
import pydantic
import pytest
import trio
from net_helpers import CHAT, client_over, serve
from sync_helpers import served

import trio_openai
from trio_openai import AzureOpenAI, TrioOpenAI, Unparsed
from trio_openai.sync import SyncOpenAI, SyncRawResponse
from trio_openai.testing import Reply, ScriptedServer

LOCAL = "http://127.0.0.1:9/v1"
ENTER = r"async with .*\(\.\.\.\) as stream"
ENTER_BLOCKING = r"with stream\(\.\.\.\) as stream"


def trio_client() -> Any:
    return TrioOpenAI(base_url=LOCAL)


def sync_client() -> Any:
    return SyncOpenAI(base_url=LOCAL)


# --------------------------------------------------------------------------- a stream used without entering its block

MANAGERS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda client: client.chat.completions.stream(**CHAT),
    "responses": lambda client: client.responses.stream(model="m", input="Hi"),
    "completions": lambda client: client.completions.stream(model="m", prompt="Hi"),
    "images": lambda client: client.images.generate.stream(model="m", prompt="A cat"),
    "speech": lambda client: client.audio.speech.stream_bytes(model="m", input="Hi", voice="v"),
    "any": lambda client: client.stream_request("POST", "/x"),
}


@pytest.mark.parametrize("kind", [*MANAGERS, "race"])
async def test_stream_that_was_not_entered_mentions_async_with(kind: str) -> None:
    client = trio_client()
    manager: Any = MANAGERS[kind](client) if kind != "race" else client.race([client.chat.completions.call(**CHAT)])
    with pytest.raises(TypeError, match=ENTER):
        async for _ in manager:
            pass
    with pytest.raises(TypeError, match=ENTER):
        await manager
    with pytest.raises(TypeError, match=ENTER), manager:
        pass
    with pytest.raises(TypeError, match=ENTER):
        list(manager)
    with pytest.raises(AttributeError, match=ENTER):
        _ = manager.text_deltas
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'$"):
        _ = manager.nonsense
    await client.aclose()


def add(a: int) -> int:
    return a


BLOCKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "run_many": (lambda client: client.run_many([]), r"async with run_many\(\.\.\.\) as results"),
    "stream_many": (lambda client: client.stream_many([]), r"async with stream_many\(\.\.\.\) as items"),
    "run_tools": (
        lambda client: client.chat.completions.run_tools(**CHAT, tools=[add]),
        r"async with run_tools\(\.\.\.\) as run:.*async for event in run",
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
async def test_run_that_was_not_entered_mentions_async_with(name: str) -> None:
    make, words = BLOCKS[name]
    async with trio_client() as client:
        block = make(client)
        with pytest.raises(TypeError, match=words):
            await block
        with pytest.raises(TypeError, match=words):
            async for _ in block:
                pass
        with pytest.raises(TypeError, match=words), block:
            pass
        with pytest.raises(AttributeError, match=words):
            block.statistics()


def test_blocking_run_that_was_not_entered_mentions_with() -> None:
    with sync_client() as client, pytest.raises(TypeError, match=r"`with run_tools\(\.\.\.\) as run"):
        list(client.chat.completions.run_tools(**CHAT, tools=[add]))


async def test_client_entered_in_the_wrong_way_says_which_way_is_right() -> None:
    with pytest.raises(TypeError, match=r"`async with TrioOpenAI\(\) as client:`"), trio_client():
        pass
    with pytest.raises(TypeError, match=r"`with SyncOpenAI\(\) as client:`"):
        async with sync_client():
            pass


@pytest.mark.parametrize("kind", MANAGERS)
async def test_blocking_stream_that_was_not_entered_mentions_with(kind: str) -> None:
    manager: Any = MANAGERS[kind](sync_client())
    with pytest.raises(TypeError, match=ENTER_BLOCKING):
        list(manager)
    with pytest.raises(TypeError, match=ENTER_BLOCKING):
        async for _ in manager:
            pass
    with pytest.raises(TypeError, match=ENTER_BLOCKING):
        async with manager:
            pass
    with pytest.raises(TypeError, match=ENTER_BLOCKING):
        await manager
    with pytest.raises(AttributeError, match=ENTER_BLOCKING):
        _ = manager.text_deltas


# ------------------------------------------------------------------------------------------- attributes of a stream

VIEWS = ["text_deltas", "deltas", "tool_calls", "messages", "raw_bytes"]


@pytest.mark.parametrize("view", VIEWS)
async def test_calling_a_stream_attribute_says_to_leave_the_parentheses_out(nursery: trio.Nursery, view: str) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat("Hi")))
    async with client, client.chat.completions.stream(**CHAT) as stream:
        with pytest.raises(TypeError, match="leave the parentheses out"):
            getattr(stream, view)()
        with pytest.raises(TypeError, match="`async for"):
            list(getattr(stream, view))
        with pytest.raises(TypeError, match="async for event in stream"):
            list(stream)
        assert [part async for part in getattr(stream, view)] or view == "tool_calls"


@pytest.mark.parametrize("view", VIEWS)
def test_calling_a_blocking_stream_attribute_says_to_leave_the_parentheses_out(view: str) -> None:
    with served(Reply.chat("Hi")) as server, server.client() as client:
        with client.chat.completions.stream(**CHAT) as stream:
            with pytest.raises(TypeError, match=r"leave the parentheses out, as in `for"):
                getattr(stream, view)()


# --------------------------------------------------------------------------- calls for run_many, stream_many and race


async def run_many(client: Any, calls: Any) -> None:
    async with client.run_many(calls) as results:
        await results.receive()


async def stream_many(client: Any, calls: Any) -> None:
    async with client.stream_many(calls) as items:
        await items.receive()


async def race(client: Any, calls: Any) -> None:
    async with client.race(calls):
        pass


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a coroutine": (lambda client: client.chat.completions.create(**CHAT), r"call\(\.\.\.\), not create\(\.\.\.\)"),
    "a coroutine for a stream": (lambda client: client.responses.create(model="m", input="", stream=True), "coroutine"),
    "a stream": (lambda client: client.chat.completions.stream(**CHAT), r"call\(\.\.\.\) instead of stream"),
    "a dictionary": (lambda _: CHAT, r"call\(\.\.\.\) with the dictionary's items"),
    "a text": (lambda _: "Hi", r"call\(\.\.\.\), not str"),
    "a number": (lambda _: 1, r"call\(\.\.\.\), not int"),
    "a class": (lambda _: TrioOpenAI, "the class TrioOpenAI"),
}


@pytest.mark.parametrize("door", [run_many, stream_many, race])
@pytest.mark.parametrize("wrong", WRONG)
async def test_item_that_is_not_a_call_says_how_to_make_one(door: Callable[[Any, Any], Any], wrong: str) -> None:
    make, words = WRONG[wrong]
    async with trio_client() as client:
        with pytest.raises(TypeError, match=words) as caught:
            await door(client, [make(client)])
        assert str(caught.value).startswith(door.__name__)


@pytest.mark.parametrize("door", [run_many, stream_many, race])
@pytest.mark.parametrize("wrong", ["one call", "a stream", "a coroutine", "a number", "a text"])
async def test_calls_that_are_not_iterable_raise_at_once(door: Callable[[Any, Any], Any], wrong: str) -> None:
    async with trio_client() as client:
        calls = client.chat.completions.call(**CHAT) if wrong == "one call" else WRONG[wrong][0](client)
        with pytest.raises(TypeError, match=r"takes several calls|takes an iterable of calls"):
            await door(client, calls)


async def test_open_stream_is_not_a_call(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat("Hi")))
    async with client, client.chat.completions.stream(**CHAT) as stream:
        for door in (run_many, race):
            with pytest.raises(TypeError, match="instead of passing an open stream"):
                await door(client, [stream])


# ------------------------------------------------------------------------------------------------------- arguments

METHODS: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "chat": lambda client: client.chat.completions.create,
    "chat stream": lambda client: client.chat.completions.stream,
    "responses": lambda client: client.responses.create,
    "completions": lambda client: client.completions.create,
    "embeddings": lambda client: client.embeddings.create,
    "images": lambda client: client.images.generate,
    "image edits": lambda client: client.images.edit,
    "transcriptions": lambda client: client.audio.transcriptions.create,
    "speech": lambda client: client.audio.speech.create,
    "speech as bytes": lambda client: client.audio.speech.stream_bytes,
    "models": lambda client: client.models.list,
    "retrieve": lambda client: client.responses.retrieve,
    "cancel": lambda client: client.responses.cancel,
    "delete": lambda client: client.responses.delete,
    "input items": lambda client: client.responses.input_items.list,
    "one model": lambda client: client.models.retrieve,
}
ONLY_TRIO: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "call": lambda client: client.chat.completions.call,
    "tools": lambda client: client.chat.completions.run_tools,
    "tools of responses": lambda client: client.responses.run_tools,
}


@pytest.mark.parametrize("method", [*METHODS, *ONLY_TRIO])
async def test_positional_arguments_say_to_use_names(method: str) -> None:
    async with trio_client() as client:
        with pytest.raises(TypeError, match=r"by name, such as model=\.\.\."):
            await {**METHODS, **ONLY_TRIO}[method](client)("gpt-4", [], "third")


@pytest.mark.parametrize("method", METHODS)
def test_positional_arguments_of_the_blocking_client_say_to_use_names(method: str) -> None:
    with sync_client() as client, pytest.raises(TypeError, match=r"by name, such as model=\.\.\."):
        with METHODS[method](client)("gpt-4", [], "third"):
            pass


class Model(pydantic.BaseModel):
    name: str


class OldModel:
    """A class that looks like a model of pydantic 1."""

    @classmethod
    def parse_raw(cls, text: str) -> None: ...


class Typed(TypedDict):
    names: dict[str, int]


@attrs.define
class Fields:
    name: str


@dataclasses.dataclass
class Data:
    name: str


FORMATS: list[tuple[Any, str]] = [
    (Model(name="x"), r"an object of Model: give the class itself, Model"),
    (OldModel, r"the pydantic model OldModel, which is one of pydantic 1: use pydantic 2"),
    (Typed, r"^Typed.names: a strict schema cannot say dict\[str, int\]"),
    (list[Typed], r"list\[.*Typed\]: make a class with a field of that type"),
    (Fields("x"), r"an object of Fields: give the class itself, Fields"),
    (Data("x"), r"an object of Data: give the class itself"),
    (int, r"class int"),
    ("json", r"not str"),
]


@pytest.mark.parametrize("make", [trio_client, sync_client])
@pytest.mark.parametrize(("given", "words"), FORMATS)
async def test_invalid_response_format_says_what_to_pass(make: Callable[[], Any], given: Any, words: str) -> None:
    async def enter(manager: Any) -> None:
        if make is sync_client:
            await trio.to_thread.run_sync(manager.__enter__)
        else:
            await manager.__aenter__()

    client = make()
    with pytest.raises(TypeError, match=words):
        await enter(client.chat.completions.stream(**CHAT, response_format=given))
    with pytest.raises(TypeError, match=words):
        await enter(client.responses.stream(model="m", input="Hi", text_format=given))


async def test_dataclass_is_a_valid_response_format(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat('{"name": "Ada"}')))
    async with client, client.chat.completions.stream(**CHAT, response_format=Data) as stream:
        await stream.until_done()
        assert stream.parsed == Data("Ada")


# ----------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("AsyncOpenAI", "from trio_openai import TrioOpenAI"),
        ("OpenAI", "from trio_openai import SyncOpenAI"),
        ("AsyncAzureOpenAI", "from trio_openai import AzureOpenAI"),
        ("AsyncStream", "from trio_openai import Stream"),
        ("NOT_GIVEN", "leave the argument out"),
        ("ScriptedServer", r"from trio_openai\.testing import"),
    ],
)
def test_importing_a_name_of_openai_python_suggests_our_name(name: str, words: str) -> None:
    with pytest.raises(ImportError, match=words):
        exec(f"from trio_openai import {name}")


def test_names_in_import_hints_can_be_imported() -> None:
    for hint in importlib.import_module("trio_openai._mistakes")._ELSEWHERE.values():
        for part in hint.split("`")[1::2]:
            if part.startswith("from "):
                exec(part)


def test_unknown_names_raise_ordinary_import_errors() -> None:
    assert not hasattr(trio_openai, "Nonsense")
    with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
        exec("from trio_openai import Nonsense")


# ---------------------------------------------------------------------------- addresses, closed clients, test servers


@pytest.mark.parametrize("make", [TrioOpenAI, SyncOpenAI])
@pytest.mark.parametrize(
    "value", ["localhost:8080/v1", "api.example.com", "http://host:99999", "http://[::g]", "ftp://x"]
)
def test_invalid_environment_url_names_the_variable_and_value(
    monkeypatch: pytest.MonkeyPatch, make: Any, value: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", value)
    with pytest.raises(ValueError, match=r"^OPENAI_BASE_URL") as caught:
        make(api_key="k")
    assert value in str(caught.value)
    with pytest.raises((ValueError, TypeError), match=r"^base_url"):
        make(api_key="k", base_url=value)


@pytest.mark.parametrize(
    "value", ["ftp://me:pass-word@host/v1", "me:pass-word@host", "http://me:pass-word@[::g]", "x?key=pass-word"]
)
def test_invalid_environment_url_is_shown_without_its_password(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", value)
    with pytest.raises(ValueError, match=r"^OPENAI_BASE_URL") as caught:
        TrioOpenAI(api_key="k")
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("value", ["mine.openai.azure.com", "ftp://x"])
def test_invalid_azure_endpoint_names_the_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", value)
    with pytest.raises(ValueError, match=f"AZURE_OPENAI_ENDPOINT.*{value}"):
        AzureOpenAI(api_key="k", api_version="2024-10-21")


async def test_using_a_closed_client_says_that_it_is_closed() -> None:
    client = trio_client()
    await client.aclose()
    for use in (client.chat.completions.create(**CHAT), race(client, [client.chat.completions.call(**CHAT)])):
        with pytest.raises(trio.ClosedResourceError, match="this client has been closed"):
            await use


def test_using_a_closed_blocking_client_says_that_it_is_closed() -> None:
    with served(Reply.chat("Hi")) as server:
        client = server.client()
        client.close()
        with pytest.raises(trio.ClosedResourceError, match="this client has been closed"):
            client.chat.completions.create(**CHAT)


async def test_reading_a_closed_stream_says_what_is_left(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat("Hi")))
    async with client:
        async with client.chat.completions.stream(**CHAT) as stream:
            pass
        with pytest.raises(trio.ClosedResourceError, match=r"before its block is left; `snapshot`"):
            await anext(stream)


def test_attribute_of_an_answer_that_does_not_fit_says_why() -> None:
    unparsed: Any = Unparsed("invalid", "{}", problems=("$.name is missing",))
    with pytest.raises(AttributeError, match=r"no attribute 'name', since .*\$\.name is missing.*`if parsed:`"):
        _ = unparsed.name
    with pytest.raises(AttributeError, match=r"no attribute '__nonsense__'$"):
        _ = unparsed.__nonsense__
    assert copy.deepcopy(unparsed) == unparsed == pickle.loads(pickle.dumps(unparsed))


@pytest.mark.parametrize("script", ["x", b"x", {"a": 1}, 5, None, ["x"], [Reply.chat("Hi"), 5]])
def test_scripted_server_without_replies_says_what_it_takes(script: Any) -> None:
    with pytest.raises(TypeError, match=r"ScriptedServer takes a Reply, such as Reply\.chat"):
        ScriptedServer(script)


# ----------------------------------------------------------------------------------------------- copies of clients


class MyClient(TrioOpenAI):
    """A subclass of the client with additional attributes."""

    __slots__ = ("slot",)

    def __init__(self, label: str, **options: Any) -> None:
        super().__init__(**options)
        self.label, self.slot = label, f"slot of {label}"

    @cached_property
    def where(self) -> str:
        return str(self.base_url)


class MySyncClient(SyncOpenAI):
    """A subclass of the sync client with additional attributes."""

    def __init__(self, label: str, **options: Any) -> None:
        super().__init__(**options)
        self.label = label


def test_with_options_keeps_attributes_of_a_subclass() -> None:
    client = MyClient("a", base_url=LOCAL)
    assert client.where.startswith(LOCAL)
    client.note = "b"  # type: ignore[attr-defined]
    copy = client.with_options(base_url="http://127.0.0.1:10/v1", timeout=3).with_options(max_retries=7)
    assert (copy.label, copy.slot, copy.note) == ("a", "slot of a", "b")  # type: ignore[attr-defined]
    assert copy.where.startswith("http://127.0.0.1:10")
    assert (copy.max_retries, client.max_retries) == (7, 2)
    assert copy.chat is not client.chat
    assert copy.responses is not client.responses


def test_with_options_keeps_attributes_of_a_blocking_subclass() -> None:
    client = MySyncClient("a", base_url=LOCAL)
    copy = client.with_options(max_retries=7)
    assert (copy.label, copy.max_retries) == ("a", 7)
    assert copy.responses is not client.responses
    raw: Any = client.with_raw_response
    assert raw.label == "a"


def test_blocking_raw_response_is_closed_without_an_event_loop() -> None:
    with served(Reply.chat("Hi")) as server, server.client() as client:
        raw = client.chat.completions.with_raw_response.create(**CHAT, stream=True)
        assert isinstance(raw, SyncRawResponse)
        assert raw.aclose() is None  # type: ignore[func-returns-value]
        raw.close()
        with pytest.raises(trio.ClosedResourceError):
            next(raw.parse())


async def test_raw_response_is_closed_with_await(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat("Hi")))
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
        await raw.aclose()
        assert client.statistics().open_streams == 0


def test_base_url_accepts_text_and_httpx_urls_only() -> None:
    with pytest.raises(TypeError, match=r"base_url takes a URL.*not int"):
        TrioOpenAI(base_url=5)  # type: ignore[arg-type]
    assert TrioOpenAI(base_url=httpx.URL(LOCAL)).base_url == LOCAL
