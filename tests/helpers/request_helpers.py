"""Make one call, and look at the request that it sends."""

from __future__ import annotations

from typing import Any

import trio
from net_helpers import CHAT, http_client, serve

from trio_openai import TrioOpenAI, TrioTransport
from trio_openai.testing import RecordedRequest, Reply

HELLO = Reply.chat("Hello there, you.")
PLAIN = Reply.chat("Hello there, you.", stream=False)
LOCAL = "http://localhost:8080/v1"


async def sent(
    nursery: trio.Nursery, options: dict[str, Any], params: dict[str, Any], *, stream: bool = False
) -> RecordedRequest:
    """Return the request that one call makes."""
    server = await serve(nursery, HELLO if stream else PLAIN)
    transport = TrioTransport(open_stream=server.open_stream)
    async with TrioOpenAI(**{"base_url": LOCAL, **options}, http_client=http_client(transport)) as client:
        answer: Any = await client.chat.completions.create(**{**CHAT, **params}, **({"stream": True} if stream else {}))
        if stream:
            await answer.aclose()
    (request,) = server.requests
    return request
