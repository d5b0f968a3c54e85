"""Who holds a gateway: pure, without clock, socket or random.

`step(state, seen, now)` takes what a node remembers and what it sees, and gives what it remembers from now on and the
actions to perform. What must always hold:

1. A gateway is claimed only from STANDBY: rules loaded, forwarding on, source/destination check off, the connections
   copied or that given up.
2. Unknown is not absent: an association is ended only if its holder was heard as such and then fell silent, offered
   it, or is gone by AWS's word. Who was never heard holding it is left alone: that makes one change per partition.
3. One holder by AWS's record. Who sees another one there stops at once, and waits ever longer before its next claim.
4. After a stall or a jump of the clock a node only watches for WATCH seconds.
5. Every step starts from the record, never from what was done before, so a plan may be cut off anywhere.
6. A holder without a way to the API keeps forwarding: only a record that shows another one, or none, ends HOLDING.
7. Roles change only along ALLOWED; anything else raises and changes nothing.
"""

from __future__ import annotations

from typing import Optional

from . import ruleset
from .cluster_model import (
    Action,
    Beat,
    Check,
    Complete,
    Config,
    Drain,
    Gate,
    Leave,
    Point,
    Prepare,
    Probe,
    Record,
    Release,
    Role,
    Seen,
    State,
    Take,
    Update,
)
from .model import Element, Elements, Unknown

STARTING, SYNCING, STANDBY, CLAIMING, TAKING, HOLDING, HANDING = Role

ALLOWED = {
    STARTING: {SYNCING, TAKING},
    SYNCING: {STARTING, STANDBY, TAKING},
    STANDBY: {STARTING, CLAIMING, TAKING},
    CLAIMING: {STANDBY, TAKING},
    TAKING: {SYNCING, CLAIMING, HOLDING},
    HOLDING: {SYNCING, CLAIMING, HANDING},
    HANDING: {SYNCING, CLAIMING, HOLDING},
}

SILENT = 0.3  # seconds without a heartbeat (one every 0.05) that make a peer suspect
CONFIRM = 0.1  # and that without an answer to a probe confirm it
WATCH = 1.0  # after a stall
ALONE = 1.5  # without a holder to learn from before that is nothing to wait for
SYNC = 30.0  # for copying the connections
VACANT = 3.0  # the home node goes first
UNLISTED = 20.0  # an instance that AWS does not list may be too new to be listed
STALE = 5.0  # a look may be this old
OVER = 60.0  # a generation that ended is not believed for so long
PROVE = 10.0  # then forward without a proof: better than not at all
DRAIN = 0.5
OFFER = 3.0  # for the other to begin
TAKE = 15.0  # and to finish
BACK = 30.0  # ready for so long, the home node of a ring gets its gateway back
AGAIN = 30.0  # after a handover that failed
QUIET = 60.0  # after a loss; then the next one counts as the first
LONGEST = 120.0
LEAVE = 12.0  # for handing over when stopped; systemd must wait longer
LIMIT = 300.0  # to be of use; the launch hook must wait longer
HOOK = 120.0  # that long the launch hook may still be to come; after a reboot there is none
REACH = 15.0  # a node whose last good look is older cannot take anything

ALIVE = ("pending", "running")


class IllegalTransitionError(Exception):
    """A role that may not follow; the state is as it was."""


def begin(config: Config, now: float) -> State:
    """A node that knows nothing yet."""
    return State(config, {g.name: Gate(g, since=now, changed=now) for g in config.mine()}, now)


def step(state: State, seen: Seen, now: float) -> tuple[State, list[Action]]:
    """Take in one observation."""
    if not isinstance(seen.targets, Unknown):
        state = state._replace(targets=seen.targets)
    if seen.notice == "stop" and not state.leaving:
        state = state._replace(leaving=now)
    gates = {name: _next(state, gate, seen, now) for name, gate in state.gates.items()}
    state = state._replace(gates=gates)
    return state, [action for action in _actions(state, seen, now) if action not in seen.busy]


