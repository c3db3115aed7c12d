"""Chunks, and a call without retries, for the tests of errors and deadlines."""

from __future__ import annotations

from typing import Any

from net_helpers import CHAT, client_over, outcome

from trio_openai import (
    TrioTransport,
)
from trio_openai.testing import ScriptedServer


def chunk(text: str | None = None, finish: str | None = None) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "created": 1, "choices": [choice]}


async def ask(server: ScriptedServer, *, stream: bool = False, **options: Any) -> tuple[Any, TrioTransport]:
    """Return the result of one call without retries, and the pool after it."""
    client, transport = client_over(server, **{"max_retries": 0, "max_connections": 1, **options})
    async with client:
        error = await outcome(client.chat.completions.create, **CHAT, stream=stream)
        held = transport.statistics()
        assert (held.active, held.waiting) == (0, 0), "the connection is released"
    return error, transport
