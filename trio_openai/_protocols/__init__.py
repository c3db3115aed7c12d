"""The protocols: for each API its events, its snapshot, its deltas and its tool calls. No I/O, no clock.

May import `_wire` and `types`. One folder or file for each API; `structured/` turns answers into objects of a class.
`plain_answers.py` checks answers that are not streamed. Start reading in `chat/protocol.py`.

"""
