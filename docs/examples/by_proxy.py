"""Send a request through a proxy, and see the error of a missing one."""

import trio

from trio_openai import APIConnectionError, TrioOpenAI
from trio_openai.testing import Reply, ScriptedServer


async def ask(proxy: str) -> None:
    async with TrioOpenAI(
        base_url="http://api.example/v1", proxy=proxy, max_retries=0
    ) as client:
        completion = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Where are you?"}],
        )
        print(completion.choices[0].message.content)


async def main() -> None:
    # This server stands in for a real proxy.
    proxy = ScriptedServer(Reply.chat("Behind the proxy.", stream=False))
    async with trio.open_nursery() as nursery:
        await proxy.start(nursery)
        await ask(proxy.base_url.replace("http://", "http://ada:secret@"))
        print(proxy.requests[0].method, proxy.requests[0].target)
        await proxy.aclose()

    try:
        await ask("socks5://ada:secret@127.0.0.1:1")
    except APIConnectionError as error:
        print(error)


trio.run(main)
