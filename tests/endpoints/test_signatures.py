"""`inspect.signature` shows every parameter of every method, for both clients."""

from __future__ import annotations

import inspect
import io
import pydoc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trio_openai import TrioOpenAI
from trio_openai._endpoints._endpoint import Endpoint
from trio_openai.sync import SyncOpenAI
from trio_openai.types.params import CallParams, ChatCompletionEveryParams

NAMED = inspect.Parameter.KEYWORD_ONLY


def methods(owner: Any, name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Find the methods of a client's endpoints, and endpoints that are themselves called."""
    for attribute in sorted(dir(owner)):
        if attribute[0] == "_" or attribute == "with_raw_response":
            continue
        value = getattr(owner, attribute)
        if isinstance(value, Endpoint):
            if callable(value):
                yield f"{name}.{attribute}", value
            yield from methods(value, f"{name}.{attribute}")
        elif inspect.isroutine(value) and isinstance(owner, Endpoint):
            yield f"{name}.{attribute}", value


CLIENTS = {"client": TrioOpenAI(api_key="k"), "sync": SyncOpenAI(api_key="k")}
METHODS = dict(pair for name, client in CLIENTS.items() for pair in methods(client, name))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_signature_shows_every_parameter(method: Callable[..., Any]) -> None:
    parameters = inspect.signature(method).parameters
    assert not {one.kind for one in parameters.values()} & {inspect.Parameter.VAR_KEYWORD}
    assert parameters.keys() >= CallParams.__annotations__.keys()
    assert all(one.annotation is not one.empty for one in parameters.values())


@pytest.mark.parametrize("door", ["stream", "start_stream", "call", "create", "run_tools"])
def test_model_and_messages_come_first_and_are_required(door: str) -> None:
    parameters = inspect.signature(getattr(CLIENTS["client"].chat.completions, door)).parameters
    named = [one for one in parameters.values() if one.kind is NAMED]
    assert [one.name for one in named[:2]] == ["model", "messages"]
    assert [one.name for one in named if one.default is one.empty] == ["model", "messages"]
    assert parameters.keys() >= ChatCompletionEveryParams.__annotations__.keys()


def test_types_and_defaults_are_shown() -> None:
    text = str(inspect.signature(CLIENTS["client"].chat.completions.stream))
    assert text.startswith("(*, model: str, messages: 'Iterable[ChatCompletionMessageParam]', ")
    assert "temperature: float | None = None" in text
    assert "response_format: 'ResponseFormat | type[Any] | None' = None" in text
    assert text.endswith("-> 'StreamManager[ChatCompletionStream]'")


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        (
            "client.responses.retrieve",
            "(response_id: str, *, stream: 'bool | None' = None",
            "'Response | ResponseStream'",
        ),
        (
            "sync.responses.retrieve",
            "(response_id: str, *, stream: 'bool | None' = None",
            "'Response | SyncResponseStream'",
        ),
        ("client.responses.create", "(*, model: str | None = None, input: ", "'Response | ResponseStream'"),
        ("sync.models.list", "(*, extra_headers: ", "'SyncPage[Model]'"),
        ("sync.audio.speech.stream", "(*, model: str, input: str, voice: ", "'SyncStreamManager[SyncSpeechStream]'"),
    ],
)
def test_signature_has_the_ids_of_the_path_and_the_result(name: str, start: str, end: str) -> None:
    text = str(inspect.signature(METHODS[name]))
    assert text.startswith(start)
    assert text.endswith(end)


@pytest.mark.parametrize("name", ["client.chat.completions.stream", "sync.chat.completions.stream"])
def test_help_shows_the_parameters(name: str) -> None:
    output = io.StringIO()
    pydoc.Helper(output=output).help(METHODS[name])
    text = " ".join(output.getvalue().split()).replace("( *", "(*")  # from Python 3.13 on, a long signature has lines
    assert "stream(*, model: str, messages: " in text
    assert "temperature: float | None = None" in text
    assert "Stream the response inside" in text


def test_signatures_of_classes_include_self() -> None:
    for cls in (type(CLIENTS["client"].models), type(CLIENTS["sync"].models)):
        assert list(inspect.signature(cls.retrieve).parameters)[:2] == ["self", "model"]


def test_a_lazy_signature_can_be_changed() -> None:
    signature = inspect.signature(type(CLIENTS["client"].models).retrieve)
    assert list(signature.replace(parameters=[]).parameters) == []
    assert not hasattr(signature, "other")


@pytest.mark.parametrize("name", ["client.chat.completions.stream", "sync.chat.completions.create"])
def test_jedi_completes_the_parameters(name: str) -> None:
    jedi = pytest.importorskip("jedi")
    completions = jedi.Interpreter(f"{name}(te", [CLIENTS]).complete()
    signatures = jedi.Interpreter(f"{name}(", [CLIENTS]).get_signatures()
    assert "temperature=" in [one.name_with_symbols for one in completions]
    assert [one.name for one in signatures[0].params[:2]] == ["model", "messages"]
