"""Code that all APIs share: SSE, JSON, the life of a stream, the arithmetic of retries.

No I/O here: bytes, times and random numbers come in as arguments. May import `types` and `errors` only. A byte meets
`sse.py` (bytes to messages), `decoder.py` (messages to events) and `lifecycle.py` (what happens next, and how the
stream ends). Start reading in `lifecycle.py`.
"""
