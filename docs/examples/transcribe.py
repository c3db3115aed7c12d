"""Print the transcript of a recording while it is being written."""

import tempfile
import wave
from pathlib import Path

import trio

from trio_openai import TrioOpenAI


def record(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(2 * 16_000))


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "hello.wav"
        record(recording)
        async with TrioOpenAI() as client:
            async with client.audio.transcriptions.stream(
                model="gpt-4o-transcribe", file=recording
            ) as stream:
                async for text in stream.text_deltas:
                    print(text, end="", flush=True)
    print()


trio.run(main)
