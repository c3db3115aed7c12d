"""The tokens that the requests of a client have used, and the servers that do not accept the request for the usage.

Chat Completions and Completions report the usage of a stream only if the request has `stream_options`. Some compatible
servers answer with an error to that parameter. With `usage=True`, the request is then sent again without it, and the
client remembers the endpoint.
"""

from __future__ import annotations

from trio_openai._wire.json import encode_text
from trio_openai._wire.usage import UsageTotal, usage_of_answer
from trio_openai.errors import APIError, APIStatusError

_STATUSES = (400, 422)
_NAMES = ("stream_options", "include_usage")


class Used:
    """The state of a client that is about usage. All copies of its session share it.

    Attributes:
        total: The tokens of all answers so far.
        refusing: The URLs of the endpoints that refuse to be asked for the usage.
    """

    def __init__(self) -> None:
        self.total: UsageTotal = UsageTotal()
        self.refusing: set[str] = set()

    def add_answer(self, content: bytes, path: str) -> None:
        """Add the usage of a plain answer.

        An answer whose id is in the request's path describes an object that was made, and counted, before.
        """
        usage, made = usage_of_answer(content)
        if usage is not None and made not in path.split("/"):
            self.total.add(usage)


def refuses_usage(error: APIError) -> bool:
    """Return whether a server rejected the parameter that requests the usage: it answered 400 or 422 and names it."""
    if not isinstance(error, APIStatusError) or error.status_code not in _STATUSES:
        return False
    said = f"{error} {error.param} {encode_text(error.body)}"
    return any(name in said for name in _NAMES)
