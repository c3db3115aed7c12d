"""Run a scripted server next to a command, which starts its own trio loop."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator

import trio

from trio_openai.testing import RecordedRequest, Reply, ScriptedServer


@contextlib.contextmanager
def served(reply: Reply | Callable[[RecordedRequest], Reply]) -> Iterator[str]:
    """Run a scripted server in another thread's trio loop, since the command starts its own. Yield the base URL."""
    ready: queue.Queue[tuple[str, trio.lowlevel.TrioToken, trio.CancelScope]] = queue.Queue()

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            server = ScriptedServer(reply)
            await server.start(nursery)
            ready.put((server.base_url, trio.lowlevel.current_trio_token(), nursery.cancel_scope))
            await trio.sleep_forever()

    thread = threading.Thread(target=trio.run, args=[serve])
    thread.start()
    base_url, token, scope = ready.get(timeout=10)
    try:
        yield base_url
    finally:
        token.run_sync_soon(scope.cancel)
        thread.join()
