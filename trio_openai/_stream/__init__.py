"""The streams that programs iterate, their background reader, their subscribers, and other ways to look at them.

May import `_http`, `_request`, `_protocols` and everything below them. Start reading in `source.py`, which drives the
lifecycle of a stream over a connection. Then `stream.py`, which is what a program holds.
"""
