"""The first scene: six streams at once. One is cut by a deadline, and one has two more readers."""

from __future__ import annotations

import contextlib
from typing import Any

import attrs
import trio

from trio_openai import OpenAIError, Stream, Subscription, TrioOpenAI

from .endpoints import Endpoint
from .view import Column, Line, Table, View, animate, tail

PROMPTS = (
    "Explain in a few sentences why the sky is blue.",
    "Write a short poem about the sea.",
    "Tell a long story about an old lighthouse keeper.",
    "How do I make a good cup of tea?",
    "What is structured concurrency good for?",
    "Describe a walk through a forest in autumn.",
)
MAX_TOKENS = 60
CUT = 3  # the number of the prompt that has a deadline,
SECONDS_OF_TEXT = 1.2  # so long after its first event
SHARED = 5  # the number of the one that others read too
LOOKS_EVERY = 0.2  # seconds, of the slow one among them
PATIENCE = 300.0  # seconds, for any stream

_LIVE = (
    Column(""),
    Column("prompt", share=0.33),
    Column("events", right=True),
    Column("text so far", fills=True, end=True),
)
_AT_THE_END = (
    Column(""),
    Column("prompt", shrinks=True),
    Column("verdict"),
    Column("events", right=True),
    Column("first content", right=True),
    Column("text", right=True),
)


@attrs.define
class Row:
    """One prompt and what becomes of it.

    Attributes:
        events: how many have arrived.
        was_cut: its deadline passed.
        told: what else there is to tell of it.
    """

    number: int
    prompt: str
    stream: Stream[Any, Any] | None = None
    events: int = 0
    is_open: bool = True
    was_cut: bool = False
    error: OpenAIError | None = None
    told: list[str] = attrs.field(factory=list[str])

    @property
    def text(self) -> str:
        """What has arrived of the answer, in the middle of it or after it."""
        choices = self.stream.snapshot.choices if self.stream else ()
        return (choices[0].message.content or "") if choices else ""

    @property
    def state(self) -> str:
        """The verdict, or why there is none."""
        if self.error:
            return type(self.error).__name__
        verdict = str(self.stream.verdict) if self.stream else "waiting"
        return f"{verdict} (deadline)" if self.was_cut else verdict

    @property
    def style(self) -> str:
        """Its colour."""
        if self.error:
            return "red"
        return "" if self.is_open else ("yellow" if self.was_cut else "green")

    def live(self) -> Line:
        """The line while it streams."""
        return Line((str(self.number), self.prompt, str(self.events), tail(self.text, 200)), self.style)

    def at_the_end(self) -> Line:
        """The line after that."""
        seconds = self.stream.timings.first_content if self.stream else None
        first = "" if seconds is None else f"{seconds:.2f} s"
        cells = (str(self.number), self.prompt, self.state, str(self.events), first, str(len(self.text)))
        return Line(cells, self.style)


async def show(client: TrioOpenAI, endpoint: Endpoint, view: View) -> list[OpenAIError]:
    """Stream all prompts, draw them as they grow, and print what came of them. Returns what went wrong."""
    rows = [Row(number, prompt) for number, prompt in enumerate(PROMPTS, 1)]
    began = trio.current_time()

    def live() -> Table:
        return Table(_LIVE, [row.live() for row in rows])

    view.heading(f"{len(rows)} streams at once from {endpoint.name}")
    with view.drawing():
        async with trio.open_nursery() as drawing:
            drawing.start_soon(animate, view, live)
            async with trio.open_nursery() as streams:
                for row in rows:
                    streams.start_soon(_one, client, endpoint, row, streams, view)
            drawing.cancel_scope.cancel()
        view.draw(live())
    return _report(rows, view, trio.current_time() - began)


async def _one(client: TrioOpenAI, endpoint: Endpoint, row: Row, readers: trio.Nursery, view: View) -> None:
    await trio.lowlevel.checkpoint()
    try:
        row.was_cut = await _stream(client, endpoint.model, row, readers)
        row.is_open = False
        if not view.is_live:
            view.say(f"[{row.number}] {row.state}: {row.events} events, {len(row.text)} characters")
        if row.was_cut:
            row.told.append(f"was cut by its deadline; {len(row.text)} characters are kept: ...{tail(row.text, 22)}")
            if closed := await endpoint.closed(client):
                row.told.append(closed)
    except OpenAIError as error:
        row.error = error


async def _stream(client: TrioOpenAI, model: str, row: Row, readers: trio.Nursery) -> bool:
    """Stream the answer to a prompt. Returns whether the deadline cut it; what had arrived is `row.stream.snapshot`."""
    messages = [{"role": "user", "content": row.prompt}]
    with trio.move_on_after(PATIENCE) as scope:
        async with client.chat.completions.stream(model=model, messages=messages, max_tokens=MAX_TOKENS) as stream:
            row.stream = stream
            if row.number == SHARED:
                readers.start_soon(_count_words, stream.subscribe(buffer=16), row)
                readers.start_soon(_look_now_and_then, stream.subscribe(buffer=4, overflow="coalesce"), row)
            async for _chunk in stream:
                row.events += 1
                if row.number == CUT and row.events == 1:
                    scope.deadline = trio.current_time() + SECONDS_OF_TEXT
    return scope.cancelled_caught


async def _count_words(events: Subscription[Any], row: Row) -> None:
    """Another reader of the same stream, as quick as the first."""
    await trio.lowlevel.checkpoint()
    text = ""
    with contextlib.suppress(trio.BrokenResourceError):  # whoever iterates the stream is told why
        async for chunk in events:
            text += _text_of(chunk)
        row.told.append(f"had a second reader, which counted {len(text.split())} words as they came")


async def _look_now_and_then(events: Subscription[Any], row: Row) -> None:
    """A slow one, for which nobody waits."""
    await trio.lowlevel.checkpoint()
    text = ""
    with contextlib.suppress(trio.BrokenResourceError):
        async for chunk in events:
            text += _text_of(chunk)
            await trio.sleep(LOOKS_EVERY)
        seen = events.statistics()
        if text != row.text:
            row.error = OpenAIError("a subscriber has got another text than the stream has")
        merged = f"{seen.received + seen.merged} events, merged to {seen.received}"
        row.told.append(f"had a third, slow one: {merged}, with the same {len(text)} characters")


def _text_of(chunk: Any) -> str:
    return "".join(choice.delta.content or "" for choice in chunk.choices)


def _report(rows: list[Row], view: View, seconds: float) -> list[OpenAIError]:
    errors = [row.error for row in rows if row.error]
    if len(errors) == len(rows):
        return errors
    view.table(Table(_AT_THE_END, [row.at_the_end() for row in rows]))
    view.say(f"{len(rows)} streams, {sum(row.events for row in rows)} events, {seconds:.1f} s")
    for row in rows:
        for told in row.told:
            view.say(f"[{row.number}] {told}")
    view.end()
    return errors
