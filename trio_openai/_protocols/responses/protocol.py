"""Responses, as a protocol."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, get_args

import attrs

from trio_openai._wire import coalesce
from trio_openai._wire.convert import hook_for
from trio_openai._wire.failures import api_error
from trio_openai._wire.protocol import Reported
from trio_openai._wire.text import path_segment
from trio_openai._wire.usage import used_tokens
from trio_openai.errors import APIError
from trio_openai.types._base import Raw
from trio_openai.types.responses import Response, ResponseStreamEvent

from .snapshot import TERMINAL, ResponseSnapshot

if TYPE_CHECKING:
    from trio_openai._protocols.deltas import Parts

_EVENTS = {attrs.fields_dict(cls)["type"].default for cls in get_args(ResponseStreamEvent)}
_ORDINARY = _EVENTS - {None, "error", *TERMINAL}


class ResponseProtocol:
    """Responses: ends with the event that carries the finished response."""

    def __init__(self) -> None:
        self.ended = False
        self._snapshot = ResponseSnapshot()
        self._hook: Callable[[Raw, object], ResponseStreamEvent] = hook_for(ResponseStreamEvent)
        self._reason: str | None = None

    @property
    def text(self) -> str:
        return self._snapshot.text

    @property
    def has_content(self) -> bool:
        return self._snapshot.has_content

    def ordinary(self, raw: Raw) -> ResponseStreamEvent | None:
        kind = raw.get("type")
        return self._hook(raw, None) if type(kind) is str and kind in _ORDINARY else None

    def add(self, events: list[ResponseStreamEvent]) -> None:
        self._snapshot.add(events)

    def event(self, raw: Raw, name: str) -> ResponseStreamEvent:
        event = self._hook(raw if "type" in raw else {**raw, "type": name}, None)
        event.raw = raw  # as it was sent
        if (kind := raw.get("type", name)) in TERMINAL:
            self.ended, self._reason = True, kind
        return event

    def error(self, raw: Raw, name: str) -> Reported | None:
        """An `error` event, which `response.failed` may follow, or an unnamed object with an `error` (llama.cpp)."""
        if raw.get("type", name) == "error":
            return Reported(api_error(APIError, raw), is_event=True, may_end=True)
        is_error = name == "error" or ("type" not in raw and raw.get("error"))
        return Reported(api_error(APIError, raw)) if is_error else None

    def is_answer(self, raw: Raw) -> bool:  # noqa: ARG002
        return False

    def knows(self, name: str) -> bool:
        return name.startswith("response.")

    def whole_without_end(self) -> bool:
        return False

    @property
    def reason(self) -> str | None:
        return self._reason

    @property
    def tokens(self) -> int | None:
        return used_tokens(self._snapshot.usage)

    def failure(self) -> APIError | None:
        if self._reason != "response.failed":
            return None
        response = self.snapshot()
        return api_error(APIError, {"error": response.raw.get("error")}, prefix="the response failed", partial=response)

    def snapshot(self) -> Response:
        return self._snapshot.snapshot()

    def parts(self) -> Parts:
        from .deltas import ResponseParts

        return ResponseParts(self._snapshot.as_events())

    def resume_path(self) -> str | None:
        return f"/responses/{path_segment(self._snapshot.id)}" if self._snapshot.id else None

    def delta_of(self, event: ResponseStreamEvent) -> tuple[Hashable, str] | None:
        return coalesce.response_delta(event.raw)

    def with_delta(self, event: ResponseStreamEvent, text: str) -> ResponseStreamEvent:
        return self._hook(coalesce.with_response_delta(event.raw, text), None)
