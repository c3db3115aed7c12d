"""From an endpoint's parameters to a request, and from a response to an object.

May import `_stream` and everything below it. `calls.py` builds requests, `raw_response.py` is an answer with its
headers, `hints.py` words the errors for common mistakes. Start reading in `calls.py`.
"""
