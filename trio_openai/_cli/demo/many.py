"""The third scene: more prompts than may run at a time, and how far they have got."""

from __future__ import annotations

import trio

from trio_openai import APIError, Items, ManyStatistics, OpenAIError, Result, TrioOpenAI

from .endpoints import Endpoint
from .view import Column, Line, Table, View, animate, one_line

COUNTRIES = (
    *("Norway", "Italy", "Peru", "Japan", "Kenya", "Canada", "Egypt", "India"),
    *("Chile", "Greece", "Cuba", "Nepal", "Spain", "Ghana", "Iceland", "Laos"),
)
AT_A_TIME = 4
MAX_TOKENS = 12
PATIENCE = 300.0  # seconds for all of them

_COLUMNS = (
    *(Column(name, right=True) for name in ("queued", "running", "done", "failed", "tokens", "events/s")),
    Column("latest answer", fills=True),
)


async def show(client: TrioOpenAI, endpoint: Endpoint, view: View) -> list[OpenAIError]:
    """Ask all questions, show how far it has got, and print what came of it. Returns what went wrong."""
    view.heading(f"{len(COUNTRIES)} prompts, {AT_A_TIME} at a time")
    calls = (
        client.chat.completions.call(
            key=country,
            model=endpoint.model,
            messages=[{"role": "user", "content": f"What is the capital of {country}?"}],
            max_tokens=MAX_TOKENS,
            stream_options={"include_usage": True},
        )
        for country in COUNTRIES
    )
    with trio.move_on_after(PATIENCE) as scope:
        async with client.run_many(calls, max_concurrent=AT_A_TIME) as results:
            errors = await _watch(results, view)
            _report(results.statistics(), view)
            return list(errors)
    assert scope.cancelled_caught
    return [OpenAIError(f"the prompts were not done after {PATIENCE:g} s")]


async def _watch(results: Items, view: View) -> list[APIError]:
    """Take the results, and show the counts meanwhile."""
    errors: list[APIError] = []
    latest = ""
    taken = 0

    def live() -> Table:
        now = results.statistics()
        counts = (now.queued, now.running, now.done, now.failed, now.tokens, round(now.events_per_second))
        return Table(_COLUMNS, [Line((*map(str, counts), latest))])

    with view.drawing():
        async with trio.open_nursery() as drawing:
            drawing.start_soon(animate, view, live)
            async for result in results:
                taken += 1
                if result.error is not None:
                    errors.append(result.error)
                    continue
                latest = f"{result.key}: {_answer_of(result)}"
                if not view.is_live and taken % AT_A_TIME == 0:
                    view.say(f"{taken} done, {results.statistics().events_per_second:.0f} events/s, {latest}")
            drawing.cancel_scope.cancel()
        view.draw(live())
    return errors


def _answer_of(result: Result) -> str:
    choices = result.value.choices
    return one_line(choices[0].message.content or "")[:60] if choices else ""


def _report(total: ManyStatistics, view: View) -> None:
    view.say(
        f"{total.done} done, {total.failed} failed, {total.tokens} tokens, {total.events} events, {total.seconds:.1f} s"
    )
