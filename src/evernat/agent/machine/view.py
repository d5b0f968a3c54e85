"""Small questions about one observation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from ..cluster_model import Beat, Gate, Seen, State

SILENT = 0.3  # seconds without a heartbeat (one every 0.05) after which a peer is probed
STALE = 5.0  # seconds that a poll result may lag behind reality

ALIVE = ("pending", "running")
"""States of an instance that may hold a gateway."""
AUDIBLE = (*ALIVE, "shutting-down", "stopping")
"""States in which an agent may still run, and hand over what it holds."""


def mine(gate: Gate, seen: Seen) -> bool:
    """Whether AWS's record shows the gateway here."""
    return bool(gate.record and gate.record.interface == seen.interface)


def address(state: State, gate: Gate, seen: Seen) -> str:
    """The private address that stands for the gateway on this node, empty when there is none."""
    index = gate.config.places[state.config.slot]
    return seen.addresses[index] if index < len(seen.addresses) else ""


def shared(state: State, gate: Gate) -> bool:
    """Whether the gateway uses the node's primary address: then packets may leave with another public address."""
    return shared_at(gate, state.config.slot)


def shared_at(gate: Gate, slot: str) -> bool:
    """The same of the node in a slot; one that the settings do not name may, for all we know."""
    return gate.config.places.get(slot, 0) == 0


def others(gate: Gate, seen: Seen) -> Iterator[Beat]:
    """The last word of every node that could hold the gateway, heard lately or not."""
    places = (gate.config.home, gate.config.standby)
    return (beat for beat in seen.beats.values() if beat.slot in places)


def peers(gate: Gate, seen: Seen, now: float) -> list[Beat]:
    """Who else could have the gateway and is heard, the best first: the one that stays, the youngest."""

    def rank(beat: Beat) -> tuple[bool, str]:
        known = seen.members.get(beat.instance)
        return not beat.draining, known.launched if known else ""

    return sorted((b for b in others(gate, seen) if now - b.at < SILENT), key=rank, reverse=True)


def holder(gate: Gate, seen: Seen) -> Optional[Beat]:
    """The last word of the holder by AWS's record."""
    return seen.beats.get(gate.record.instance) if gate.record else None


def silence(gate: Gate, seen: Seen, now: float) -> float:
    """Seconds since the holder was heard or could have been; 0 when it never was."""
    beat = holder(gate, seen)
    return waited(beat.at, seen, now) if beat else 0.0


def waited(since: float, seen: Seen, now: float) -> float:
    """Seconds since then in which this process ran: a stall or a jump of the clock is no time to act in."""
    return now - max(since, seen.awake)
