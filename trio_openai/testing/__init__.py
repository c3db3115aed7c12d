"""A scripted server for tests: real HTTP/1.1 and server-sent events, on loopback or in memory, with faults to order.

    server = ScriptedServer(Reply.chat("Hello there.").cut_after(300))
    await server.start(nursery, memory=True)
    async with server.client() as client:
        ...

The script is data: a `Reply` is a status, headers and a body of steps, and a fault is a step (`Pause`, `Stall`, `Cut`,
`Reset`). Nothing in a test has to sleep: the server's own waiting goes by trio's clock, and `wait_requests`,
`wait_disconnect`, `wait_idle` and `wait_closed` return when the thing has happened. `python -m trio_openai.testing`
serves `auto_reply` on a port.

Files: `_replies` what to answer, `_shapes` what OpenAI's answers look like, `_auto` the demo's answers, `_requests`
what was asked, `_wire` an answer as writes, `_memory` connections without sockets, `_ledger` the counts, `_server` all
of it at work.
"""

from __future__ import annotations

from trio_openai.testing._auto import auto_reply
from trio_openai.testing._ledger import ServerStatistics
from trio_openai.testing._replies import Cut, Pause, Reply, Reset, Stall, Step, sse_event
from trio_openai.testing._requests import RecordedRequest
from trio_openai.testing._server import Script, ScriptedServer

__all__ = [
    "Cut",
    "Pause",
    "RecordedRequest",
    "Reply",
    "Reset",
    "Script",
    "ScriptedServer",
    "ServerStatistics",
    "Stall",
    "Step",
    "auto_reply",
    "sse_event",
]
