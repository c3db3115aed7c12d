"""The demo: six prompts at once, one of them under a deadline.

It knows of this library what any program knows: its public names. The heart of it is `_stream`; `_demo_view` draws.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import httpx
import trio

from . import OpenAIError, TrioOpenAI, TrioTransport
from ._demo_view import Row, View, make_view
from .local import LocalServer
from .testing import RecordedRequest, Reply, ScriptedServer, auto_reply

if TYPE_CHECKING:
    import argparse

PROMPTS = (
    "Explain in a few sentences why the sky is blue.",
    "Write a short poem about the sea.",
    "Tell a long story about an old lighthouse keeper.",
    "How do I make a good cup of tea?",
    "What is structured concurrency good for?",
    "Describe a walk through a forest in autumn.",
)
MAX_TOKENS = 100
CUT = 3  # the number of the prompt that has a deadline,
SECONDS_OF_TEXT = 1.2  # so long after its first event
PATIENCE = 300.0  # seconds, for any stream
PACE = 0.03  # seconds a word, from the scripted server

Freed = Callable[[Callable[[], int]], Awaitable[str]]
"""Waits until the server is done with the stream that was cut, and says how that shows.

It is given a function that tells how many streams are open.
"""


@attrs.frozen
class Endpoint:
    """Where the answers come from: what to call it, the model, `TrioOpenAI`'s options. `freed` where one can tell."""

    name: str
    model: str
    options: dict[str, Any]
    freed: Freed | None = None


def run_demo(options: argparse.Namespace) -> int:
    """Run the demo. Returns the exit code: 0, 1 for an error that was printed, 130 after Ctrl-C."""
    view = make_view(plain=options.plain)
    code = 1
    try:
        code = trio.run(_interruptible, options, view)
    except* OpenAIError as group:
        _print_errors(list(_leaves(group)))
    except* KeyboardInterrupt:
        code = 130
    except* BrokenPipeError:
        # Whoever read our output has gone: nothing more to say, also not when the interpreter flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


async def _interruptible(options: argparse.Namespace, view: View) -> int:
    """Have Ctrl-C end things at a checkpoint, and not between any two instructions."""
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_raise_keyboard_interrupt, signals)
            code = await _run(options, view)
            nursery.cancel_scope.cancel()
    return code


async def _raise_keyboard_interrupt(signals: AsyncIterator[int]) -> None:
    await anext(signals)
    raise KeyboardInterrupt


async def _run(options: argparse.Namespace, view: View) -> int:
    if options.scripted:
        return await _from_script(view)
    file = options.model if options.model and options.model.endswith(".gguf") else None
    if options.base_url or options.api_key or (options.model and not file):
        return await _from_endpoint(options, view)
    return await _from_local_model(file, view)


async def _from_local_model(file: str | None, view: View) -> int:
    view.say("loading a model on this machine ...")
    async with LocalServer(file, parallel=len(PROMPTS)) as server:

        async def freed(open_streams: Callable[[], int]) -> str:
            busy = await _wait_for_slot(server.base_url.removesuffix("/v1"), open_streams)
            return f"its slot in the server is free again, {busy} of {len(PROMPTS)} are busy"

        options = {"base_url": server.base_url, "api_key": "none is needed"}
        return await _show(Endpoint(f"llama.cpp at {server.base_url}", "local", options, freed), view)


async def _wait_for_slot(server: str, open_streams: Callable[[], int]) -> int:
    """Wait until llama.cpp is at work on no more answers than we have streams. Returns on how many it is."""
    async with httpx.AsyncClient(transport=TrioTransport(), base_url=server) as http:
        while True:
            busy = sum(bool(slot["is_processing"]) for slot in (await http.get("/slots")).json())
            if busy <= open_streams():
                return busy
            await trio.sleep(0.001)


async def _from_script(view: View) -> int:
    server = ScriptedServer(_answer)

    async def freed(_: Callable[[], int]) -> str:
        await server.wait_disconnect()
        return f"the server saw it go and has {server.statistics().connections} connections open"

    async with trio.open_nursery() as nursery:
        await server.start(nursery)
        options = {"base_url": server.base_url, "api_key": "none is needed"}
        code = await _show(Endpoint(f"a scripted server at {server.base_url}", "scripted", options, freed), view)
        nursery.cancel_scope.cancel()
    return code


