"""A reply as data: a status, headers, and a body made of steps, some of which are faults.

A reply does nothing by itself: the server carries out its steps. It is frozen, so one reply may answer any number of
requests, and the methods that add a fault return a changed copy.

Some replies follow the request: `Reply.chat` is a stream for one request and a single JSON object for another. Such a
reply is made as the stream, and its `follow` makes the counterpart. The server sends `for_request(request)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, cast

import attrs

from trio_openai.testing._following import Auto
from trio_openai.testing._openai_objects import (
    Answer,
    CallItem,
    chat_chunks,
    chat_completion,
    made_calls,
    response_events,
    whole_response,
)
from trio_openai.testing._requests import RecordedRequest
from trio_openai.testing._steps import Cut, Fault, Pause, Reset, Stall, Step, first_bytes, not_negative, sliced

Framing: TypeAlias = Literal["chunked", "length", "close", "raw"]
Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


SSEItem: TypeAlias = Mapping[str, Any] | str | bytes | Pause | Stall | Cut | Reset
_EVENT_STREAM = "text/event-stream; charset=utf-8"


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

    `chat`, `response`, `tool_calls` and `auto` follow the request: they send a stream to a request that asks for one,
    and a single JSON object to any other.

    All constructors but `raw` add a content type and `x-request-id: req_scripted`, unless `headers` has one of the same
    name. `Reply(...)` itself adds nothing but the framing.

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
        follow: How to follow the request. None sends this reply to every request, and so does a replaced body
            (`attrs.evolve(reply, body=...)`). Two replies that differ only here are equal.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs)
    body: tuple[Step, ...] = attrs.field(default=(), converter=_steps)
    framing: Framing = attrs.field(
        default="chunked", validator=attrs.validators.in_(["chunked", "length", "close", "raw"])
    )
    content_length: int | None = attrs.field(default=None, kw_only=True)
    delay: float = attrs.field(default=0.0, validator=not_negative, kw_only=True)
    close_after: bool = attrs.field(default=False, kw_only=True)
    follow: Follow | None = attrs.field(default=None, kw_only=True, eq=False, repr=False)

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
        return cls(status, _with_defaults(_EVENT_STREAM, headers), tuple(body))

    @classmethod
    def chat(
        cls,
        text: str,
        *,
        pace: float = 0.0,
        usage: bool = True,
        stream: bool | None = None,
        model: str = "gpt-4o-mini",
        finish_reason: str = "stop",
        prompt_tokens: int = 8,
        completion_id: str = "chatcmpl-scripted",
        headers: Headers = (),
    ) -> Reply:
        """Make a chat completion with this text: a stream if the request asks for one, otherwise JSON.

        The stream has the role chunk, one chunk per word, the finish reason, the usage chunk and `[DONE]`. Each is one
        write.

        Args:
            text: The content of choice 0.
            pace: Seconds to wait before each chunk except the first.
            usage: Whether the stream has a usage chunk (and null usage on the chunks before it).
            stream: True always sends the stream, and False always the JSON object.
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
        return _streamed_or_plain(
            stream,
            lambda: cls.sse(*chat_chunks(Answer(text), usage=usage, **about), pace=pace, headers=headers),
            lambda: cls.json(chat_completion(Answer(text), **about), headers=headers),
        )

    @classmethod
    def response(
        cls,
        text: str,
        *,
        pace: float = 0.0,
        stream: bool | None = None,
        model: str = "gpt-4o-mini",
        prompt_tokens: int = 8,
        response_id: str = "resp_scripted",
        headers: Headers = (),
    ) -> Reply:
        """Make a Response with this text: a stream if the request asks for one, otherwise JSON.

        The stream has the events that OpenAI sends. Each is one write, with its `event:` line.

        Args:
            text: The text of its only message.
            pace: Seconds to wait before each event except the first.
            stream: True always sends the stream, and False always the JSON object.
            model: The model's name.
            prompt_tokens: The prompt's tokens in the usage. Output tokens are counted as words.
            response_id: The `id`.
            headers: Additional headers, or replacements for the default ones.
        """
        about: Any = {"response_id": response_id, "model": model, "prompt_tokens": prompt_tokens}
        return _streamed_or_plain(
            stream,
            lambda: cls._events(Answer(text), pace, headers, **about),
            lambda: cls._whole(Answer(text), headers, **about),
        )

    @classmethod
    def tool_calls(
        cls,
        *calls: CallItem,
        text: str = "",
        pace: float = 0.0,
        usage: bool = True,
        stream: bool | None = None,
        model: str = "gpt-4o-mini",
        prompt_tokens: int = 8,
        headers: Headers = (),
    ) -> Reply:
        """Make an answer that calls functions: a chat completion, or a Response if `/responses` is requested.

        It is a stream if the request asks for one, otherwise JSON. The arguments are streamed a few characters at a
        time. For example, `Reply.tool_calls(("add", {"a": 1, "b": 2}), ("now", {}))` makes two calls.

        Args:
            calls: The name and the arguments of each function. Arguments are a mapping, or text that is sent as it is
                and need not be JSON. A third item is the call's id. Default: "call_1", "call_2" and so on.
            text: A text in front of the calls.
            pace: Seconds to wait before each event except the first.
            usage: Whether a chat stream has a usage chunk.
            stream: True always sends a stream, and False always a JSON object.
            model: The model's name.
            prompt_tokens: The prompt's tokens in the usage. Other tokens are counted as words.
            headers: Additional headers, or replacements for the default ones.

        Raises:
            TypeError, ValueError: There is no call, or one has another form.
        """
        answer = Answer(text, made_calls(calls))
        chat: Any = {
            "completion_id": "chatcmpl-scripted",
            "model": model,
            "finish_reason": "tool_calls",
            "prompt_tokens": prompt_tokens,
        }
        response: Any = {"response_id": "resp_scripted", "model": model, "prompt_tokens": prompt_tokens}

        def make(is_response: bool, is_stream: bool) -> Reply:
            if is_response:
                return (
                    cls._events(answer, pace, headers, **response)
                    if is_stream
                    else cls._whole(answer, headers, **response)
                )
            if is_stream:
                return cls.sse(*chat_chunks(answer, usage=usage, **chat), pace=pace, headers=headers)
            return cls.json(chat_completion(answer, **chat), headers=headers)

        def follow(request: RecordedRequest) -> Reply:
            return make(request.path.endswith("/responses"), request.wants_stream if stream is None else stream)

        return _following(make(False, stream is not False), follow)

    @classmethod
    def auto(
        cls,
        text: str | None = None,
        *,
        pace: float = 0.0,
        usage: bool | None = None,
        model: str | None = None,
        prompt_tokens: int | None = None,
        headers: Headers = (),
    ) -> Reply:
        """Make a reply that follows the request: its API, streamed or not, its model, with usage if requested.

        A request to `/chat/completions` or `/responses` gets an answer of that API. Another path gets error 404, and a
        body without a model gets error 400.

        Args:
            text: The text of the answer. None is a paragraph that quotes the last user message, as in `auto_reply`.
            pace: Seconds to wait before each event of a stream except the first.
            usage: Whether a chat stream has a usage chunk. None follows `stream_options`.
            model: The model's name. None repeats the one in the request.
            prompt_tokens: The prompt's tokens in the usage. None counts the words of the last user message.
            headers: Additional headers, or replacements for the default ones.
        """
        auto = Auto(cls, text, pace=pace, usage=usage, model=model, prompt_tokens=prompt_tokens, headers=headers)
        return _following(cls.chat(text or "", stream=True, pace=pace, headers=headers), auto.reply)

    @classmethod
    def _events(cls, answer: Answer, pace: float, headers: Headers, **about: Any) -> Reply:
        return cls.sse(*response_events(answer, **about), done=False, named=True, pace=pace, headers=headers)

    @classmethod
    def _whole(cls, answer: Answer, headers: Headers, **about: Any) -> Reply:
        return cls.json(whole_response(answer, **about), headers=headers)

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
        return self._changed(lambda reply: reply._broken_off(n, Cut()))

    def stall_after(self, n: int) -> Reply:
        """Return a copy that stops writing after `n` bytes of the body and stays connected (see `cut_after`)."""
        return self._changed(lambda reply: reply._broken_off(n, Stall()))

    def reset_after(self, n: int) -> Reply:
        """Return a copy that resets the connection after `n` bytes of the body (see `cut_after`)."""
        return self._changed(lambda reply: reply._broken_off(n, Reset()))

    def sliced(self, k: int) -> Reply:
        """Return a copy that writes its body `k` bytes at a time, also inside events and characters. Waits stay."""
        if k < 1:
            raise ValueError(f"k must be at least 1 byte, not {k}")
        return self._changed(lambda reply: attrs.evolve(reply, body=tuple(sliced(reply.body, k))))

    def length(self) -> int:
        """Return the number of bytes in `body`, including those after a fault."""
        return sum(len(step) for step in self.body if isinstance(step, bytes))

    def for_request(self, request: RecordedRequest) -> Reply:
        """Return the reply to send to a request: this one, or its counterpart with another body."""
        follow = self._followed()
        other = None if follow is None else follow(request)
        if other is None:
            return self
        return attrs.evolve(
            self,
            status=self.status if other.status == 200 else other.status,
            headers=_with_content_type_of(other.headers, self.headers),
            body=other.body,
            framing=other.framing if self.framing == "chunked" else self.framing,
            content_length=other.content_length,
            follow=None,
        )

    def _changed(self, change: Callable[[Reply], Reply]) -> Reply:
        """Return a changed copy, whose counterparts for other requests are changed too."""
        follow = self._followed()
        if follow is None:
            return change(self)

        def follow_and_change(request: RecordedRequest) -> Reply | None:
            other = follow(request)
            return None if other is None else change(other)

        return _following(change(self), follow_and_change)

    def _followed(self) -> Counterpart | None:
        """Return the function to follow, unless the body is no longer the one it belongs to."""
        return self.follow.counterpart if self.follow is not None and self.follow.body is self.body else None

    def _broken_off(self, n: int, fault: Fault) -> Reply:
        if n < 0:
            raise ValueError(f"n must be zero or more bytes, not {n}")
        length = self.length() if self.content_length is None else self.content_length
        return attrs.evolve(self, body=(*first_bytes(self.body, n), fault), content_length=length)


