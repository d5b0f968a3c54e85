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
8. A gateway whose holder's check fails and whose standby's passes changes hands; a node is replaced only while some
   node reaches the internet.
9. A route to somebody else's live target is taken only after the gateway's check has passed here.
"""

from __future__ import annotations

from typing import Optional

from .cluster_model import (
    Action,
    Beat,
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
    Replace,
    Role,
    Rules,
    Seen,
    State,
    Take,
    Uncheck,
)
from .machine import fitness
from .machine.packets import DRAIN, contested, rules, unguarded
from .machine.view import (
    ALIVE,
    AUDIBLE,
    SILENT,
    STALE,
    address,
    holder,
    mine,
    others,
    peers,
    shared,
    shared_at,
    silence,
    waited,
)
from .values import InvariantError

STARTING, SYNCING, STANDBY, CLAIMING, TAKING, HOLDING, HANDING = Role

ALLOWED = {
    STARTING: {SYNCING, TAKING},
    SYNCING: {STARTING, STANDBY, TAKING},
    STANDBY: {STARTING, SYNCING, CLAIMING, TAKING},
    CLAIMING: {STANDBY, TAKING},
    TAKING: {SYNCING, CLAIMING, HOLDING},
    HOLDING: {SYNCING, CLAIMING, HANDING},
    HANDING: {SYNCING, CLAIMING, HOLDING},
}
OURS = (TAKING, HOLDING, HANDING)

# Seconds between two looks at a fact: as a rule, and while something is moving.
SLOW = {
    "faults": 5.0,
    "check": 10.0,
    "records": 2.0,
    "members": 5.0,
    "routes": 10.0,
    "egress": fitness.EVERY,
    "targets": 10.0,
    "notice": 5.0,
}
FAST = {**SLOW, "faults": 0.2, "check": 0.2, "records": 0.05, "members": 1.0, "egress": 0.05}
FAILING = {**SLOW, "egress": fitness.AGAIN}

DEAD = 0.45  # and, not having answered, is taken for dead
WATCH = 1.0  # after a stall
SYNC = 30.0  # for copying the connections
VACANT = 3.0  # who has the connections goes first, then the home node
UNLISTED = 20.0  # an instance that AWS does not list may be too new to be listed
MOVE = 4.0  # AWS needs so long to move an address
PROVE = 10.0  # then forward without a proof: better than not at all
SWITCH = 0.25  # for the kernel to stop after its agent ended: rules.LASTING, and a heartbeat
OFFER = 3.0  # for the other to begin
TAKE = 15.0  # and to finish
BACK = 30.0  # ready for so long, the home node of a ring gets its gateway back
AGAIN = 30.0  # after a handover that failed
QUIET = 60.0  # after a loss; then the next one counts as the first
LONGEST = 120.0
LEAVE = 12.0  # for handing over when stopped; systemd must wait longer
LIMIT = 300.0  # to be of use; the launch hook must wait longer
HOOK = 120.0  # that long the launch hook may still be to come; after a reboot there is none
REACH = 15.0  # a node whose last good look is older could not take anything


LATE = "connections not copied in time"

Change = Optional[tuple[Role, str]]


class IllegalTransitionError(InvariantError):
    """A role that may not follow; the state is as it was."""


def begin(config: Config, now: float) -> State:
    """A node that knows nothing yet."""
    return State(config, {g.name: Gate(g, since=now, changed=now) for g in config.mine()}, now)


def become(gate: Gate, role: Role, cause: str, now: float) -> Gate:
    """The only way to change role."""
    if role not in ALLOWED[gate.role]:
        raise IllegalTransitionError(f"{gate.config.name}: {gate.role.value} -> {role.value} ({cause})")
    return gate._replace(role=role, cause=cause, since=now)


def step(state: State, seen: Seen, now: float) -> tuple[State, list[Action]]:
    """Take in one observation."""
    if seen.notice == "stop" and not state.leaving:
        state = state._replace(leaving=now)
    state = fitness.note(state, seen, now)
    known = {name: _copied(_learn(gate, seen, now), seen, now) for name, gate in state.gates.items()}
    gates = {name: _next(state, gate, seen, now) for name, gate in known.items()}
    state = state._replace(gates=gates)
    return state, [action for action in _actions(state, seen, now) if action not in seen.busy]


def speak(state: State, seen: Seen, now: float) -> Beat:
    """What to tell the peers."""
    holds, ready, offers, ended, follows = {}, {}, {}, {}, {}
    egress = fitness.own(seen, now)
    for name, gate in state.gates.items():
        if gate.record and gate.role in OURS:
            holds[name] = gate.record.association
            if gate.taken and gate.ended:
                ended[name] = gate.ended
        elif gate.role is CLAIMING:
            holds[name] = ""
        elif gate.role is STANDBY and gate.record and not _claimed(gate, gate.record, seen, now):
            follows[name] = gate.record.association
        able = now - seen.awake >= WATCH and gate.role is STANDBY and egress >= 0
        if able and gate.record and now - gate.record.at < REACH:
            ready[name] = now - gate.since
        if gate.role is HANDING and _may_offer(state, gate, seen, now):
            offers[name] = gate.to
    return Beat(
        seen.me,
        state.config.slot,
        now,
        holds,
        ready,
        offers,
        bool(seen.notice),
        ended,
        egress,
        bool(state.leaving),
        unguarded(state, seen, now),
        follows,
    )


def urgent(beat: Beat, last: Beat) -> bool:
    """Whether what is new in a heartbeat must be said at once: the others may not get another one."""
    return (beat.holds, beat.offers, beat.unguarded) != (last.holds, last.offers, last.unguarded)


def _claimed(gate: Gate, record: Record, seen: Seen, now: float) -> bool:
    """Whether a peer says that the gateway is, or soon will be, another's than the record shows."""
    said = (beat.holds.get(gate.config.name) for beat in peers(gate, seen, now))
    return any(held not in (None, record.association) for held in said)


