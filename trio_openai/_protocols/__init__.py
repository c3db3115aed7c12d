"""How each API streams: its events, what they add up to, its deltas and tool calls. No I/O, no clock.

May import `_wire` and `types`. One folder or file for each API; `structured/` turns answers into objects of a class.
Start reading in `chat/protocol.py`.
"""
