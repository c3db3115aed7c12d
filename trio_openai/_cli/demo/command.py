"""Run the demo: choose who answers, play the scenes, and turn errors into an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import trio

from trio_openai import OpenAIError, TrioOpenAI, TrioTransport
from trio_openai._httpx import httpx

from .backends import Backend, from_local_model, from_script, hold_back_first_call, named
from .display import Display, make_display
from .scenes import PROMPTS, SCENES

if TYPE_CHECKING:
    import argparse

_CODE = "trio_openai/_cli/demo/scenes.py"


def run_demo(options: argparse.Namespace) -> int:
    """Run the demo. Return the exit code: 0; 1 for an error that was printed; 130 after Ctrl-C."""
    display = make_display(plain=options.plain)
    code = 1
    try:
        code = trio.run(_interruptible, options, display)
    except* OpenAIError as group:
        _print_errors(list(_leaves(group)))
    except* KeyboardInterrupt:
        code = 130
    except* BrokenPipeError:
        # The reader of our output has gone. Discard the rest, also what the interpreter flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


async def _interruptible(options: argparse.Namespace, display: Display) -> int:
    """Run the demo so that Ctrl-C takes effect at a checkpoint, never between two instructions."""
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_raise_keyboard_interrupt, signals)
            code = await _run(options, display)
            nursery.cancel_scope.cancel()
    return code


async def _raise_keyboard_interrupt(signals: AsyncIterator[int]) -> None:
    await anext(signals)
    raise KeyboardInterrupt


async def _run(options: argparse.Namespace, display: Display) -> int:
    file = options.model if options.model and options.model.endswith(".gguf") else None
    if options.scripted:
        async with from_script() as backend:
            return await show(backend, display)
    if options.base_url or options.api_key or (options.model and not file):
        return await show(named(options.base_url, options.api_key, options.model), display)
    display.say("loading a model on this machine ...")
    async with from_local_model(file, parallel=len(PROMPTS)) as backend:
        return await show(backend, display)


async def show(backend: Backend, display: Display) -> int:
    """Show one scene after the other, until one has errors. Return the exit code."""
    began = trio.current_time()
    http = httpx.AsyncClient(transport=TrioTransport(), event_hooks={"response": [hold_back_first_call]})
    display.say(f"The answers come from {backend.name}.")
    async with TrioOpenAI(**backend.options, http_client=http) as client:
        for scene in SCENES:
            display.say()
            if errors := await scene(client, backend, display):
                _print_errors(errors)
                return 1
    display.say()
    display.say(f"All of this took {trio.current_time() - began:.1f} s. Its code is in {_CODE}")
    return 0


def _print_errors(errors: list[OpenAIError]) -> None:
    """Print each distinct error once. When a server refuses one stream, it refuses all of them."""
    for text in dict.fromkeys(f"{type(error).__name__}: {' '.join(str(error).split())}" for error in errors):
        print(f"error: {text}", file=sys.stderr)


def _leaves(group: BaseExceptionGroup[OpenAIError]) -> Iterator[OpenAIError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