def proven(gate: Gate, seen: Seen) -> bool:
    """Whether the internet answered to the gateway's address since we have it."""
    last = seen.egress.get(gate.config.name)
    answered = last and last.ok and last.at >= gate.taken
    return bool(answered and gate.record and last.address in ("", gate.record.public))  # type: ignore[union-attr]


def moving(gate: Gate, seen: Seen, now: float) -> bool:
    """Whether the address may be landing here or leaving: connections through it die."""
    landing = gate.role is CLAIMING and bool(gate.record and not gate.record.association)
    return landing or gate.role is TAKING or contested(gate, seen, now)


def looks(state: State, seen: Seen, now: float) -> dict[str, float]:
    """Seconds between two looks at each fact."""
    gates = state.gates.values()
    if any(
        gate.role in (STARTING, CLAIMING, TAKING)
        or SILENT < silence(gate, seen, now) < STALE
        or contested(gate, seen, now)
        for gate in gates
    ):
        return FAST
    unwell = any(beat.egress < 0 for gate in gates for beat in peers(gate, seen, now))
    return FAILING if state.failed or unwell or any(gate.failed for gate in gates) else SLOW


def _learn(gate: Gate, seen: Seen, now: float) -> Gate:
    """Take in the newest record; what a peer says of itself can be newer than any poll."""
    old = gate.record
    for record in (seen.records.get(gate.config.name), _announced(gate, seen)):
        if record and record is not old and not (old and record.at < old.at):
            gate = _believe(gate, record, seen, now)
    return gate


def _copied(gate: Gate, seen: Seen, now: float) -> Gate:
    """Remember since when a standby lacks connections of a holder that lives."""
    heard = bool(holder(gate, seen)) and silence(gate, seen, now) < SILENT
    lacks = gate.role is STANDBY and heard and gate.config.name not in seen.synced
    behind = (gate.behind or now) if lacks else 0.0
    return gate if behind == gate.behind else gate._replace(behind=behind)


