"""Send a request through a proxy, and see the error if the proxy is not there."""

import trio

from trio_openai import APIConnectionError, TrioOpenAI
from trio_openai.testing import Reply, ScriptedServer

SERVER = {
    "api_key": "sk-example",
    "base_url": "http://api.example/v1",
    "max_retries": 0,
}
MESSAGES = [{"role": "user", "content": "Where are you?"}]


async def ask(client: TrioOpenAI) -> str | None:
    completion = await client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES
    )
    return completion.choices[0].message.content


async def main() -> None:
    proxy = ScriptedServer(
        Reply.chat("Behind the proxy.", stream=False)
    )  # a stand-in for a real proxy
    async with trio.open_nursery() as nursery:
        await proxy.start(nursery)
        url = proxy.base_url.replace("http://", "http://ada:secret@")
        async with TrioOpenAI(**SERVER, proxy=url) as client:
            print(await ask(client))
        print(proxy.requests[0].method, proxy.requests[0].target)
        await proxy.aclose()

    async with TrioOpenAI(
        **SERVER, proxy="socks5://ada:secret@127.0.0.1:1"
    ) as client:
        try:
            await ask(client)
        except APIConnectionError as error:
            print(error)


trio.run(main)
