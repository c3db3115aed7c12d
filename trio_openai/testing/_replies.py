"""A reply as data: a status, headers, and a body made of steps, some of which are faults.

A reply does nothing by itself: the server plays it. It is frozen, so one may answer any number of requests, and the
methods that add a fault return a changed copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, cast

import attrs

from trio_openai.testing import _shapes

Framing: TypeAlias = Literal["chunked", "length", "close", "raw"]
Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

_not_negative = attrs.validators.ge(0.0)  # refuses nan as well


@attrs.frozen
class Pause:
    """Wait before the next step, by trio's clock (so `autojump_clock` skips it).

    Attributes:
        seconds: How long; `math.inf` is the same as `Stall()`.
    """

    seconds: float = attrs.field(validator=_not_negative)


@attrs.frozen
class Stall:
    """Write nothing more and keep the connection open until the peer leaves."""


@attrs.frozen
class Cut:
    """Close the connection here, without the end of the body (with `framing="close"` that *is* the end)."""


@attrs.frozen
class Reset:
    """Break the connection here: RST on a socket. What was written can still be read, then `BrokenResourceError`."""


Fault: TypeAlias = Stall | Cut | Reset
Step: TypeAlias = bytes | Pause | Stall | Cut | Reset
SSEItem: TypeAlias = Mapping[str, Any] | str | bytes | Pause | Stall | Cut | Reset


def _json(value: object) -> bytes:
    """Encode JSON as a server does; escape surrogate halves, which UTF-8 cannot express."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def sse_event(data: Mapping[str, Any] | str | bytes, *, event: str | None = None) -> bytes:
    r"""Encode one server-sent event, with its blank line.

    Args:
        data: A mapping becomes JSON; text and bytes go out as they are, one `data:` line for each line of theirs.
        event: Its name, for an `event:` line before the data.

    Returns:
        For example `b'event: ping\ndata: {"type":"ping"}\n\n'`.
    """
    payload = data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else _json(data)
    name = b"" if event is None else b"event: %s\n" % event.encode()
    return name + b"".join(b"data: %s\n" % line for line in payload.split(b"\n")) + b"\n"


def _pairs(headers: Headers) -> tuple[tuple[str, str], ...]:
    return tuple(cast("Mapping[str, str]", headers).items() if isinstance(headers, Mapping) else headers)


def _steps(body: Iterable[Step] | bytes) -> tuple[Step, ...]:
    return (body,) if isinstance(body, bytes) else tuple(body)


def _with_defaults(content_type: str, headers: Headers) -> tuple[tuple[str, str], ...]:
    given = _pairs(headers)
    names = {name.lower() for name, _ in given}
    defaults = (("content-type", content_type), ("x-request-id", "req_scripted"))
    return tuple(pair for pair in defaults if pair[0] not in names) + given


