"""Helpers for tests of batch jobs: sources and sinks in memory, and a server that echoes its prompts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from net_helpers import client_over, serve

from trio_openai import TrioOpenAI
from trio_openai.testing import Cut, Pause, RecordedRequest, Reply, ScriptedServer


class ListSource:
    """A source that is a list of lines."""

    def __init__(self, lines: Iterable[Any]) -> None:
        self._lines = lines
        self.taken = 0

    def lines(self) -> Iterable[Any]:
        for line in self._lines:
            self.taken += 1
            yield line


class ListSink:
    """A sink that is a list of output lines."""

    def __init__(self, earlier: Iterable[Mapping[str, Any]] = ()) -> None:
        self.lines: list[dict[str, Any]] = [dict(line) for line in earlier]
        self.calls: list[str] = []

    async def open(self) -> Iterable[Mapping[str, Any]]:
        await self._called("open")
        return list(self.lines)

    async def write(self, lines: list[Mapping[str, Any]]) -> None:
        await self._called("write")
        self.lines += [dict(line) for line in lines]

    async def sync(self) -> None:
        await self._called("sync")

    async def aclose(self) -> None:
        await self._called("aclose")

    async def _called(self, name: str) -> None:
        assert not self.calls or not self.calls[-1].startswith("in "), "two calls at the same time"
        self.calls.append(f"in {name}")
        try:
            await trio.lowlevel.checkpoint()
        finally:
            self.calls[-1] = name

    def by_id(self) -> dict[str, dict[str, Any]]:
        return {line["custom_id"]: line for line in self.lines}


def prompts(*texts: str) -> list[dict[str, Any]]:
    """Return a short line for each text, whose `custom_id` is the text."""
    return [{"custom_id": text, "prompt": text} for text in texts]


def prompt_of(request: RecordedRequest) -> str:
    return str(request.json()["messages"][-1]["content"])


def echo(request: RecordedRequest) -> Reply:
    """Answer with the prompt. A prompt may ask for a pause in seconds or for a fault."""
    words = prompt_of(request)
    if words.startswith("fail"):
        return Reply.error(400, "no")
    chunk: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def delta(text: str, reason: str | None = None) -> dict[str, Any]:
        return {**chunk, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}

    if words.startswith("cut"):
        return Reply.sse(delta("half"), Cut())
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    pause = [Pause(float(words))] if words.replace(".", "").isdigit() else []
    return Reply.sse(*pause, delta(words, "stop"), {**chunk, "choices": [], "usage": usage})


@asynccontextmanager
async def echoing(script: Any = echo, **options: Any) -> AsyncIterator[tuple[TrioOpenAI, ScriptedServer]]:
    """Run a server in memory, and a client of it that does not retry."""
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, script)
        client, _ = client_over(server, **{"max_retries": 0, **options})
        async with client:
            yield client, server
        nursery.cancel_scope.cancel()


def write_lines(path: Path, lines: Iterable[Any]) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
