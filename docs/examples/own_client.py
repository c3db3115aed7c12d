"""Use your own httpx client, with its hooks, cookies and limits, over this library's transport."""

import httpx
import trio

from trio_openai import TrioOpenAI, TrioTransport


async def log(response: httpx.Response) -> None:
    print(
        response.request.method,
        response.request.url.path,
        response.status_code,
    )


async def main() -> None:
    transport = TrioTransport(max_connections=50, keepalive_expiry=5)
    http = httpx.AsyncClient(
        transport=transport, event_hooks={"response": [log]}
    )
    messages = [{"role": "user", "content": "Count to three."}]
    async with TrioOpenAI(http_client=http) as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini", messages=messages
        ) as stream:
            print(
                (await stream.get_final_completion())
                .choices[0]
                .message.content
            )
    print(transport.statistics())


trio.run(main)
