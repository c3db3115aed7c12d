"""Show an answer in a notebook while the model is writing it."""

# %% The first cell makes a client, which serves all the others.
from trio_openai.sync import SyncOpenAI

client = SyncOpenAI()


# %% The second cell defines a function that shows an answer.
def ask(prompt: str) -> str:
    with client.chat.completions.stream(
        model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}]
    ) as stream:
        for text in stream.text_deltas:
            print(text, end="", flush=True)
    print()
    return stream.text


# %% Every further cell can use it.
sky = ask("Why is the sky blue?")
