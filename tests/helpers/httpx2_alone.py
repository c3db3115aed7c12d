"""A pytest plugin that runs the tests as if httpx were not installed: `pytest -p httpx2_alone`.

The library then uses httpx2. The tests themselves import httpx, so afterwards that name stands for httpx2 too.
"""

from __future__ import annotations

import sys

import httpx2

if "httpx" in sys.modules:
    raise RuntimeError("httpx has been imported already; pass this plugin as -p httpx2_alone")
sys.modules["httpx"] = None  # type: ignore[assignment] - importing it raises ModuleNotFoundError

from trio_openai._httpx import httpx  # noqa: E402 - only now

if httpx is not httpx2:
    raise RuntimeError("trio_openai does not use httpx2")
del sys.modules["httpx"]
httpx2.alias_httpx()
