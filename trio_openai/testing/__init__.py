"""A scripted server for tests: real HTTP/1.1 and server-sent events, on loopback or in memory, with faults on demand.

    server = ScriptedServer(Reply.chat("Hello there.").cut_after(300))
    await server.start(nursery, memory=True)
    async with server.client() as client:
        ...

The script is data: a `Reply` is a status, headers and a list of body steps, and a fault is one of these steps (`Pause`,
`Stall`, `Cut`, `Reset`). A test never needs to sleep: the server waits by trio's clock, and `wait_requests`,
`wait_disconnect`, `wait_idle` and `wait_closed` return as soon as the condition holds. `python -m trio_openai.testing`
serves `auto_reply` on a port.

Start reading in `_replies.py` (what the server answers), then `_server.py` (how it answers). `_script.py` chooses the
replies, `_requests.py` records requests, `_http.py` parses them and frames replies, `_memory.py` has connections
without sockets, `_openai_objects.py` builds OpenAI's JSON objects, and `_following.py` answers any prompt.
"""

from __future__ import annotations

from trio_openai.testing._auto import auto_reply
from trio_openai.testing._replies import Reply, sse_event
from trio_openai.testing._requests import RecordedRequest
from trio_openai.testing._script import Script
from trio_openai.testing._server import ScriptedServer, ServerStatistics
from trio_openai.testing._steps import Cut, Pause, Reset, Stall, Step

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
