"""`ask_again`: an answer that does not fit the class is asked for again, and the model is told why."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any, TypedDict

import pydantic
import pytest
import trio
from net_helpers import CHAT, client_over, no_environment, outcome, serve
from sync_helpers import served

from trio_openai import AnswerAttempt, InternalServerError, TrioOpenAI, Unparsed
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import Reply
from trio_openai.types import ParsedChatCompletionMessage


class City(pydantic.BaseModel):
    name: str
    people: int


class Keys(TypedDict):
    people: int


BAD, GOOD = json.dumps({"name": "Oslo", "people": "many"}), json.dumps({"name": "Oslo", "people": 700})
OSLO = City(name="Oslo", people=700)
PROBLEM = "$.people: Input should be a valid integer, unable to parse string as an integer"
TOLD = (
    f"Your answer does not have the required format:\n- {PROBLEM}\n"
    "Answer again with the complete JSON and nothing else."
)
SAID = [{"role": "assistant", "content": BAD}, {"role": "user", "content": TOLD}]
ASKED: dict[str, Any] = {**CHAT, "response_format": City, "ask_again": 2}
RESPONSE: dict[str, Any] = {"model": "m", "input": "Hi.", "text_format": City, "ask_again": 2}


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def chats(*texts: str) -> Iterator[Reply]:
    return (Reply.chat(text, stream=False) for text in texts)


def responses(*texts: str) -> Iterator[Reply]:
    return (Reply.response(text, stream=False) for text in texts)


async def test_the_model_is_told_what_is_wrong_with_its_answer(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [*chats(BAD, GOOD)])
    client, _ = client_over(server)
    async with client:
        completion = await client.chat.completions.create(**ASKED)
    assert completion.parsed == OSLO
    first, second = (request.json() for request in server.requests)
    assert second == {**first, "messages": [*first["messages"], *SAID]}
    assert first["messages"] == CHAT["messages"]
    assert "ask_again" not in first


async def test_each_attempt_is_visible_with_its_answer_and_error(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [*chats(BAD, "no JSON", GOOD)])
    client, _ = client_over(server)
    async with client:
        completion = await client.chat.completions.create(**ASKED)
    first, second, third = completion.attempts
    assert first.error == f"the answer does not fit the class: {PROBLEM}"
    assert first.answer.parsed == Unparsed("invalid", BAD, problems=(PROBLEM,))
    assert first.answer.text == BAD
    assert first.answer.attempts == (first,)
    assert second.error is not None
    assert second.error.startswith("the answer does not fit the class: it is not JSON: ")
    assert third == AnswerAttempt(completion, None)
    assert third.answer is completion


async def test_the_last_answer_is_returned_if_none_fits(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [*chats(BAD, BAD, BAD)])
    client, _ = client_over(server)
    async with client:
        completion = await client.chat.completions.create(**ASKED)
    assert completion.parsed.reason == "invalid"
    assert [attempt.error is None for attempt in completion.attempts] == [False] * 3
    messages = server.requests[2].json()["messages"]
    assert messages == [*CHAT["messages"], *SAID, *SAID]


async def test_only_invalid_answers_are_asked_for_again(nursery: trio.Nursery) -> None:
    cut = {"choices": [{"index": 0, "message": {"content": BAD[:9]}, "finish_reason": "length"}]}
    refused = {"choices": [{"index": 0, "message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}
    server = await serve(nursery, [Reply.json(cut), Reply.json(refused), *chats(GOOD)])
    client, _ = client_over(server)
    async with client:
        for reason in ("length", "refusal"):
            completion = await client.chat.completions.create(**ASKED)
            assert completion.parsed.reason == reason
            assert len(completion.attempts) == 1
        assert len((await client.chat.completions.create(**ASKED)).attempts) == 1
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"input": [{"role": "user", "content": "Hi."}, *SAID]}),
        ({"input": ({"role": "user", "content": "Ho."},)}, {"input": [{"role": "user", "content": "Ho."}, *SAID]}),
        ({"conversation": "conv_1"}, {"input": SAID[1:]}),
        ({"previous_response_id": "resp_0"}, {"input": SAID[1:], "previous_response_id": "resp_1"}),
        (
            {"previous_response_id": "resp_0", "store": False},
            {"input": [{"role": "user", "content": "Hi."}, *SAID], "previous_response_id": "resp_0"},
        ),
    ],
    ids=["text", "items", "conversation", "previous_response_id", "not stored"],
)
async def test_responses_get_what_the_server_has_not_stored(
    nursery: trio.Nursery, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    answers = [json.loads(_body(reply)) for reply in responses(BAD, GOOD)]
    server = await serve(nursery, [Reply.json({**answer, "id": "resp_1"}) for answer in answers])
    client, _ = client_over(server)
    async with client:
        response = await client.responses.create(**{**RESPONSE, **given})
    assert response.output_parsed == OSLO
    assert len(response.attempts) == 2
    sent = server.requests[1].json()
    assert {name: sent[name] for name in expected} == expected


def _body(reply: Any) -> bytes:
    return b"".join(part for part in reply.body if isinstance(part, bytes))


async def test_with_raw_response_returns_the_last_attempt(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [*chats(BAD, GOOD)])
    client, _ = client_over(server)
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**ASKED)
    assert json.loads(raw.content)["choices"][0]["message"]["content"] == GOOD
    assert raw.parse().parsed == OSLO
    assert len(raw.parse().attempts) == 2


async def test_an_error_of_a_later_request_keeps_the_answers_before_it(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [*chats(BAD), Reply.error(500, "broken")])
    client, _ = client_over(server, max_retries=0)
    async with client:
        with pytest.raises(InternalServerError, match="broken") as caught:
            await client.chat.completions.create(**ASKED)
    assert caught.value.partial.text == BAD
    assert len(caught.value.partial.attempts) == 1


def test_the_blocking_client_asks_again() -> None:
    with served([*responses(BAD, GOOD)]) as server, server.client() as client:
        response = client.responses.create(**RESPONSE)
    assert response.output_parsed == OSLO
    assert len(response.attempts) == len(server.server.requests) == 2


async def test_choices_have_their_own_objects(nursery: trio.Nursery) -> None:
    texts = [(0, GOOD, "stop"), (1, BAD, "stop"), (2, '{"people"', "length")]
    choices = [{"index": i, "message": {"content": text}, "finish_reason": end} for i, text, end in texts]
    server = await serve(nursery, [Reply.json({"choices": [*choices, {"index": 3, "message": {}}]})])
    client, _ = client_over(server)
    async with client:
        completion = await client.chat.completions.create(**CHAT, n=4, response_format=City)
    parsed = [choice.message.parsed for choice in completion.choices]
    assert parsed == [OSLO, None, None, None]
    assert parsed[0] is completion.parsed
    assert type(completion.choices[3].message) is ParsedChatCompletionMessage
    assert completion.to_dict()["choices"][0] == choices[0]


async def test_the_message_of_a_stream_has_the_object(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [Reply.chat(GOOD), Reply.response(GOOD)])
    client, _ = client_over(server)
    async with client:
        async with client.chat.completions.stream(**CHAT, response_format=Keys) as stream:
            assert (await stream.get_final_completion()).choices[0].message.parsed is None
        async with client.responses.stream(model="m", input="Hi.", text_format=City) as other:
            assert (await other.get_final_response()).output_parsed == OSLO


async def test_ask_again_is_refused_where_it_cannot_work(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.error(500, "no request was expected"))
    client, transport = client_over(server, max_retries=0)
    create = client.chat.completions.create
    async with client:
        cases: list[tuple[Any, dict[str, Any], str]] = [
            (create, {**CHAT, "ask_again": 1}, "ask_again needs a class as response_format=..., since only then"),
            (create, {**CHAT, "ask_again": 1, "response_format": {"type": "text"}}, "ask_again needs a class as"),
            (client.responses.create, {"model": "m", "ask_again": 1}, "ask_again needs a class as text_format=..."),
            (
                create,
                {**ASKED, "ask_again": -1},
                "ask_again takes the number of further requests, zero or",
            ),
            (create, {**ASKED, "ask_again": "2"}, "ask_again takes a whole number, not str"),
            (create, {**ASKED, "ask_again": True}, "ask_again takes a whole number, not bool"),
            (create, {**ASKED, "n": 2}, "ask_again follows a single choice: leave n out"),
            (create, {**ASKED, "stream": True}, "ask_again needs a whole answer: call create"),
            (
                client.completions.create,
                {"model": "m", "prompt": "", "ask_again": 1},
                "there is no parameter 'ask_again'",
            ),
        ]
        for call, params, sentence in cases:
            error = await outcome(call, **params)
            assert isinstance(error, TypeError | ValueError)
            assert sentence in str(error)
        for door in (client.chat.completions.stream, client.chat.completions.call):
            with pytest.raises(TypeError, match="ask_again needs a whole answer"):
                door(**ASKED)
    assert transport.statistics().opened == 0


def test_only_create_shows_ask_again_in_its_signature() -> None:
    for client in (TrioOpenAI(api_key="sk-test"), SyncOpenAI(api_key="sk-test")):
        for endpoint in (client.chat.completions, client.responses):
            assert "ask_again" in inspect.signature(endpoint.create).parameters
            assert "ask_again" not in inspect.signature(endpoint.stream).parameters
        assert "ask_again" not in inspect.signature(client.completions.create).parameters
