"""Send the request of one row, and return its result.

Chat completions, responses and completions are streamed: only a stream can tell a complete answer from a truncated one,
keeps what had arrived before a failure, and shows when the first token came. A row whose body says `"stream": false`,
and every other endpoint, gets a plain answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import attrs
import trio

from trio_openai._client import TrioOpenAI
from trio_openai._statistics import Usage
from trio_openai._stream.stream import Stream, StreamCall, open_stream, source_of, stream_of
from trio_openai._wire.json import is_object
from trio_openai._wire.timings import Timings
from trio_openai._wire.usage import UsageTotal
from trio_openai.errors import APIError, APIStatusError, APITimeoutError

from .results import BatchResult
from .rows import BatchRow

_CHECKED = {
    "/chat/completions": ("model", "messages", "n", "stream_options"),
    "/completions": ("model", "prompt", "n", "stream_options"),
    "/responses": ("model", "input"),
}
"""The parameters that the client has to see. The others are sent as they are, also those that it does not know."""


async def send_row(client: TrioOpenAI, row: BatchRow) -> BatchResult:
    """Send the request of a row, and return its result. An `APIError` becomes a part of the result."""
    try:
        call = _call(client, row)
    except (TypeError, ValueError) as error:
        await trio.lowlevel.checkpoint()
        return BatchResult(row=row, error={"code": "invalid_request", "message": str(error), "type": "InvalidRequest"})
    return await (_send_plainly(client, row) if call is None else _send_stream(call, row))


def _call(client: TrioOpenAI, row: BatchRow) -> StreamCall[Any] | None:
    """Return the call of a row that is streamed, or None.

    Raises:
        TypeError, ValueError: A parameter is missing or cannot be sent.
    """
    checked = _CHECKED.get(row.path)
    body = dict(row.body)
    if checked is None or body.get("stream") is False:
        return None
    if body.pop("stream", None) not in (None, True):
        raise TypeError("stream takes true or false")
    params = {name: body.pop(name) for name in checked if name in body}
    if row.path == "/chat/completions":
        endpoint: Any = client.chat.completions
    else:
        endpoint = client.completions if row.path == "/completions" else client.responses
    if row.path != "/responses":
        params["usage"] = True
    return cast("StreamCall[Any]", endpoint.call(**params, extra_body=body))


async def _send_stream(call: StreamCall[Any], row: BatchRow) -> BatchResult:
    stream: Stream[Any, Any] = stream_of(call)
    try:
        await open_stream(stream)
        await stream.until_done()
    except APIError as error:
        result = failed_result(row, error)
        verdict = _verdict(stream) if stream.verdict.state != "open" else None
        return attrs.evolve(result, usage=_usage(stream), timings=stream.timings, verdict=verdict)  # noqa: ASYNC910
    finally:
        await stream.aclose()  # noqa: ASYNC102 - it closes the connection before its checkpoint
    return BatchResult(
        row=row,
        status=source_of(stream).opened.status,
        request_id=stream.request_id,
        body=stream.snapshot.to_dict(),
        verdict=_verdict(stream),
        usage=_usage(stream),
        timings=stream.timings,
    )


async def _send_plainly(client: TrioOpenAI, row: BatchRow) -> BatchResult:
    started = trio.current_time()
    try:
        answer = await client.with_raw_response.post(row.path, body=row.body)
        body = answer.parse()
    except APIError as error:
        return failed_result(row, error)  # noqa: ASYNC910 - a request that failed has passed a checkpoint
    took = trio.current_time() - started
    return BatchResult(
        row=row,
        status=answer.status_code,
        request_id=answer.request_id,
        body=body,
        usage=usage_of(body.get("usage")),
        timings=Timings(last_event=took, retries=answer.retries_taken),
    )


def failed_result(row: BatchRow, error: APIError) -> BatchResult:
    """Return the result of a request that failed."""
    kind: str | int | None = error.code or error.type
    if kind is None:
        kind = f"timeout_{error.phase}" if isinstance(error, APITimeoutError) and error.phase else None
    named: dict[str, Any] = {"code": kind, "message": error.message, "type": type(error).__name__}
    if error.param is not None:
        named["param"] = error.param
    partial = error.partial
    return BatchResult(
        row=row,
        status=error.status_code if isinstance(error, APIStatusError) else None,
        request_id=error.request_id,
        body=error.body if isinstance(error, APIStatusError) else None,
        error=named,
        partial=partial.to_dict() if hasattr(partial, "to_dict") else None,
    )


def usage_of(usage: object) -> Usage | None:
    """Return the usage that an answer reports, or None."""
    if not is_object(usage):
        return None
    total = UsageTotal()
    total.add(usage)
    return total.usage()


def _usage(stream: Stream[Any, Any]) -> Usage | None:
    return usage_of(source_of(stream).protocol.usage)


def _verdict(stream: Stream[Any, Any]) -> Mapping[str, Any]:
    return attrs.asdict(stream.verdict)
