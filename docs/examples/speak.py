"""Write speech to a file as it arrives."""

import tempfile
from pathlib import Path

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hello.mp3"
        async with TrioOpenAI() as client:
            async with client.audio.speech.stream_bytes(
                model="gpt-4o-mini-tts", voice="alloy", input="Good evening."
            ) as sound:
                await sound.write_to_file(file)
        print(f"{file.name}: {file.stat().st_size} bytes")


trio.run(main)
