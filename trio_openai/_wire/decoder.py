"""From the bytes of a response to the events of a stream.

A decoder is pulled, like the SSE parser below it. `receive_data` takes bytes and never raises. `next_event` returns one
event at a time, in the order of the bytes, then `NEED_DATA`; or `END` after the end of the stream. A failure is raised
by `next_event` after all good events before it.

What ends a stream:

* An event that its protocol knows as the end (`response.completed`), or `data: [DONE]`.
* The end of the body, if what came is complete all the same: every choice has its finish reason, and the connection was
  not cut. Otherwise the stream is truncated.
* The end of a body that is one plain JSON answer. Some servers ignore `stream=True`. The answer counts as one event.
* An error that the server reports inside the stream, or bytes that are not the protocol. Then it has failed.

What is skipped: messages without data, keep-alive comments (also those some servers put into a `data` field, such as
`data: : keepalive`), `data: null`, and data that is no JSON object and whose name belongs to no event of the endpoint.
Bytes after the end are ignored. An event at the end of the body that lacks its empty line counts if its JSON is
complete.

Lines that are no field of the SSE standard may be the last words of a server or proxy that gave up. If they are JSON
that reports an error, the stream fails with that error, even if `[DONE]` follows. If no event follows them, the error
for the truncated stream quotes them.

A decoder knows one attempt only. `lifecycle.py` decides what becomes of the stream.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Generic, TypeVar, cast

from trio_openai.errors import APIError, APIResponseValidationError, StreamTruncatedError

from .failures import api_error, decode_body, decode_replaced, error_in_text, is_error, sentence
from .json import is_object, load_one, loader_for, objects_in
from .large import put_strings_back, shown, take_strings_out
from .protocol import Ending, StreamProtocol
from .sse import DEFAULT_LIMIT, Block, SSEParser
from .sse_block import ServerSentEvent

EventT = TypeVar("EventT")


class Signal(Enum):
    """An answer of `next_event` that is not an event."""

    NEED_DATA = "need data"
    END = "end"


NEED_DATA: Final = Signal.NEED_DATA
END: Final = Signal.END

NEW_CONNECTION: Final = b""
"""Separates the bytes of two connections in a recorded body; see `resume`."""

_MESSAGES_AT_ONCE = 32  # one call decodes at most so many, so that it stays short
_WORDS_KEPT = 64 * 1024  # bytes of the server's last words
_HEAD_KEPT = 64 * 1024  # bytes of the body, kept until the first event, to name what came if there is no event
_BOM = b"\xef\xbb\xbf"
_FIELDS = (b":", b"data", b"event", b"id", b"retry")


class Decoder(Generic[EventT]):
    """Turns the bytes of one attempt into events. The module's docstring has the rules.

    Args:
        protocol: the protocol of the endpoint.
        content_type: the response's media type, for the message if it is not an event stream.
        limit: the most bytes that one event may have.
        exactly_once: whether to look at the events' `sequence_number`. An event that came before is skipped, and a
            missing one is an error. Events without a number are passed on.

    Attributes:
        events: the number of events that were pulled out.
        is_over: whether nothing can follow, because the stream has ended or failed.
        error: the failure, which every further pull raises again; else None.
        ended_by: what ended the stream: see `Verdict.by`.
        content_type: the response's media type.
        cursor: the last `sequence_number`, if `exactly_once`.
        is_dry: whether it is known that `next_event` would answer `NEED_DATA`. To be asked first would cost as much as
            the rest of the work on an event that comes alone.
    """

    _decoded_ahead = _MESSAGES_AT_ONCE  # a decoded event takes several times the memory of its bytes
    _is_plain = False  # whether the body is a plain JSON answer and not a stream
    is_full = False  # whether kept messages have to be taken first; see `decoder_raw.py`

    def __init__(
        self,
        protocol: StreamProtocol[EventT, Any],
        *,
        content_type: str = "",
        limit: int = DEFAULT_LIMIT,
        exactly_once: bool = False,
    ) -> None:
        self._protocol = protocol
        self._messages: list[Block] = []  # parsed, not decoded yet
        self._ready: list[EventT] = []  # decoded, not pulled out yet; the next one is at the end of the list
        self._ending: Ending[EventT] | None = None  # decoded; it comes after the events that are ready
        self._to_add: list[EventT] = []  # pulled out, not added up yet
        self.events: int = 0
        self.is_over: bool = False
        self.error: APIError | None = None
        self.ended_by: str | None = None
        self._reported: APIError | None = None  # an error that the server reported, to be raised at the next pull
        self._may_be_replaced = False  # then it is raised at the end of the body, unless an event replaces it
        self.cursor: int | None = None
        self._exactly_once = exactly_once
        self._decoded_ahead = 1 if exactly_once else self._decoded_ahead
        self.content_type = content_type
        self._limit = limit
        self._parser = self._new_parser()
        self._strings: dict[str, str] = {}  # the long strings of the event that is being decoded
        self._words = bytearray()  # lines that are no field of the SSE standard
        self._words_at = 0  # the number of events before them; if it is still the same, they may be the last words
        self._head = bytearray()
        self._body_ended = False
        self._cut_by = ""
        self.is_dry: bool = False
        self._is_last = False  # nothing follows what is ready before more bytes come
        self._single: Block | None = None  # all that the last read brought

    def _new_parser(self) -> SSEParser:
        return SSEParser(limit=self._limit, words=True, pieces=True)

    @property
    def has_more(self) -> bool:
        """True if `next_event` can go on without more bytes after it has answered `NEED_DATA`."""
        return not self.is_over and self._parser.has_more

    @property
    def protocol(self) -> StreamProtocol[EventT, Any]:
        """The protocol, which has added up all events that were pulled out."""
        self.add_up()
        return self._protocol

    def add_up(self) -> None:
        """Add up the events that were pulled out. This is done once a read, because several at once cost less."""
        if self._to_add:
            events, self._to_add = self._to_add, []
            self._protocol.add(events)
            if self._head:  # it is needed only while there is no event
                self._head.clear()

    def receive_data(self, data: bytes) -> None:
        """Take bytes of the body. Never raises."""
        if not self.events:
            self._keep_head(data)
        if self.is_dry:
            self.is_dry, self._single = False, None if self._exactly_once else self._parser.single(data)
            if self._single is not None:
                return
        self._more_follows()
        self._parser.receive_data(data)

    def _more_follows(self) -> None:
        """Note that something follows what came before. A message that came alone is then one of many."""
        self._is_last = False
        if self._single is not None:
            self._messages, self._single = [self._single], None

    def _keep_head(self, data: bytes) -> None:
        """Keep the first bytes of the body, or all of them if the body may be a JSON object instead of a stream."""
        start = bytes(self._head[:64] or data[:64])
        most = self._limit if start.removeprefix(_BOM).lstrip()[:1] == b"{" else _HEAD_KEPT
        if len(self._head) < most:
            self._head += data[: most - len(self._head)]

    def receive_end(self, *, cut_by: str = "") -> None:
        """Take the end of the body. `cut_by` says what broke the connection before the end, if anything did."""
        self._more_follows()
        self.is_dry, self._body_ended = False, True
        self._cut_by = cut_by
        self._parser.receive_end()

    def next_event(self) -> EventT | Signal:
        """Return the next event, `NEED_DATA`, or `END`.

        One call does a bounded amount of work, whatever the bytes are. If it finds no event within that, it answers
        `NEED_DATA` while `has_more` is true. Then let other tasks run, and call again.

        Raises:
            APIError: the server reported an error.
            StreamTruncatedError: the body ended before the stream was complete.
            APIResponseValidationError: the bytes are not the protocol.
        """
        if self._single is not None and (made := self._usual(self._single)) is not None:
            return made
        ready = self._ready
        if not ready and (signal := self._advance()) is not None:
            return signal
        event = ready.pop()
        self.events += 1
        self._to_add.append(event)
        if not ready:
            self.is_dry = self._is_last
        return event

    def _usual(self, message: Block) -> EventT | None:
        """Return the event of a message that came alone. If it is not usual, return None, and `_advance` takes over.

        This does what `_decode` does for many. With `SSEParser.single`, an event that comes alone costs 1.5 µs less of
        5.5 (chat, `benchmarks/stream.py`, lockstep).
        """
        self._single, self._messages = None, [message]
        try:
            raw: Any = load_one(message[0] or b"")
        except ValueError:
            return None
        if raw.__class__ is not dict:
            return None
        if self._to_add:
            self.add_up()
        self._messages = []
        made: Any = self._protocol.event(raw, message[1])
        if type(made) is Ending:
            self._ending, self._is_last = made, False
            return None
        self.events += 1
        self._to_add.append(event := cast("EventT", made))
        self.is_dry = True
        return event

    def _advance(self) -> Signal | None:
        """Make the next events ready. If there is none, return the signal that says why."""
        if self.is_over:
            return self._after_end()
        decoded = 0
        try:
            while decoded < _MESSAGES_AT_ONCE:
                if self._reported is not None and not self._may_be_replaced:
                    raise self.fail(self._reported)
                if self._ending is not None:
                    break
                messages = self._messages or self._parser.next_events(self._decoded_ahead)
                if messages and self._parser.event is not None:
                    messages = self._look_at_all(messages)
                if not messages:
                    break
                decoded += len(messages)
                if (signal := self._decode(messages)) is not None:
                    return signal
                if self._ready:
                    return None
            return self._go_on()
        except APIResponseValidationError as error:
            raise self.fail(error) from error.__cause__

    def _go_on(self) -> Signal | None:
        """Take the step that follows the events before it: the ending, or a read, or the end of the body."""
        if self._ending is not None:
            self._end_with(self._ending)
        return None if self._ready else self._finish() if self._body_ended and not self._parser.has_more else NEED_DATA

    def _look_at_all(self, messages: list[Block]) -> list[Block]:
        """Look at messages that came alone, up to the first with data. Return it, or an empty list."""
        while messages and (event := self._parser.event) is not None:
            if self._look_at(event):
                return [(event.data, event.event)]
            messages = self._parser.next_events(self._decoded_ahead)
        return messages

    def _look_at(self, message: ServerSentEvent) -> bool:
        """Look at what the parser says of a message that came alone. Return whether it has data."""
        if self._parser.pieces:
            message.data, self._strings = take_strings_out(self._parser.pieces)
        if self._parser.words:
            self._heed(self._parser.words, is_alone=message.data is None)
        return message.data is not None

    def _decode(self, messages: list[Block]) -> Signal | None:
        """Decode messages, up to the first that ends the stream or has to wait for its turn.

        Events are decoded before their turn, since many at once cost less. That must not change anything yet. So a
        message that is not a JSON object is decoded only when all events before it have been handed out.
        """
        if self._to_add:
            self.add_up()
        ready, once, make, strings = self._ready, self._exactly_once, self._protocol.event, self._strings
        loads = loader_for((messages[0][0] or b"",) if len(messages) == 1 else [data or b"" for data, _ in messages])
        self._messages, left = [], iter(messages)
        text: Any
        for text, name in left:
            try:
                raw: Any = loads(text)
            except ValueError:
                raw = None
            made: Any = None
            if raw.__class__ is not dict or strings:  # pyright would narrow `type(raw)` to a dict of unknown types
                if ready:
                    self._messages = [(text, name), *left]
                    break
                made = self._decode_unusual(name, text)
                if isinstance(made, Signal):
                    return made
            elif not once or self._is_next(raw.get("sequence_number"), text):
                made = make(raw, name)
            if type(made) is Ending:
                self._ending, self._messages = made, list(left)
                break
            if made is not None:
                ready.append(made)
        ready.reverse()
        self._is_last = not (self._messages or self._ending or self._body_ended or self._reported or self.has_more)
        return None

    def _end_with(self, ending: Ending[EventT]) -> None:
        """Make the last event ready, and end the stream or remember the error to raise after the event."""
        self._ending, self._reported = None, ending.error
        if ending.error is not None:
            self._may_be_replaced = ending.may_be_replaced
            if ending.event is None or (ending.may_be_replaced and not self.events):
                raise self.fail(ending.error)
        if ending.error is None:
            self._end("terminal_event")
        self._ready.append(cast("EventT", ending.event))

    def fail(self, error: APIError) -> APIError:
        """End with an error, unless the end has come already. Return the error to raise.

        If the server has reported an error before, that is the one: what followed is only its consequence.
        """
        if not self.is_over:
            self.error = self._reported or error
            self.is_over = True
            self.is_dry, self._single = False, None
            self._ready.clear()  # `next_event` looks for an error only when nothing is ready
        return self.error or error

    def resume(self) -> None:
        """Forget the failure. What is received next comes by another connection and has the events that follow."""
        self.is_over, self.error, self._reported = False, None, None
        self._parser, self._words = self._new_parser(), bytearray()
        self._body_ended, self._cut_by = False, ""

    def anew(self, protocol: StreamProtocol[EventT, Any]) -> Decoder[EventT]:
        """Return a decoder that takes the same body from its beginning."""
        return Decoder(protocol, content_type=self.content_type, limit=self._limit, exactly_once=self._exactly_once)

    def _after_end(self) -> Signal:
        if self.error is not None:
            raise self.error
        return END

    def _end(self, by: str) -> Signal:
        self.ended_by = by
        self.is_over = True
        return END

    def _heed(self, words: bytes, *, is_alone: bool) -> None:
        """Look for an error in lines that are no SSE field, and keep them: they may be the server's last words.

        If there is no event in the same block (`is_alone`), the error is raised at once, otherwise after that event.
        """
        said = error_in_text(words)
        if said is not None:
            self._reported, self._may_be_replaced = api_error(APIError, said), False
            if is_alone:
                raise self.fail(self._reported)
        if self._words_at != self.events:
            self._words, self._words_at = bytearray(), self.events
        if len(self._words) < _WORDS_KEPT:
            self._words += words

    def _decode_unusual(self, name: str, data: bytes) -> EventT | Ending[EventT] | Signal | None:
        """Decode a message that the JSON decoder refuses, that is no object, or has long strings.

        Return None for a message to skip, such as a keep-alive.

        Raises:
            APIError: the message is an error.
            APIResponseValidationError: it should be an event, and is not JSON or no JSON object.
        """
        problem, strings = "an event is not a JSON object", self._strings
        self._strings = {}
        if data.strip() == b"[DONE]":
            return self._done()
        try:
            raw = loader_for((data,))(data)
        except ValueError:
            raw = decode_replaced(data)  # JSON that only Python's own decoder takes, or text
            problem = "an event is not JSON" if isinstance(raw, str) else problem
        if strings:
            data, raw = shown(data, strings), put_strings_back(raw, strings)
        if is_object(raw):
            is_new = not self._exactly_once or self._is_next(raw.get("sequence_number"), data)
            return self._protocol.event(raw, name) if is_new else None
        for item in objects_in(raw):  # Gemini's compatible endpoint wraps its errors in a list
            made: Any = self._protocol.event(item, name)
            if type(made) is Ending and made.error is not None:
                return cast("Ending[EventT]", made)
        if name == "error":
            raise self.fail(api_error(APIError, raw))
        is_keepalive = raw is None or not data.strip() or data.lstrip().startswith(b":")
        if not is_keepalive and (name in ("", "message") or self._protocol.knows(name)):
            raise self._invalid(problem, data)
        return None

    def _done(self) -> Signal:
        """End the stream at `[DONE]`, or raise the error that the server reported before it."""
        if self._reported is None and self._words_at == self.events and self._words:
            said = error_in_text(bytes(self._words))
            self._reported = None if said is None else api_error(APIError, said)
        if self._reported is not None:
            raise self.fail(self._reported)
        return self._end("[DONE]")

    def _is_next(self, number: object, data: bytes) -> bool:
        """Return whether an event is new, by its sequence number.

        An event without a number, such as a keep-alive, is new and leaves the cursor where it is.

        Raises:
            APIResponseValidationError: events before this one are missing.
        """
        if type(number) is not int:
            return True
        if self.cursor is not None and number > self.cursor + 1:
            raise self._invalid(f"the server skipped the events after number {self.cursor}", data)
        is_new = self.cursor is None or number > self.cursor
        self.cursor = number if is_new else self.cursor
        return is_new

    def _finish(self) -> Signal | None:
        """Decide what the stream is now that the body has ended: complete, truncated, or not a stream at all."""
        last = self._parser.take_unfinished()
        if last is not None:
            if self._parser.pieces:
                last.data, self._strings = take_strings_out(self._parser.pieces)
            if last.event != "error" and not _is_whole(last.data):
                last.data = None
            if self._look_at(last):
                return self._decode([(last.data, last.event)]) or self._go_on()
        if not self.events:
            if self._is_plain_answer():
                return self._go_on()
            raise self.fail(self._nothing_came())
        if self._is_plain or (last is None and not self._cut_by and self.protocol.whole_without_end()):
            return self._end("end_of_body" if self.protocol.reason is None else "finish_reason")
        raise self.fail(self._truncated("it ended before the answer was complete"))

    def _is_plain_answer(self) -> bool:
        """Return whether the body is a plain JSON answer, which then is the only event.

        Some servers ignore `stream=True`.
        """
        said = decode_body(bytes(self._head.removeprefix(_BOM))) if not self._cut_by else None
        if not is_object(said) or not self._protocol.is_answer(said):
            return False
        self._is_plain = True
        self._head.clear()
        made = self._protocol.event(said, "")
        if isinstance(made, Ending):
            self._ending = made
        else:
            self._ready.append(made)
        return True

    def _truncated(self, how: str) -> StreamTruncatedError:
        message = f"the stream was cut: {self._cut_by or how}"
        words = self._words.decode(errors="replace").strip() if self._words_at == self.events else ""
        if not words:
            return StreamTruncatedError(message)
        said = error_in_text(bytes(self._words))
        if said is not None:
            self._reported = api_error(APIError, said)
        return StreamTruncatedError(f"{message}; the last that the server said: {sentence(words)!r}", body=words)

    def _nothing_came(self) -> APIError:
        """Return the error for a body without any event."""
        head = bytes(self._head)
        said = decode_body(head)
        if is_error(said):
            return api_error(APIError, said)
        if self._looks_like_events(head):
            return self._truncated("it ended before its first event")
        return self._invalid(f"the answer is not an event stream but {self.content_type or 'of no named type'}", head)

    def _looks_like_events(self, head: bytes) -> bool:
        if "event-stream" in self.content_type:  # the header says so: only an obvious contradiction counts
            return not head.lstrip().startswith((b"<", b"{", b"["))
        return all(map(_may_be_a_field, head.removeprefix(_BOM).splitlines()))

    def _invalid(self, what: str, data: bytes) -> APIResponseValidationError:
        shown = data[:200].decode(errors="replace")
        return APIResponseValidationError(f"{what}: {shown!r}", body=data[:_HEAD_KEPT].decode(errors="replace"))


def _may_be_a_field(line: bytes) -> bool:
    """Return whether a line is a field of an event stream, or the beginning of one."""
    return line.startswith(_FIELDS) or any(field.startswith(line) for field in (*_FIELDS, _BOM))


def _is_whole(data: bytes | None) -> bool:
    """Return whether the data of a last event without its empty line is complete."""
    if data is None:
        return False
    return data.strip() == b"[DONE]" or not isinstance(decode_replaced(data), str)
