"""The script of a server: which reply is sent to which request, and what happens after the last one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from trio_openai.testing._replies import Reply
from trio_openai.testing._requests import RecordedRequest

Script: TypeAlias = Reply | Sequence[Reply] | Callable[[RecordedRequest], Reply]

_MAX_LISTED = 50  # requests named in the message about a script that has ended


class ScriptRunner:
    """Chooses the replies of a server.

    Args:
        choose: Takes a request and returns its reply, or None if no reply is left.
        count: The number of replies in a list, or 0.
    """

    def __init__(self, choose: Callable[[RecordedRequest], Reply | None], count: int = 0) -> None:
        self._choose = choose
        self._count = count
        self._unanswered: list[RecordedRequest] = []

    def reply_to(self, request: RecordedRequest) -> Reply:
        """Return the reply to a request. After the end of a list, this is an error that no client retries."""
        if (reply := self._choose(request)) is not None:
            return reply.for_request(request)
        self._unanswered.append(request)
        replies = _counted(self._count, "reply", "replies")
        message = f"The script has ended. It has {replies}, and this is one more request."
        return Reply.error(410, message, code="script_ended", headers={"x-should-retry": "false"})

    def has_ended_with(self, request: RecordedRequest) -> bool:
        """Return whether no reply was left for this request."""
        return any(one is request for one in self._unanswered)

    def check(self, requests: list[RecordedRequest]) -> None:
        """Raise `AssertionError` if there were more requests than replies.

        Args:
            requests: All requests so far.
        """
        if not self._unanswered:
            return
        lines = [self._line(number, request) for number, request in enumerate(requests, start=1)]
        if len(lines) > _MAX_LISTED:
            lines[:-_MAX_LISTED] = ["  ..."]
        self._unanswered = []  # the server can be started again
        raise AssertionError(
            f"the script of this server has {_counted(self._count, 'reply', 'replies')}, but "
            f"{_counted(len(requests), 'request', 'requests')} came:\n" + "\n".join(lines) + "\n"
            "Add replies to the list, or pass a single reply or a function, which answer any number of requests. "
            "Retries are requests, too: max_retries=0 turns them off."
        )

    def _line(self, number: int, request: RecordedRequest) -> str:
        missing = " (no reply was left)" if self.has_ended_with(request) else ""
        return f"  {number}. {request.method} {request.target}{missing}"


def script_of(script: Script) -> ScriptRunner:
    """Return the runner of a script.

    Raises:
        TypeError: This is no script.
    """
    if isinstance(script, Reply):
        return ScriptRunner(lambda _: script)
    if callable(script):
        return ScriptRunner(lambda request: _checked(script(request)))
    if isinstance(script, str | bytes | Mapping) or not isinstance(script, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(_NO_SCRIPT.format(what=type(script).__name__))
    replies = [_checked(reply) for reply in script]
    left = iter(replies)
    return ScriptRunner(lambda _: next(left, None), len(replies))


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _checked(given: Any) -> Reply:
    if isinstance(given, Reply):
        return given
    if inspect.iscoroutine(given):
        given.close()
    raise TypeError(_NO_SCRIPT.format(what=type(given).__name__))


_NO_SCRIPT = (
    'ScriptedServer takes a Reply, such as Reply.chat("Hello"), a list of them, or a function from the request '
    "to a Reply, not {what}"
)
