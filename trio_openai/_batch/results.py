"""The result of one line, and the output line that it becomes. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from trio_openai._statistics import Usage
from trio_openai._wire.json import is_array, is_object
from trio_openai._wire.timings import Timings

from .journal import id_of
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
        verdict: How the stream ended: `state`, `by` and `reason`, as in `Verdict`. None if there was no stream.
        usage: The tokens used, or None if the server did not say.
        timings: When the headers, the first content and so on arrived.
        partial: What had arrived before the failure, as plain JSON.
        replaces_failure: True if an earlier line of the output has the failure that this one repeats.
    """

    row: BatchRow | BatchRowError
    status: int | None = None
    request_id: str | None = None
    body: Any = attrs.field(default=None, repr=False)
    error: Mapping[str, Any] | None = None
    verdict: Mapping[str, Any] | None = None
    usage: Usage | None = None
    timings: Timings | None = attrs.field(default=None, repr=False)
    partial: Any = attrs.field(default=None, repr=False)
    replaces_failure: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the output line: that of OpenAI's Batch API, with members of our own."""
        row = self.row
        is_request = isinstance(row, BatchRow)
        line: dict[str, Any] = {"id": id_of(row.digest, is_request=is_request), "custom_id": row.custom_id}
        response = {"status_code": self.status, "request_id": self.request_id or "", "body": self.body}
        line["response"] = None if self.status is None else response
        line["error"] = self.error
        if isinstance(row, BatchRow):
            line["usage"] = None if self.usage is None else attrs.asdict(self.usage)
            line["verdict"] = self.verdict
            line["timings"] = None if self.timings is None else _rounded(self.timings)
            if row.fields:
                line["fields"] = dict(row.fields)
        if self.partial is not None:
            line["partial"] = self.partial
        if self.replaces_failure:
            line["replaces_failure"] = True
        return line

    @property
    def text(self) -> str:
        """The text of the answer. If the request failed, the text that had arrived."""
        return text_of(self.body if self.error is None else self.partial)


def invalid_line(row: BatchRowError) -> BatchResult:
    """Return the result of a line that is not a request."""
    error = {"code": "invalid_line", "message": row.message, "type": "InvalidLine", "line": row.line}
    return BatchResult(row=row, error=error)


def unstorable_line(line: Mapping[str, Any], why: str) -> dict[str, Any]:
    """Return the output line of an answer that cannot be written, for example because it is nested too deeply."""
    response: Any = line.get("response")
    if is_object(response):
        response = {**response, "body": None}
    error = {"code": "unstorable", "message": f"the answer cannot be stored: {why}", "type": "Unstorable"}
    kept = {name: line[name] for name in ("usage", "timings", "replaces_failure") if name in line}
    return {"id": line["id"], "custom_id": line["custom_id"], "response": response, "error": error, **kept}


def copied_line(line: Mapping[str, Any], row: BatchRow, *, replaces_failure: bool) -> dict[str, Any]:
    """Return the output line of a row whose request is that of another line of the output.

    The `usage` is left out, so that the sum over all lines is what was paid for.
    """
    copy: dict[str, Any] = {**line, "custom_id": row.custom_id}
    for name in ("fields", "replaces_failure", "copy_of"):
        copy.pop(name, None)
    if "usage" in line:  # not in a line of text
        copy["usage"] = None
    copy["copy_of"] = line.get("copy_of") or line.get("custom_id")
    if row.fields:
        copy["fields"] = dict(row.fields)
    if replaces_failure:
        copy["replaces_failure"] = True
    return copy


def text_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a short output line: the text, and what resuming needs."""
    if "text" in line:  # the copy of a line that is short already
        return dict(line)
    response, error = line.get("response"), line.get("error")
    whole = response.get("body") if is_object(response) and error is None else line.get("partial")
    short: dict[str, Any] = {"id": line.get("id"), "custom_id": line.get("custom_id"), "text": text_of(whole)}
    if error is not None:
        short["error"] = error
    for name in ("fields", "replaces_failure", "copy_of"):
        if name in line:
            short[name] = line[name]
    return short


def text_of(body: object) -> str:
    """Return the text of an answer of any endpoint as plain JSON, or an empty text. Of several choices, the first."""
    if not is_object(body):
        return ""
    choices: object = body.get("choices")
    if is_array(choices) and choices and is_object(first := choices[0]):
        message: object = first.get("message")
        text: object = message.get("content") if is_object(message) else first.get("text")
        return text if isinstance(text, str) else ""
    output: object = body.get("output")
    texts = [
        part.get("text")
        for item in (output if is_array(output) else [])
        if is_object(item) and is_array(parts := item.get("content"))
        for part in parts
        if is_object(part) and part.get("type") == "output_text"
    ]
    return "".join(text for text in texts if isinstance(text, str))


def _rounded(timings: Timings) -> dict[str, Any]:
    """Return the times in seconds, to the microsecond."""
    return {
        name: round(value, 6) if isinstance(value, float) else value for name, value in attrs.asdict(timings).items()
    }
