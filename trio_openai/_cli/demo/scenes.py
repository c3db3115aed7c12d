"""The demo's scenes: six streams at once, a race, and more prompts than may run at a time.

Each scene is a function that runs, shows its progress, and returns the errors it met. Only public names of the library
are used, so a scene also serves as an example.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_openai import (
    APIError,
    ChatCompletionStream,
    Items,
    OpenAIError,
    Result,
    Stream,
    Subscription,
    TrioOpenAI,
)
from trio_openai.types import ChatCompletion

from .backends import CALL, Backend
from .display import Column, Display, Line, Table, animate, one_line, tail

if TYPE_CHECKING:
    from trio_openai.types import ChatCompletionMessageParam

PROMPTS = (
    "Explain in a few sentences why the sky is blue.",
    "Write a short poem about the sea.",
    "Tell a long story about an old lighthouse keeper.",
    "How do I make a good cup of tea?",
    "What is structured concurrency good for?",
    "Describe a walk through a forest in autumn.",
)
MAX_TOKENS = 60
CUT = 3  # the number of the prompt whose stream a deadline cuts,
SECONDS_OF_TEXT = 1.2  # this many seconds after its first event
SHARED = 5  # the number of the prompt whose stream has two subscribers
LOOKS_EVERY = 0.2  # seconds between the reads of the slow subscriber
PATIENCE = 300.0  # seconds for a stream, a race, or all prompts of the last scene

RACE_PROMPT = "What is a race condition?"
RACE_MAX_TOKENS = 30
STAGGER = 0.3  # seconds from the first call to the second

COUNTRIES = (
    *("Norway", "Italy", "Peru", "Japan", "Kenya", "Canada", "Egypt", "India"),
    *("Chile", "Greece", "Cuba", "Nepal", "Spain", "Ghana", "Iceland", "Laos"),
)
AT_A_TIME = 4
COUNTRY_MAX_TOKENS = 12

_TEXT_SO_FAR = Column("text so far", fills=True, end=True)
_LIVE = (Column(""), Column("prompt", share=0.33), Column("events", right=True), _TEXT_SO_FAR)
_AT_THE_END = (
    Column(""),
    Column("prompt", shrinks=True),
    Column("verdict"),
    *(Column(name, right=True) for name in ("events", "first content", "text")),
)
_RACE = (Column("call"), Column("events", right=True), _TEXT_SO_FAR)
_MANY = (
    *(Column(name, right=True) for name in ("queued", "running", "done", "failed", "tokens", "events/s")),
    Column("latest answer", fills=True),
)


# ------------------------------------------------------------------------------------------------- six streams at once


@attrs.define
class Row:
    """One prompt, its stream, and what happened to it.

    Attributes:
        events: the number of events received.
        was_cut: whether the deadline passed.
        notes: further lines to print about it at the end.
    """

    number: int
    prompt: str
    stream: Stream[Any, Any] | None = None
    events: int = 0
    is_open: bool = True
    was_cut: bool = False
    error: OpenAIError | None = None
    notes: list[str] = attrs.field(factory=list[str])

    @property
    def text(self) -> str:
        """The text of the answer so far."""
        choices = self.stream.snapshot.choices if self.stream else ()
        return (choices[0].message.content or "") if choices else ""

    @property
    def state(self) -> str:
        """The verdict, or the error's class if there is none."""
        if self.error:
            return type(self.error).__name__
        verdict = str(self.stream.verdict) if self.stream else "waiting"
        return f"{verdict} (deadline)" if self.was_cut else verdict

    @property
    def style(self) -> str:
        """The row's colour."""
        if self.error:
            return "red"
        return "" if self.is_open else ("yellow" if self.was_cut else "green")

    def live(self) -> Line:
        """Return the line to show while it streams."""
        return Line((str(self.number), self.prompt, str(self.events), tail(self.text, 200)), self.style)

    def at_the_end(self) -> Line:
        """Return the line for the final table."""
        seconds = self.stream.timings.first_content if self.stream else None
        first = "" if seconds is None else f"{seconds:.2f} s"
        cells = (str(self.number), self.prompt, self.state, str(self.events), first, str(len(self.text)))
        return Line(cells, self.style)


