"""The answers of the scripted server. A model on this machine is slower and knows less."""

from __future__ import annotations

from trio_openai.testing import RecordedRequest, Reply

PACE = 0.04  # seconds per word

ANSWERS = {
    "Why is the sky blue?": (
        "Sunlight holds all colours. On its way through the air it meets molecules, which scatter blue light about ten "
        "times more than red. So blue reaches your eyes from every part of the sky, and the rest comes straight from "
        "the sun."
    ),
    "Write a poem about the sea.": (
        "The sea has no door and no key, it takes what the rivers let be. It counts every stone, it sleeps all alone, "
        "and sings when there's no one to see."
    ),
    "Tell me a story of a lighthouse.": (
        "For forty years the keeper lit the lamp at dusk and wrote one line into his book. One night a ship answered. "
        "Three short flashes, then one long: his own signal, from a place where the map showed only water. He put "
        "down his cup, took the stairs two at a time, and began to count."
    ),
    "How do I make a cup of tea?": (
        "Warm the pot. Take one spoon of leaves for each cup, and pour on water that has just boiled. Wait for three "
        "minutes, stir once, and pour. Milk comes last, unless you are certain that it comes first."
    ),
    "Why do cats purr?": (
        "Small muscles in the throat open and close some thirty times a second, and the breath does the rest. Cats "
        "purr when they are content, but also when they are hurt. The hum may even help their bones to heal."
    ),
    "Describe a forest in autumn.": (
        "The path is copper and does not want to be quiet. Light falls in long pieces between the trunks, and it "
        "smells of mushrooms and rain. High up the last leaves talk about leaving. A jay drops an acorn."
    ),
    "What is a race condition?": (
        "Two tasks touch the same thing, and the result depends on who comes first. It works on every machine but the "
        "one that matters. Ask both, keep the winner, and close the loser: that race is a healthy one."
    ),
}
CAPITALS = {
    "Norway": "Oslo",
    "Italy": "Rome",
    "Peru": "Lima",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Canada": "Ottawa",
    "Egypt": "Cairo",
    "Chile": "Santiago",
    "Greece": "Athens",
    "Cuba": "Havana",
}


def answer(request: RecordedRequest) -> Reply:
    """Answer a prompt of the demo, one word at a time."""
    question = str(request.json()["messages"][0]["content"])
    country = question.removeprefix("What is the capital of ").removesuffix("?")
    text = ANSWERS.get(question) or f"{CAPITALS[country]} is the capital."
    return Reply.chat(text, pace=PACE, model="scripted", usage=b"include_usage" in request.body)
