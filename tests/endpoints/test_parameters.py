"""Invalid arguments are refused at every door, before anything is sent, with an error that says what to do."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from endpoint_helpers import CASES, NAMES, Case
from net_helpers import CHAT, client_over, no_environment, outcome, serve

from trio_openai import TrioOpenAI
from trio_openai._endpoints._parameters import Parameters
from trio_openai.testing import Reply
from trio_openai.types import ChatCompletionMessage, params, stored_params

every_endpoint = pytest.mark.parametrize("case", CASES, ids=NAMES)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def refusals(nursery: trio.Nursery, case: Case, *where: Any, **given: Any) -> list[Any]:
    """Return the error that each door raises, after checking that no connection was opened."""
    server = await serve(nursery, Reply.error(500, "no request was expected"))
    client, transport = client_over(server, max_retries=0)
    endpoint = case.of(client)

    async def enter() -> None:
        async with endpoint.stream(*where, **given):
            pass

    async def start() -> None:
        async with trio.open_nursery() as inner:
            await endpoint.start_stream(inner, *where, **given)

    async def call() -> None:
        endpoint.call(*where, **given)
        await trio.lowlevel.checkpoint()

    async with client:
        create = case.create(client)
        errors = [await outcome(door) for door in (enter, start, call)]
        errors += [await outcome(create, *where, **given, **more) for more in ({}, {"stream": True})]
        assert transport.statistics().opened == 0
    assert server.statistics().accepted == 0
    return [error.exceptions[0] if isinstance(error, ExceptionGroup) else error for error in errors]


@every_endpoint
async def test_unknown_parameter_error_suggests_extra_body(nursery: trio.Nursery, case: Case) -> None:
    for error in await refusals(nursery, case, *case.where, **case.params, top_k=40):
        assert isinstance(error, TypeError)
        assert "extra_body={'top_k': ...}" in str(error)
        assert "40" not in str(error)


@every_endpoint
async def test_missing_parameter_is_named(nursery: trio.Nursery, case: Case) -> None:
    required = re.findall("'(\\w+)'", repr(sorted(case.of(TrioOpenAI(api_key="k"))._parameters._required)))
    assert set(required) <= case.params.keys()
    for name in required:
        left = {key: value for key, value in case.params.items() if key != name}
        for error in await refusals(nursery, case, *case.where, **left):
            assert isinstance(error, TypeError)
            assert str(error) == f"{name} is missing: give {name}=..."


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("chat.completions", {"model": None}, r"model takes a string, such as \"gpt-4o-mini\", not NoneType"),
    ("chat.completions", {"model": b"m"}, "model takes a string.*not bytes"),
    ("chat.completions", {"messages": "Hi"}, r"messages takes a list, such as \[\{.*not str"),
    ("chat.completions", {"messages": {"role": "user"}}, "messages takes a list.*not dict"),
    ("chat.completions", {"messages": ["Hi"]}, "one of its items is of type str"),
    ("chat.completions", {"messages": None}, "messages takes a list.*not NoneType"),
    ("chat.completions", {"temperature": "hot"}, "temperature takes a number, not str"),
    ("chat.completions", {"temperature": True}, "temperature takes a number, not bool"),
    ("chat.completions", {"n": 1.5}, "n takes a whole number, not float"),
    ("chat.completions", {"n": True}, "n takes a whole number, not bool"),
    ("chat.completions", {"logprobs": 1}, "logprobs takes True or False, not int"),
    ("chat.completions", {"stop": 3}, "stop takes a string or a list, not int"),
    ("chat.completions", {"tools": "all"}, "tools takes a list, not str"),
    ("chat.completions", {"tools": [3]}, "one of its items is of type int"),
    ("chat.completions", {"tool_choice": ["auto"]}, "tool_choice takes a string or a dictionary, not list"),
    ("chat.completions", {"logit_bias": [1]}, "logit_bias takes a dictionary, not list"),
    ("chat.completions", {"extra_body": 5}, "extra_body takes a dictionary, not int"),
    ("chat.completions", {"extra_query": "q"}, "extra_query takes a dictionary, not str"),
    ("chat.completions", {"extra_headers": 5}, "extra_headers takes a dictionary of strings, not int"),
    ("chat.completions", {"timeout": "5"}, "timeout takes seconds"),
    ("chat.completions", {"temprature": 1}, "did you mean 'temperature'"),
    ("completions", {"prompt": 5}, "prompt takes a string or a list, not int"),
    ("responses", {"input": {"role": "user"}}, "input takes a string or a list, not dict"),
    ("responses", {"input": [1]}, "one of its items is of type int"),
    ("responses", {"model": 4}, "model takes a string"),
    ("responses", {"background": "yes"}, "background takes True or False"),
    ("responses", {"resume": 1}, "resume takes True or False"),
    ("images.generate", {"prompt": None}, "prompt takes a string, not NoneType"),
    ("images.generate", {"partial_images": "2"}, "partial_images takes a whole number"),
    ("images.edit", {"image": "cat.png"}, "wrap it in pathlib.Path"),
    ("images.edit", {"image": []}, "at least one file"),
    ("images.edit", {"image": [b"1", 2]}, "image takes a pathlib.Path.*not int"),
    ("images.edit", {"mask": None}, "mask takes a pathlib.Path.*not NoneType"),
    ("audio.transcriptions", {"file": None}, "file takes a pathlib.Path.*not NoneType"),
    ("audio.transcriptions", {"file": ("a.wav",)}, "name, content"),
    ("audio.transcriptions", {"file": ("a.wav", "text")}, "not str"),
    ("audio.transcriptions", {"file": ("a.wav", b"", 5)}, "content type is a string"),
    ("audio.transcriptions", {"file": (5, b"")}, "name, content"),
    ("audio.transcriptions", {"include": "logprobs"}, "include takes a list, not str"),
    ("audio.transcriptions", {"extra_body": {"x": object}}, "x cannot be sent as text"),
    ("audio.speech", {"voice": 3}, "voice takes a string or a dictionary, not int"),
    ("audio.speech", {"extra_body": {"x": object}}, "cannot be sent as JSON"),
]


@pytest.mark.parametrize(("name", "wrong", "words"), WRONG, ids=[f"{name} {wrong}" for name, wrong, _ in WRONG])
async def test_wrong_type_is_refused(nursery: trio.Nursery, name: str, wrong: dict[str, Any], words: str) -> None:
    case = CASES[NAMES.index(name)]
    for error in await refusals(nursery, case, *case.where, **{**case.params, **wrong}):
        if "resume" in wrong and "needs a stream" in str(error):
            continue  # `create` without a stream refuses any `resume`
        assert isinstance(error, TypeError | ValueError)
        assert re.search(words, str(error)), str(error)


@pytest.mark.parametrize("bad", [5, None, "", " ", ".", ".."], ids=repr)
async def test_invalid_id_is_refused(nursery: trio.Nursery, bad: Any) -> None:
    case = CASES[NAMES.index("responses.retrieve")]
    for error in await refusals(nursery, case, bad):
        assert isinstance(error, TypeError | ValueError)
        assert "response_id takes" in str(error)
    async with TrioOpenAI(api_key="k") as client:
        for method in (client.responses.cancel, client.responses.delete, client.models.retrieve):
            assert isinstance(await outcome(method, bad), TypeError | ValueError)
        with pytest.raises((TypeError, ValueError)):
            client.responses.input_items.list(bad)


async def test_positional_arguments_are_counted(nursery: trio.Nursery) -> None:
    retrieve, chat = CASES[NAMES.index("responses.retrieve")], CASES[NAMES.index("chat.completions")]
    for case, where, given, words in [
        (retrieve, (), {}, "response_id is missing: give it as the first argument"),
        (retrieve, ("a", "b"), {}, "takes 1 positional argument(s), and 2 were given"),
        (retrieve, ("a",), {"response_id": "a"}, "given twice"),
        (chat, ("m",), {}, "takes no positional argument(s)"),
    ]:
        for error in await refusals(nursery, case, *where, **given):
            assert isinstance(error, TypeError)
            assert words in str(error)


async def test_none_means_not_given_and_iterables_become_lists(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.chat("Hi", stream=False))
    client, _ = client_over(server)
    async with client:
        await client.chat.completions.create(
            model="m",
            messages=(
                message for message in (CHAT["messages"][0], ChatCompletionMessage(role="assistant", content="x"))
            ),
            temperature=None,
            max_tokens=5,
            top_p=1,
            stop=("a", "b"),
            tools=iter([{"type": "function"}]),
            extra_body={"top_k": 40},
        )
    assert server.requests[0].json() == {
        "model": "m",
        "messages": [CHAT["messages"][0], {"role": "assistant", "content": "x"}],
        "temperature": None,
        "max_tokens": 5,
        "top_p": 1,
        "stop": ["a", "b"],
        "tools": [{"type": "function"}],
        "top_k": 40,
    }


async def test_plain_methods_refuse_unknown_parameters() -> None:
    async with TrioOpenAI(api_key="k") as client:
        unknown: list[Callable[..., Any]] = [
            client.models.list,
            client.models.retrieve,
            client.embeddings.create,
            client.responses.cancel,
            client.responses.input_items.list,
            client.audio.speech.stream_bytes,
        ]
        given: list[dict[str, Any]] = [{}, {"model": "m"}, {"model": "m", "input": "x"}, {"response_id": "r"}]
        given += [{"response_id": "r"}, {"model": "m", "input": "x", "voice": "v"}]
        for method, more in zip(unknown, given, strict=True):

            async def ask(method: Any = method, more: Any = more) -> None:
                result = method(top_k=40, **more)
                await result

            error = await outcome(ask)
            assert isinstance(error, TypeError)
            assert "extra_body" in str(error)
        with pytest.raises(TypeError, match="input and model are missing"):
            await client.embeddings.create()  # type: ignore[call-arg]


EVERY = {**vars(params), **vars(stored_params)}
DICTS = [value for name, value in EVERY.items() if name.endswith("Params")]


@pytest.mark.parametrize("typed_dict", DICTS, ids=lambda typed_dict: typed_dict.__name__)
def test_every_declared_type_has_a_check(typed_dict: Any) -> None:
    """Check that `Parameters` knows every class in an annotation, and finds the required parameters."""
    checks = Parameters(typed_dict, unchecked=("image", "markup", "mask", "file"))
    accepted = checks._accepted
    for name, takes in accepted.items():
        assert takes is None or takes.words, name
        assert takes is None or takes.classes or takes.is_list, name
    assert accepted.keys() == typed_dict.__annotations__.keys()
    assert checks._required == typed_dict.__required_keys__


def test_parameters_include_all_of_openai_python() -> None:
    """Programs can be ported without renaming parameters. Skipped if openai-python is not installed."""
    openai = pytest.importorskip("openai.types")
    pytest.importorskip("openai.types.audio")
    pytest.importorskip("openai.types.chat.completions")
    conversations = pytest.importorskip("openai.types.conversations")
    theirs = {
        params.ChatCompletionParams: openai.chat.completion_create_params.CompletionCreateParamsBase,
        params.CompletionParams: openai.completion_create_params.CompletionCreateParamsBase,
        params.ResponseParams: openai.responses.response_create_params.ResponseCreateParamsBase,
        params.ResponseRetrieveParams: openai.responses.response_retrieve_params.ResponseRetrieveParamsBase,
        params.InputItemListParams: openai.responses.input_item_list_params.InputItemListParams,
        params.ImageGenerateParams: openai.image_generate_params.ImageGenerateParamsBase,
        params.ImageEditParams: openai.image_edit_params.ImageEditParamsBase,
        params.TranscriptionStreamParams: openai.audio.transcription_create_params.TranscriptionCreateParamsBase,
        params.EmbeddingParams: openai.embedding_create_params.EmbeddingCreateParams,
        params.ChatCompletionListParams: openai.chat.completion_list_params.CompletionListParams,
        params.ChatCompletionUpdateParams: openai.chat.completion_update_params.CompletionUpdateParams,
        params.PageParams: openai.chat.completions.message_list_params.MessageListParams,
        stored_params.BatchCreateParams: openai.batch_create_params.BatchCreateParams,
        stored_params.BatchListParams: openai.batch_list_params.BatchListParams,
        stored_params.FileCreateParams: openai.file_create_params.FileCreateParams,
        stored_params.FileListParams: openai.file_list_params.FileListParams,
        stored_params.ModerationCreateParams: openai.moderation_create_params.ModerationCreateParams,
        stored_params.ResponseCompactParams: openai.responses.response_compact_params.ResponseCompactParams,
        stored_params.InputTokenCountParams: openai.responses.input_token_count_params.InputTokenCountParams,
        stored_params.TranslationCreateParams: openai.audio.translation_create_params.TranslationCreateParams,
        stored_params.ConversationCreateParams: conversations.ConversationCreateParams,
        stored_params.ConversationUpdateParams: conversations.ConversationUpdateParams,
        stored_params.ConversationItemCreateParams: conversations.ItemCreateParams,
        stored_params.ConversationItemListParams: conversations.ItemListParams,
    }
    for ours, other in theirs.items():
        assert ours.__annotations__.keys() - params.CallParams.__annotations__.keys() >= other.__annotations__.keys()


def test_path_is_a_declared_type_of_a_file() -> None:
    """Compare the declaration with `Upload`, which accepts paths."""
    assert Path in typing.get_args(params.FileContent)
