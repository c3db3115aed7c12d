"""HTTP/1.1 over trio: the transport and its pool, connections, proxies, uploads.

May import `_limits` and `_wire`. Start reading in `transport.py` (the pool). To follow a byte, read `byte_streams.py`,
`connection.py`, `http1.py`, `body.py` in this order.
"""
