"""The second scene: two calls for one answer. Whichever begins first is read, and the other one is closed."""

from __future__ import annotations

import trio

from trio_openai import ChatCompletionStream, OpenAIError, TrioOpenAI

from .endpoints import CALL, Endpoint
from .view import Column, Line, Table, View, tail

PROMPT = "What is a race condition?"
MAX_TOKENS = 30
STAGGER = 0.3  # seconds from the first call to the second
PATIENCE = 120.0  # seconds for all of it

_LIVE = (Column("call"), Column("events", right=True), Column("text so far", fills=True, end=True))


async def show(client: TrioOpenAI, endpoint: Endpoint, view: View) -> list[OpenAIError]:
    """Race, and print who won. Returns what went wrong."""
    await trio.lowlevel.checkpoint()
    view.heading(f"a race: the same question twice, the second call {STAGGER:g} s after the first")
    messages = [{"role": "user", "content": PROMPT}]
    calls = [
        client.chat.completions.call(
            model=endpoint.model, messages=messages, max_tokens=MAX_TOKENS, extra_headers={CALL: name}
        )
        for name in ("first", "second")
    ]
    began = trio.current_time()
    try:
        with trio.fail_after(PATIENCE):
            async with client.race(calls, stagger=STAGGER) as stream:
                await _finish(stream, client, endpoint, view, trio.current_time() - began)
    except OpenAIError as error:
        return [error]
    except trio.TooSlowError:
        return [OpenAIError(f"the race was not over after {PATIENCE:g} s")]
    return []


async def _finish(
    stream: ChatCompletionStream, client: TrioOpenAI, endpoint: Endpoint, view: View, seconds: float
) -> None:
    """Tell what became of both, and read the winner to its end."""
    winner = stream.response.request.headers[CALL]
    view.say(f"the {winner} call won: it had content after {seconds:.2f} s")
    if winner == "first" and seconds < STAGGER:
        view.say("the second one was never begun")
    else:
        closed = await endpoint.closed(client)
        view.say(f"the {'second' if winner == 'first' else 'first'} one was closed{': ' + closed if closed else ''}")
    with view.drawing():
        text, events = "", 0
        async for chunk in stream:
            events += 1
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            view.draw(Table(_LIVE, [Line((winner, str(events), tail(text, 200)))]))
    if not view.is_live:
        view.say(f"{events} events: ...{tail(text, 60)}")
    view.end()
