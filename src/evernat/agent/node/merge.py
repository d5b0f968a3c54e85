"""One rule for all facts: the observation that began last wins, whatever order the answers come in."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from ..cluster_model import Seen

BY_KEY = ("records", "routes", "egress")
"""Fields whose values carry their own `at`, key by key: the answer to a write is newer than a poll under way."""

STOP = "stop"
"""The notice that never goes away: systemd wants the process to end."""


def merge(seen: Seen, at: float, found: Mapping[str, Any], newest: MutableMapping[str, float]) -> Seen:
    """What is known after an observation that began at `at`; `newest` has that moment by field, and is brought up."""
    changed: dict[str, Any] = {}
    for field, value in found.items():
        if field in BY_KEY:
            old = getattr(seen, field)
            changed[field] = {**old, **{k: v for k, v in value.items() if k not in old or v.at >= old[k].at}}
        elif field == "notice" and STOP in (seen.notice, value):
            changed[field] = STOP
        elif at >= newest.get(field, float("-inf")):
            newest[field] = at
            changed[field] = value
    return seen._replace(**changed)
