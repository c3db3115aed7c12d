"""What to do in place of what another client has, or does: the words of errors."""

from __future__ import annotations

from typing import Any

import trio

_INSTEAD = {
    "beta": "what openai-python has there is under client.chat and client.responses",
    "close": "it is `await client.aclose()`, or `async with`",
    "copy": "it is with_options(...)",
    "parse": "create(...) and stream(...) take a class themselves, as response_format=, or text_format= of responses",
    "run_tools": "TrioOpenAI has it; in a thread, call yourself what `stream.tool_calls` gives",
    "with_streaming_response": "a stream has `response`, `raw_bytes` and `messages`, other answers with_raw_response",
}


def no_attribute(owner: object, name: str) -> AttributeError:
    """The error for an attribute that is not there; if openai-python has it, with what is here instead."""
    hint = f": {_INSTEAD[name]}" if name in _INSTEAD else ""
    return AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=owner)


def check_in_trio() -> None:
    """Raise `RuntimeError` where trio does not run, as under asyncio."""
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "TrioOpenAI works inside of trio.run(...) only, and trio does not run here (asyncio, perhaps?); for a "
            "program without an event loop there is trio_openai.sync.SyncOpenAI"
        )


def check_http_client(given: Any) -> None:
    """Raise `TypeError` if it is no asynchronous client, which would show at the first request only."""
    if isinstance(given, type) or not (hasattr(given, "aclose") and hasattr(given, "build_request")):
        what = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
        raise TypeError(f"http_client takes an httpx.AsyncClient or httpx2.AsyncClient, not {what}")


def check_limiter(given: Any) -> None:
    """Raise `TypeError` if it is no `Limiter`; a `trio.CapacityLimiter` looks like one."""
    if isinstance(given, trio.CapacityLimiter) or not hasattr(given, "acquire"):
        raise TypeError(
            f"limiter takes a RateLimiter, an AdaptiveLimiter or a Limiter of your own, not {type(given).__name__}; "
            "so many requests at a time are max_connections=..."
        )
