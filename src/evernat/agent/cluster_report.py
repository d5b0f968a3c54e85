"""What a cluster node knows, as plain values: for the status file, and for those who reach AWS's API only. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import elect
from .cluster_model import Seen, State
from .machine import view
from .status import moment

EVERY = (
    60.0  # seconds between two reports without news, so that a reader can tell that the holder still says it
)

Copies = Mapping[str, Mapping[str, Any]]  # what flow sync says, by gateway


class Told(NamedTuple):
    """What was last reported of a gateway: what counts as news, and when."""

    news: tuple[Any, ...] = ()
    at: float = -EVERY


def parameter(stack: str, gateway: str) -> str:
    """The SSM parameter in which the holder of a gateway reports.

    Not a tag on its address: AWS Config charges for each change of an Elastic IP, and this one changes every minute.
    """
    return f"/evernat/{stack}/report/{gateway}"


def due(state: State, seen: Seen, copies: Copies, told: Mapping[str, Told], now: float) -> dict[str, Told]:
    """The gateways of ours that there is something to report of."""
    found = {}
    for name, gate in state.gates.items():
        if gate.role is elect.HOLDING:
            copy = copies.get(name, {})
            news = gate.since, *_standby(name, state, seen, now), copy.get("role"), copy.get("synced")
            last = told.get(name, Told())
            if news != last.news or now - last.at >= EVERY:
                found[name] = Told(news, now)
    return found


def report(state: State, seen: Seen, copies: Copies, now: float, wall: float) -> dict[str, Any]:
    """All of it. `now` is the clock of `state`, `wall` the time of day; both in seconds."""
    config, gates, shift = state.config, state.gates, wall - now
    roles = sorted({gate.role.value for gate in gates.values()} - {"standby"}) or ["standby"]
    return {
        "version": config.version,
        "stack": config.stack,
        "instance": seen.me,
        "slot": config.slot,
        "role": next((role for role in roles if role != "holding"), roles[0]),
        "at": moment(wall),
        "gateways": {
            name: {
                "role": gate.role.value,
                "cause": gate.cause,
                "since": moment(shift + gate.since),
                "holder": gate.record and gate.record.instance,
                "public_address": gate.record and gate.record.public,
                "private_address": view.address(state, gate, seen),
                "standby": _standby(name, state, seen, now),
                "proven": elect.proven(gate, seen),
                "taken": gate.taken and moment(shift + gate.taken),
                "why": gate.why,
                "sync": copies.get(name),
            }
            for name, gate in gates.items()
        },
        "peers": {name: round(now - beat.at, 2) for name, beat in seen.beats.items()},
        "faults": seen.faults,
        "hook": seen.hook,
        "notice": seen.notice,
    }


def _standby(name: str, state: State, seen: Seen, now: float) -> list[str]:
    return [b.instance for b in view.peers(state.gates[name], seen, now) if name in b.ready]
