"""`Auto`, the options of `Reply.auto`, and the answers that follow from them."""

from __future__ import annotations

from typing import Any, cast

import attrs

from trio_openai.testing._openai_objects import words
from trio_openai.testing._requests import RecordedRequest

_PARAGRAPH = (
    "This answer comes from a scripted server, so no model has read the question. It arrives one word at a time, over "
    "real HTTP and server-sent events, at a steady pace. Cancel it whenever you like: the connection closes at once, "
    "the server notices, and nothing is left behind."
)


@attrs.frozen
class Auto:
    """The options of `Reply.auto`, which documents them."""

    make: Any  # the class `Reply`, which imports this module
    text: str | None
    pace: float = attrs.field(default=0.0, kw_only=True)
    usage: bool | None = attrs.field(default=None, kw_only=True)
    model: str | None = attrs.field(default=None, kw_only=True)
    prompt_tokens: int | None = attrs.field(default=None, kw_only=True)
    headers: Any = attrs.field(default=(), kw_only=True)

    def reply(self, request: RecordedRequest) -> Any:
        """Return the answer to a request, or an error if there is none."""
        is_chat = request.path.endswith("/chat/completions")
        if request.method != "POST" or not (is_chat or request.path.endswith("/responses")):
            return self.make.error(404, f"Invalid URL ({request.method} {request.path})")
        try:
            body = _object(request.json())
        except ValueError:
            return self.make.error(400, "We could not parse the JSON body of your request.")
        if not isinstance(body.get("model"), str):
            return self.make.error(400, "you must provide a model parameter", param="model")
        return self._chat(body, request.wants_stream) if is_chat else self._response(body, request.wants_stream)

    def _chat(self, body: dict[str, Any], stream: bool) -> Any:
        usage = self.usage
        if usage is None:
            usage = _object_or_empty(body.get("stream_options")).get("include_usage") is True
        prompt = _last_user_text(body.get("messages"))
        return self.make.chat(self._text(prompt), usage=usage, stream=stream, **self._common(body, prompt))

    def _response(self, body: dict[str, Any], stream: bool) -> Any:
        asked = body.get("input")
        prompt = asked if isinstance(asked, str) else _last_user_text(asked)
        return self.make.response(self._text(prompt), stream=stream, **self._common(body, prompt))

    def _text(self, prompt: str) -> str:
        return _answer(prompt) if self.text is None else self.text

    def _common(self, body: dict[str, Any], prompt: str) -> dict[str, Any]:
        return {
            "pace": self.pace,
            "model": body["model"] if self.model is None else self.model,
            "prompt_tokens": len(words(prompt)) if self.prompt_tokens is None else self.prompt_tokens,
            "headers": self.headers,
        }


def _answer(prompt: str) -> str:
    quoted = prompt.split()
    if not quoted:
        return _PARAGRAPH
    return f'You asked: "{" ".join(quoted[:8])}{" ..." if len(quoted) > 8 else ""}" {_PARAGRAPH}'


def _last_user_text(messages: object) -> str:
    """Return the text of the last user message, whose content may be a string or a list of parts."""
    for message in reversed(_list(messages)):
        fields = _object_or_empty(message)
        if fields.get("role") == "user":
            content = fields.get("content")
            return content if isinstance(content, str) else _text_of_parts(content)
    return ""


def _text_of_parts(content: object) -> str:
    texts = [_object_or_empty(part).get("text") for part in _list(content)]
    return " ".join(text for text in texts if isinstance(text, str))


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return cast("dict[str, Any]", value)


def _object_or_empty(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []
