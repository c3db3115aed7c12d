"""One line of input, as a request. No I/O.

`parse_line` understands two kinds of lines: those of OpenAI's Batch API (`custom_id, method, url, body`), and short
ones (`prompt` or `messages`) which `Defaults` completes. A line that is neither becomes a
`BatchRowError`, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Defaults:
    """The parts of a request that short lines leave out.

    Attributes:
        model: The model, for lines that name none. None if every line names one.
        system: The system message, for lines that have none.
        params: Parameters of the API, such as `{"temperature": 0}`. Those of a line win.
        url: The endpoint of lines that name none.
    """

    model: str | None = None
    system: str | None = None
    params: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    url: str = "/v1/chat/completions"


@attrs.frozen(kw_only=True, eq=False)
class BatchRow:
    """One request of the input.

    Attributes:
        custom_id: The line's own name. If it has none, one that is made of `digest`.
        url: The endpoint, such as `/v1/chat/completions`.
        body: The request's parameters.
        line: The number of the line, from 1.
        digest: The hash of the URL and the body: 16 bytes. Equal requests have equal digests.
        fields: The members of a short line that are not part of the request. They are copied to the output.
    """

    custom_id: str
    url: str
    body: Mapping[str, Any] = attrs.field(repr=False)
    line: int
    digest: bytes = attrs.field(repr=False)
    fields: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)

    @property
    def identity(self) -> bytes:
        """The hash of the `custom_id` and the request: 16 bytes. It does not depend on the position of the line."""
        raise NotImplementedError


@attrs.frozen(kw_only=True, eq=False)
class BatchRowError:
    """A line of the input that is not a request.

    Attributes:
        message: What is wrong, and what to write instead.
        line: The number of the line, from 1.
        digest: The hash of the line's bytes: 16 bytes.
        custom_id: The line's own name, if it could be read.
    """

    message: str
    line: int
    digest: bytes = attrs.field(repr=False)
    custom_id: str | None = None

    @property
    def identity(self) -> bytes:
        """The hash of the line: 16 bytes."""
        raise NotImplementedError


def parse_line(text: bytes, line: int, defaults: Defaults) -> BatchRow | BatchRowError:
    """Return the request of one line of JSON, or what is wrong with it. Never raises."""
    raise NotImplementedError
