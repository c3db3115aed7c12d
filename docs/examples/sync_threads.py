"""Ask several questions at the same time, each in its own thread."""

from concurrent.futures import ThreadPoolExecutor

from trio_openai.sync import SyncOpenAI

CITIES = ["Oslo", "Rome", "Lima", "Kyoto"]


def locate(city: str) -> str:
    completion = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": f"Where is {city}?"}],
    )
    return f"{city}: {completion.text}"


with SyncOpenAI() as client, ThreadPoolExecutor(max_workers=4) as pool:
    for line in pool.map(locate, CITIES):
        print(line)