def become(gate: Gate, role: Role, cause: str, now: float) -> Gate:
    """The only way to change role."""
    if role not in ALLOWED[gate.role]:
        raise IllegalTransitionError(f"{gate.config.name}: {gate.role.value} -> {role.value} ({cause})")
    if role is TAKING and gate.role is CLAIMING:
        gate = gate._replace(taken=now, why=gate.cause)
    return gate._replace(role=role, cause=cause, since=now, offered=False, suspect=0.0)


def speak(state: State, seen: Seen, now: float) -> Beat:
    """What to tell the peers."""
    gates = state.gates.items()
    return Beat(
        seen.me,
        state.config.slot,
        now,
        {n: g.record.association for n, g in gates if g.record and g.role in (TAKING, HOLDING, HANDING)},
        frozenset(
            n
            for n, g in gates
            if g.role is STANDBY and g.record and now - g.record.at < REACH and now >= g.until
        ),
        {n: g.to for n, g in gates if g.offered},
        bool(seen.notice),
    )


def peers(gate: Gate, seen: Seen, now: float, ready: bool = False) -> list[Beat]:
    """Who else could have the gateway and is heard, the best first: the one that stays, the youngest."""
    listed = {} if isinstance(seen.members, Unknown) else seen.members.listed
    found = [
        beat
        for beat in seen.beats.values()
        if beat.slot in (gate.config.home, gate.config.standby) and now - beat.at <= SILENT
        if not ready or (gate.config.name in beat.ready and not beat.draining)
    ]
    age = {name: member.launched for name, member in listed.items()}
    return sorted(found, key=lambda b: (not b.draining, age.get(b.instance, ""), b.instance), reverse=True)


def address(state: State, gate: Gate, seen: Seen) -> str:
    """The private address that stands for the gateway on this node, empty when there is none."""
    index = gate.config.places[state.config.slot]
    return seen.addresses[index] if index < len(seen.addresses) else ""


def elements(state: State, seen: Seen) -> Elements:
    """What the kernel's maps should hold: the clients and port forwards of the gateways that are open."""
    found: set[Element] = set()
    for gate in state.gates.values():
        # Found here at the start it stays open. Taken, it opens after the proof: before AWS has moved the address, the
        # far end would see another one, and reset the connection.
        if gate.role is HOLDING or (gate.role in (STARTING, TAKING) and not gate.taken and _mine(gate, seen)):
            here = address(state, gate, seen)
            found |= {Element("source", block, here) for block in gate.config.clients}
            for e in ruleset.elements(gate.config.forwards, state.targets):
                found.add(Element(e.map, f"{here} . {e.key}", e.value))
    return frozenset(found)


def trouble(state: State, seen: Seen) -> str:
    """Why this node could not forward, empty when it could."""
    if isinstance(seen.faults, Unknown) or seen.faults:
        return seen.tools or (
            seen.faults.reason if isinstance(seen.faults, Unknown) else ", ".join(seen.faults)
        )
    if not all(address(state, gate, seen) for gate in state.gates.values()):
        return "a secondary private address is missing"
    if isinstance(seen.checked, Unknown):
        return seen.checked.reason
    return "the source/destination check is on" if seen.checked else ""


def _next(state: State, gate: Gate, seen: Seen, now: float) -> Gate:
    gate = _learn(gate, seen, now)
    after = _RULES[gate.role](state, gate, seen, now)
    if not after:
        return gate
    role, cause = after
    if role is gate.role:
        return gate._replace(cause=cause)
    return _settle(state, gate, become(gate, role, cause, now), seen, now)


def _settle(state: State, old: Gate, gate: Gate, seen: Seen, now: float) -> Gate:
    """What a change of role leaves behind."""
    record, role = gate.record, gate.role
    if not record:
        return gate
    nonce = record.handover.partition(":")[2]
    if role is CLAIMING:
        return gate._replace(target=record.association)
    if role is HANDING:
        wish = _wish(state, old, seen, now)
        return gate._replace(to=wish[0] if wish else "")
    if old.role is HANDING:  # done, or to be tried again later
        return gate._replace(nonce=nonce) if role is SYNCING else gate._replace(until=now + AGAIN)
    if (
        role in (SYNCING, STANDBY)
        and old.role in (CLAIMING, TAKING, HOLDING)
        and record.association != gate.target
    ):
        losses = gate.losses + 1 if now - gate.until < QUIET else 1
        return gate._replace(losses=losses, until=now + min(2.0**losses, LONGEST))
    return gate


