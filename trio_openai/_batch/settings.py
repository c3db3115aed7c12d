"""The arguments of `batch.run`, checked, as one object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from .prices import Price, load_prices
from .rows import Defaults


@attrs.frozen(kw_only=True)
class Settings:
    """The arguments of `batch.run`, which describes them."""

    defaults: Defaults
    max_concurrent: int
    rpm: float | None
    tpm: float | None
    max_tokens_total: int | None
    max_cost: float | None
    prices: Mapping[str, Price] | None
    dedupe: bool
    retry_failed: bool
    max_failures: int | None
    limit: int | None
    shard: tuple[int, int] | None
    dry_run: bool
    sync_seconds: float


def settings_of(
    *,
    defaults: Defaults,
    prices: Mapping[str, Price] | str | Path | None,
    max_cost: float | None,
    **others: Any,
) -> Settings:
    """Check the arguments of `batch.run`.

    Raises:
        ValueError: One is out of range, or needs another one.
        BatchJobError: The price file cannot be read.
    """
    for name, least in (("max_concurrent", 1), ("max_tokens_total", 1), ("max_failures", 1), ("limit", 0)):
        _check_count(name, others[name], least)
    for name in ("rpm", "tpm"):
        _check_above_zero(name, others[name])
    _check_above_zero("max_cost", max_cost)
    _check_above_zero("sync_seconds", others["sync_seconds"])
    _check_shard(others["shard"])
    if max_cost is not None and prices is None:
        raise ValueError("max_cost needs prices=: a file with the prices of your models, or a dictionary")
    if not defaults.url.startswith("/"):
        raise ValueError(f"url takes a path such as /v1/chat/completions, not {defaults.url!r}")
    loaded = load_prices(prices) if isinstance(prices, str | Path) else prices
    return Settings(defaults=defaults, prices=loaded, max_cost=max_cost, **others)


def _check_count(name: str, given: object, least: int) -> None:
    if given is None and name != "max_concurrent":
        return
    if type(given) is not int or given < least:
        raise ValueError(f"{name} takes a whole number of at least {least}, not {given!r}")


def _check_above_zero(name: str, given: object) -> None:
    if given is not None and (type(given) not in (int, float) or not given > 0):  # type: ignore[operator]
        raise ValueError(f"{name} takes a number above zero, not {given!r}")


def _check_shard(given: Any) -> None:
    if given is None:
        return
    is_pair = isinstance(given, tuple) and len(given) == 2 and all(type(one) is int for one in given)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if not is_pair or not 1 <= given[0] <= given[1]:
        raise ValueError(f"shard takes (i, n), the i-th of n parts from (1, n) to (n, n), not {given!r}")
