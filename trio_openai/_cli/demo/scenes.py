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
    OpenAIError,
    Stream,
    Subscription,
    TrioOpenAI,
)

from .backends import CALL, HELD_BACK, Backend
from .display import Display, Row, one_line

if TYPE_CHECKING:
    from trio_openai.types import ChatCompletionMessageParam

PROMPTS = (
    "Why is the sky blue?",
    "Write a poem about the sea.",
    "Tell me a story of a lighthouse.",
    "How do I make a cup of tea?",
    "Why do cats purr?",
    "Describe a forest in autumn.",
)
MAX_TOKENS = 36
CUT = 3  # the number of the prompt whose stream a deadline cuts,
SECONDS_OF_TEXT = 1.0  # this many seconds after its first event
SHARED = 5  # the number of the prompt whose stream has two subscribers
LOOKS_EVERY = 0.2  # seconds between the reads of the slow subscriber
PATIENCE = 300.0  # seconds for a stream, a race, or all prompts of the last scene

RACE_PROMPT = "What is a race condition?"
RACE_MAX_TOKENS = 30
STAGGER = 0.3  # seconds from the first call to the second

COUNTRIES = (
    *("Norway", "Italy", "Peru", "Japan", "Kenya"),
    *("Canada", "Egypt", "Chile", "Greece", "Cuba"),
)
AT_A_TIME = 4
COUNTRY_MAX_TOKENS = 8


# ------------------------------------------------------------------------------------------------- six streams at once


