"""Check the clients and the sink that a program gives to `batch.run`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from trio_openai._client import TrioOpenAI

from .parquet import ParquetSink
from .ray_workers import RayWorkers
from .sinks import JSONLSink, Sink


def clients_of(given: object) -> list[TrioOpenAI] | RayWorkers:
    """Return the clients of a job.

    Raises:
        TypeError: There are none, or they are something else.
    """
    if isinstance(given, RayWorkers):
        return given
    clients = [given] if isinstance(given, TrioOpenAI) else list(cast("Iterable[Any]", given))
    if not clients or not all(isinstance(one, TrioOpenAI) for one in clients):
        raise TypeError("clients takes a TrioOpenAI, or a list of them")
    return clients


def sink_of(given: object) -> Sink:
    """Return the sink of a job.

    Raises:
        TypeError: It is neither a path nor a sink.
    """
    if isinstance(given, str | Path):
        if str(given).endswith(".parquet"):
            return ParquetSink(given)
        return JSONLSink(given)
    if not all(callable(getattr(given, name, None)) for name in ("open", "write", "sync", "aclose")):
        raise TypeError(f"sink takes a path or an object with open, write, sync and aclose, not {type(given).__name__}")
    return cast("Sink", given)
