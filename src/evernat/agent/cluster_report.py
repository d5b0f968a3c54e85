"""What a cluster node knows, as plain values: for the status file, and for those who reach AWS's API only. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from . import elect
from .cluster_model import OWN, Seen, State
from .contract import REPORT_EVERY
from .machine import view
from .status import moment
from .values import Egress

Copies = Mapping[str, Mapping[str, Any]]  # what flow sync says, by gateway


class Told(NamedTuple):
    """What was last reported of a gateway: what counts as news, and when."""

    news: tuple[Any, ...] = ()
    at: float = -REPORT_EVERY


def due(state: State, seen: Seen, copies: Copies, told: Mapping[str, Told], now: float) -> dict[str, Told]:
    """The gateways of ours that there is something to report of."""
    found = {}
    for name, gate in state.gates.items():
        if gate.role is elect.HOLDING:
            copy = copies.get(name, {})
            health = _hop(seen.egress.get(name)), elect.problems(seen), elect.proven(gate, seen)
            news = (
                gate.since,
                *_standby(name, state, seen, now),
                copy.get("role"),
                copy.get("synced"),
                *health,
            )
            last = told.get(name, Told())
            if news != last.news or now - last.at >= REPORT_EVERY:
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
                "egress": _egress(seen.egress.get(name), shift),
                "problems": elect.problems(seen),
                "version": config.version,
            }
            for name, gate in gates.items()
        },
        "peers": {name: round(now - beat.at, 2) for name, beat in seen.beats.items()},
        "egress": _egress(seen.egress.get(OWN), shift),
        "problems": elect.problems(seen),
        "hook": seen.hook,
        "notice": seen.notice,
    }


def of_node(state: State, seen: Seen, wall: float) -> dict[str, Any]:
    """Why a node that gives its launch hook back is of no use: its own log dies with it."""
    gates = state.gates.values()
    last = seen.egress.get(OWN)
    way = [f"its own way out: {last.hop}: {last.cause}"] if last and last.hop else []
    return {
        "instance": seen.me,
        "at": moment(wall),
        "role": ", ".join(sorted({gate.role.value for gate in gates})),
        "cause": "; ".join(f"{gate.config.name}: {gate.cause}" for gate in gates),
        "problems": [*elect.problems(seen), *way],
    }


def _egress(last: Optional[Egress], shift: float) -> Optional[dict[str, Any]]:
    return last and {
        "ok": last.ok,
        "hop": last.hop,
        "cause": last.cause,
        "address": last.address,
        "at": moment(shift + last.at),
    }


def _hop(last: Optional[Egress]) -> str:
    return last.hop if last else ""


def _standby(name: str, state: State, seen: Seen, now: float) -> list[str]:
    return [b.instance for b in view.peers(state.gates[name], seen, now) if name in b.ready]
