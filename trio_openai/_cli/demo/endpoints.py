"""Where the demo's answers come from: a model on this machine, a script, or whatever is named."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import trio

from trio_openai import OpenAIError, TrioOpenAI, TrioTransport
from trio_openai._http.secrets import shown_url
from trio_openai.local import LocalServer
from trio_openai.testing import RecordedRequest, Reply, ScriptedServer, auto_reply

CALL = "x-demo-call"
"""A header by which the calls of the race are told apart."""

PACE = 0.03  # seconds a word, from the scripted server
_SLOW = 5.0  # seconds that it leaves the first call of the race waiting
_LITTLE = 20  # tokens
_PATIENCE = 5.0  # seconds for a server to notice that a stream has been closed

Freed = Callable[[TrioOpenAI], Awaitable[str]]
"""Waits until the server is done with a stream that the client has closed, and says how that shows."""


@attrs.frozen
class Endpoint:
    """Where the answers come from.

    Attributes:
        name: what to call it.
        model: the model to ask for.
        options: `TrioOpenAI`'s.
        freed: where one can look into the server.
    """

    name: str
    model: str
    options: dict[str, Any] = attrs.field(repr=False)
    freed: Freed | None = None

    async def closed(self, client: TrioOpenAI) -> str | None:
        """Wait until the server is done with a stream that was just closed; how that shows, if it can be seen.

        Raises:
            OpenAIError: it is still at work on it.
        """
        await trio.lowlevel.checkpoint()
        if self.freed is None:
            return None
        began = trio.current_time()
        with trio.move_on_after(_PATIENCE):
            said = await self.freed(client)
            return f"{said} ({(trio.current_time() - began) * 1000:.0f} ms later)"
        raise OpenAIError(f"{_PATIENCE:g} seconds after a stream was closed the server is still at work on it")


def named(base_url: str | None, api_key: str | None, model: str | None) -> Endpoint:
    """The server that the user or the environment names. Its name is printed, so it shows no password and no key."""
    url = base_url or os.environ.get("OPENAI_BASE_URL")
    name = _shown(url) if url else "OpenAI"
    return Endpoint(name, model or "gpt-4o-mini", {"base_url": base_url, "api_key": api_key})


def _shown(url: str) -> str:
    try:
        return str(shown_url(httpx.URL(url)))
    except httpx.InvalidURL:  # the client says what is wrong with it
        return "the server"


@asynccontextmanager
async def from_local_model(file: str | None, *, parallel: int) -> AsyncGenerator[Endpoint]:
    """A model on this machine, which ends with the block."""
    async with LocalServer(file, parallel=parallel) as server:

        async def freed(client: TrioOpenAI) -> str:
            busy = await _wait_for_slot(server.base_url.removesuffix("/v1"), client)
            return f"its slot in the server is free again, {busy} of {parallel} are busy"

        options = {"base_url": server.base_url, "api_key": "none is needed"}
        yield Endpoint(f"llama.cpp at {server.base_url}", "local", options, freed)


async def _wait_for_slot(server: str, client: TrioOpenAI) -> int:
    """Wait until llama.cpp is at work on no more answers than the client has streams. Returns on how many it is."""
    async with httpx.AsyncClient(transport=TrioTransport(), base_url=server) as http:
        while True:
            busy = sum(bool(slot["is_processing"]) for slot in (await http.get("/slots")).json())
            if busy <= client.statistics().open_streams:
                return busy
            await trio.sleep(0.001)


@asynccontextmanager
async def from_script() -> AsyncGenerator[Endpoint]:
    """A server without a model, which ends with the block."""
    server = ScriptedServer(answer)
    closed = 0

    async def freed(client: TrioOpenAI) -> str:  # noqa: ARG001 - the server knows by itself
        nonlocal closed
        closed += 1
        await server.wait_disconnect(closed)
        return "the server saw it go"

    async with trio.open_nursery() as nursery:
        await server.start(nursery)
        options = {"base_url": server.base_url, "api_key": "none is needed"}
        yield Endpoint(f"a scripted server at {server.base_url}", "scripted", options, freed)
        nursery.cancel_scope.cancel()


def answer(request: RecordedRequest) -> Reply:
    """What the scripted server says: little if little is asked for. To the race's first call it says it late."""
    if request.json()["max_tokens"] <= _LITTLE:
        return Reply.chat("A script does not know.", pace=PACE, model="scripted")
    reply = auto_reply(request, pace=PACE)
    return attrs.evolve(reply, delay=_SLOW) if request.header(CALL) == "first" else reply