async def show_streams(client: TrioOpenAI, backend: Backend, display: Display) -> list[OpenAIError]:
    """Stream all prompts at once. A deadline cuts one stream, and another has two subscribers. Return the errors."""
    rows = [Row(number, prompt) for number, prompt in enumerate(PROMPTS, 1)]
    began = trio.current_time()

    def live() -> Table:
        return Table(_LIVE, [row.live() for row in rows])

    display.heading(f"{len(rows)} streams at once from {backend.name}")
    with display.drawing():
        async with trio.open_nursery() as drawing:
            drawing.start_soon(animate, display, live)
            async with trio.open_nursery() as streams:
                for row in rows:
                    streams.start_soon(_show_stream, client, backend, row, streams, display)
            drawing.cancel_scope.cancel()
        display.draw(live())
    return _report(rows, display, trio.current_time() - began)


async def _show_stream(client: TrioOpenAI, backend: Backend, row: Row, readers: trio.Nursery, display: Display) -> None:
    await trio.lowlevel.checkpoint()
    try:
        row.was_cut = await _stream(client, backend.model, row, readers)
        row.is_open = False
        if not display.is_live:
            display.say(f"[{row.number}] {row.state}: {row.events} events, {len(row.text)} characters")
        if row.was_cut:
            row.notes.append(f"was cut by its deadline; {len(row.text)} characters are kept: ...{tail(row.text, 22)}")
            if closed := await backend.closed(client):
                row.notes.append(closed)
    except OpenAIError as error:
        row.error = error


async def _stream(client: TrioOpenAI, model: str, row: Row, readers: trio.Nursery) -> bool:
    """Stream the answer to a prompt. Return whether the deadline cut it; `row.stream.snapshot` keeps what arrived."""
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": row.prompt}]
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
    """Read the same stream as a second, fast subscriber."""
    await trio.lowlevel.checkpoint()
    text = ""
    with contextlib.suppress(trio.BrokenResourceError):  # the task that iterates the stream reports the error
        async for chunk in events:
            text += _text_of(chunk)
        row.notes.append(f"had a second reader, which counted {len(text.split())} words as they came")


async def _look_now_and_then(events: Subscription[Any], row: Row) -> None:
    """Read the same stream as a slow subscriber that nobody waits for."""
    await trio.lowlevel.checkpoint()
    text = ""
    with contextlib.suppress(trio.BrokenResourceError):
        async for chunk in events:
            text += _text_of(chunk)
            await trio.sleep(LOOKS_EVERY)
        seen = events.statistics()
        if text != row.text:
            row.error = OpenAIError("a subscriber has received a different text than the stream")
        merged = f"{seen.received + seen.merged} events, merged to {seen.received}"
        row.notes.append(f"had a third, slow one: {merged}, with the same {len(text)} characters")


def _text_of(chunk: Any) -> str:
    return "".join(choice.delta.content or "" for choice in chunk.choices)


def _report(rows: list[Row], display: Display, seconds: float) -> list[OpenAIError]:
    errors = [row.error for row in rows if row.error]
    if len(errors) == len(rows):
        return errors
    display.table(Table(_AT_THE_END, [row.at_the_end() for row in rows]))
    display.say(f"{len(rows)} streams, {sum(row.events for row in rows)} events, {seconds:.1f} s")
    for row in rows:
        for note in row.notes:
            display.say(f"[{row.number}] {note}")
    display.end()
    return errors


# --------------------------------------------------------------------------------------------------------------- a race


