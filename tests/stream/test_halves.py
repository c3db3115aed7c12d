"""Lone surrogates: text that a server split in the middle of a character can be printed and sent.

A server written in JavaScript may split a character outside the basic plane between two events. Each event then holds
one half of a surrogate pair, which Python cannot encode as UTF-8.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from net_helpers import CHAT, client_over, outcome, serve
from sync_helpers import served

from trio_openai import APIError, APIStatusError
from trio_openai.testing import Reply
from trio_openai.types import ChatCompletionMessage, ContentDelta, ContentDone, PartDelta

HIGH, LOW = "\ud83d", "\ude00"


def chat(*pieces: str, done: bool = True, field: str = "content") -> Reply:
    """Return a stream of these texts; lone surrogates are sent as JSON escapes, as JavaScript servers send them."""
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": {field: piece}}]} for piece in pieces]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return events(*chunks, end, done=done)


def responses(*pieces: str) -> Reply:
    deltas = [{"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": p} for p in pieces]
    return events(*deltas, {"type": "response.completed", "response": {"id": "r", "status": "completed"}})


def completions(*pieces: str) -> Reply:
    return events(*({"choices": [{"index": 0, "text": piece}]} for piece in pieces))


def transcription(*pieces: str) -> Reply:
    deltas = [{"type": "transcript.text.delta", "delta": piece} for piece in pieces]
    return events(*deltas, {"type": "transcript.text.done", "text": "".join(pieces)})


def events(*objects: Any, done: bool = True) -> Reply:
    body = "".join(f"data: {json.dumps(item)}\n\n" for item in objects) + "data: [DONE]\n\n" * done
    return Reply(headers=(("content-type", "text/event-stream"),), body=(body.encode(),))


def doors(client: Any) -> dict[str, Any]:
    """Return, for each endpoint that streams text, the function that makes a reply and the one that opens a stream."""
    return {
        "chat": (chat, lambda: client.chat.completions.stream(**CHAT)),
        "responses": (responses, lambda: client.responses.stream(model="m", input="Hi")),
        "completions": (completions, lambda: client.completions.stream(model="m", prompt="Hi")),
        "transcription": (
            transcription,
            lambda: client.audio.transcriptions.stream(file=("a.wav", b"x"), model="m"),
        ),
    }


CASES = [
    ([f"a{HIGH}", f"{LOW}b"], ["a", "😀b"]),
    (["a", HIGH, LOW], ["a", "😀"]),
    ([f"a{HIGH}", "b"], ["a", "\ufffdb"]),
    ([f"a{HIGH}"], ["a", "\ufffd"]),
    ([f"{LOW}a", f"é{HIGH}", f"{LOW}{HIGH}", LOW], ["\ufffda", "é", "😀", "😀"]),
    (["é", "😀"], ["é", "😀"]),
]


@pytest.mark.parametrize("kind", ["chat", "responses", "completions", "transcription"])
@pytest.mark.parametrize(("pieces", "texts"), CASES, ids=lambda value: ascii("|".join(value)))
async def test_text_deltas_hold_half_a_character_until_the_other_half_arrives(
    nursery: trio.Nursery, kind: str, pieces: list[str], texts: list[str]
) -> None:
    server = await serve(nursery, lambda request: doors(None)[kind][0](*pieces))
    client, _ = client_over(server)
    async with client, doors(client)[kind][1]() as stream:
        came = [text async for text in stream.text_deltas]
    assert came == texts
    "".join(came).encode()


async def test_start_stream_holds_half_a_character_until_the_other_half_arrives(nursery: trio.Nursery) -> None:
    server = await serve(nursery, chat(f"a{HIGH}", "", f"{LOW}b{HIGH}"))
    client, _ = client_over(server)
    async with client:
        stream = await client.chat.completions.start_stream(nursery, **CHAT)
        assert [text async for text in stream.text_deltas] == ["a", "😀b", "\ufffd"]


def test_the_sync_client_holds_half_a_character_until_the_other_half_arrives() -> None:
    with served(chat(f"a{HIGH}", f"{LOW}b{HIGH}")) as server:
        with server.client() as client, client.chat.completions.stream(**CHAT) as stream:
            assert list(stream.text_deltas) == ["a", "😀b", "\ufffd"]
        with server.client() as client, client.chat.completions.stream(**CHAT) as stream:
            deltas = [delta.delta for delta in stream.deltas if isinstance(delta, PartDelta)]
            assert deltas == ["a", "😀b", "\ufffd"]


async def test_held_half_a_character_survives_a_new_text_deltas_iterator(nursery: trio.Nursery) -> None:
    server = await serve(nursery, chat(f"a{HIGH}", LOW))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        assert await anext(stream.text_deltas) == "a"
        assert await anext(stream.text_deltas) == "😀"


async def test_events_keep_lone_surrogates_as_they_were_sent(nursery: trio.Nursery) -> None:
    server = await serve(nursery, chat(f"a{HIGH}", LOW))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        pieces = [chunk.choices[0].delta.content async for chunk in stream]
    assert pieces == [f"a{HIGH}", LOW, None]


@pytest.mark.parametrize("kind", ["chat", "responses"])
async def test_deltas_hold_half_a_character_until_the_other_half_arrives(nursery: trio.Nursery, kind: str) -> None:
    server = await serve(nursery, lambda request: doors(None)[kind][0](f"a{HIGH}", LOW, f"b{HIGH}"))
    client, _ = client_over(server)
    async with client, doors(client)[kind][1]() as stream:
        made = [delta async for delta in stream.deltas]
    assert [delta.delta for delta in made if isinstance(delta, ContentDelta)] == ["a", "😀", "b", "\ufffd"]
    assert isinstance(made[-1], ContentDone)
    for delta in made:
        if isinstance(delta, PartDelta):
            delta.snapshot.encode()


async def test_coalesced_deltas_join_the_halves_of_a_character(nursery: trio.Nursery) -> None:
    server = await serve(nursery, chat("x", f"a{HIGH}", f"{LOW}b"))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        subscription = stream.subscribe(1, "coalesce")
        texts: list[str] = []

        async def read() -> None:
            async for chunk in subscription:
                texts.append(chunk.choices[0].delta.content or "")

        async with trio.open_nursery() as readers:
            readers.start_soon(stream.until_done)
            await trio.testing.wait_all_tasks_blocked()
            readers.start_soon(read)
    assert "a😀b" in "".join(texts)


async def test_lone_surrogates_in_a_request_are_replaced(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.json({"choices": [{"message": {"content": "ok"}}]}))
    client, _ = client_over(server)
    said = ChatCompletionMessage(role="assistant", content=f"é{HIGH}")
    messages: list[Any] = [{"role": "user", "content": f"{HIGH}{LOW}{HIGH}"}, said]
    async with client:
        await client.chat.completions.create(model="m", messages=messages, extra_query={f"q{HIGH}": f"v{LOW}"})
    (request,) = server.requests
    assert [message["content"] for message in request.json()["messages"]] == ["😀\ufffd", "é\ufffd"]
    assert request.target.endswith("?q%EF%BF%BD=v%EF%BF%BD")


async def test_lone_surrogates_in_a_url_are_replaced(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.json({"id": "m", "data": []}))
    client, _ = client_over(server, default_query={f"d{HIGH}": "é"})
    async with client:
        await client.models.retrieve(f"a{HIGH}")
        await client.models.list(extra_query={"q": [LOW, "a"]})
        async with client.stream_request("GET", "/é"):
            pass
    bad = "%EF%BF%BD"
    assert [request.target.removeprefix("/v1") for request in server.requests] == [
        f"/models/a{bad}?d{bad}=%C3%A9",
        f"/models?d{bad}=%C3%A9&q={bad}&q=a",
        f"/%C3%A9?d{bad}=%C3%A9",
    ]


async def test_run_tools_holds_half_a_character_until_the_other_half_arrives(nursery: trio.Nursery) -> None:
    server = await serve(nursery, chat(f"a{HIGH}", f"{LOW}b"))
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[]) as run:
        texts = [event.text async for event in run if event.type == "round.event"]
    assert texts == ["a", "😀b", ""]


@pytest.mark.parametrize("status", [200, 400])
async def test_lone_surrogates_in_an_error_are_replaced_in_its_message(nursery: trio.Nursery, status: int) -> None:
    key = "sk-0123456789abcdef"
    body = {"error": {"message": f"bad {HIGH} key {key}", "code": HIGH, "param": LOW, "more": [HIGH, key]}}
    reply = Reply.json(body, status=status) if status != 200 else events(body)
    server = await serve(nursery, reply)
    client, _ = client_over(server, api_key=key)

    async def read() -> None:
        async with client.chat.completions.stream(**CHAT) as stream:
            await stream.until_done()

    async with client:
        error = await outcome(read)
    assert isinstance(error, APIStatusError if status != 200 else APIError)
    assert "bad \ufffd key ***" in str(error)
    str(error).encode()
    assert key not in repr(error.body)
