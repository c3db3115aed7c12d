"""Stream an answer in plain blocking code."""

from trio_openai.sync import SyncOpenAI

with SyncOpenAI() as client:
    with client.chat.completions.stream(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Count to three."}],
    ) as stream:
        for text in stream.text_deltas:
            print(text, end="", flush=True)
    print(f"\n[{stream.verdict}]")
