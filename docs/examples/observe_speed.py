"""Measure how soon a model begins to answer, and how fast it goes on."""

import trio

from trio_openai import CallEnded, Observer, TrioOpenAI


class Speed(Observer):
    """Prints a line when a stream has ended."""

    def ended(self, record: CallEnded, /) -> None:
        first = record.timings.first_content
        last = record.timings.last_event
        if first is None or last is None or record.usage is None:
            print(f"{record.model}: {record.verdict}")
        elif last > first:
            rate = record.usage.output_tokens / (last - first)
            print(f"{record.model}: first token after {first:.0f} s,")
            print(f"then {rate:.0f} tokens a second")


async def main() -> None:
    async with TrioOpenAI(observer=Speed()) as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to six."}],
            usage=True,
        ) as stream:
            completion = await stream.get_final_completion()
    print(completion.text)


trio.run(main)
