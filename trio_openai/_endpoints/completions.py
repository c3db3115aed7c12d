"""The endpoint Completions, the older API that continues a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from trio_openai._protocols.completions import CompletionProtocol
from trio_openai._stream.kinds import CompletionStream
from trio_openai._stream.stream import StreamCall, StreamManager
from trio_openai._wire.json import is_array
from trio_openai.types import Completion
from trio_openai.types.params import CompletionParams

from ._doors import DEFAULT_BUFFER, CreatingEndpoint
from ._endpoint import RawResponses, ReturnsT
from ._operations import Params
from ._parameters import Parameters

if TYPE_CHECKING:
    import trio

    from ._endpoint import Method, direct, raw


class Completions(CreatingEndpoint[ReturnsT, CompletionStream, Completion]):
    """Completions: the continuation of a text. `client.completions`."""

    with_raw_response: Completions[RawResponses]
    _path = "/completions"
    _parameters = Parameters(CompletionParams)
    _stream_class = CompletionStream
    _answer = Completion

    def _protocol(self, params: Params) -> Callable[[], CompletionProtocol]:
        # Every prompt gets `n` choices. A stream without a final [DONE] is complete when all of them have ended.
        choices = _prompts(params["prompt"]) * (params.get("n") or 1)
        return lambda: CompletionProtocol(choices)

    if TYPE_CHECKING:

        def stream(self, **params: Unpack[CompletionParams]) -> StreamManager[CompletionStream]: ...
        async def start_stream(
            self, nursery: trio.Nursery, *, buffer: int = DEFAULT_BUFFER, **params: Unpack[CompletionParams]
        ) -> CompletionStream: ...
        def call(self, *, key: object = None, **params: Unpack[CompletionParams]) -> StreamCall[CompletionStream]: ...
        @overload
        async def _create(self, *, stream: Literal[True], **params: Unpack[CompletionParams]) -> CompletionStream: ...
        @overload
        async def _create(
            self, *, stream: Literal[False] | None = None, **params: Unpack[CompletionParams]
        ) -> Completion: ...
        async def _create(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), raw(_create)
        create = Method(_direct, _raw)


def _prompts(prompt: Any) -> int:
    """Return the number of prompts. A list of integers is a single prompt, given as tokens."""
    return len(prompt) if is_array(prompt) and prompt and not isinstance(prompt[0], int) else 1
