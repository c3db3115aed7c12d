"""HTTP/1.1 over trio: one call with its attempts, the transport and its pool, connections, proxies, uploads.

May import `_limits` and `_wire`. This is the only folder that knows httpx's exceptions. Start reading in `exchange.py`
(a call with its retries), then `transport.py` (the pool). To follow a byte, read `byte_streams.py`, `connection.py`,
`http1.py`, `body.py` in this order.
"""