async def show_race(client: TrioOpenAI, backend: Backend, display: Display) -> list[OpenAIError]:
    """Race two calls for one answer, and print which one won. Return the errors."""
    await trio.lowlevel.checkpoint()
    display.heading(f"a race: the same question twice, the second call {STAGGER:g} s after the first")
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": RACE_PROMPT}]
    calls = [
        client.chat.completions.call(
            model=backend.model, messages=messages, max_tokens=RACE_MAX_TOKENS, extra_headers={CALL: name}
        )
        for name in ("first", "second")
    ]
    began = trio.current_time()
    try:
        with trio.fail_after(PATIENCE):
            async with client.race(calls, stagger=STAGGER) as stream:
                await _read_winner(stream, client, backend, display, trio.current_time() - began)
    except OpenAIError as error:
        return [error]
    except trio.TooSlowError:
        return [OpenAIError(f"the race was not over after {PATIENCE:g} s")]
    return []


async def _read_winner(
    stream: ChatCompletionStream, client: TrioOpenAI, backend: Backend, display: Display, seconds: float
) -> None:
    """Print what happened to both calls, and read the winner to its end."""
    winner = stream.response.request.headers[CALL]
    display.say(f"the {winner} call won: it had content after {seconds:.2f} s")
    if winner == "first" and seconds < STAGGER:
        display.say("the second one was never started")
    else:
        closed = await backend.closed(client)
        loser = "second" if winner == "first" else "first"
        display.say(f"the {loser} one was closed{': ' + closed if closed else ''}")
    with display.drawing():
        text, events = "", 0
        async for chunk in stream:
            events += 1
            text += _text_of(chunk)
            display.draw(Table(_RACE, [Line((winner, str(events), tail(text, 200)))]))
    if not display.is_live:
        display.say(f"{events} events: ...{tail(text, 60)}")
    display.end()


# --------------------------------------------------------------------------------------------------------- many prompts


async def show_many(client: TrioOpenAI, backend: Backend, display: Display) -> list[OpenAIError]:
    """Ask many questions, a few at a time, and show the progress. Return the errors."""
    display.heading(f"{len(COUNTRIES)} prompts, {AT_A_TIME} at a time")
    calls = (
        client.chat.completions.call(
            key=country,
            model=backend.model,
            messages=[{"role": "user", "content": f"What is the capital of {country}?"}],
            max_tokens=COUNTRY_MAX_TOKENS,
            stream_options={"include_usage": True},
        )
        for country in COUNTRIES
    )
    with trio.move_on_after(PATIENCE) as scope:
        async with client.run_many(calls, max_concurrent=AT_A_TIME) as results:
            errors = await _watch(results, display)
            total = results.statistics()
            counts = f"{total.done} done, {total.failed} failed, {total.tokens} tokens, {total.events} events"
            display.say(f"{counts}, {total.seconds:.1f} s")
            return list(errors)
    assert scope.cancelled_caught
    return [OpenAIError(f"the prompts were not done after {PATIENCE:g} s")]


async def _watch(results: Items[Result[ChatCompletion]], display: Display) -> list[APIError]:
    """Receive the results while showing the counts."""
    errors: list[APIError] = []
    latest = ""
    taken = 0

    def live() -> Table:
        now = results.statistics()
        counts = (now.queued, now.running, now.done, now.failed, now.tokens, round(now.events_per_second))
        return Table(_MANY, [Line((*map(str, counts), latest))])

    with display.drawing():
        async with trio.open_nursery() as drawing:
            drawing.start_soon(animate, display, live)
            async for result in results:
                taken += 1
                if result.error is not None:
                    errors.append(result.error)
                    continue
                latest = f"{result.key}: {_answer_of(result)}"
                if not display.is_live and taken % AT_A_TIME == 0:
                    display.say(f"{taken} done, {results.statistics().events_per_second:.0f} events/s, {latest}")
            drawing.cancel_scope.cancel()
        display.draw(live())
    return errors


def _answer_of(result: Result[ChatCompletion]) -> str:
    choices = result.value.choices
    return one_line(choices[0].message.content or "")[:60] if choices else ""


SCENES = (show_streams, show_race, show_many)
