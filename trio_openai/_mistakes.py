"""Checks for typical mistakes, whose errors say what to write instead.

Many programs come from openai-python, or forget an `async`. Everything that such a program may try is caught here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


# A type checker must not see the methods below: it would take a wrong program for a right one.

_OF_STREAMS = frozenset(
    {
        *(
            "text_deltas",
            "deltas",
            "tool_calls",
            "messages",
            "raw_bytes",
            "snapshot",
            "text",
            "parsed",
            "parsed_partial",
        ),
        *("get_final_completion", "get_final_response", "until_done", "subscribe", "settle", "aclose", "close"),
        *("response", "request_id", "verdict", "timings"),
    }
)


class EntersAsync:
    """A mixin for what has to be entered by `async with`."""

    if not TYPE_CHECKING:
        _what = "stream(...)"

        def _refuse(self, mistake: str) -> TypeError:
            return TypeError(
                f"{mistake}: {self._what} is entered by `async with {self._what} as stream:`, "
                "and then `async for event in stream:` reads it"
            )

        def __aiter__(self):
            raise self._refuse("`async for` has nothing to iterate yet")

        def __iter__(self):
            raise self._refuse("`for` cannot iterate this")

        def __enter__(self):
            raise self._refuse("`with` lacks its `async`")

        def __exit__(self, *_):
            raise NotImplementedError  # never called; `with` looks for both

        def __await__(self):
            raise self._refuse("`await` cannot wait for this")

        def __getattr__(self, name):
            if name.startswith("_") or name not in _OF_STREAMS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            error = self._refuse(f"{name} belongs to the stream, which has not been entered")
            raise AttributeError(str(error), name=name, obj=self)


class EntersBlocking:
    """A mixin for what has to be entered by `with`, in a program without an event loop."""

    if not TYPE_CHECKING:

        def _refuse(self, mistake: str) -> TypeError:
            return TypeError(
                f"{mistake}: stream(...) is entered by `with stream(...) as stream:`, "
                "and then `for event in stream:` reads it"
            )

        def __iter__(self):
            raise self._refuse("`for` has nothing to iterate yet")

        def __aiter__(self):
            raise self._refuse("SyncOpenAI has no `async for`; TrioOpenAI has")

        async def __aenter__(self):
            raise self._refuse("SyncOpenAI has no `async with`; TrioOpenAI has")

        async def __aexit__(self, *_):
            raise NotImplementedError  # never called; `async with` looks for both

        def __await__(self):
            raise self._refuse("SyncOpenAI has no `await`; TrioOpenAI has")

        def __getattr__(self, name):
            if name.startswith("_") or name not in _OF_STREAMS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            error = self._refuse(f"{name} belongs to the stream, which has not been entered")
            raise AttributeError(str(error), name=name, obj=self)


class IteratedAsync:
    """A mixin for what a stream's attributes give: iterated by `async for`, and never called."""

    if not TYPE_CHECKING:

        def __call__(self, *_, **__):
            raise TypeError(
                "text_deltas, deltas, tool_calls, messages and raw_bytes are attributes and not methods: leave the "
                "parentheses out, as in `async for text in stream.text_deltas:`"
            )

        def __iter__(self):
            raise TypeError("this is iterated by `async for`, as in `async for text in stream.text_deltas:`")


class IteratedBlocking:
    """The same for a program without an event loop."""

    if not TYPE_CHECKING:

        def __call__(self, *_, **__):
            raise TypeError(
                "text_deltas, deltas, tool_calls, messages and raw_bytes are attributes and not methods: leave the "
                "parentheses out, as in `for text in stream.text_deltas:`"
            )

        def __aiter__(self):
            raise TypeError("SyncOpenAI has no `async for`: write `for text in stream.text_deltas:`")


def format_hint(given: Any) -> str:
    """Return what to write in place of a value that cannot be the format of an answer."""
    cls: type[Any] = given if isinstance(given, type) else type(given)
    name, is_class = cls.__name__, isinstance(given, type)
    if hasattr(cls, "model_json_schema"):
        schema = f'{{"type": "json_schema", "json_schema": {{"name": "{name}", "schema": {name}.model_json_schema()}}}}'
        return (
            f"the pydantic model {name}: write the same fields in a class made by `@attrs.define`, or give its schema "
            f"as {schema} to response_format and make the object yourself"
        )
    if is_class and not hasattr(cls, "__attrs_attrs__") and hasattr(cls, "__total__"):
        return f"the TypedDict {name}: write `@attrs.define` and `class {name}:` with the same fields"
    if not is_class and (hasattr(cls, "__attrs_attrs__") or hasattr(cls, "__dataclass_fields__")):
        return f"an object of {name}: give the class itself, {name}"
    return f"the class {name}: put `@attrs.define` above it" if is_class else name


_ELSEWHERE = {
    "AsyncOpenAI": "TrioOpenAI is the client: `from trio_openai import TrioOpenAI`",
    "OpenAI": "the blocking client is SyncOpenAI: `from trio_openai.sync import SyncOpenAI`; on trio it is TrioOpenAI",
    "AsyncAzureOpenAI": "AzureOpenAI is on trio: `from trio_openai import AzureOpenAI`",
    "AsyncClient": "TrioOpenAI is the client: `from trio_openai import TrioOpenAI`",
    "Client": "TrioOpenAI is the client: `from trio_openai import TrioOpenAI`",
    "SyncOpenAI": "it is in a module of its own: `from trio_openai.sync import SyncOpenAI`",
    "SyncAzureOpenAI": "it is in a module of its own: `from trio_openai.sync import SyncAzureOpenAI`",
    "AsyncStream": "Stream is on trio: `from trio_openai import Stream`",
    "AsyncAPIResponse": "RawResponse is what with_raw_response gives: `from trio_openai import RawResponse`",
    "APIResponse": "RawResponse is what with_raw_response gives: `from trio_openai import RawResponse`",
    "DefaultAsyncHttpxClient": "give TrioOpenAI(http_client=httpx.AsyncClient(...)), or nothing",
    "DefaultHttpxClient": "give TrioOpenAI(http_client=httpx.AsyncClient(...)), or nothing",
    "DefaultAioHttpClient": "aiohttp does not run on trio: leave http_client out",
    "Timeout": "timeout= takes seconds or Deadlines: `from trio_openai import Deadlines`",
    "NOT_GIVEN": "leave the argument out",
    "NotGiven": "leave the argument out",
    "omit": "leave the argument out",
    "Omit": "leave the argument out",
    "APIConnectionTimeoutError": "it is APITimeoutError: `from trio_openai import APITimeoutError`",
    "BaseModel": "the classes of answers are in trio_openai.types; your own are made by attrs.define",
    "pydantic_function_tool": "give the function itself in tools=[...], or a Tool",
    "ScriptedServer": "it is for tests: `from trio_openai.testing import ScriptedServer`",
}
"""Names of openai-python, and those of modules of ours, with what to import in their place."""


def name_hint(name: str) -> str | None:
    """Return what to import in place of a name that the package does not have, or None."""
    return _ELSEWHERE.get(name)