Counterpart: TypeAlias = Callable[[RecordedRequest], Reply | None]
"""A function that returns the reply whose body is sent to a request, or None to send the reply that follows."""


@attrs.frozen
class Follow:
    """The way a reply follows the request.

    Attributes:
        body: The body of the reply. If it has been replaced since, the reply follows no longer.
        counterpart: Returns what to send instead.
    """

    body: tuple[Step, ...]
    counterpart: Counterpart


def _following(reply: Reply, counterpart: Counterpart) -> Reply:
    return attrs.evolve(reply, follow=Follow(reply.body, counterpart))


def _streamed_or_plain(stream: bool | None, streamed: Callable[[], Reply], plain: Callable[[], Reply]) -> Reply:
    """Return the reply that `stream` demands, or one that follows the request if it is None."""
    if stream is not None:
        return streamed() if stream else plain()
    return _following(streamed(), lambda request: None if request.wants_stream else plain())


def _with_content_type_of(
    source: tuple[tuple[str, str], ...], headers: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Return headers with the content type of others, unless the script has set its own."""
    kind = next((value for name, value in source if name == "content-type"), _EVENT_STREAM)
    return tuple((name, kind if (name, value) == ("content-type", _EVENT_STREAM) else value) for name, value in headers)


def _sse_step(item: SSEItem, named: bool) -> Step:
    if isinstance(item, (Pause, Stall, Cut, Reset)):
        return item
    return sse_event(item, event=str(item["type"]) if named and isinstance(item, Mapping) else None)


def _paced(steps: list[Step], pace: float) -> Iterator[Step]:
    for number, step in enumerate(steps):
        if pace and number and isinstance(step, bytes):
            yield Pause(pace)
        yield step
