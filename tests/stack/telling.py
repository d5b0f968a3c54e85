"""Reports as nodes write them: what the stand-ins for agents say, and what tests have them say instead."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from evernat.stack import names

PASSES: dict[str, Any] = {"ok": True, "hop": "", "cause": "", "address": ""}
"""An egress check that the internet answered."""

AGAIN = 30.0
"""Seconds, of the real time, after which a stand-in repeats itself; a node does it every 60."""


def moment(age: float = 0.0) -> str:
    """The time of day, some seconds ago."""
    return (datetime.now(UTC) - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")


def failing(hop: str, cause: str) -> dict[str, Any]:
    """An egress check that ended at a hop."""
    return {**PASSES, "ok": False, "hop": hop, "cause": cause}


def report(holder: str, standby: tuple[str, ...] = (), **changed: Any) -> dict[str, Any]:
    """A holder's report."""
    egress = {**PASSES, **(changed.pop("egress", None) or {}), "at": moment()}
    return {
        "role": "holding",
        "cause": "NAT proven",
        "since": moment(60),
        "holder": holder,
        "public_address": "",
        "private_address": "",
        "standby": list(standby),
        "proven": egress["ok"],
        "taken": 0,
        "why": "",
        "sync": {"role": "serve", "synced": True, "lag_ms": 0.2, "entries": 7} if standby else None,
        "at": moment(),
        "egress": egress,
        "problems": [],
        "version": "0.1.0",
        **changed,
    }


def failed_boot(instance: str, cause: str, **changed: Any) -> dict[str, Any]:
    """What a node writes before it gives its launch hook back."""
    return {"instance": instance, "at": moment(), "role": "failed", "cause": cause, "problems": [], **changed}


def write(client: Callable[[str], Any], stack: str, end: str, values: dict[str, Any]) -> None:
    """Put a report as a node does."""
    name = names.report_parameter(stack, end)
    client("ssm").put_parameter(Name=name, Value=json.dumps(values), Type="String", Overwrite=True)


class Teller:
    """Writes holders' reports when there is news, and again after a while.

    `egress` is what their checks say, `unlike` what those of some gateways say instead. `mute`: nothing is written.
    `changed`: fields that are written otherwise.
    """

    def __init__(self, client: Callable[[str], Any], stack: str) -> None:
        self.client, self.stack = client, stack
        self.egress: dict[str, Any] = PASSES
        self.unlike: dict[str, dict[str, Any]] = {}
        self.changed: dict[str, Any] = {}
        self.mute = False
        self._said: dict[str, tuple[float, Any]] = {}

    def say(self, gateway: str, holder: str, standby: tuple[str, ...] = ()) -> None:
        """What the holder of a gateway has to say, unless it said so a moment ago."""
        news = (holder, standby, self.check(gateway), dict(self.changed))
        at, before = self._said.get(gateway, (0.0, None))
        if self.mute or (news == before and time.monotonic() < at + AGAIN):
            return
        values = report(holder, standby, egress=self.check(gateway), **self.changed)
        write(self.client, self.stack, gateway, values)
        self._said[gateway] = time.monotonic(), news

    def check(self, gateway: str) -> dict[str, Any]:
        """What the check of a gateway's holder says."""
        return self.unlike.get(gateway, self.egress)
