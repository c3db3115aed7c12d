"""Python functions in the parameter `tools`, and the start of `run_tools`.

The code in `_tools/` is imported with the first function that a program passes. Most programs pass none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, cast

from trio_openai.types._base import WireObject

from ._doors import StreamingEndpoint, without_stream
from ._operations import Params

if TYPE_CHECKING:
    from trio_openai._tools.conversation import ToolConversation
    from trio_openai._tools.hooks import Approve, OnError
    from trio_openai._tools.run import RunT
    from trio_openai._tools.tool import Tool

DEFAULT_ROUNDS = 10
DEFAULT_TOOLS_AT_A_TIME = 10


def chat_tool(given: object) -> object:
    """Return an item of `tools` as the JSON that Chat Completions takes.

    Raises:
        TypeError, ValueError: The item cannot be made into a tool.
        ImportError: A package that its parameters need is not installed.
    """
    if isinstance(given, Mapping | WireObject):
        return cast("object", given)
    from trio_openai._tools.tool import tool_of

    return tool_of(given).for_chat()


def response_tool(given: object) -> object:
    """Return an item of `tools` as the JSON that Responses takes. The errors are those of `chat_tool`."""
    if isinstance(given, Mapping | WireObject):
        return cast("object", given)
    from trio_openai._tools.tool import tool_of

    return tool_of(given).for_responses()


def start_run(
    endpoint: StreamingEndpoint[Any, Any, Any],
    run_class: type[RunT],
    converse: Callable[[Params], ToolConversation[Any]],
    params: Params,
    *,
    max_rounds: int,
    max_concurrent: int,
    on_error: OnError,
    approve: Approve | None,
) -> AbstractAsyncContextManager[RunT]:
    """Return a context manager that runs an endpoint's model with tools.

    Raises:
        TypeError, ValueError: A parameter cannot be sent, or a tool cannot be called.
    """
    from trio_openai._tools.hooks import check_approve, check_on_error
    from trio_openai._tools.plan import Plan
    from trio_openai._tools.run import ToolRunManager

    params = without_stream(params)
    for name, number in (("max_rounds", max_rounds), ("max_concurrent", max_concurrent)):
        if type(number) is not int or number < 1:
            raise ValueError(f"{name} takes a whole number, at least 1")
    check_on_error(on_error)
    if approve is not None:
        check_approve(approve)
    tools, listed = _split(params.get("tools"))
    conversation = converse(endpoint._parameters.check({**params, "tools": listed}))  # pyright: ignore[reportPrivateUsage]
    opening = functools.partial(endpoint._stream_maker, ())  # pyright: ignore[reportPrivateUsage]
    plan = Plan[Any](
        conversation=conversation,
        opening=opening,
        first=opening(conversation.request()),
        tools=tools,
        max_rounds=max_rounds,
        max_concurrent=max_concurrent,
        on_error=on_error,
        approve=approve,
        observers=endpoint._session.options.observer,  # pyright: ignore[reportPrivateUsage]
    )
    return ToolRunManager(run_class, plan)


def _split(given: object) -> tuple[dict[str, Tool], list[object]]:
    """Split `tools` into those that this program runs, by name, and the list of all that are sent."""
    from trio_openai._tools.tool import tool_of

    if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
        raise TypeError("run_tools needs tools=[...], a list of functions")
    named: dict[str, Tool] = {}
    listed: list[object] = []
    for item in cast("Iterable[object]", given):
        if isinstance(item, Mapping | WireObject):
            listed.append(_hosted(item.raw if isinstance(item, WireObject) else cast("Mapping[str, Any]", item)))
            continue
        tool = tool_of(item)
        if tool.name in named:
            raise ValueError(f"two tools are named {tool.name!r}: rename one of them with Tool.of(..., name=...)")
        named[tool.name] = tool
        listed.append(tool)
    return named, listed


def _hosted(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a tool that the server runs itself. Raise `TypeError` if this program would have to run it."""
    if tool.get("type") in ("function", "custom"):
        raise TypeError(
            f"run_tools cannot call a tool that is a dictionary of type {tool['type']!r}: pass the function itself, or "
            "a Tool that holds it"
        )
    return tool
