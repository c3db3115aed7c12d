"""`ask_again`: calls that send another request if an answer does not fit the class that was requested.

Every attempt is a request of its own, with its own retries, timeouts and permit of the limiter. The next request has
the conversation so far, the answer that does not fit, and a message of the user that says what is wrong with it. Only
an `invalid` answer is worth another request: a model that refused, or reached its limit of tokens, would do so again.

Streams have no `ask_again`, because a program has seen the invalid answer by the time that it turns out to be invalid.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from trio_openai.errors import APIError
from trio_openai.types import AnswerAttempt, Unparsed, WireObject

from ._operations import Params

AnswerT = TypeVar("AnswerT")
FollowUp = Callable[[Params, Any, str], Params]
"""A function that makes the parameters of the next attempt of the last ones, the answer, and what to tell the model."""

_MOST_PROBLEMS = 20
_LONGEST_PROBLEM = 300
_TELL = "Your answer does not have the required format:\n{}\nAnswer again with the complete JSON and nothing else."


def check_times(times: object, params: Params, format_name: str) -> int:
    """Return the value of `ask_again` if the other parameters allow it.

    Args:
        times: The value.
        params: The other parameters.
        format_name: The parameter that takes a class.

    Raises:
        TypeError: It is not a whole number, or no class is given as the format.
        ValueError: It is negative, or several choices are requested.
    """
    if type(times) is not int:
        raise TypeError(f"ask_again takes a whole number, not {type(times).__name__}")
    if times < 0:
        raise ValueError(f"ask_again takes the number of further requests, zero or more, not {times}")
    given = params.get(format_name)
    if given is None or isinstance(given, Mapping | WireObject):
        raise TypeError(f"ask_again needs a class as {format_name}=..., since only then an answer is checked")
    if params.get("n") not in (None, 1):
        raise ValueError("ask_again follows a single choice: leave n out")
    return times


async def ask_until_valid(
    ask: Callable[[Params], Awaitable[AnswerT]], params: Params, follow_up: FollowUp, times: int, *, is_raw: bool
) -> AnswerT:
    """Send a request, and others as long as the answer does not fit the class.

    Args:
        ask: Sends one request and returns its answer.
        params: The parameters of the first request.
        follow_up: Makes those of the next request.
        times: The greatest number of further requests.
        is_raw: Whether answers are `RawResponse`s.

    Raises:
        APIError: A request failed. If it was not the first, `partial` is the answer before it, with its `attempts`.
    """
    earlier: tuple[AnswerAttempt[Any], ...] = ()
    while True:
        try:
            answer = await ask(params)
            whole: Any = cast("Any", answer).parse() if is_raw else answer
        except APIError as error:
            if earlier and error.partial is None:
                error.partial = earlier[-1].answer
            raise
        whole.asked_after(earlier)
        parsed = whole.parsed
        if not isinstance(parsed, Unparsed) or parsed.reason != "invalid" or len(earlier) == times:
            return answer
        earlier = (*earlier, AnswerAttempt(whole, str(parsed)))
        params = follow_up(params, whole, _words(parsed))


def _words(error: Unparsed) -> str:
    """Return what the model is told about an answer that does not fit."""
    problems = [f"- {problem[:_LONGEST_PROBLEM]}" for problem in error.problems[:_MOST_PROBLEMS]]
    return _TELL.format("\n".join(problems))


def follow_up(params: Params, whole: Any, words: str) -> Params:
    """Return the parameters of the next request. What the server of Responses has stored is not sent again."""
    told, said = {"role": "user", "content": words}, {"role": "assistant", "content": whole.parsed.text}
    if "messages" in params:
        return {**params, "messages": [*params["messages"], said, told]}
    if params.get("conversation") is not None:
        return {**params, "input": [told]}
    if params.get("previous_response_id") is not None and params.get("store") is not False and whole.id:
        return {**params, "previous_response_id": whole.id, "input": [told]}
    given: object = params.get("input") or []
    asked = [{"role": "user", "content": given}] if isinstance(given, str) else cast("Iterable[Any]", given)
    return {**params, "input": [*asked, said, told]}
