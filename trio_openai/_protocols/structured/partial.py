"""From the beginning of a JSON text, as a model writes it, to what it says so far. It is read when somebody looks."""

from __future__ import annotations

from trio_openai._wire.json import is_object
from trio_openai._wire.text import after_fence, utf8
from trio_openai.types._raw import Raw

_BEHIND = 256


class PartialAnswer:
    """The JSON object that a text begins, as far as it goes.

    jiter reads a text from its beginning every time, so to read it at each event would be quadratic. It is read again
    when it has grown by 1/256 at least: then all readings together cost no more than 256 of the whole text, however
    often somebody looks, and a look is behind by less than 1/256 of what there is (an event's worth at 4 KiB).
    """

    def __init__(self) -> None:
        self._begin([])

    def _begin(self, pieces: list[str]) -> None:
        self._value: Raw = {}
        self._pieces = pieces
        self._seen = 0  # of the pieces
        self._length = 0  # of these, in characters
        self._text = ""  # what was read
        self._unread: list[str] = []

    def look(self, pieces: list[str], *, is_over: bool) -> Raw:
        """Return the object so far for a text in pieces. A list that was passed before has only grown since."""
        if pieces is not self._pieces or len(pieces) < self._seen:
            self._begin(pieces)
        if len(pieces) > self._seen:
            new = pieces[self._seen :]
            self._seen = len(pieces)
            self._length += sum(map(len, new))
            self._unread += new
        behind = self._length - len(self._text)
        if behind > (0 if is_over else len(self._text) // _BEHIND):
            self._text += "".join(self._unread)
            self._unread.clear()
            self._read()
        return self._value

    def _read(self) -> None:
        value = read_partial(self._text)
        if value is not None:
            self._value = value


def read_partial(text: str) -> Raw | None:
    """Return the JSON object that a text begins, which may be in one Markdown fence.

    Return None if it begins no object, or is broken. Strings are there as far as they go, numbers and words only if
    they are whole.
    """
    import jiter

    data = utf8(after_fence(text)[0])  # what follows the object is ignored anyway
    try:
        if data[-1:].isdigit() and not _ends_in_string(data):
            data = data.rstrip(b"0123456789+-.eE")  # of a number, there may be more to come
        value: object = jiter.from_json(data, partial_mode="trailing-strings", cache_mode="keys")
    except ValueError:
        return None
    return value if is_object(value) else None


def _ends_in_string(data: bytes) -> bool:
    """Return whether a text ends inside a string. Only there jiter refuses a control character after its valid part."""
    import jiter

    try:
        jiter.from_json(data + b"\0", partial_mode="trailing-strings", cache_mode="keys")
    except ValueError:
        return True
    return False