def _announced(gate: Gate, seen: Seen) -> Optional[Record]:
    """The record by the word of a peer that took the gateway when our association was over: ids never come back."""
    old, name = gate.record, gate.config.name
    if not old or gate.role not in OURS or not mine(gate, seen):
        return None
    for beat in others(gate, seen):
        if beat.holds.get(name) and beat.ended.get(name) == old.association:
            return Record(beat.holds[name], beat.instance, "", old.public, old.handover, max(beat.at, old.at))
    return None


def _believe(gate: Gate, record: Record, seen: Seen, now: float) -> Gate:
    # Old looks do not undo what we changed. An association that we ended cannot come back: no id is used again.
    old = gate.record
    here = record.interface == seen.interface
    robbed = bool(gate.target) and record.association == gate.target
    recent = now < gate.changed + STALE
    if robbed and gate.role in OURS:
        old_look = True
    elif (robbed and gate.role is CLAIMING) or (here and gate.role is HANDING):
        old_look = old is not None and not old.association and (recent or now < seen.awake + STALE)
    else:  # what was taken, not what was only found
        taken = recent and gate.taken > 0 and gate.role in (TAKING, HOLDING) and mine(gate, seen)
        announced = bool(record.association) and not record.interface
        old_look = taken and not here and not announced
    if old_look:
        return gate
    if old and old.association == record.association:
        return gate._replace(record=record)
    previous = old.association if old and old.association else gate.previous
    return gate._replace(record=record, changed=now, previous=previous)


def _next(state: State, gate: Gate, seen: Seen, now: float) -> Gate:
    change = _RULES[gate.role](state, gate, seen, now) if gate.record else None
    if not change or not gate.record:
        return gate
    old, record, nonce = gate, gate.record, gate.record.handover.partition(":")[2]
    gate = become(gate, *change, now)
    if gate.role in (SYNCING, TAKING) and old.role in (CLAIMING, *OURS):
        gate = gate._replace(nonce=nonce)  # a wish that outlives a change of owner is an old one
    if gate.role is CLAIMING:
        return gate._replace(target=record.association, ended=record.association or gate.previous)
    if gate.role is HANDING:
        return gate._replace(to=change[1].split()[0])
    if old.role is HANDING and gate.role is HOLDING:
        return gate._replace(until=now + AGAIN)
    if old.role is HANDING:  # what was taken only to be given away again was better left where it was
        soon = gate.role is SYNCING and gate.taken > 0 and now - gate.taken < QUIET
        return _later(gate, now) if soon else gate
    if gate.role is TAKING and old.role is CLAIMING:
        return gate._replace(taken=old.since, why=gate.cause)
    # Who came too late for what nobody had did no harm, and may be needed at once.
    lost = old.role in (TAKING, HOLDING) or (old.role is CLAIMING and gate.target)
    if lost and record.association not in ("", gate.target) and not mine(gate, seen):
        return _later(gate, now)
    return gate


def _later(gate: Gate, now: float) -> Gate:
    """Wait before the next claim, twice as long as the last time."""
    losses = gate.losses + 1 if now - gate.until < QUIET else 1
    return gate._replace(losses=losses, until=now + min(2.0**losses, LONGEST))


def _ending(name: str, seen: Seen) -> bool:
    return bool(seen.loaded and name in seen.loaded.ending)


def _may_offer(state: State, gate: Gate, seen: Seen, now: float) -> bool:
    """Whether the other may take it: drained, nothing begins here, and nothing can leave with another address."""
    name, loaded = gate.config.name, seen.loaded
    lasts = waited(gate.since, seen, now)
    drained = lasts >= DRAIN or (name in seen.drained and _ending(name, seen))
    waits = not shared(state, gate) or bool(loaded and name in loaded.held) or lasts >= 2 * DRAIN
    return drained and waits


