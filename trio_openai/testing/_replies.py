"""A reply as data: a status, headers, and a body made of steps, some of which are faults.

A reply does nothing by itself: the server carries out its steps. It is frozen, so one reply may answer any number of
requests, and the methods that add a fault return a changed copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, cast

import attrs

from trio_openai.testing._openai_objects import chat_chunks, chat_completion, response_events, whole_response

Framing: TypeAlias = Literal["chunked", "length", "close", "raw"]
Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

_not_negative = attrs.validators.ge(0.0)  # also refuses nan


@attrs.frozen
class Pause:
    """Wait before the next step, by trio's clock (so `autojump_clock` skips it).

    Attributes:
        seconds: How long to wait. `math.inf` is the same as `Stall()`.
    """

    seconds: float = attrs.field(validator=_not_negative)


@attrs.frozen
class Stall:
    """Stop writing and keep the connection open until the peer leaves."""


@attrs.frozen
class Cut:
    """Close the connection here, before the end of the body (with `framing="close"` this *is* the end)."""


@attrs.frozen
class Reset:
    """Reset the connection here (RST on a socket). The peer can read what was written, then gets an error."""


Fault: TypeAlias = Stall | Cut | Reset
Step: TypeAlias = bytes | Pause | Stall | Cut | Reset
SSEItem: TypeAlias = Mapping[str, Any] | str | bytes | Pause | Stall | Cut | Reset


def _json(value: object) -> bytes:
    """Encode JSON as a server does. Escape lone surrogates, which UTF-8 cannot encode."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def sse_event(data: Mapping[str, Any] | str | bytes, *, event: str | None = None) -> bytes:
    r"""Encode one server-sent event, with its blank line.

    Args:
        data: A mapping is encoded as JSON. Text and bytes are sent as they are, with one `data:` line per line.
        event: The event's name, sent as an `event:` line before the data.

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

    The constructors `sse`, `chat`, `response`, `json` and `error` add a content type and `x-request-id: req_scripted`,
    unless `headers` has one of the same name. `Reply(...)` itself adds nothing but the framing.

    Attributes:
        status: The HTTP status code.
        headers: Name and value pairs, written in this order. May be passed as a mapping.
        body: Steps: each `bytes` is one write (and one chunk), the others wait or break the connection. May be passed
            as a single `bytes`.
        framing: "chunked"; "length" (with a Content-Length); "close" (the end of the connection ends the body); or
            "raw" (the steps are the whole response, no status line or header is added).
        content_length: The value of Content-Length with `framing="length"`. None means the true length of `body`.
        delay: Seconds before the status line. `math.inf` never answers.
        close_after: Close the connection after this reply without announcing it in a header, as a server does when its
            keep-alive timeout expires.
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
        """Make a stream of server-sent events, with one write per event.

        Args:
            data: The data of one event each: a mapping (sent as JSON), text or bytes. `Pause`, `Stall`, `Cut` and
                `Reset` are steps between events.
            done: Whether to end with `data: [DONE]`.
            named: Whether to give each mapping an `event:` line with its "type".
            pace: Seconds to wait before each event except the first.
            status: The HTTP status code.
            headers: Additional headers, or replacements for the default ones.
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
        """Make a chat completion with this text, as OpenAI streams it.

        It has the role chunk, one chunk per word, the finish reason, the usage chunk and `[DONE]`. Each is one write.

        Args:
            text: The content of choice 0.
            pace: Seconds to wait before each chunk except the first.
            usage: Whether the stream has a usage chunk (and null usage on the chunks before it).
            stream: False sends a single JSON `chat.completion` instead.
            model: The model's name.
            finish_reason: The finish reason of choice 0.
            prompt_tokens: The prompt's tokens in the usage. Completion tokens are counted as words.
            completion_id: The `id`.
            headers: Additional headers, or replacements for the default ones.
        """
        about: Any = {
            "completion_id": completion_id,
            "model": model,
            "finish_reason": finish_reason,
            "prompt_tokens": prompt_tokens,
        }
        if not stream:
            return cls.json(chat_completion(text, **about), headers=headers)
        return cls.sse(*chat_chunks(text, usage=usage, **about), pace=pace, headers=headers)

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
        """Make a Response with this text, as the events that OpenAI sends. Each is one write, with its `event:` line.

        Args:
            text: The text of its only message.
            pace: Seconds to wait before each event except the first.
            stream: False sends a single JSON Response instead.
            model: The model's name.
            prompt_tokens: The prompt's tokens in the usage. Output tokens are counted as words.
            response_id: The `id`.
            headers: Additional headers, or replacements for the default ones.
        """
        about: Any = {"response_id": response_id, "model": model, "prompt_tokens": prompt_tokens}
        if not stream:
            return cls.json(whole_response(text, **about), headers=headers)
        return cls.sse(*response_events(text, **about), done=False, named=True, pace=pace, headers=headers)

    @classmethod
    def json(cls, obj: object, status: int = 200, *, headers: Headers = ()) -> Reply:
        """Make a JSON reply with a Content-Length."""
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
        """Make an error reply as OpenAI writes it: `{"error": {"message", "type", "param", "code"}}`.

        Args:
            status: The HTTP status code.
            message: The error's message.
            code: The error's code, such as "rate_limit_exceeded".
            type: The error's type. Default: "server_error" for status 500 and up, else "invalid_request_error".
            param: The name of the invalid parameter.
            headers: Additional headers, such as `retry-after`.
        """
        kind = type or ("server_error" if status >= 500 else "invalid_request_error")
        body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        return cls.json(body, status, headers=headers)

    @classmethod
    def raw(cls, *steps: Step, close: bool = True) -> Reply:
        """Make a response from raw steps, including the status line. It need not be valid HTTP.

        Args:
            steps: The steps, written unchanged.
            close: Whether to close the connection afterwards.
        """
        return cls(body=steps, framing="raw", close_after=close)

    def cut_after(self, n: int) -> Reply:
        """Return a copy that closes the connection after `n` bytes of the body, or at its end if it is shorter.

        With `framing="length"`, Content-Length still announces the whole body. With "raw", all bytes count.
        """
        return self._break_off(n, Cut())

    def stall_after(self, n: int) -> Reply:
        """Return a copy that stops writing after `n` bytes of the body and stays connected (see `cut_after`)."""
        return self._break_off(n, Stall())

    def reset_after(self, n: int) -> Reply:
        """Return a copy that resets the connection after `n` bytes of the body (see `cut_after`)."""
        return self._break_off(n, Reset())

    def sliced(self, k: int) -> Reply:
        """Return a copy that writes its body `k` bytes at a time, also inside events and characters. Waits stay."""
        if k < 1:
            raise ValueError(f"k must be at least 1 byte, not {k}")
        return attrs.evolve(self, body=tuple(_sliced(self.body, k)))

    def length(self) -> int:
        """Return the number of bytes in `body`, including those after a fault."""
        return sum(len(step) for step in self.body if isinstance(step, bytes))

    def _break_off(self, n: int, fault: Fault) -> Reply:
        if n < 0:
            raise ValueError(f"n must be zero or more bytes, not {n}")
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
    """Yield the steps up to the n-th byte."""
    for step in steps:
        if n == 0:
            return
        piece = step[:n] if isinstance(step, bytes) else step
        n -= len(piece) if isinstance(piece, bytes) else 0
        yield piece


def _sliced(steps: tuple[Step, ...], k: int) -> Iterator[Step]:
    """Yield the steps, with every run of adjacent bytes cut into pieces of `k` bytes."""
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
