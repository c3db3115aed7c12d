"""The core that cannot do I/O: bytes, times and random numbers come in as arguments, values go out.

Nothing here imports trio or httpx, reads a clock or draws a random number (`tests/sansio/test_imports.py` holds it to
that). In the order in which a byte meets them:

* `sse.py`: bytes to Server-Sent Events
* `reader.py`: Server-Sent Events to the stream's events, and how the stream ended
* `convert.py`: a decoded JSON object to an object of `trio_openai.types`
* `snapshot.py`: events to the completion or response that they add up to
* `failures.py`: what a server's words about an error mean
* `policy.py`: when to retry, and when to give up waiting
* `limits.py`, `window.py`: when the next attempt may begin, by limits that are stated or found out
"""
