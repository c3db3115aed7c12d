"""A job with several servers: they share the work, and one that fails holds up nothing."""

from __future__ import annotations

import pytest
import trio
from batch_helpers import ListSink, ListSource, echo, prompts
from net_helpers import client_over, serve

from trio_openai import Servers, batch
from trio_openai.testing import Reply


@pytest.mark.parametrize("as_one", [False, True])
async def test_server_that_fails_holds_up_nothing(
    nursery: trio.Nursery, autojump_clock: object, *, as_one: bool
) -> None:
    servers = [await serve(nursery, script) for script in (echo, Reply.error(401, "wrong key"), echo)]
    clients = [client_over(server)[0] for server in servers]
    several = Servers(clients)
    async with several:
        source, sink = ListSource(prompts(*map(str, range(40)))), ListSink()
        async with batch.run(source, sink, clients=several if as_one else clients, model="m") as job:
            statistics = await job.wait()
    assert (statistics.done, statistics.failed) == (40, 0)
    asked = [len(server.requests) for server in servers]
    assert asked[0] + asked[2] == 40
    assert min(asked[0], asked[2]) >= 15
    assert asked[1] <= 16  # those that had begun before the first answer
