"""`auto_reply`, a stand-in for a model: a fixed paragraph in reply to any chat completion or response."""

from __future__ import annotations

from typing import Any, cast

from trio_openai.testing._http import RecordedRequest
from trio_openai.testing._openai_objects import words
from trio_openai.testing._replies import Reply

DEFAULT_PACE = 0.02

_PARAGRAPH = (
    "This answer comes from a scripted server, so no model has read the question. It arrives one word at a time, over "
    "real HTTP and server-sent events, at a steady pace. Cancel it whenever you like: the connection closes at once, "
    "the server notices, and nothing is left behind."
)


def auto_reply(request: RecordedRequest, *, pace: float = DEFAULT_PACE) -> Reply:
    """Answer any request for a chat completion or a response, streamed or not as its body says.

    The answer is a paragraph of about sixty words. It quotes the beginning of the last user message and depends on
    nothing else. It names the requested model. A chat stream reports usage if `stream_options` asks for it.

    Args:
        request: A POST to a path that ends in `/chat/completions` or `/responses`.
        pace: Seconds between words when streaming.

    Returns:
        The answer. Error 404 for another path or method, error 400 for a body that is not a JSON object with a "model".
    """
    is_chat = request.path.endswith("/chat/completions")
    if request.method != "POST" or not (is_chat or request.path.endswith("/responses")):
        return Reply.error(404, f"Invalid URL ({request.method} {request.path})")
    try:
        body = _object(request.json())
    except ValueError:
        return Reply.error(400, "We could not parse the JSON body of your request.")
    model = body.get("model")
    if not isinstance(model, str):
        return Reply.error(400, "you must provide a model parameter", param="model")
    return _chat(body, model, pace) if is_chat else _response(body, model, pace)


def _chat(body: dict[str, Any], model: str, pace: float) -> Reply:
    prompt = _last_user_text(body.get("messages"))
    stream = body.get("stream") is True
    usage = _object_or_empty(body.get("stream_options")).get("include_usage") is True
    tokens = len(words(prompt))
    return Reply.chat(_answer(prompt), pace=pace, usage=usage, stream=stream, model=model, prompt_tokens=tokens)


def _response(body: dict[str, Any], model: str, pace: float) -> Reply:
    asked = body.get("input")
    prompt = asked if isinstance(asked, str) else _last_user_text(asked)
    stream = body.get("stream") is True
    return Reply.response(_answer(prompt), pace=pace, stream=stream, model=model, prompt_tokens=len(words(prompt)))


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
