"""`auto_reply`, a stand-in for a model: a fixed paragraph in reply to any chat completion or response."""

from __future__ import annotations

from trio_openai.testing._replies import Reply
from trio_openai.testing._requests import RecordedRequest

DEFAULT_PACE = 0.02


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
    return Reply.auto(pace=pace).for_request(request)