def _learn(gate: Gate, seen: Seen, now: float) -> Gate:
    """Take in AWS's record, and how the holder and the home node do."""
    record = seen.records.get(gate.config.name)
    if record and record is not gate.record and _credible(gate, record, seen):
        gate = _believe(gate, record, seen, now)
    if gate.role in (SYNCING, STANDBY):
        beat = _holder(gate, seen)
        silent = bool(beat and _quiet(beat, seen, now))
        gate = gate._replace(suspect=(gate.suspect or now) if silent else 0.0)
    if gate.role is HANDING and not gate.offered:
        closed = not any(e.map == "source" and e.key in gate.config.clients for e in seen.elements)
        done = closed and gate.config.name in seen.drained
        gate = gate._replace(offered=done or now - gate.since >= DRAIN)
    if gate.role is HOLDING:
        back = any(b.slot == gate.config.home for b in peers(gate, seen, now, ready=True))
        gate = gate._replace(home=(gate.home or now) if back else 0.0)
    return gate


def _credible(gate: Gate, record: Record, seen: Seen) -> bool:
    if record.association and record.at < gate.past.get(record.association, -OVER) + OVER:
        return False
    # That we have it although another one had it and we did not claim it: an old look, unless it lasts.
    odd = gate.role in (STARTING, SYNCING, STANDBY) and record.interface == seen.interface and gate.last
    return (
        not odd
        or gate.last is None
        or gate.last.interface == seen.interface
        or record.at >= gate.last.at + STALE
    )


def _believe(gate: Gate, record: Record, seen: Seen, now: float) -> Gate:
    old, last = gate.record, gate.last
    if not old or old.association != record.association:
        gate = gate._replace(changed=now)
    if record.association:
        if (
            last
            and last.association != record.association
            and seen.interface in (last.interface, record.interface)
        ):
            gate = gate._replace(past={**gate.past, last.association: record.at})
        gate = gate._replace(last=record)
    return gate._replace(record=record)


def _mine(gate: Gate, seen: Seen) -> bool:
    return bool(gate.record and gate.record.interface == seen.interface)


def _vacant(gate: Gate) -> bool:
    return bool(gate.record and not gate.record.association)


def _holder(gate: Gate, seen: Seen) -> Optional[Beat]:
    """The last word of the holder by AWS's record."""
    return seen.beats.get(gate.record.instance) if gate.record else None


def _quiet(beat: Beat, seen: Seen, now: float) -> bool:
    return now - max(beat.at, seen.awake) > SILENT


def _starting(state: State, gate: Gate, seen: Seen, now: float) -> Optional[tuple[Role, str]]:
    wrong = trouble(state, seen)
    if wrong or not gate.record:
        return STARTING, wrong or "AWS's record is not known yet"
    return (TAKING, "AWS says it is here") if _mine(gate, seen) else (SYNCING, "this node could forward")


def _syncing(state: State, gate: Gate, seen: Seen, now: float) -> Optional[tuple[Role, str]]:
    wrong, waited = trouble(state, seen), now - max(gate.since, seen.awake)
    if wrong:
        return STARTING, wrong
    if _mine(gate, seen):
        return TAKING, "AWS says it is here"
    holder = _holder(gate, seen)
    if gate.config.name in seen.synced:
        return STANDBY, "every connection is here"
    if waited >= ALONE and (not holder or now - holder.at > ALONE):
        return STANDBY, "nobody to learn connections from"
    return (STANDBY, f"connections not copied within {SYNC:.0f} s") if waited >= SYNC else None


def _standby(state: State, gate: Gate, seen: Seen, now: float) -> Optional[tuple[Role, str]]:
    wrong, record, holder = trouble(state, seen), gate.record, _holder(gate, seen)
    if wrong:
        return STARTING, wrong
    if _mine(gate, seen):
        return TAKING, "AWS says it is here"
    if not record:
        return None
    reason = ""
    if holder and holder.offers.get(gate.config.name) == seen.me and not _quiet(holder, seen, now):
        reason = f"{record.instance} offers it"
    elif now - seen.awake >= WATCH and now >= gate.until:
        reason = _chance(state, gate, record, holder, seen, now)
    return (CLAIMING, reason) if reason else None


