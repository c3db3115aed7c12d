"""`FROM_START`, for tests that wait for a total number of disconnects."""

from __future__ import annotations

from trio_openai.testing import ServerStatistics

FROM_START = ServerStatistics(connections=0, accepted=0, requests=0, disconnects=0)
