"""`RecordedRequest`: a request as a scripted server received it."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import attrs

# The field of a form that asks for a stream. A part may have further headers after its name.
_STREAM_FIELD = re.compile(rb'; name="?stream"?\r\n(?:[^\r\n]+\r\n)*\r\ntrue\r\n')


@attrs.frozen
class RecordedRequest:
    """A request as the server received it.

    Attributes:
        method: The method, such as "POST".
        target: The path and query, as written.
        headers: Name and value pairs in the order received, with names in lower case.
        body: The body without its framing.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def wants_stream(self) -> bool:
        """True if the request asks for a stream.

        It does so by `"stream": true` in a JSON object, or by `stream=true` as a field of a form or in the query.
        """
        if "stream=true" in self.target.partition("?")[2].split("&"):
            return True
        if (self.header("content-type") or "").startswith("multipart/form-data"):
            return _STREAM_FIELD.search(self.body) is not None
        return json_object(self).get("stream") is True

    def json(self) -> Any:
        """Decode the body as JSON.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """Return the first header with this name, ignoring case, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)


def json_object(request: RecordedRequest) -> dict[str, Any]:
    """Return the body of a request if it is a JSON object, and an empty dict otherwise."""
    try:
        body = request.json()
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}