@attrs.define
class Prompt:
    """One prompt, its stream, and what happened to it.

    Attributes:
        events: the number of events received.
        was_cut: whether the deadline passed.
        notes: what to print about it at the end.
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
        return self.stream.text if self.stream else ""

    def row(self) -> Row:
        """Return the row as it is now."""
        state, style = self._state()
        return Row(f"{self.number}  {self.prompt}", f"   {state}", one_line(self.text), style)

    def _state(self) -> tuple[str, str]:
        """Return what happened so far, and its colour."""
        if self.error:
            return type(self.error).__name__, "red"
        if self.was_cut:
            return f"cut by its deadline, {self.events} events", "yellow"
        if self.stream and not self.is_open:
            end = "token limit reached" if self.stream.verdict.reason == "length" else "complete"
            return f"{end}, {self.events} events", "green"
        return (f"{self.events} events" if self.events else "waiting for the server"), "dim"


async def show_streams(client: TrioOpenAI, backend: Backend, display: Display) -> list[OpenAIError]:
    """Stream all prompts at once. A deadline cuts one stream, and another has two subscribers. Return the errors."""
    prompts = [Prompt(number, prompt) for number, prompt in enumerate(PROMPTS, 1)]
    display.say("Six streams at once. A deadline cuts the third, and three tasks read the fifth.", style="bold")
    async with display.showing(lambda: [prompt.row() for prompt in prompts]), trio.open_nursery() as streams:
        for prompt in prompts:
            streams.start_soon(_show_stream, client, backend, prompt, streams)
    for prompt in prompts:
        for note in prompt.notes:
            display.say(f"{prompt.number}  {note}")
    return [prompt.error for prompt in prompts if prompt.error]


async def _show_stream(client: TrioOpenAI, backend: Backend, prompt: Prompt, readers: trio.Nursery) -> None:
    await trio.lowlevel.checkpoint()
    try:
        prompt.was_cut = await _stream(client, backend.model, prompt, readers)
        prompt.is_open = False
        if prompt.was_cut:
            closed = await backend.closed(client)
            kept = f"was cut: its {len(prompt.text)} characters are kept"
            prompt.notes.append(f"{kept}, and {closed}" if closed else kept)
    except OpenAIError as error:
        prompt.error = error


async def _stream(client: TrioOpenAI, model: str, prompt: Prompt, readers: trio.Nursery) -> bool:
    """Stream the answer to a prompt. Return whether the deadline cut it; `prompt.stream` keeps what arrived."""
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": prompt.prompt}]
    with trio.move_on_after(PATIENCE) as scope:
        async with client.chat.completions.stream(model=model, messages=messages, max_tokens=MAX_TOKENS) as stream:
            prompt.stream = stream
            if prompt.number == SHARED:
                readers.start_soon(_count_words, stream.subscribe(buffer=16), prompt)
                readers.start_soon(_look_now_and_then, stream.subscribe(buffer=4, overflow="coalesce"), prompt)
            async for _chunk in stream:
                prompt.events += 1
                if prompt.number == CUT and prompt.events == 1:
                    scope.deadline = trio.current_time() + SECONDS_OF_TEXT
    return scope.cancelled_caught


async def _count_words(events: Subscription[Any], prompt: Prompt) -> None:
    """Read the same stream as a second, fast subscriber."""
    await trio.lowlevel.checkpoint()
    text = ""
    with contextlib.suppress(trio.BrokenResourceError):  # the task that iterates the stream reports the error
        async for chunk in events:
            text += _text_of(chunk)
        prompt.notes.append(f"was also read by a second task, which counted {len(text.split())} words")


async def _look_now_and_then(events: Subscription[Any], prompt: Prompt) -> None:
    """Read the same stream as a slow subscriber that nobody waits for."""
    await trio.lowlevel.checkpoint()
    text = ""
    with contextlib.suppress(trio.BrokenResourceError):
        async for chunk in events:
            text += _text_of(chunk)
            await trio.sleep(LOOKS_EVERY)
        seen = events.statistics()
        if text != prompt.text:
            prompt.error = OpenAIError("a subscriber has received a different text than the stream")
        merged = f"{seen.received + seen.merged} events merged into {seen.received}"
        prompt.notes.append(f"was also read by a slow third task, with its {merged}")


def _text_of(chunk: Any) -> str:
    return "".join(choice.delta.content or "" for choice in chunk.choices)


# --------------------------------------------------------------------------------------------------------------- a race


async def show_race(client: TrioOpenAI, backend: Backend, display: Display) -> list[OpenAIError]:
    """Ask twice, with the first answer held back. The second call wins, and the first is closed. Return the errors."""
    display.say(f"A race: no answer for {STAGGER:g} s, so ask a second time, and close the loser.", style="bold")
    rows = {
        "first": Row("first call", f"its answer is held back {HELD_BACK:g} s", style="dim"),
        "second": Row("second call", f"starts {STAGGER:g} s later", style="dim"),
    }
    errors: list[OpenAIError] = []
    async with display.showing(lambda: list(rows.values())):
        try:
            with trio.fail_after(PATIENCE):
                await _race(client, backend, rows)
        except OpenAIError as error:
            errors.append(error)
        except trio.TooSlowError:
            errors.append(OpenAIError(f"the race was not over after {PATIENCE:g} s"))
    return errors


async def _race(client: TrioOpenAI, backend: Backend, rows: dict[str, Row]) -> None:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": RACE_PROMPT}]
    calls = [
        client.chat.completions.call(
            model=backend.model, messages=messages, max_tokens=RACE_MAX_TOKENS, extra_headers={CALL: name}
        )
        for name in rows
    ]
    began = trio.current_time()
    async with client.race(calls, stagger=STAGGER) as stream:
        won = f"won with its first word after {trio.current_time() - began:.2f} s"
        winner = stream.response.request.headers[CALL]
        (loser,) = rows.keys() - {winner}
        closed = await backend.closed(client) or "its connection is closed"
        rows[loser] = Row(f"{loser} call", f"closed: {closed}", style="yellow")
        async for _chunk in stream:
            rows[winner] = Row(f"{winner} call", won, one_line(stream.text), "green")


# --------------------------------------------------------------------------------------------------------- many prompts


async def show_many(client: TrioOpenAI, backend: Backend, display: Display) -> list[OpenAIError]:
    """Ask many questions, a few at a time, and show the progress. Return the errors."""
    display.say(f"{len(COUNTRIES)} prompts, {AT_A_TIME} at a time.", style="bold")
    calls = [
        client.chat.completions.call(
            key=country,
            model=backend.model,
            messages=[{"role": "user", "content": f"What is the capital of {country}?"}],
            max_tokens=COUNTRY_MAX_TOKENS,
            stream_options={"include_usage": True},
        )
        for country in COUNTRIES
    ]
    errors: list[OpenAIError] = []
    with trio.move_on_after(PATIENCE) as scope:
        async with (
            client.run_many(calls, max_concurrent=AT_A_TIME, ordered=True) as results,
            display.progress(results),
        ):
            async for result in results:
                if result.error is not None:
                    errors.append(result.error)
                else:
                    display.say(f"{result.key}: {one_line(result.text)}")
    if scope.cancelled_caught:
        return [OpenAIError(f"the prompts were not done after {PATIENCE:g} s")]
    return errors


SCENES = (show_streams, show_race, show_many)
