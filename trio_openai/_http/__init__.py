"""HTTP/1.1 over trio: one call with its attempts, the transport and its pool, connections, proxies, uploads.

May import `_limits` and `_wire`. This is the only folder that knows httpx's exceptions. Start reading in
`exchange.py` (one call), then `transport.py` (the pool).
"""
