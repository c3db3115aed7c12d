"""Fill a column of a table with answers, four prompts at a time."""

# %% Make a client.
from concurrent.futures import ThreadPoolExecutor

from trio_openai.sync import SyncOpenAI

client = SyncOpenAI()


# %% Define what to ask about a row.
def where_is(city: str) -> str:
    prompt = f"Where is {city}?"
    completion = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}]
    )
    return completion.text


# %% Ask about all rows.
cities = ["Oslo", "Rome", "Lima", "Kyoto"]
with ThreadPoolExecutor(max_workers=4) as threads:
    answers = list(threads.map(where_is, cities))

# %% Look at the result. With pandas: pandas.DataFrame(...).
for city, answer in zip(cities, answers, strict=True):
    print(f"{city:6} {answer}")
