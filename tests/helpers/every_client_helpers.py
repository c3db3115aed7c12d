"""Replies and scenarios for the tests that run with every HTTP client."""

from __future__ import annotations

import math
from typing import Any

import every_client
from net_helpers import CHAT

from trio_openai import (
    TrioOpenAI,
)
from trio_openai.testing import Reply

TEXT = "Hello there, you."

HELLO = Reply.chat(TEXT)

BUSY = Reply.error(503, "busy", headers={"retry-after-ms": "1"})

NEVER = Reply(delay=math.inf)


async def read_stream(client: TrioOpenAI, **params: Any) -> str:
    async with client.chat.completions.stream(**CHAT, **params) as stream:
        return "".join([text async for text in stream.text_deltas])


async def read_plain(client: TrioOpenAI, **params: Any) -> str | None:
    return (await client.chat.completions.create(**CHAT, **params)).choices[0].message.content


every = every_client.of()

live = every_client.of(lambda kind: kind.is_live)

sockets = every_client.of(lambda kind: kind.has_sockets and kind.is_live)
