"""The result of one line, and the output line that it becomes. No I/O."""

from __future__ import annotations

from typing import Any

import attrs

from trio_openai._statistics import Usage
from trio_openai._wire.timings import Timings

from .rows import BatchRow, BatchRowError


@attrs.frozen(kw_only=True, eq=False)
class BatchResult:
    """The result of one line of the input.

    Attributes:
        row: The request, or what is wrong with its line.
        status: The HTTP status of the answer, or None if there was none.
        request_id: The `x-request-id` of the answer, or None.
        body: The answer as plain JSON: the complete object, or the server's error.
        error: Why there is no complete answer: `code`, `message` and `type`. None if the request succeeded.
        verdict: How the stream ended: `done`, `truncated`, `failed`; None if there was no stream.
        usage: The tokens used, or None if the server did not say.
        timings: When the headers, the first content and so on arrived.
        partial: What had arrived before the failure, as plain JSON.
        replaces_failure: True if an earlier line of the output has the failure that this one repeats.
        is_copy: True if the answer is that of an identical request.
    """

    row: BatchRow | BatchRowError
    status: int | None = None
    request_id: str | None = None
    body: Any = attrs.field(default=None, repr=False)
    error: dict[str, Any] | None = None
    verdict: str | None = None
    usage: Usage | None = None
    timings: Timings | None = attrs.field(default=None, repr=False)
    partial: Any = attrs.field(default=None, repr=False)
    replaces_failure: bool = False
    is_copy: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the output line as a dictionary: a result line of OpenAI's Batch API, and our own members."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The text of the answer. If the request failed, the text that had arrived."""
        raise NotImplementedError
