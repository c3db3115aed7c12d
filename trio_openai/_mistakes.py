"""Errors for typical mistakes. Each message says what to write instead.

Most mistakes are of two kinds. A program that was written for openai-python uses a name that is different here. Or a
program forgets an `async` or `await`, and would get an error of Python's that does not help. So the objects that a
program gets have methods such as `__iter__` that only raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import trio

_INSTEAD = {
    "beta": "its methods are under client.chat and client.responses",
    "close": "use `await client.aclose()`, or `async with`",
    "copy": "use with_options(...)",
    "parse": "give create(...) or stream(...) the class as response_format=, or as text_format= for responses",
    "with_streaming_response": "use `response`, `raw_bytes` or `messages` of a stream, or with_raw_response",
}
INSTEAD_IN_BLOCKING_CODE = {
    "aclose": "use client.close(), or `with`",
    "copy": _INSTEAD["copy"],
    "beta": _INSTEAD["beta"],
    "run_many": "it needs trio: use TrioOpenAI, or call create(...) in a ThreadPoolExecutor",
    "stream_many": "it needs trio: use TrioOpenAI, or call stream(...) in a ThreadPoolExecutor",
    "race": "it needs trio: use TrioOpenAI",
}
"""What to use instead of attributes that a blocking client does not have."""


def no_attribute(owner: object, name: str, instead: Mapping[str, str] = _INSTEAD) -> AttributeError:
    """Return the error for an unknown attribute. If it is a known mistake, the message says what to use instead."""
    hint = f": {instead[name]}" if name in instead else ""
    return AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=owner)


def check_in_trio() -> None:
    """Raise `RuntimeError` outside of trio, for example under asyncio."""
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "TrioOpenAI works only inside of trio.run(...), and trio is not running here (is it asyncio?); in a "
            "program without an event loop, use trio_openai.sync.SyncOpenAI; in a notebook, use that too, or run "
            "%autoawait trio first"
        )


def check_http_client(given: Any) -> None:
    """Raise `TypeError` unless it is an async HTTP client. A sync one would fail only at the first request."""
    if isinstance(given, type) or not (hasattr(given, "aclose") and hasattr(given, "build_request")):
        what = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
        raise TypeError(f"http_client takes an httpx.AsyncClient or httpx2.AsyncClient, not {what}")


def check_limiter(given: Any) -> None:
    """Raise `TypeError` unless it is a `Limiter`. A `trio.CapacityLimiter` has an `acquire` too, so it is refused."""
    if isinstance(given, type) and hasattr(given, "acquire"):
        name = given.__name__
        raise TypeError(f"limiter takes an object, not the class {name}: make one, as in {name}(...)")
    if isinstance(given, trio.CapacityLimiter) or not hasattr(given, "acquire"):
        raise TypeError(
            f"limiter takes a RateLimiter, an AdaptiveLimiter or your own Limiter, not {type(given).__name__}; "
            "to limit the number of requests at the same time, use max_connections=..."
        )


# Type checkers do not see the methods below, so that they still report the mistakes.

_OF_STREAMS = frozenset(
    {
        *("text_deltas", "deltas", "tool_calls", "messages", "raw_bytes", "snapshot", "text", "parsed"),
        *("parsed_partial", "get_final_completion", "get_final_response", "until_done", "subscribe", "settle"),
        *("aclose", "close", "response", "request_id", "verdict", "timings", "receive", "statistics"),
    }
)


class _NotEntered:
    """A mixin for context managers of a stream, or of what is read like one.

    It refuses the attributes that only the stream has. A class may change `_what`, the call that returns it, and
    `_names`, what to call the stream and an item of it.
    """

    if not TYPE_CHECKING:
        _what = "stream(...)"
        _names = ("stream", "event")
        _async = ""

        def _refuse(self, mistake: str) -> TypeError:
            whole, one = self._names
            return TypeError(
                f"{mistake}: enter it with `{self._async}with {self._what} as {whole}:`, "
                f"then read it with `{self._async}for {one} in {whole}:`"
            )

        def __getattr__(self, name):
            if name.startswith("_") or name not in _OF_STREAMS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            error = self._refuse(f"{name} is an attribute of `{self._names[0]}`, and the block has not been entered")
            raise AttributeError(str(error), name=name, obj=self)


class EntersAsync(_NotEntered):
    """A mixin for context managers that have to be entered with `async with`."""

    if not TYPE_CHECKING:
        _async = "async "

        def __aiter__(self):
            raise self._refuse("`async for` has nothing to iterate yet")

        def __iter__(self):
            raise self._refuse("`for` cannot iterate this")

        def __enter__(self):
            raise self._refuse("`with` needs an `async` before it")

        def __exit__(self, *_):
            raise NotImplementedError  # never called, but without it `with` raises an error of its own

        def __await__(self):
            raise self._refuse("`await` cannot wait for this")


class EntersBlocking(_NotEntered):
    """A mixin for context managers of the blocking client, which have to be entered with `with`."""

    if not TYPE_CHECKING:

        def __iter__(self):
            raise self._refuse("`for` has nothing to iterate yet")

        def __aiter__(self):
            raise self._refuse("SyncOpenAI has no `async for`; TrioOpenAI has")

        async def __aenter__(self):
            raise self._refuse("SyncOpenAI has no `async with`; TrioOpenAI has")

        async def __aexit__(self, *_):
            raise NotImplementedError  # never called, but without it `async with` raises an error of its own

        def __await__(self):
            raise self._refuse("SyncOpenAI has no `await`; TrioOpenAI has")


class ClientEntersAsync:
    """A mixin for clients that have to be entered with `async with`."""

    if not TYPE_CHECKING:

        def __enter__(self):
            raise TypeError(f"`with` needs an `async` before it: write `async with {type(self).__name__}() as client:`")

        def __exit__(self, *_):
            raise NotImplementedError  # never called, but without it `with` raises an error of its own


class ClientEntersBlocking:
    """A mixin for blocking clients, which have to be entered with `with`."""

    if not TYPE_CHECKING:

        async def __aenter__(self):
            name = type(self).__name__
            raise TypeError(f"{name} has no `async with`: write `with {name}() as client:`, or use TrioOpenAI")

        async def __aexit__(self, *_):
            raise NotImplementedError  # never called, but without it `async with` raises an error of its own


class IteratedAsync:
    """A mixin for attributes of a stream that are iterated with `async for`, and never called."""

    if not TYPE_CHECKING:
        _example = "async for text in stream.text_deltas:"

        def __call__(self, *_, **__):
            raise TypeError(
                "text_deltas, deltas, tool_calls, messages and raw_bytes are attributes, not methods: leave the "
                f"parentheses out, as in `{self._example}`"
            )

        def __iter__(self):
            raise TypeError(f"iterate this with `async for`, as in `{self._example}`")


class IteratedBlocking:
    """A mixin for attributes of a blocking stream, which are iterated with `for`."""

    if not TYPE_CHECKING:
        _example = "for text in stream.text_deltas:"
        __call__ = IteratedAsync.__call__

        def __aiter__(self):
            raise TypeError(f"SyncOpenAI has no `async for`: write `{self._example}`")


def format_hint(given: Any) -> str:
    """Return a hint for a value that cannot be the format of an answer: what it is, and what to write instead."""
    cls: type[Any] = given if isinstance(given, type) else type(given)
    name, is_class = cls.__name__, isinstance(given, type)
    if hasattr(given, "__origin__"):
        return f"{given}: make a class with a field of that type"
    if not is_class and any(hasattr(cls, mark) for mark in _MARKS_OF_FIELDS):
        return f"an object of {name}: give the class itself, {name}"
    if is_class and hasattr(cls, "parse_raw"):
        return f"the pydantic model {name}, which is one of pydantic 1: use pydantic 2"
    return f"the class {name}: put `@attrs.define` above it" if is_class else name


_MARKS_OF_FIELDS = ("__attrs_attrs__", "__dataclass_fields__", "model_json_schema")


_ELSEWHERE = {
    "AsyncOpenAI": "use TrioOpenAI: `from trio_openai import TrioOpenAI`",
    "OpenAI": "use TrioOpenAI with trio; the blocking client is SyncOpenAI: `from trio_openai import SyncOpenAI`",
    "AsyncAzureOpenAI": "use AzureOpenAI: `from trio_openai import AzureOpenAI`",
    "AsyncClient": "use TrioOpenAI: `from trio_openai import TrioOpenAI`",
    "Client": "use TrioOpenAI: `from trio_openai import TrioOpenAI`",
    "AsyncStream": "use Stream: `from trio_openai import Stream`",
    "AsyncAPIResponse": "with_raw_response returns a RawResponse: `from trio_openai import RawResponse`",
    "APIResponse": "with_raw_response returns a RawResponse: `from trio_openai import RawResponse`",
    "DefaultAsyncHttpxClient": "pass TrioOpenAI(http_client=httpx.AsyncClient(...)), or leave http_client out",
    "DefaultHttpxClient": "pass TrioOpenAI(http_client=httpx.AsyncClient(...)), or leave http_client out",
    "DefaultAioHttpClient": "aiohttp does not run on trio: leave http_client out",
    "Timeout": "timeout= takes seconds or Deadlines: `from trio_openai import Deadlines`",
    "NOT_GIVEN": "leave the argument out",
    "NotGiven": "leave the argument out",
    "omit": "leave the argument out",
    "Omit": "leave the argument out",
    "APIConnectionTimeoutError": "use APITimeoutError: `from trio_openai import APITimeoutError`",
    "BaseModel": "the classes of answers are in trio_openai.types; define your own with attrs.define",
    "pydantic_function_tool": "pass the function itself in tools=[...], or a Tool",
    "ScriptedServer": "it is for tests: `from trio_openai.testing import ScriptedServer`",
}
"""Names that the package does not export, most of them openai-python's, and what to use instead."""


def name_hint(name: str) -> str | None:
    """Return what to import instead of a name that the package does not export, or None."""
    return _ELSEWHERE.get(name)
