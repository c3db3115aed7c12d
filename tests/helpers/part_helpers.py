"""Helpers for the tests of a stream's parts: they turn events into deltas."""

from __future__ import annotations

from typing import Any

from streams import DONE, Json, Played, chat, responses, sse

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai.types.deltas import Delta


def said(protocol: Any, events: list[Any], *, to_the_end: bool = True) -> list[Delta]:
    """Return the deltas of a stream's events, and of its end."""
    parts = protocol.deltas()
    made = [delta for event in events for delta in parts.add(event)]
    return made + parts.end() if to_the_end else made


def said_by(played: Played) -> list[Delta]:
    """Return the deltas of a stream, and of its end if the stream is complete."""
    fresh = ChatProtocol() if isinstance(played.protocol, ChatProtocol) else ResponseProtocol()
    return said(fresh, played.events, to_the_end=played.error is None)


def said_in_chat(*chunks: Json, to_the_end: bool = True) -> list[Delta]:
    return said(ChatProtocol(), chat(*map(sse, chunks), cut_by=None).events, to_the_end=to_the_end)


def said_in_response(*events: Json, to_the_end: bool = True) -> list[Delta]:
    return said(ResponseProtocol(), responses(*map(sse, events), DONE, cut_by=None).events, to_the_end=to_the_end)