def _chance(state: State, gate: Gate, record: Record, holder: Optional[Beat], seen: Seen, now: float) -> str:
    """Why the gateway may be taken from whom AWS says has it; empty when it may not."""
    if not record.association:
        first = state.config.slot == gate.config.home or now - gate.changed >= VACANT
        return "nobody has it" if first else ""
    if holder and not _quiet(holder, seen, now):
        return ""
    if gate.suspect and holder and holder.holds.get(gate.config.name) == record.association:
        if now - gate.suspect >= CONFIRM:
            return f"{record.instance} is silent for {now - holder.at:.2f} s and does not answer"
        return ""
    if isinstance(seen.members, Unknown):
        return ""
    known = seen.members.listed.get(record.instance)
    if known:
        return "" if known.state in ALIVE else f"{record.instance} is {known.state}"
    return f"AWS lists no {record.instance}" if now - gate.changed >= UNLISTED else ""


def _claiming(state: State, gate: Gate, seen: Seen, now: float) -> Optional[tuple[Role, str]]:
    record = gate.record
    if not record or not record.association:
        return None
    if _mine(gate, seen):
        return TAKING, gate.cause
    if record.association != gate.target:
        return STANDBY, f"{record.instance} was faster"
    holder = _holder(gate, seen)
    if holder and holder.at > gate.since and holder.offers.get(gate.config.name) != seen.me:
        return STANDBY, f"{record.instance} is back"
    if now - seen.awake < WATCH or trouble(state, seen):
        return STANDBY, trouble(state, seen) or "this node stood still"
    return None


def _lost(gate: Gate, seen: Seen, now: float) -> Optional[tuple[Role, str]]:
    record = gate.record
    if not record or _mine(gate, seen):
        return None
    if record.association:
        return SYNCING, f"{record.instance} has it by AWS's record"
    # One look that shows nobody may be an old one.
    return (CLAIMING, "its address was taken away") if now - gate.changed >= WATCH else None


def _taking(state: State, gate: Gate, seen: Seen, now: float) -> Optional[tuple[Role, str]]:
    lost = _lost(gate, seen, now)
    if lost or not gate.record:
        return lost
    proven = proof(gate, seen)
    if proven is not None:
        return HOLDING, f"{gate.cause}; NAT {proven}"
    return (HOLDING, f"{gate.cause}; NAT not proven") if now - gate.since >= PROVE else None


def proof(gate: Gate, seen: Seen) -> Optional[str]:
    """How NAT is proven, None when it is not."""
    last = seen.proofs.get(gate.config.name)
    if not gate.record or not last or last.at < gate.taken or last.address not in ("", gate.record.public):
        return None
    return f"proven as {gate.record.public}"


def _holding(state: State, gate: Gate, seen: Seen, now: float) -> Optional[tuple[Role, str]]:
    lost = _lost(gate, seen, now)
    if lost or not gate.record or now < gate.until:
        return lost
    wish = _wish(state, gate, seen, now)
    return (HANDING, f"{wish[1]}: to {wish[0]}") if wish else None


def _wish(state: State, gate: Gate, seen: Seen, now: float) -> Optional[tuple[str, str]]:
    """To whom the gateway should go, and why."""
    slot, _, nonce = gate.record.handover.partition(":") if gate.record else ("", "", "")
    ready = peers(gate, seen, now, ready=True)
    wishes = (
        ("" if nonce == gate.nonce or slot == state.config.slot else slot, "the operator's wish"),
        (
            gate.config.home
            if len(state.config.gateways) > 1 and gate.home and now - gate.home >= BACK
            else "",
            "back home",
        ),
    )
    for wanted, cause in wishes:
        for beat in ready:
            if wanted and beat.slot == wanted:
                return beat.instance, cause
    return (ready[0].instance, seen.notice) if seen.notice and ready else None


