"""Replies of the endpoints that do not stream: models, embeddings, and pages of input items."""

from __future__ import annotations

import base64
from array import array
from typing import Any

from trio_openai.testing import RecordedRequest, Reply

MODELS = {"object": "list", "data": [{"id": "a", "object": "model", "owned_by": "me"}, {"id": "b"}]}


def vector(*numbers: float) -> str:
    return base64.b64encode(array("f", numbers).tobytes()).decode()


def embedded(*vectors: Any) -> Reply:
    data = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(vectors)]
    return Reply.json({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3}})


ITEMS: list[dict[str, Any]] = [
    {
        "id": "msg_1",
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_image", "image_url": "data:"}],
    },
    {"id": "msg_2", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
    {"id": "fc_1", "type": "function_call", "name": "f", "arguments": "{}"},
    {"id": "x_1", "type": "configuration_update", "what": 1},
]


def items(request: RecordedRequest) -> Reply:
    """Answer with two items per page. The last page is empty."""
    after = request.target.partition("after=")[2].partition("&")[0]
    begin = next((n + 1 for n, item in enumerate(ITEMS) if item["id"] == after), 0)
    data = ITEMS[begin : begin + 2]
    return Reply.json({"object": "list", "data": data, "has_more": bool(data), "first_id": "a", "last_id": "b"})