@attrs.frozen
class Reply:
    """One scripted HTTP response.

    The constructors `sse`, `chat`, `response`, `json` and `error` add a content type and `x-request-id: req_scripted`
    (a header of the same name given by the caller takes their place); `Reply(...)` itself adds nothing but the framing.

    Attributes:
        status: The HTTP status code.
        headers: Name and value pairs, written in this order; a mapping is taken as well.
        body: Steps: each `bytes` is one write (and one chunk), the others wait or break the connection. A single
            `bytes` is taken as well.
        framing: "chunked"; "length" (a Content-Length, see there); "close" (the end of the connection is the end of the
            body); "raw" (no status line and no headers are added, the steps are the whole response).
        content_length: What the Content-Length says with `framing="length"`; None is the true length of `body`.
        delay: Seconds before the status line; `math.inf` never answers.
        close_after: Close the connection after this reply without having said so in a header, as a server does whose
            keep-alive has expired.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs)
    body: tuple[Step, ...] = attrs.field(default=(), converter=_steps)
    framing: Framing = attrs.field(
        default="chunked", validator=attrs.validators.in_(["chunked", "length", "close", "raw"])
    )
    content_length: int | None = attrs.field(default=None, kw_only=True)
    delay: float = attrs.field(default=0.0, validator=_not_negative, kw_only=True)
    close_after: bool = attrs.field(default=False, kw_only=True)

    @classmethod
    def sse(
        cls,
        *data: SSEItem,
        done: bool = True,
        named: bool = False,
        pace: float = 0.0,
        status: int = 200,
        headers: Headers = (),
    ) -> Reply:
        """A stream of server-sent events, each of them one write.

        Args:
            data: A mapping (sent as JSON), text or bytes is the data of one event; `Pause`, `Stall`, `Cut` and `Reset`
                are steps between events.
            done: End with `data: [DONE]`.
            named: Give each mapping an `event:` line with its "type".
            pace: Seconds to wait before each event but the first.
            status: The HTTP status code.
            headers: More headers, or others in place of the usual ones.
        """
        events = [_sse_step(item, named) for item in data] + ([sse_event("[DONE]")] if done else [])
        body = _paced(events, pace)
        return cls(status, _with_defaults("text/event-stream; charset=utf-8", headers), tuple(body))

    @classmethod
    def chat(
        cls,
        text: str,
        *,
        pace: float = 0.0,
        usage: bool = True,
        stream: bool = True,
        model: str = "gpt-4o-mini",
        finish_reason: str = "stop",
        prompt_tokens: int = 8,
        completion_id: str = "chatcmpl-scripted",
        headers: Headers = (),
    ) -> Reply:
        """A chat completion with this text, as OpenAI streams it.

        The role chunk, one chunk a word, the finish reason, the usage chunk, `[DONE]`; each is one write.

        Args:
            text: The content of choice 0.
            pace: Seconds to wait before each chunk but the first.
            usage: Whether the stream has a usage chunk (and null usage on the chunks before it).
            stream: False answers with one whole `chat.completion` in JSON.
            model: The model's name.
            finish_reason: The finish reason of choice 0.
            prompt_tokens: For the usage; a token of the completion is a word.
            completion_id: The `id`.
            headers: More headers, or others in place of the usual ones.
        """
        about: Any = {
            "completion_id": completion_id,
            "model": model,
            "finish_reason": finish_reason,
            "prompt_tokens": prompt_tokens,
        }
        if not stream:
            return cls.json(_shapes.chat_completion(text, **about), headers=headers)
        return cls.sse(*_shapes.chat_chunks(text, usage=usage, **about), pace=pace, headers=headers)

    @classmethod
    def response(
        cls,
        text: str,
        *,
        pace: float = 0.0,
        stream: bool = True,
        model: str = "gpt-4o-mini",
        prompt_tokens: int = 8,
        response_id: str = "resp_scripted",
        headers: Headers = (),
    ) -> Reply:
        """A Response with this text, as the events that OpenAI sends; each is one write, with its `event:` line.

        Args:
            text: The text of its one message.
            pace: Seconds to wait before each event but the first.
            stream: False answers with one whole Response in JSON.
            model: The model's name.
            prompt_tokens: For the usage; a token of the output is a word.
            response_id: The `id`.
            headers: More headers, or others in place of the usual ones.
        """
        about: Any = {"response_id": response_id, "model": model, "prompt_tokens": prompt_tokens}
        if not stream:
            return cls.json(_shapes.whole_response(text, **about), headers=headers)
        return cls.sse(*_shapes.response_events(text, **about), done=False, named=True, pace=pace, headers=headers)

    @classmethod
    def json(cls, obj: object, status: int = 200, *, headers: Headers = ()) -> Reply:
        """A plain JSON answer with a Content-Length."""
        return cls(status, _with_defaults("application/json", headers), (_json(obj),), "length")

    @classmethod
    def error(
        cls,
        status: int,
        message: str,
        *,
        code: str | int | None = None,
        type: str | None = None,
        param: str | None = None,
        headers: Headers = (),
    ) -> Reply:
        """An error answer as OpenAI writes it: `{"error": {"message", "type", "param", "code"}}`.

        Args:
            status: The HTTP status code.
            message: What went wrong.
            code: The error's code, such as "rate_limit_exceeded".
            type: Its type; "server_error" from 500 on, else "invalid_request_error", if not given.
            param: The parameter that is to blame.
            headers: More headers, such as `retry-after`.
        """
        kind = type or ("server_error" if status >= 500 else "invalid_request_error")
        body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        return cls.json(body, status, headers=headers)

    @classmethod
    def raw(cls, *steps: Step, close: bool = True) -> Reply:
        """A whole response written by hand, status line and all; it need not be HTTP.

        Args:
            steps: Written as they are.
            close: Close the connection afterwards; False keeps it for the next request.
        """
        return cls(body=steps, framing="raw", close_after=close)

    def cut_after(self, n: int) -> Reply:
        """A copy that closes the connection after `n` bytes of the body, or after all of it if it is shorter.

        A body framed by its length keeps the Content-Length of the whole. For `raw`, all bytes count.
        """
        return self._break_off(n, Cut())

    def stall_after(self, n: int) -> Reply:
        """A copy that falls silent after `n` bytes of the body and keeps the connection open (see `cut_after`)."""
        return self._break_off(n, Stall())

    def reset_after(self, n: int) -> Reply:
        """A copy that breaks the connection (RST) after `n` bytes of the body (see `cut_after`)."""
        return self._break_off(n, Reset())

    def sliced(self, k: int) -> Reply:
        """A copy that writes its body `k` bytes at a time, wherever events and characters begin; waits stay."""
        if k < 1:
            raise ValueError(f"a write has at least one byte, not {k}")
        return attrs.evolve(self, body=tuple(_sliced(self.body, k)))

    def length(self) -> int:
        """The number of bytes in `body`, faults or not."""
        return sum(len(step) for step in self.body if isinstance(step, bytes))

    def _break_off(self, n: int, fault: Fault) -> Reply:
        if n < 0:
            raise ValueError(f"cannot break off after {n} bytes")
        length = self.length() if self.content_length is None else self.content_length
        return attrs.evolve(self, body=(*_first_bytes(self.body, n), fault), content_length=length)


def _sse_step(item: SSEItem, named: bool) -> Step:
    if isinstance(item, (Pause, Stall, Cut, Reset)):
        return item
    return sse_event(item, event=str(item["type"]) if named and isinstance(item, Mapping) else None)


def _paced(steps: list[Step], pace: float) -> Iterator[Step]:
    for number, step in enumerate(steps):
        if pace and number and isinstance(step, bytes):
            yield Pause(pace)
        yield step


def _first_bytes(steps: tuple[Step, ...], n: int) -> Iterator[Step]:
    """The steps up to the one with the n-th byte, which is cut there."""
    for step in steps:
        if n == 0:
            return
        piece = step[:n] if isinstance(step, bytes) else step
        n -= len(piece) if isinstance(piece, bytes) else 0
        yield piece


def _sliced(steps: tuple[Step, ...], k: int) -> Iterator[Step]:
    """The steps with every run of bytes between two others cut anew."""
    run: list[bytes] = []
    for step in (*steps, None):
        if isinstance(step, bytes):
            run.append(step)
            continue
        joined = b"".join(run)
        yield from (joined[at : at + k] for at in range(0, len(joined), k))
        run.clear()
        if step is not None:
            yield step
