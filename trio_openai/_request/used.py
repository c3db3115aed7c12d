"""The tokens that the requests of a client have used, and the servers that do not accept the request for the usage.

Chat Completions and Completions report the usage of a stream only if the request has `stream_options`. Some compatible
servers answer with an error to that parameter. With `usage=True`, the request is then sent again without it, and the
client remembers the endpoint.
"""

from __future__ import annotations

from trio_openai._wire.json import encode_text
from trio_openai._wire.usage import UsageTotal, decoded_with_usage
from trio_openai.errors import APIError, APIStatusError
from trio_openai.types._raw import Raw, is_object

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

    def add_answer(self, made: object, content: bytes, path: str) -> None:
        """Add the usage of a plain answer, from the object that was made of it, so that it is decoded only once."""
        raw: object = made if is_object(made) else getattr(made, "raw", None)
        if is_object(raw):
            self._add(raw, path)
        elif not isinstance(made, bytes | str):
            self.add_content(content, path)

    def add_content(self, content: bytes, path: str) -> None:
        """Add the usage of a plain answer, from its body."""
        if is_object(answer := decoded_with_usage(content)):
            self._add(answer, path)

    def _add(self, answer: Raw, path: str) -> None:
        # An answer whose id is in the path describes an object that was made, and counted, before.
        if answer.get("id") not in path.split("/"):
            self.total.add(answer.get("usage"))


def refuses_usage(error: APIError) -> bool:
    """Return whether a server rejected the parameter that requests the usage: it answered 400 or 422 and names it."""
    if not isinstance(error, APIStatusError) or error.status_code not in _STATUSES:
        return False
    said = f"{error} {error.param} {encode_text(error.body)}"
    return any(name in said for name in _NAMES)
