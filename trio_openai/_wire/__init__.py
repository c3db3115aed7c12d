"""What all APIs share: SSE, JSON, conversion to typed objects, the life of a stream, retry and deadline arithmetic.

No I/O: bytes, times and random numbers come in as arguments. May import `types` and `errors` only. In the order in
which a byte meets them: `sse.py` (bytes to messages), `reader.py` (messages to events, and how the stream ended),
`convert.py` (JSON to typed objects). Start reading in `reader.py`.
"""
