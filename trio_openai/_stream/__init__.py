"""What a program iterates: a stream, its background reader, its subscribers, and other views of the same bytes.

May import `_http`, `_protocols` and everything below them. Start reading in `source.py`, which pulls events from a
connection, then `stream.py`, which is what a program holds.
"""
