"""The types of structured outputs, for mypy and pyright: the functions are checked, and never called."""

from __future__ import annotations

import dataclasses
from typing import TypedDict, assert_type

import attrs
import pydantic

from trio_openai import AnswerAttempt, RawResponse, TrioOpenAI, Unparsed
from trio_openai.sync import SyncOpenAI
from trio_openai.types import ParsedChatCompletion, ParsedResponse


@attrs.define
class Fields:
    """A class made by attrs."""

    size: int


@dataclasses.dataclass
class Data:
    """A dataclass."""

    size: int


class Keys(TypedDict):
    """A TypedDict."""

    size: int


class Model(pydantic.BaseModel):
    """A pydantic model."""

    size: int


async def chat_of_each_kind(client: TrioOpenAI) -> None:
    create = client.chat.completions.create
    fields = await create(model="m", messages=[], response_format=Fields)
    assert_type(fields.choices[0].message.parsed, Fields | None)
    assert_type(fields.parsed, Fields | Unparsed)
    data = await create(model="m", messages=[], response_format=Data)
    assert_type(data.choices[0].message.parsed, Data | None)
    keys = await create(model="m", messages=[], response_format=Keys)
    assert_type(keys.choices[0].message.parsed, Keys | None)
    model = await create(model="m", messages=[], response_format=Model, ask_again=2)
    assert_type(model.choices[0].message.parsed, Model | None)
    assert_type(model.attempts, tuple[AnswerAttempt[ParsedChatCompletion[Model]], ...])
    async with client.chat.completions.stream(model="m", messages=[], response_format=Model) as stream:
        assert_type(stream.parsed, Model | Unparsed)
        assert_type((await stream.get_final_completion()).choices[0].message.parsed, Model | None)


async def responses_of_each_kind(client: TrioOpenAI) -> None:
    create = client.responses.create
    assert_type((await create(model="m", text_format=Fields)).output_parsed, Fields | None)
    assert_type((await create(model="m", text_format=Data)).output_parsed, Data | None)
    assert_type((await create(model="m", text_format=Keys)).output_parsed, Keys | None)
    response = await create(model="m", text_format=Model, ask_again=1)
    assert_type(response.output_parsed, Model | None)
    assert_type(response.attempts[0].answer, ParsedResponse[Model])
    assert_type(response.attempts[0].error, str | None)
    raw = await client.responses.with_raw_response.create(model="m", text_format=Model, ask_again=1)
    assert_type(raw, RawResponse[ParsedResponse[Model]])


def the_blocking_client(client: SyncOpenAI) -> None:
    completion = client.chat.completions.create(model="m", messages=[], response_format=Model, ask_again=1)
    assert_type(completion.choices[0].message.parsed, Model | None)
    assert_type(client.responses.create(model="m", text_format=Keys, ask_again=1).output_parsed, Keys | None)


async def only_whole_answers_ask_again(client: TrioOpenAI) -> None:
    await client.chat.completions.create(model="m", messages=[], stream=True, response_format=Model, ask_again=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
