"""Structured outputs: `response_format` and `text_format` take a class, and answers become its instances.

A model that refuses, stops early or answers with invalid JSON is a normal outcome: `parsed` is then an `Unparsed`.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from net_helpers import CHAT, client_over, no_environment, outcome, serve
from sync_helpers import served

from trio_openai import ParsedChatCompletionStream, ParsedResponseStream, StreamTruncatedError, Unparsed
from trio_openai._protocols.structured.answer_format import answer_format
from trio_openai.sync import SyncParsedChatCompletionStream, SyncParsedResponseStream
from trio_openai.testing import Cut, Pause, Reply, Stall
from trio_openai.types import ParsedChatCompletion, ParsedResponse
from trio_openai.types.parsed import Said


@attrs.define
class Step:
    explanation: str
    result: str


@attrs.define
class Answer:
    """A sum with its intermediate steps."""

    steps: list[Step]
    total: int


TEXT = json.dumps({"steps": [{"explanation": "two \u00e9", "result": "2"}], "total": 7})
VALUE = Answer([Step("two é", "2")], 7)
RESPONSE: dict[str, Any] = {"model": "m", "input": "Hi."}


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "id": "c", "model": "m", "choices": [choice]}


def pieces(text: str, size: int = 3) -> list[dict[str, Any]]:
    return [chunk({"content": text[at : at + size]}) for at in range(0, len(text), size)]


@attrs.frozen
class Door:
    """An endpoint with the parameters that request an `Answer`, and what is expected of it."""

    of: Callable[[Any], Any]
    params: dict[str, Any]
    reply: Callable[..., Reply]
    stream: type[Any]
    whole: type[Any]
    final: str
    sent: Callable[[dict[str, Any]], Any]


CHAT_DOOR = Door(
    lambda client: client.chat.completions,
    {**CHAT, "response_format": Answer},
    Reply.chat,
    ParsedChatCompletionStream,
    ParsedChatCompletion,
    "get_final_completion",
    lambda body: body["response_format"],
)
RESPONSE_DOOR = Door(
    lambda client: client.responses,
    {**RESPONSE, "text_format": Answer},
    Reply.response,
    ParsedResponseStream,
    ParsedResponse,
    "get_final_response",
    lambda body: body["text"],
)
SCHEMA = answer_format(Answer).json_schema
SENT = {
    "chat": {"type": "json_schema", "json_schema": SCHEMA},
    "responses": {"format": {"type": "json_schema", **SCHEMA}},
}
both = pytest.mark.parametrize("door", [CHAT_DOOR, RESPONSE_DOOR], ids=["chat", "responses"])


@both
async def test_every_door_returns_an_instance_of_the_class(nursery: trio.Nursery, door: Door) -> None:
    server = await serve(nursery, [door.reply(TEXT)] * 4 + [door.reply(TEXT, stream=False)])
    client, _ = client_over(server)
    async with client:
        endpoint = door.of(client)
        async with endpoint.stream(**door.params) as stream:
            assert type(stream) is door.stream
            assert stream.parsed == Unparsed("unfinished")
            assert stream.parsed_partial == {}
            assert "".join([text async for text in stream.text_deltas]) == TEXT
            assert stream.parsed == VALUE
            assert stream.parsed is stream.parsed
        async with trio.open_nursery() as inner:
            final = getattr(await endpoint.start_stream(inner, **door.params), door.final)
            assert (await final()).parsed == VALUE
        async with await endpoint.create(stream=True, **door.params) as stream:
            await stream.until_done()
            assert stream.snapshot.parsed == VALUE
            assert stream.parsed_partial == json.loads(TEXT)
        async with client.run_many([endpoint.call(key="k", **door.params)], max_concurrent=1) as results:
            assert [(result.key, result.value.parsed) async for result in results] == [("k", VALUE)]
        whole = await endpoint.create(**door.params)
        assert type(whole) is door.whole
        assert whole.parsed == VALUE
        assert whole.is_whole
    for request in server.requests:
        assert door.sent(request.json()) == SENT["chat" if door is CHAT_DOOR else "responses"]
        assert "text_format" not in request.json()


@both
async def test_parsed_partial_grows_with_every_event(nursery: trio.Nursery, door: Door) -> None:
    client, _ = client_over(await serve(nursery, door.reply(TEXT)))
    async with client, door.of(client).stream(**door.params) as stream:
        seen: list[dict[str, Any]] = []
        async for _event in stream:
            seen.append(stream.parsed_partial)
        assert not seen[0]
        assert seen[-1] == json.loads(TEXT)
        assert {"steps": [{"explanation": "two"}]} in [
            {**partial, "steps": [{key: text.strip() for key, text in step.items()} for step in partial["steps"]]}
            for partial in seen
            if partial.get("steps")
        ]
        lengths = [len(str(partial)) for partial in seen]
        assert lengths == sorted(lengths)


@both
def test_the_sync_client_returns_an_instance_of_the_class(door: Door) -> None:
    replies = [door.reply(TEXT), door.reply(TEXT), door.reply(TEXT, stream=False)]
    with served(replies) as server, server.client() as client:
        endpoint = door.of(client)
        with endpoint.stream(**door.params) as stream:
            assert type(stream) in (SyncParsedChatCompletionStream, SyncParsedResponseStream)
            assert type(stream).__name__ == f"Sync{door.stream.__name__}"
            assert stream.parsed == Unparsed("unfinished")
            assert getattr(stream, door.final)().parsed == VALUE
            assert stream.parsed == VALUE
            assert stream.parsed_partial == json.loads(TEXT)
        with endpoint.create(stream=True, **door.params) as stream:
            stream.until_done()
            assert stream.snapshot.parsed == VALUE
        assert endpoint.create(**door.params).parsed == VALUE


# ----------------------------------------------------------------------------- outcomes without a parsed answer


async def chatted(nursery: trio.Nursery, *events: Any, **more: Any) -> ParsedChatCompletionStream[Answer]:
    """Return a chat stream that was read to its end."""
    client, _ = client_over(await serve(nursery, Reply.sse(*events, **more)), max_retries=0)
    async with client, client.chat.completions.stream(**CHAT, response_format=Answer) as stream:
        async for _ in stream:
            pass
        return stream


async def test_a_refusal_gives_unparsed(nursery: trio.Nursery) -> None:
    events = [chunk({"role": "assistant", "content": None, "refusal": ""}), chunk({"refusal": "I will "})]
    stream = await chatted(nursery, *events, chunk({"refusal": "not."}), chunk({}, "stop"))
    assert stream.parsed == Unparsed("refusal", "", "I will not.")
    assert stream.parsed_partial == {}


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_stopped_by_a_limit_gives_unparsed(nursery: trio.Nursery, reason: Any) -> None:
    stream = await chatted(nursery, *pieces(TEXT[:-5]), chunk({}, reason))
    assert stream.parsed == Unparsed(reason, TEXT[:-5])
    assert stream.parsed_partial["steps"] == [{"explanation": "two é", "result": "2"}]


@pytest.mark.parametrize("text", ["Certainly.", f"Here: {TEXT}", f"{TEXT} Anything else?", TEXT.replace("7", '"7"')])
async def test_an_invalid_answer_gives_unparsed(nursery: trio.Nursery, text: str) -> None:
    stream = await chatted(nursery, *pieces(text), chunk({}, "stop"))
    parsed = stream.parsed
    assert isinstance(parsed, Unparsed)
    assert (parsed.reason, parsed.text, len(parsed.problems)) == ("invalid", text, 1)


FENCES = ["```json\n%s\n```\n", "```\n%s\n```", "\ufeff%s", "\ufeff```JSON\r\n%s\r\n```", "```json\n%s"]
NO_FENCES = ["Here:\n```json\n%s\n```", "```\n%s\n```\nDone.", "```\n```\n%s\n```\n```", "```\n%s\n```\n```\n%s\n```"]


@pytest.mark.parametrize("fence", FENCES)
@both
async def test_one_markdown_fence_around_the_json_is_accepted(nursery: trio.Nursery, door: Door, fence: str) -> None:
    server = await serve(nursery, door.reply(fence % TEXT))
    client, _ = client_over(server)
    async with client, door.of(client).stream(**door.params) as stream:
        await stream.until_done()
        assert stream.parsed == VALUE
        assert stream.parsed_partial == json.loads(TEXT)


@pytest.mark.parametrize("text", NO_FENCES)
def test_text_around_a_markdown_fence_and_second_fences_are_refused(text: str) -> None:
    parsed = answer_format(Answer).judge(Said(text.replace("%s", TEXT)))
    assert isinstance(parsed, Unparsed)
    assert parsed.reason == "invalid"
    assert parsed.text == text.replace("%s", TEXT)


async def test_a_tool_call_without_text_gives_unparsed(nursery: trio.Nursery) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    stream = await chatted(nursery, chunk({"tool_calls": [call]}), chunk({}, "tool_calls"))
    assert stream.parsed == Unparsed("no_text")


async def test_an_answer_split_inside_an_escape_or_character_is_parsed(nursery: trio.Nursery) -> None:
    text = json.dumps({"steps": [{"explanation": "\U0001f600", "result": "\u00e9"}], "total": 1})
    assert "\\ud83d\\ude00" in text
    stream = await chatted(nursery, *pieces(text, 1), chunk({}, "stop"))
    assert stream.parsed == Answer([Step("\U0001f600", "\u00e9")], 1)
    halves = [text.partition("\\ud83d\\ude00")[0], "\ud83d", "\ude00", text.partition("\\ud83d\\ude00")[2]]
    raw = [json.dumps(chunk({"content": half})) for half in halves]  # each event has one half of the surrogate pair
    stream = await chatted(nursery, *raw, chunk({}, "stop"))
    assert stream.parsed == Answer([Step("\U0001f600", "\u00e9")], 1)
    assert stream.parsed_partial["steps"] == [{"explanation": "\U0001f600", "result": "\u00e9"}]


async def test_an_answer_without_a_finish_reason_is_parsed_if_the_stream_is_done(nursery: trio.Nursery) -> None:
    stream = await chatted(nursery, *pieces(TEXT))
    assert str(stream.verdict) == "done by [DONE]"
    assert stream.parsed == VALUE


async def test_only_the_first_choice_is_parsed(nursery: trio.Nursery) -> None:
    other = [chunk({"content": "nonsense"}, "stop", index=1)]
    stream = await chatted(nursery, *other, *pieces(TEXT), chunk({}, "stop"))
    assert stream.parsed == VALUE
    stream = await chatted(nursery, *other)
    assert stream.parsed == Unparsed("no_text")


async def test_a_truncated_stream_is_unfinished_even_if_its_text_is_valid_json(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.sse(*pieces(TEXT), Cut(), done=False)), max_retries=0)
    async with client, client.chat.completions.stream(**CHAT, response_format=Answer) as stream:
        error = await outcome(stream.until_done)
        assert isinstance(error, StreamTruncatedError)
        assert isinstance(error.partial, ParsedChatCompletion)
        assert error.partial.parsed == stream.parsed == Unparsed("unfinished", TEXT)
        assert stream.parsed_partial == json.loads(TEXT)


async def test_a_cancelled_stream_is_unfinished_and_keeps_its_partial_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, Reply.sse(*pieces(TEXT[:30]), Pause(1), Stall()))
        client, _ = client_over(server)
        async with client:
            with trio.move_on_after(2):
                async with client.chat.completions.stream(**CHAT, response_format=Answer) as stream:
                    await stream.until_done()
            assert stream.parsed == Unparsed("unfinished", TEXT[:30])
            assert list(stream.parsed_partial) == ["steps"]
        nursery.cancel_scope.cancel()


def response_of(status: str, *content: dict[str, Any], **more: Any) -> dict[str, Any]:
    message = {"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": list(content)}
    return {"id": "r", "object": "response", "status": status, "output": [message] if content else [], **more}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


REFUSAL = {"type": "refusal", "refusal": "No."}
CUT = {"reason": "max_output_tokens"}
RESPONSES: list[tuple[dict[str, Any], Any]] = [
    (response_of("completed", text_part(TEXT)), VALUE),
    (response_of("completed", text_part("First, "), text_part(TEXT)), VALUE),
    (response_of("completed", REFUSAL), Unparsed("refusal", "", "No.")),
    (response_of("completed"), Unparsed("no_text")),
    (response_of("incomplete", text_part("{"), incomplete_details=CUT), Unparsed("length", "{")),
    (response_of("incomplete", text_part("{")), Unparsed("unfinished", "{")),
    (response_of("incomplete", incomplete_details={"reason": "moon"}), Unparsed("unfinished")),
    (response_of("incomplete", incomplete_details={"reason": "content_filter"}), Unparsed("content_filter")),
    (response_of("failed", error={"code": "server_error", "message": "oh"}), Unparsed("failed")),
    (response_of("completed", {"type": "output_text", "text": None}), Unparsed("no_text")),
]


@pytest.mark.parametrize(("response", "parsed"), RESPONSES, ids=lambda value: str(value)[:40])
async def test_the_status_of_a_response_decides_what_parsed_is(
    nursery: trio.Nursery, response: dict[str, Any], parsed: Any
) -> None:
    ended = {"type": f"response.{response['status']}", "response": response, "sequence_number": 0}
    server = await serve(nursery, [Reply.sse(ended, done=False), Reply.json(response)])
    client, _ = client_over(server)
    async with client, client.responses.stream(**RESPONSE, text_format=Answer) as stream:
        async for _ in stream:
            pass
        assert stream.parsed == parsed
        assert stream.parsed_partial == (json.loads(TEXT) if parsed == VALUE else {})
        assert (await client.responses.create(**RESPONSE, text_format=Answer)).parsed == parsed


# ---------------------------------------------------------------------------------------------------------- bad input


@attrs.define
class Bad:
    when: range


class Bare:
    """A class that attrs does not know."""


def refused(door: Callable[..., object], **params: Any) -> Exception:
    with pytest.raises((TypeError, ValueError)) as caught:
        door(**params)
    return caught.value


async def test_an_invalid_format_is_refused_before_a_request_is_sent(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.error(500, "no request was expected"))
    client, transport = client_over(server, max_retries=0)
    chat, responses = client.chat.completions, client.responses
    async with client:
        cases: list[tuple[Any, dict[str, Any], str]] = [
            (chat, {**CHAT, "response_format": Bad}, "Bad.when: a strict schema cannot say range"),
            (
                chat,
                {**CHAT, "response_format": Bare},
                "response_format takes a dictionary, or a class: one made by attrs.define",
            ),
            (chat, {**CHAT, "response_format": "json"}, "response_format takes a dictionary, or a class: .* not str"),
            (
                chat,
                {**CHAT, "response_format": list[int]},
                r"response_format takes .* not list\[int\]: make a class with a field ",
            ),
            (chat, {**CHAT, "text_format": Answer}, "there is no parameter 'text_format' here"),
            (responses, {**RESPONSE, "text_format": Bad}, "Bad.when: a strict schema cannot say range"),
            (
                responses,
                {**RESPONSE, "text_format": int},
                "text_format takes a class: one made by attrs.define, .* not the class int",
            ),
            (responses, {**RESPONSE, "text_format": {"type": "json_object"}}, "text_format takes a class: .* not dict"),
            (
                responses,
                {**RESPONSE, "text_format": Answer, "text": {}},
                "text_format and text both set .* give one",
            ),
            (responses, {**RESPONSE, "text_format": Answer, "text": {"format": {"type": "text"}}}, "give one of them"),
        ]
        for endpoint, params, sentence in cases:
            errors = [refused(endpoint.stream, **params), refused(endpoint.call, **params)]
            errors += [await outcome(endpoint.create, **params), await outcome(endpoint.create, stream=True, **params)]
            for error in errors:
                with pytest.raises(TypeError, match=f"^.*{sentence}"):
                    raise error
        assert transport.statistics().opened == 0


async def test_formats_given_as_dictionaries_are_sent_unchanged(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [Reply.chat(TEXT), Reply.chat(TEXT, stream=False), Reply.response(TEXT)])
    client, _ = client_over(server)
    async with client:
        async with client.chat.completions.stream(**CHAT, response_format={"type": "json_object"}) as stream:
            assert not hasattr(stream, "parsed")
            await stream.until_done()
        plain = await client.chat.completions.create(**CHAT, response_format={"type": "text"})
        assert not hasattr(plain, "parsed")
        async with client.responses.stream(**RESPONSE, text={"verbosity": "low"}) as other:
            assert not hasattr(other, "parsed")
    assert [request.json().get("response_format") for request in server.requests] == [
        {"type": "json_object"},
        {"type": "text"},
        None,
    ]


async def test_text_options_in_extra_body_are_merged_with_the_format(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.response(TEXT, stream=False))
    client, _ = client_over(server)
    extra = {"text": {"verbosity": "low"}, "more": 1}
    async with client:
        await client.responses.create(**RESPONSE, text_format=Answer, extra_body=extra)
    assert server.requests[0].json() == {
        **RESPONSE,
        "more": 1,
        "text": {"verbosity": "low", "format": {"type": "json_schema", **SCHEMA}},
    }
    assert extra == {"text": {"verbosity": "low"}, "more": 1}


JSON_PACKAGES = [] if importlib.util.find_spec("orjson") else ["msgspec"]
"""What a plain stream imports of the packages below: msgspec decodes JSON where there is no orjson."""


def test_importing_the_package_does_not_import_optional_json_packages() -> None:
    look = "import sys, trio_openai, trio_openai.sync; print(sorted({'msgspec', 'jiter'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{JSON_PACKAGES}\n"


def test_a_plain_chat_does_not_import_the_modules_for_structured_outputs() -> None:
    """Check that neither the optional packages nor the classes of Responses are imported."""
    program = """
import sys, trio
from trio_openai.testing import Reply, ScriptedServer

async def main():
    async with trio.open_nursery() as nursery:
        server = ScriptedServer(Reply.chat("Hi"))
        await server.start(nursery, memory=True)
        async with server.client() as client, client.chat.completions.stream(model="m", messages=[]) as stream:
            await stream.until_done()
        nursery.cancel_scope.cancel()

trio.run(main)
names = ["types.responses", "types.parsed", "_stream.parsed", "_protocols.structured.schema", "_endpoints.responses"]
print(sorted({"msgspec", "jiter", *("trio_openai." + name for name in names)} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{JSON_PACKAGES}\n"
