"""One request to the API: a client's options, the request built from a call's parameters, and the attempts to send it.

May import `_http` and everything below it. `options.py` has the options of all clients, `session.py` prepares a
request, `exchange.py` sends it as often as the retries allow, and `raw_response.py` is an answer with its headers.
Start reading in `session.py`.
"""