def _gone(gate: Gate, seen: Seen) -> str:
    """How AWS says that the holder is gone, empty when it does not."""
    instance = gate.record.instance if gate.record else ""
    known = seen.members.get(instance)
    if known:
        return "" if known.state in ALIVE else f"{instance} is {known.state}"
    return f"AWS lists no {instance}" if seen.listed >= gate.changed + UNLISTED else ""


def problems(seen: Seen) -> tuple[str, ...]:
    """What keeps this node from forwarding; not known is not wrong, unless it never was known."""
    checked = {None: "source/destination check not known yet", True: "source/destination check is on"}
    return (*seen.faults, *([checked[seen.checked]] if seen.checked in checked else []))


def _trouble(state: State, seen: Seen) -> str:
    """Why this node could not forward, empty when it could."""
    whole = all(address(state, gate, seen) for gate in state.gates.values())
    return ", ".join(problems(seen)) or ("" if whole else "no secondary address")


def _waiting(state: State, gate: Gate, seen: Seen, now: float) -> Change:
    """STARTING, SYNCING and STANDBY."""
    trouble = _trouble(state, seen)
    if trouble:
        return None if gate.role is STARTING else (STARTING, trouble)
    # Found here later than at the start, though nobody claimed it: an old look, unless later ones show it too.
    lasts = gate.record and gate.record.at >= gate.changed + STALE
    if mine(gate, seen) and (gate.role is STARTING or lasts):
        return TAKING, "AWS says it is here"
    if gate.role is STARTING:
        return SYNCING, "able to forward"
    if gate.role is SYNCING:
        role, cause = STANDBY, _complete(gate, seen, now)
    else:
        role, cause = CLAIMING, _chance(state, gate, seen, now)
        # The copying process may have died, or there is a new holder. Who has waited long enough waits no more.
        if not cause and gate.behind and gate.cause != LATE and now - gate.behind >= WATCH:
            role, cause = SYNCING, "connections are no longer copied"
    return (role, cause) if cause else None


def _complete(gate: Gate, seen: Seen, now: float) -> str:
    """Why a standby has all the connections it will get; empty when more may come."""
    if gate.config.name in seen.synced:
        return "connections copied"
    lasts = waited(gate.since, seen, now)
    if lasts >= SYNC:
        return LATE
    lone = (
        silence(gate, seen, now) >= WATCH
        or not gate.record
        or not gate.record.association
        or _gone(gate, seen)
    )
    return "no connections to copy" if lone and lasts >= WATCH else ""


def _chance(state: State, gate: Gate, seen: Seen, now: float) -> str:
    """Why the gateway may be claimed; empty when it may not."""
    record, name = gate.record, gate.config.name
    last, quiet = holder(gate, seen), silence(gate, seen, now)
    if not record or state.leaving:
        return ""
    if last and last.offers.get(name) == seen.me and quiet < SILENT:
        return f"offered by {record.instance}"
    if now < max(seen.awake + WATCH, gate.until):
        return ""
    # Who has the connections goes first: these are here, or with whom has been ready for longer.
    copied, ready = name in seen.synced, now - gate.since
    able = [] if copied else peers(gate, seen, now)
    later = any(b.ready.get(name, 0.0) > ready + VACANT for b in able)
    if later and min(ready, now - gate.changed) < VACANT:
        return ""
    if any(b.holds.get(name) == "" for b in able) and now - gate.changed < TAKE:
        return ""  # it is being claimed, and AWS may be slow
    if not record.association:
        first = copied or state.config.slot == gate.config.home or now - gate.changed >= VACANT
        return "nobody has it" if first else ""
    if last and quiet < DEAD:
        return ""
    if last and _stops(gate, last):
        return f"{record.instance} is silent for {quiet:.2f} s"
    return _gone(gate, seen)


