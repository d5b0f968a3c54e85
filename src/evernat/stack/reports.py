"""What the holder of a gateway told of it: only the nodes know how their copying goes, and why a gateway was taken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

OLD = 180.0
"""Seconds after which a report is stale: it is renewed every 60."""


@dataclass(frozen=True)
class Sync:
    """How connections are copied to the standby; `entries` as of the last full copy."""

    synced: bool
    lag_ms: float
    entries: int


@dataclass(frozen=True)
class Report:
    """A holder's word. Times are UTC as text.

    `standby` are the nodes that it hears and that could take over at once, `taken` is None when it had the gateway
    from the start, `age` the seconds since it said so.
    """

    since: str
    standby: tuple[str, ...]
    sync: Sync | None
    taken: str | None
    why: str
    age: float
    stale: bool


def read(text: str | None, holder: str | None, now: datetime) -> Report | None:
    """The report of the present holder; None when there is none, or none that can be read."""
    try:
        raw = json.loads(text or "")
        if not holder or raw["holder"] != holder:
            return None  # of the one before; or between two
        age = max((now - datetime.fromisoformat(raw["at"])).total_seconds(), 0.0)
        return Report(
            since=str(raw["since"]),
            standby=tuple(raw["standby"]),
            sync=_sync(raw["sync"]),
            taken=raw["taken"] or None,
            why=str(raw["why"]),
            age=round(age, 1),
            stale=age > OLD,
        )
    except (ValueError, LookupError, TypeError):
        return None


def today() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


def _sync(raw: Mapping[str, Any] | None) -> Sync | None:
    # Right after a takeover it still tells how this node followed the former holder.
    if not raw or raw["role"] != "serve":
        return None
    return Sync(bool(raw["synced"]), round(raw["lag_ms"], 2), raw["entries"])
