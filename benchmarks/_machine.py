"""The machine: its cores, its limits, and the description that is printed with the figures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
from pathlib import Path

PACKAGES = (
    "trio",
    "httpx",
    "httpcore",
    "httpx2",
    "httpcore2",
    "openai",
    "anyio",
    "attrs",
    "cattrs",
    "orjson",
    "httptools",
    "h11",
)


def cores() -> tuple[int, int]:
    """Return a core for the client and one for the server. They differ if there are at least two."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    return usable[0], usable[-1]


def pin(cpu: int) -> None:
    """Keep this process on one core, if the operating system supports it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def raise_file_limit(wanted: int = 65_536) -> None:
    """Raise the limit of open files for this process and its children as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def describe() -> dict[str, object]:
    """Return the machine, the Python version, and the versions of the measured packages."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