def _handing(state: State, gate: Gate, seen: Seen, now: float) -> Optional[tuple[Role, str]]:
    record, waited = gate.record, now - gate.since
    if record and not _mine(gate, seen):
        if record.association:
            return SYNCING, f"handed to {record.instance}: {gate.cause}"
        return (CLAIMING, f"{gate.to} did not finish") if waited >= TAKE else None
    there = seen.beats.get(gate.to)
    if waited >= OFFER or not there or _quiet(there, seen, now):
        return HOLDING, f"{gate.to} did not take it"
    return None


_RULES = {
    STARTING: _starting,
    SYNCING: _syncing,
    STANDBY: _standby,
    CLAIMING: _claiming,
    TAKING: _taking,
    HOLDING: _holding,
    HANDING: _handing,
}


def _actions(state: State, seen: Seen, now: float) -> list[Action]:
    """What the roles ask for."""
    actions: list[Action] = [Check()] if seen.checked is True else []
    wanted = elements(state, seen)
    if not any(isinstance(action, (Prepare, Update)) for action in seen.busy):
        # Not before it is known what is ours: until then the table of an agent before us stays, and forwards.
        if seen.faults and not isinstance(seen.faults, Unknown):
            known = all(gate.record for gate in state.gates.values())
            actions += [Prepare(wanted)] if known and not seen.tools else []
        elif wanted != seen.elements:
            actions.append(Update(wanted))
    for gate in state.gates.values():
        if gate.record:
            actions += _asks(gate, gate.record, seen, now)
    settled = all(_settled(gate, seen) for gate in state.gates.values())
    hook = seen.hook == "answered" or (seen.hook == "none" and now - state.begun >= HOOK)
    if not hook and (settled or now - state.begun >= LIMIT):
        actions.append(Complete("CONTINUE" if settled else "ABANDON"))
    if state.leaving and (now - state.leaving >= LEAVE or not _keeps(state, seen, now)):
        actions.append(Leave())
    return actions


def _asks(gate: Gate, record: Record, seen: Seen, now: float) -> list[Action]:
    name, role = gate.config.name, gate.role
    if role is STANDBY and gate.suspect and now - gate.suspect < WATCH:
        return [Probe(record.instance)]
    if role is CLAIMING:
        if not record.association:
            return [Take(name)]
        return [Release(name, record.association)] if record.association == gate.target else []
    if role is HANDING and not gate.offered:
        return [Drain(name)]
    if role in (TAKING, HOLDING) and _mine(gate, seen):
        return [Point(table) for table in gate.config.tables if _astray(gate, record, table, seen)]
    return []


def _astray(gate: Gate, record: Record, table: str, seen: Seen) -> bool:
    """Whether a table has to be led here: all after a claim; later one that went elsewhere, if the address did not."""
    route = seen.routes.get(table)
    if not route:
        return gate.taken > 0
    return route.at < gate.taken or (not route.here and record.at >= route.at)


def _settled(gate: Gate, seen: Seen) -> bool:
    """Whether the node does for this gateway what it is there for."""
    here = all(table in seen.routes and seen.routes[table].here for table in gate.config.tables)
    return (gate.role is STANDBY and not _vacant(gate)) or (
        gate.role is HOLDING and here and proof(gate, seen) is not None
    )


def _keeps(state: State, seen: Seen, now: float) -> bool:
    """Whether a node that is being stopped still has something to give away, and somebody to give it to."""
    gates = [g for g in state.gates.values() if g.role in (CLAIMING, TAKING, HOLDING, HANDING)]
    return any(peers(gate, seen, now) or gate.role is HANDING for gate in gates)


def looks(state: State, now: float) -> dict[str, float]:
    """Seconds between two looks at each fact."""
    gates = state.gates.values()
    holds = any(g.role in (TAKING, HOLDING) for g in gates)
    moving = any(g.role in (CLAIMING, TAKING, HANDING) or g.suspect for g in gates)
    begins = any(g.role is STARTING for g in gates)
    return {
        "tools": 0.2 if begins else 60.0,
        "faults": 0.2 if begins else 10.0,
        "checked": 1.0 if begins else 60.0,
        "records": 0.2 if moving else 2.0,
        "members": 5.0,
        "routes": 10.0 if holds else 60.0,
        "proofs": (0.1 if any(g.role is TAKING for g in gates) else 60.0) if holds else 1e9,
        "targets": 10.0,
        "notice": 5.0,
    }
