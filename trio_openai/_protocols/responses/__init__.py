"""The Responses API. May import `_wire` and `types`. Start reading in `protocol.py`."""
