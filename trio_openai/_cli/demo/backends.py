"""The servers that answer the demo: a model on this machine, a scripted server, or one that the user names."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from trio_openai import OpenAIError, TrioOpenAI, TrioTransport
from trio_openai._http.secrets import shown_url
from trio_openai._httpx import httpx
from trio_openai.local import LocalServer
from trio_openai.testing import ScriptedServer

from . import script

CALL = "x-demo-call"
"""The header that tells the two calls of the race apart."""

HELD_BACK = 5.0
"""Seconds that the answer to the first call of the race is held back, as by a slow network."""

_PATIENCE = 5.0  # seconds for a server to notice that a stream has been closed

Freed = Callable[[TrioOpenAI], Awaitable[str]]
"""A function that waits until the server has noticed a closed stream, and describes how it noticed."""


@attrs.frozen
class Backend:
    """A server that answers the demo.

    Attributes:
        name: the name to print.
        model: the model to request.
        options: the options for `TrioOpenAI`.
        freed: waits until the server has noticed a closed stream. None if the server cannot be inspected.
    """

    name: str
    model: str
    options: dict[str, Any] = attrs.field(repr=False)
    freed: Freed | None = None

    async def closed(self, client: TrioOpenAI) -> str | None:
        """Wait until the server has noticed that a stream was closed. Return a description, or None if unknown.

        Raises:
            OpenAIError: the server is still working on the stream after five seconds.
        """
        await trio.lowlevel.checkpoint()
        if self.freed is None:
            return None
        began = trio.current_time()
        with trio.move_on_after(_PATIENCE):
            description = await self.freed(client)
            return f"{description} within {math.ceil((trio.current_time() - began) * 1000)} ms"
        raise OpenAIError(f"{_PATIENCE:g} seconds after a stream was closed the server is still working on it")


def named(base_url: str | None, api_key: str | None, model: str | None) -> Backend:
    """Return the server that the user or the environment names. Its printed name contains no password and no key."""
    url = base_url or os.environ.get("OPENAI_BASE_URL")
    name = _shown(url) if url else "OpenAI"
    return Backend(name, model or "gpt-4o-mini", {"base_url": base_url, "api_key": api_key})


def _shown(url: str) -> str:
    try:
        return str(shown_url(httpx.URL(url)))
    except httpx.InvalidURL:  # the client will report what is wrong with it
        return "the server"


@asynccontextmanager
async def from_local_model(file: str | None, *, parallel: int) -> AsyncGenerator[Backend]:
    """Run a model on this machine until the end of the block."""
    async with LocalServer(file, parallel=parallel) as server:

        async def freed(client: TrioOpenAI) -> str:
            await _wait_for_slot(server.base_url.removesuffix("/v1"), client)
            return "its slot was free"

        options = {"base_url": server.base_url, "api_key": "not needed"}
        yield Backend("llama.cpp on this machine", "local", options, freed)


async def _wait_for_slot(server: str, client: TrioOpenAI) -> None:
    """Wait until llama.cpp has no more busy slots than the client has open streams."""
    async with httpx.AsyncClient(transport=TrioTransport(), base_url=server) as http:
        while True:
            busy = sum(bool(slot["is_processing"]) for slot in (await http.get("/slots")).json())
            if busy <= client.statistics().open_streams:
                return
            await trio.sleep(0.001)


@asynccontextmanager
async def from_script() -> AsyncGenerator[Backend]:
    """Run a scripted server, which needs no model, until the end of the block."""
    server = ScriptedServer(script.answer)
    before = server.statistics()
    closed = 0

    async def freed(client: TrioOpenAI) -> str:  # noqa: ARG001 - the server counts disconnects itself
        nonlocal closed
        closed += 1
        await server.wait_disconnect(closed, since=before)
        return "the server noticed"

    async with trio.open_nursery() as nursery:
        await server.start(nursery)
        options = {"base_url": server.base_url, "api_key": "not needed"}
        yield Backend("a scripted server on this machine", "scripted", options, freed)
        nursery.cancel_scope.cancel()


async def hold_back_first_call(response: httpx.Response) -> None:
    """Hold back the answer to the first call of the race. This is a hook of the HTTP client."""
    await trio.sleep(HELD_BACK if response.request.headers.get(CALL) == "first" else 0)