def _stops(gate: Gate, last: Beat) -> bool:
    """Whether a holder that fell silent lets no packet out with another address, by its last word."""
    name = gate.config.name
    ours = gate.record and last.holds.get(name) == gate.record.association
    # One that had not heard us for long enough goes on.
    return bool(ours) and not (name in last.unguarded and shared_at(gate, last.slot))


def _claiming(state: State, gate: Gate, seen: Seen, now: float) -> Change:
    record, last = gate.record, holder(gate, seen)
    if not record or not record.association:
        return None
    if mine(gate, seen):
        return TAKING, gate.cause
    if record.association != gate.target:
        return STANDBY, f"{record.instance} was faster"
    offered = last and last.offers.get(gate.config.name) == seen.me
    if last and last.at > gate.since and not offered:
        return STANDBY, f"{record.instance} is back"
    trouble = "stalled" if now - seen.awake < WATCH and not offered else _trouble(state, seen)
    return (STANDBY, trouble) if trouble else None


def _serving(state: State, gate: Gate, seen: Seen, now: float) -> Change:
    """TAKING, HOLDING and HANDING."""
    record = gate.record
    if not record or mine(gate, seen):
        return _KEEPING[gate.role](state, gate, seen, now)
    if record.association:
        return SYNCING, f"{record.instance} has it"
    # One look that shows nobody may be an old one; and who takes it over needs time.
    patience = TAKE if gate.role is HANDING else WATCH
    lasts = waited(max(gate.since, gate.changed), seen, now)
    return (CLAIMING, "nobody has it") if lasts >= patience else None


def _taking(state: State, gate: Gate, seen: Seen, now: float) -> Change:
    lasts = waited(gate.since, seen, now)
    # That something answers proves nothing before AWS has had time to move the address.
    if proven(gate, seen) and (seen.egress[gate.config.name].address or lasts >= MOVE):
        return HOLDING, f"{gate.cause}; NAT proven"
    return (HOLDING, f"{gate.cause}; NAT not proven") if lasts >= PROVE else None


def _holding(state: State, gate: Gate, seen: Seen, now: float) -> Change:
    """To whom the gateway should go, and why."""
    slot, _, nonce = gate.record.handover.partition(":") if gate.record else ("", "", "")
    wished = nonce != gate.nonce and slot != state.config.slot
    failing = fitness.failing(gate, seen)
    for beat in peers(gate, seen, now) if now >= gate.until else ():
        since = beat.ready.get(gate.config.name, -1.0)
        if since < 0 or beat.draining:
            continue
        if wished and beat.slot == slot:
            return HANDING, f"{beat.instance} by the operator's wish"
        if seen.notice:
            return HANDING, f"{beat.instance} because of {seen.notice}"
        if failing and fitness.passes(beat, gate, seen) and fitness.may_hand_over(gate, now):
            return HANDING, f"{beat.instance} because clients do not get out ({failing})"
        if (
            len(state.config.gateways) > 1
            and beat.slot == gate.config.home != state.config.slot
            and since >= BACK
        ):
            return HANDING, f"{beat.instance} is home"
    return None


def _handing(state: State, gate: Gate, seen: Seen, now: float) -> Change:
    there = seen.beats.get(gate.to)
    late = now - gate.since >= OFFER or not there or now - there.at > DEAD
    return (HOLDING, f"{gate.to} did not take it") if late else None


_KEEPING = {TAKING: _taking, HOLDING: _holding, HANDING: _handing}
_RULES = {
    STARTING: _waiting,
    SYNCING: _waiting,
    STANDBY: _waiting,
    CLAIMING: _claiming,
    TAKING: _serving,
    HOLDING: _serving,
    HANDING: _serving,
}


