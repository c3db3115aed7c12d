"""Tools as parameters: functions among the dictionaries of `tools`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, cast

from trio_openai._stream.stream import Stream
from trio_openai.types._base import WireObject

from ._parameters import Parameters

if TYPE_CHECKING:  # imported with the first tool
    from trio_openai._tools.conversation import Conversation
    from trio_openai._tools.run import OnError, RunT
    from trio_openai._tools.tool import Tool

DEFAULT_ROUNDS = 10
DEFAULT_TOOLS_AT_A_TIME = 10


def chat_tool(given: object) -> object:
    """An item of `tools` as Chat Completions take it.

    Raises:
        TypeError, ValueError: it cannot be made into one.
        ImportError: what is needed for it is not installed.
    """
    if isinstance(given, Mapping | WireObject):
        return cast("object", given)
    from trio_openai._tools.tool import tool_of  # most programs need none of it

    return tool_of(given).for_chat()


def response_tool(given: object) -> object:
    """An item of `tools` as Responses take it. Raises the same."""
    if isinstance(given, Mapping | WireObject):
        return cast("object", given)
    from trio_openai._tools.tool import tool_of

    return tool_of(given).for_responses()


def run(
    run_class: type[RunT],
    converse: Callable[[dict[str, Any]], Conversation[Any]],
    opening: Callable[[dict[str, Any]], Callable[[], Stream[Any, Any]]],
    parameters: Parameters,
    params: dict[str, Any],
    *,
    max_rounds: int,
    max_concurrent: int,
    on_error: OnError,
) -> AbstractAsyncContextManager[RunT]:
    """A run of an endpoint's model with tools, for `async with`.

    Raises:
        TypeError, ValueError: a parameter cannot be sent, or a tool cannot be called.
    """
    from trio_openai._tools.run import Plan, running

    for name, number in (("max_rounds", max_rounds), ("max_concurrent", max_concurrent)):
        if type(number) is not int or number < 1:
            raise ValueError(f"{name} takes a whole number, at least 1")
    if on_error not in ("tell_model", "raise"):
        raise ValueError('on_error takes "tell_model" or "raise"')
    tools, listed = _toolbox(params.get("tools"))
    conversation = converse(parameters.check({**params, "tools": listed}))
    plan = Plan[Any](
        conversation=conversation,
        opening=opening,
        first=opening(conversation.request()),
        tools=tools,
        max_rounds=max_rounds,
        max_concurrent=max_concurrent,
        on_error=on_error,
    )
    return running(run_class, plan)


def _toolbox(given: object) -> tuple[dict[str, Tool], list[object]]:
    """The tools that can be called, by name; and all that are sent."""
    from trio_openai._tools.tool import tool_of

    if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
        raise TypeError("run_tools takes tools, a list of functions")
    named: dict[str, Tool] = {}
    listed: list[object] = []
    for item in cast("Iterable[object]", given):
        if isinstance(item, Mapping | WireObject):
            listed.append(_hosted(item.raw if isinstance(item, WireObject) else cast("Mapping[str, Any]", item)))
            continue
        tool = tool_of(item)
        if tool.name in named:
            raise ValueError(f"two tools are named {tool.name!r}: give one of them another as Tool.of(..., name=...)")
        named[tool.name] = tool
        listed.append(tool)
    return named, listed


def _hosted(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool that the server runs itself."""
    if tool.get("type") in ("function", "custom"):
        raise TypeError(
            f"run_tools calls the tools, and of a dictionary of type {tool['type']!r} there is nothing to call: "
            "give the function, or a Tool with it"
        )
    return tool
