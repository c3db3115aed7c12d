"""The demo: six streams at once, a race, and many prompts.

It knows of this library what any program knows: its public names. There is a file for each scene (`together`, `race`,
`many`), `endpoints` for where the answers come from, and `view` for how it looks.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import trio

from trio_openai import OpenAIError, TrioOpenAI

from . import many, race, together
from .endpoints import Endpoint, from_local_model, from_script, named
from .view import View, make_view

if TYPE_CHECKING:
    import argparse

SCENES = (together.show, race.show, many.show)


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
    file = options.model if options.model and options.model.endswith(".gguf") else None
    if options.scripted:
        async with from_script() as endpoint:
            return await _show(endpoint, view)
    if options.base_url or options.api_key or (options.model and not file):
        return await _show(named(options.base_url, options.api_key, options.model), view)
    view.say("loading a model on this machine ...")
    async with from_local_model(file, parallel=len(together.PROMPTS)) as endpoint:
        return await _show(endpoint, view)


async def _show(endpoint: Endpoint, view: View) -> int:
    """Scene after scene, until one has errors."""
    async with TrioOpenAI(**endpoint.options) as client:
        for scene in SCENES:
            if errors := await scene(client, endpoint, view):
                _print_errors(errors)
                return 1
    return 0


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