def _actions(state: State, seen: Seen, now: float) -> list[Action]:
    """What the roles ask for."""
    gates, wanted = state.gates.values(), rules(state, seen, now)
    actions: list[Action] = []
    # Not before it is known what is ours: until then the table of an agent before us stays, and forwards.
    if (seen.faults or wanted != seen.loaded) and all(gate.record for gate in gates):
        actions.append(Prepare(wanted))
    if seen.checked:
        actions.append(Uncheck())
    for gate in gates:
        actions += _asks(gate, gate.record, seen, now) if gate.record else []
    why = fitness.useless(state, seen, now) if now >= seen.replaced and not state.leaving else ""
    if why:
        actions.append(Replace(why))
    if seen.hook != "answered" and (seen.hook != "none" or now - state.begun < HOOK):
        settled = all(_settled(gate, seen) for gate in gates) and state.passed > 0
        if settled or now - seen.awake >= LIMIT:  # a jump of the clock is no time
            actions.append(Complete("CONTINUE" if settled else "ABANDON"))
    if state.leaving and _leaves(state, seen, wanted, now):
        actions.append(Leave())
    return actions


def _leaves(state: State, seen: Seen, wanted: Rules, now: float) -> bool:
    """Whether a node that is stopped has nothing left to give away, nobody to give it to, or no more time.

    Who only cannot be heard may be taking it now, so a node that is alone goes when its kernel knows what is wanted.
    """
    held = [gate for gate in state.gates.values() if gate.role in (CLAIMING, *OURS)]
    # After a jump of the clock everybody seems to be silent for a moment.
    alone = now - seen.awake >= SILENT and not any(peers(gate, seen, now) for gate in held)
    return not held or now - state.leaving >= LEAVE or (alone and wanted == seen.loaded)


def _asks(gate: Gate, record: Record, seen: Seen, now: float) -> list[Action]:
    name, role = gate.config.name, gate.role
    if role is STANDBY and SILENT <= silence(gate, seen, now) < WATCH:
        return [Probe(record.instance)]
    if role is HANDING and name not in seen.drained and _ending(name, seen):
        return [Drain(name)]
    if role not in (CLAIMING, TAKING, HOLDING):
        return []
    if role is CLAIMING and record.association:
        waits = record.association != gate.target or _going(gate, record, seen, now)
        return [] if waits else [Release(name, record.association)]
    tables = [table for table in gate.config.tables if _astray(gate, table, seen)]
    points: list[Action] = [Point(table, record.association) for table in tables]
    if role is CLAIMING:
        # Who ended the association leads the routes here at the same time: each call may take AWS seconds.
        return [Take(name), *(points if gate.target else [])]
    return points if mine(gate, seen) else []


def _going(gate: Gate, record: Record, seen: Seen, now: float) -> bool:
    """Whether a holder that is shutting down may still let packets of a shared address out.

    It hears our claim and stops, and when its agent has just ended, its kernel does.
    """
    known, last = seen.members.get(record.instance), holder(gate, seen)
    leaves = known and known.state in AUDIBLE and known.state not in ALIVE
    if not known or not leaves or not shared_at(gate, known.slot):
        return False
    offered = last and last.offers.get(gate.config.name) == seen.me
    return now - gate.since < SWITCH and not offered and not (last and _stops(gate, last))


def _astray(gate: Gate, table: str, seen: Seen) -> bool:
    """Whether a table has to be led here: all for a claim; later one that went elsewhere, if the address did not."""
    route, claimed = seen.routes.get(table), gate.since if gate.role is CLAIMING else gate.taken
    if (not route or route.foreign) and not proven(gate, seen):
        return False  # it may lead to what works
    if not route or not gate.record:
        return claimed > 0
    return route.at < claimed or (not route.here and gate.record.at >= route.at)


def _settled(gate: Gate, seen: Seen) -> bool:
    """Whether the node does for this gateway what it is there for."""
    here = all(table in seen.routes and seen.routes[table].here for table in gate.config.tables)
    stands = gate.role is STANDBY and gate.record and gate.record.association
    return bool(stands or (gate.role is HOLDING and here and proven(gate, seen)))
