"""Use your own httpx client over this library's transport."""

import httpx
import trio

from trio_openai import TrioOpenAI, TrioTransport


async def log(response: httpx.Response) -> None:
    print(response.request.method, response.url.path, response.status_code)


async def main() -> None:
    transport = TrioTransport(max_connections=50, keepalive_expiry=5)
    hooks = {"response": [log]}
    http = httpx.AsyncClient(transport=transport, event_hooks=hooks)
    async with TrioOpenAI(http_client=http) as client:
        completion = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
        )
        print(completion.choices[0].message.content)
        print(transport.statistics())


trio.run(main)
