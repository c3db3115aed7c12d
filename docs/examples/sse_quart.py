"""Forward an answer to a browser, and stop it when the browser leaves."""

import json
from collections.abc import AsyncIterator

from quart import Response, request
from quart_trio import QuartTrio

from trio_openai import APIError, TrioOpenAI

app = QuartTrio(__name__)
client = TrioOpenAI()


@app.get("/answer")
async def answer() -> Response:
    prompt = request.args["prompt"]

    async def events() -> AsyncIterator[str]:
        try:
            async with client.chat.completions.stream(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": prompt}],
            ) as stream:
                async for text in stream.text_deltas:
                    yield f"data: {json.dumps(text)}\n\n"
            yield "event: done\ndata: {}\n\n"
        except APIError as error:
            app.logger.warning("%s: %s", error.request_id, error)
            yield "event: failed\ndata: {}\n\n"

    response = Response(events(), mimetype="text/event-stream")
    response.timeout = None  # Quart's default ends an answer after 60 s
    return response


@app.after_serving
async def close() -> None:
    await client.aclose()


if __name__ == "__main__":
    app.run()