def _answer(request: RecordedRequest) -> Reply:
    return auto_reply(request, pace=PACE)


async def _from_endpoint(options: argparse.Namespace, view: View) -> int:
    name = options.base_url or os.environ.get("OPENAI_BASE_URL") or "OpenAI"
    chosen = {"base_url": options.base_url, "api_key": options.api_key}
    return await _show(Endpoint(name, options.model or "gpt-4o-mini", chosen), view)


async def _show(endpoint: Endpoint, view: View) -> int:
    """Stream all prompts, draw them as they grow, and print what came of them."""
    rows = [Row(number, prompt) for number, prompt in enumerate(PROMPTS, 1)]
    began = trio.current_time()
    async with TrioOpenAI(**endpoint.options) as client:
        view.say(f"{len(rows)} streams at once from {endpoint.name}")
        with view:
            async with trio.open_nursery() as drawing:
                drawing.start_soon(_draw, view, rows)
                async with trio.open_nursery() as streams:
                    for row in rows:
                        streams.start_soon(_one, client, endpoint, row, rows, view)
                drawing.cancel_scope.cancel()
            view.draw(rows)
    return _report(rows, view, trio.current_time() - began)


async def _draw(view: View, rows: list[Row]) -> None:
    while True:
        view.draw(rows)
        await trio.sleep(0.1)


async def _one(client: TrioOpenAI, endpoint: Endpoint, row: Row, rows: list[Row], view: View) -> None:
    try:
        row.was_cut = await _stream(client, endpoint.model, row)
    except OpenAIError as error:
        row.error = error
    row.is_open = False
    view.over(row)
    await _wait_until_freed(endpoint.freed if row.was_cut else None, row, rows)


async def _stream(client: TrioOpenAI, model: str, row: Row) -> bool:
    """Stream the answer to a prompt. Returns whether the deadline cut it; what had arrived is `row.stream.snapshot`."""
    messages = [{"role": "user", "content": row.prompt}]
    with trio.move_on_after(PATIENCE) as scope:
        async with client.chat.completions.stream(model=model, messages=messages, max_tokens=MAX_TOKENS) as stream:
            row.stream = stream
            async for _chunk in stream:
                row.events += 1
                if row.number == CUT and row.events == 1:
                    scope.deadline = trio.current_time() + SECONDS_OF_TEXT
    return scope.cancelled_caught


async def _wait_until_freed(freed: Freed | None, row: Row, rows: list[Row]) -> None:
    await trio.lowlevel.checkpoint()
    if freed is None:
        return
    began = trio.current_time()
    with trio.move_on_after(5):
        said = await freed(lambda: sum(row.is_open for row in rows))
        row.freed = f"{said} ({(trio.current_time() - began) * 1000:.0f} ms later)"
        return
    row.error = OpenAIError("five seconds after the cut the server is still at work on that stream")


def _report(rows: list[Row], view: View, seconds: float) -> int:
    errors = [row.error for row in rows if row.error]
    if len(errors) < len(rows):
        view.table(rows)
        events = sum(row.events for row in rows)
        view.say(f"{len(rows)} streams, {events} events, {seconds:.1f} s")
    for row in rows:
        if row.was_cut:
            view.say(
                f"[{row.number}] was cut by its deadline, its {len(row.text)} characters are kept: ...{row.tail(50)}"
            )
        if row.freed:
            view.say(f"[{row.number}] {row.freed}")
    _print_errors(errors)
    return 1 if errors else 0


def _print_errors(errors: list[OpenAIError]) -> None:
    """Each once: when one stream is refused, so are the others."""
    for text in dict.fromkeys(f"{type(error).__name__}: {' '.join(str(error).split())}" for error in errors):
        print(f"error: {text}", file=sys.stderr)


def _leaves(group: BaseExceptionGroup[OpenAIError]) -> Iterator[OpenAIError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
