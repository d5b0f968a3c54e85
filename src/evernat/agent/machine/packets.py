"""Which packets may pass: the rules the kernel gets, and whether it may go on without hearing from us.

No packet of a client may leave with another address than the gateway's. Where the gateway has a secondary address of
its own this holds by construction: what is translated there and has no Elastic IP dies at the internet gateway. Where
it shares the node's primary address (`view.shared`), that address has another public one as soon as the Elastic IP is
elsewhere; so its packets wait (`Rules.held`) while another node may be taking it.

Both ways are guarded by a switch in the kernel: an element with a timeout that every heartbeat renews while `renews`.
"""

from __future__ import annotations

from ..cluster_model import Beat, Gate, Prepare, Role, Rules, Seen, State
from .view import ALIVE, AUDIBLE, SILENT, STALE, mine, others, shared, waited

GUARD = 2.0  # seconds since a peer was heard in which it counts as one that would take over
WARN = 1.75  # seconds after which it is told that it soon will not: some heartbeats before that is so
CONFIRM = 1.5  # seconds after a peer's last word in which, not hearing us, it would have taken the gateway

DRAIN = 0.5  # seconds that the standby gets to have every connection


def rules(state: State, seen: Seen, now: float) -> Rules:
    """What the kernel should know.

    A gateway found here at the start is open. One that was taken opens after the proof: before AWS has moved the
    address, the far end would see another one, and reset the connection. One that is handed over goes on with what
    the other node knows, so that the gap begins when the address goes and not before.
    """
    gates = state.gates.items()
    opened = {name for name, gate in gates if _opens(gate, seen)}
    members = [m.address for m in seen.members.values() if m.instance != seen.me and m.state in AUDIBLE]
    return Rules(
        open=frozenset(opened),
        targets=frozenset(seen.targets.items()),
        members=frozenset(members),
        contested=frozenset(name for name, gate in gates if contested(gate, seen, now)),
        ending=frozenset(name for name, gate in gates if gate.role is Role.HANDING),
        held=frozenset(name for name, gate in gates if name in opened and holds_back(state, gate, seen, now)),
        guarded=frozenset(name for name, gate in gates if name in opened and _guarded(gate, seen, now)),
    )


def contested(gate: Gate, seen: Seen, now: float) -> bool:
    """Whether another may be taking what we hold: we gave it away, a peer claims it, or fell silent a moment ago.

    Resets from outside may then answer packets that left with another address; a true one comes again.
    """
    return gate.role is Role.HANDING or (
        _opens(gate, seen)
        and any(_claims(b, gate) if now - b.at < SILENT else now - b.at < STALE for b in others(gate, seen))
    )


def holds_back(state: State, gate: Gate, seen: Seen, now: float) -> bool:
    """Whether clients of a shared address must wait, because it may be another node's at any moment.

    A peer that fell silent takes the gateway at once if it only cannot hear us: then a poll of the record that began
    later shows it. Without an API nobody knows, and the peer is believed to be dead after STALE seconds.
    """
    if not shared(state, gate):
        return False
    if gate.role is Role.HANDING and (gate.config.name in seen.drained or now - gate.since >= DRAIN):
        return True
    return any(_claims(b, gate) or _may_have_taken(b, gate, seen, now) for b in others(gate, seen))


def renews(state: State, seen: Seen, now: float) -> bool:
    """Whether a heartbeat may renew the kernel's switch: what it was told is what is true since we last woke."""
    if seen.loaded is None:
        return False
    return all(_verified(state.gates[name], seen, now) for name in seen.loaded.open)


def unguarded(state: State, seen: Seen, now: float) -> frozenset[str]:
    """The gateways whose packets go on when this process falls silent: now, soon, or by what the kernel is being told.

    What is being told comes into force without this process; and what it says must have been heard before that.
    """
    told = [action.rules for action in seen.busy if isinstance(action, Prepare)]
    told += [seen.loaded] if seen.loaded else []
    return frozenset(
        name
        for each in told
        for name in each.open
        if name not in each.guarded or not _guarded(state.gates[name], seen, now, WARN)
    )


def _opens(gate: Gate, seen: Seen) -> bool:
    found = gate.role in (Role.STARTING, Role.TAKING) and not gate.taken and mine(gate, seen)
    return found or gate.role in (Role.HOLDING, Role.HANDING)


def _claims(beat: Beat, gate: Gate) -> bool:
    return beat.holds.get(gate.config.name) == ""


def _may_have_taken(beat: Beat, gate: Gate, seen: Seen, now: float) -> bool:
    # A jump of the clock makes nobody dead; but who was not heard since may have taken it.
    last, known = max(beat.at, seen.awake), seen.members.get(beat.instance)
    if (
        now - beat.at < SILENT
        or now - last >= STALE
        or beat.leaving
        or (known and known.state not in AUDIBLE)
    ):
        return False
    confirmed = gate.record and mine(gate, seen) and gate.record.at >= last + CONFIRM
    return not confirmed


def _guarded(gate: Gate, seen: Seen, now: float, within: float = GUARD) -> bool:
    # A jump of the clock makes no silence, and who has just begun could not hear anybody yet.
    if now - seen.awake < within and (not seen.listed or _able(gate, seen)):
        return True
    return any(waited(beat.at, seen, now) < within for beat in others(gate, seen))


def _verified(gate: Gate, seen: Seen, now: float) -> bool:
    """Whether the gateway is surely ours: by a poll of the record, or by all who could have taken it."""
    if not mine(gate, seen) or not gate.record:
        return False
    if gate.record.at >= seen.awake:
        return True
    able = _able(gate, seen)
    heard = {b.instance: b for b in others(gate, seen) if b.at >= seen.awake}
    # One that stands by knows who has it, also when that is a node that we never heard of.
    name, mark = gate.config.name, gate.record.association
    waiting = all(name in beat.ready and beat.follows.get(name) == mark for beat in heard.values())
    return bool(heard) and able <= heard.keys() and waiting


def _able(gate: Gate, seen: Seen) -> set[str]:
    """The instances beside this one that could have the gateway, heard or not."""
    places = (gate.config.home, gate.config.standby)
    alive = (m for m in seen.members.values() if m.instance != seen.me and m.state in ALIVE)
    return {m.instance for m in alive if m.slot in places}
