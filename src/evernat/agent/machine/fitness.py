"""Whether clients get out through this node, and what follows when they do not.

The check of a gateway takes its clients' way; the check of a node (OWN) takes the same way from the node's primary
address. A holder whose check fails gives the gateway to a standby whose check passes. A node that fails while others
get out, and that cannot be helped so, is replaced. When nobody gets out the internet is at fault, and nothing is done.
"""

from __future__ import annotations

from ..cluster_model import OWN, Beat, Gate, Role, Seen, State
from ..values import Egress
from .view import others, shared

EVERY = 5.0  # seconds between two checks of a way out
AGAIN = 1.0  # while one fails
FAIL = 2.0  # seconds between the first failing check and one that counts
RECENT = 15.0  # seconds a check that passed is good for
USELESS = 60.0  # seconds of failing checks before a node asks to be replaced


def note(state: State, seen: Seen, now: float) -> State:
    """Remember since when checks fail, when they passed, and since when others get out and this node does not."""
    gates = {name: _note(gate, seen.egress.get(name)) for name, gate in state.gates.items()}
    failed, passed = _since(state.failed, state.passed, seen.egress.get(OWN))
    state = state._replace(gates=gates, failed=failed, passed=passed)
    outdone = (state.outdone or now) if _outdone(state, seen, now) else 0.0
    return state if outdone == state.outdone else state._replace(outdone=outdone)


def failing(gate: Gate, seen: Seen) -> str:
    """Why clients of a gateway that is held here do not get out, empty when they do or nobody knows yet."""
    last = seen.egress.get(gate.config.name)
    if not last or last.ok or not gate.failed or last.at - gate.failed < FAIL:
        return ""
    return f"{last.hop}: {last.cause}"


def passed(seen: Seen, gateway: str) -> bool:
    """Whether the last check of a gateway's way out passed."""
    last = seen.egress.get(gateway)
    return bool(last and last.ok)


def own(seen: Seen, now: float) -> float:
    """Seconds since the last check of the node's own way out began, -1 when it failed or is too old."""
    last = seen.egress.get(OWN)
    return now - last.at if last and last.ok and now - last.at < RECENT else -1.0


def passes(beat: Beat, gate: Gate, seen: Seen) -> bool:
    """Whether a peer's own way out passed a check that began while the gateway's failed here, before and after."""
    last = seen.egress.get(gate.config.name)
    return bool(last and beat.egress >= 0 and gate.failed <= beat.at - beat.egress <= last.at)


def may_hand_over(gate: Gate, now: float) -> bool:
    """Whether failing checks may move the gateway: not back and forth when it never worked here."""
    return gate.passed >= max(gate.taken, 1e-9) or now - gate.since >= USELESS


def useless(state: State, seen: Seen, now: float) -> str:
    """Why the Auto Scaling group should replace this node, empty when it should not."""
    why = _outdone(state, seen, now) if state.outdone else ""
    holds = any(gate.failed for gate in state.gates.values())
    # AWS takes minutes to give a primary address another public one when the Elastic IP has left it.
    slow = not holds and any(shared(state, gate) for gate in state.gates.values())
    return why if now - state.outdone >= USELESS * (10 if slow else 1) else ""


def _outdone(state: State, seen: Seen, now: float) -> str:
    """Why clients do not get out through this node while others do; empty when they do, or nobody does."""
    for gate in state.gates.values():
        why = failing(gate, seen) if gate.role is Role.HOLDING else ""
        if why and _others_get_out(state, seen, gate.failed, now):
            return f"{gate.config.name}: {why}"
    last = seen.egress.get(OWN)
    if not last or last.ok or not _others_get_out(state, seen, state.failed, now):
        return ""
    return f"{last.hop}: {last.cause}"


def _others_get_out(state: State, seen: Seen, since: float, now: float) -> bool:
    """Whether anybody reaches the internet, this node's own way included."""
    last = seen.egress.get(OWN)
    if last and last.ok and last.at >= since and now - last.at < RECENT:
        return True
    heard = (beat for gate in state.gates.values() for beat in others(gate, seen))
    return any(0 <= beat.egress <= beat.at - since and now - beat.at < 1.0 for beat in heard)


def _note(gate: Gate, last: Egress | None) -> Gate:
    passed = gate.passed
    if last and last.ok and gate.role in (Role.TAKING, Role.HOLDING):
        passed = max(passed, last.at)
    failed = 0.0
    if last and gate.role is Role.HOLDING and not last.ok:  # before that the address may still be on its way
        failed = gate.failed or (last.at if last.at >= gate.since else 0.0)
    return (
        gate
        if (failed, passed) == (gate.failed, gate.passed)
        else gate._replace(failed=failed, passed=passed)
    )


def _since(failed: float, passed: float, last: Egress | None) -> tuple[float, float]:
    if not last:
        return failed, passed
    return (0.0, last.at) if last.ok else (failed or last.at, passed)
