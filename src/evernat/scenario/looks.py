"""What a simulated node's loop does to learn what is: ears, the copies of flows, and looks at AWS in the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evernat.agent import elect
from evernat.agent.cluster_model import OWN, Beat, Gate, Record, Role, Seen, State
from evernat.agent.machine import fitness, packets, view
from evernat.agent.values import Egress
from evernat.scenario.air import PERIOD
from evernat.scenario.cloud import DENIED, Refused, Unanswered
from evernat.scenario.reads import READS, take

if TYPE_CHECKING:
    from evernat.scenario.node import Node

TURN = 0.05
"""Seconds between two rounds of the loop. Those in which nothing can happen are left out, as `rest` says."""

FOREVER = 1e6

RENEWED = 2.0
"""A record may be so much older than the last look at it: a while is what matters, not a moment."""

FACTS = ("records", "members", "routes", "egress", "faults", "check", "notice")
"""What nodes look at here; no gateway forwards to a dynamic target."""

WAITS = {
    "awake": "SILENT WATCH WARN GUARD",
    "begun": "HOOK",
    "hook": "LIMIT",
    "leaving": "LEAVE",
    "starting": "",
    "syncing": "WATCH SYNC",
    "standby": "",
    "claiming": "SWITCH",
    "taking": "MOVE PROVE",
    "holding": "",
    "handing": "DRAIN TWICE OFFER",
    "behind": "WATCH",
    "astray": "WATCH TAKE",
    "vacant": "VACANT",
    "ended": "STALE",
    "until": "NOTHING",
    "record": "REACH",
    "beat": "SILENT DEAD WATCH STALE WARN GUARD",
    "failed": "USELESS LONG_USELESS",
    "resting": "NOTHING",
    "heard": "NOTHING",
    "ready": "BACK",
    "copying": "NOTHING",
}
"""What the agent waits for: that one of its limits has passed since a moment. By the names in its modules."""

NOTHING = 0.0
TWICE = 2 * packets.DRAIN
LONG_USELESS = 10 * fitness.USELESS

SYNC = 0.15
"""Seconds a full copy of the flows takes."""

PROMPTLY = 0.0
"""When all looks have to be gone through again."""

AT_ONCE = 6
"""Looks at one fact that may be under way,"""

HANGS = 1.0
"""not counting those that began so long ago,"""

MOST = 40
"""but these too."""

TRIES = 4
"""Attempts at a read, or at what AWS was too busy for."""


def limits() -> dict[str, tuple[float, ...]]:
    """WAITS in seconds, ascending."""
    known = {**globals(), **vars(view), **vars(packets), **vars(fitness), **vars(elect)}
    return {kind: tuple(sorted(known[name] for name in names.split())) for kind, names in WAITS.items()}


def look(node: Node) -> None:
    """Bring in what needs no asking."""
    now = node.world.now
    beats: dict[str, Beat] = {}
    for speaker, ear in node.ears.items():
        ear.listen(now)
        beat = ear.beat()
        if beat:
            beats[speaker] = beat
    records = _renewed(node) if _stands(node, "records") else node.seen.records
    egress = _checked_again(node) if _stands(node, "egress") else node.seen.egress
    node.seen = node.seen._replace(beats=beats, records=records, egress=egress, synced=_synced(node))


def ask(node: Node) -> None:
    """Begin the looks that are due, and work out when the next is."""
    now, looked, idle, due = node.world.now, node.looked, node.idle, FOREVER
    if now < node.due:
        return
    if node.due == PROMPTLY:
        idle.clear()
    mattering = _mattering(node)
    for name in FACTS:
        if name in idle:
            continue
        period = node.periods[name]
        foreseen = name not in mattering and _foreseen(node, name)
        at = looked.get(name, -1e9) + period
        if not foreseen and at <= now and _free(node.flying.get(name, ()), now):
            looked[name], at = now, now + period
            _look(node, name)
            foreseen = name not in mattering and _foreseen(node, name)
        if foreseen:
            idle[name] = period
        elif at < due:
            due = at
    node.due = due


def rest(node: Node) -> float:
    """Seconds in which no round can decide anything new, if nothing comes in."""
    world, state, seen, local = node.world, node.state, node.seen, node.local
    assert state is not None
    if any(
        packets.holds_back(state, gate, seen, local) or _awaits_check(gate, seen)
        for gate in state.gates.values()
    ):
        return TURN  # until a record confirms that nobody else has it, or a peer's next check passes
    limits, shortest = world.limits, FOREVER
    for kind, moment in _moments(node, state, seen):
        age = local - moment
        for limit in limits[kind]:
            if age < limit:
                if limit - age < shortest:
                    shortest = limit - age
                break
    return shortest + world.random.random() * TURN


def _awaits_check(gate: Gate, seen: Seen) -> bool:
    """Whether clients do not get out here, and a peer would take the gateway if its next check passes."""
    pending = (b.egress >= 0 and not fitness.passes(b, gate, seen) for b in view.others(gate, seen))
    return gate.failed > 0 and any(pending)


def _moments(node: Node, state: State, seen: Seen) -> list[tuple[str, float]]:
    """Since when the agent waits, and for what."""
    now, offset = node.world.now, node.offset
    limits, found = node.world.limits, [("awake", seen.awake)]
    if state.failed:
        found += (("failed", state.outdone or state.failed), ("resting", seen.replaced))
    if seen.hook != "answered":
        found += (("begun", state.begun), ("hook", seen.awake))
    if state.leaving:
        found.append(("leaving", state.leaving))
    if node.copying > now:
        found.append(("copying", node.copying + offset))
    for gate in state.gates.values():
        role, record = gate.role, gate.record
        if limits[role.value]:
            found += ((role.value, gate.since), (role.value, seen.awake))
        if gate.failed:
            found += (
                ("failed", state.outdone or gate.failed),
                ("failed", gate.since),
                ("resting", seen.replaced),
            )
        if gate.behind:
            found.append(("behind", gate.behind))
        if gate.until > node.local:
            found.append(("until", gate.until))
        if not record:
            continue
        found.append(("record", record.at))
        mine, ear = record.interface == seen.interface, node.ears.get(record.instance)
        if role in elect.OURS and not mine:
            found.append(("astray", max(gate.since, gate.changed, seen.awake)))
        elif role is Role.STANDBY and not (ear and ear.steady):
            found += (("vacant", gate.changed), ("vacant", gate.since))
        if seen.records[gate.config.name] is not record:  # it is not believed
            found += (("ended", gate.changed), ("ended", seen.awake))
    for speaker, ear in node.ears.items():
        beat = seen.beats.get(speaker)
        if not ear.steady:
            found.append(("heard", ear.next(now) + offset))
        if beat and not ear.steady:
            found.append(("beat", beat.at))
            if seen.awake > beat.at:
                found.append(("beat", seen.awake))
        if beat and len(state.gates) > 1:
            found += (("ready", beat.at - seconds + PERIOD) for seconds in beat.ready.values())
    return found


def _foreseen(node: Node, name: str) -> bool:
    """Whether a look would show what the last one will."""
    return node.fresh.get(name, 0.0) > changed(node, name) and not _fails(node, name)


def _fails(node: Node, name: str) -> bool:
    """Whether the next look will get no answer."""
    cut = not node.api and name not in ("egress", "faults", "notice")
    return cut or bool(node.faults and any(call == name for call, _ in node.faults))


def changed(node: Node, name: str) -> float:
    """Since when looks show what they show."""
    return node.world.stirred[name] + node.world.cloud.stale


def resume(node: Node, name: str, cut: bool) -> None:
    """What a look shows changes: those that were left out would be under way now."""
    world, now, period = node.world, node.world.now, node.idle.pop(name)
    if not node.running or now < node.stalled:
        node.due = PROMPTLY
        return
    began = node.looked[name] = now - world.random.random() * period
    node.rouse(began + period)
    period = max(period, (world.slow + world.settings.api) / AT_ONCE)
    played, flying = node.fresh.get(name, 0.0), node.flying.setdefault(name, [])
    while name in READS and began > played and _free(flying, now):
        if not Look(node, name, now - began).begin(now - began, cut):
            break
        began -= period


def doubt(node: Node, name: str) -> None:
    """The next look may show something new: the last one got no answer, or is older than a change of our own."""
    node.fresh.pop(name, None)
    if node.idle.pop(name, None):
        node.rouse(node.world.now)


def _renewed(node: Node) -> dict[str, Record]:
    """The records as the looks that were left out would show them: as they are, but younger."""
    world, period = node.world, node.idle["records"]
    since = max(world.now - node.looked.get("records", world.now), 0.0)
    at = node.local - since % period - 1.5 * (world.settings.api + world.slow)
    return {
        name: record if at - record.at < RENEWED else Record(*record[:-1], at)
        for name, record in node.seen.records.items()
    }


def _checked_again(node: Node) -> dict[str, Egress]:
    """The checks of the way out as those that were left out would show them: as they are, but younger."""
    period = node.idle["egress"]
    since = max(node.world.now - node.looked.get("egress", node.world.now), 0.0)
    at = node.local - since % period - 1.5 * node.world.settings.api
    return {
        name: last if at - last.at < fitness.EVERY else last._replace(at=at)
        for name, last in node.seen.egress.items()
    }


def _stands(node: Node, name: str) -> bool:
    """Whether looks of that name are left out, and the last one showed what the next would."""
    return name in node.idle and node.shown.get(name, 0.0) > changed(node, name)


def _free(flying: Sequence[float], now: float) -> bool:
    """Whether one more look may be under way."""
    return len(flying) < AT_ONCE or (
        len(flying) < MOST and sum(now - began < HANGS for began in flying) < AT_ONCE
    )


def _look(node: Node, name: str) -> None:
    if not _fails(node, name):
        node.fresh[name] = node.world.now
    if name in READS:
        Look(node, name).begin()
    elif name == "faults":
        _tell(node, faults=() if node.kernel is not None else ("the rules are not loaded",))
    elif name == "check":
        _tell(node, checked=not node.unchecked)
    elif name == "notice":
        _tell(node, notice=node.notice)


def _tell(node: Node, **news: Any) -> None:
    if take(node, news, node.local):
        node.soon()


def _synced(node: Node) -> frozenset[str]:
    """Gateways whose flows are all here. Copying goes on while both can talk."""
    world, state = node.world, node.state
    assert state is not None
    known = {name: record for name, gate in state.gates.items() if (record := _newest(node, gate))}
    for name in state.gates:
        holder = known[name].instance if name in known else ""  # whom to ask, if that is still so
        copy = node.copies.get(name)
        if holder in ("", node.id) or (copy and copy[0] == holder) or world.cloud.holder(name) != holder:
            continue
        speaker = world.nodes[holder]
        if speaker.speaks and world.talk(node, speaker):
            node.copies[name] = (holder, world.now + SYNC)
    if not node.copies:
        return frozenset()
    node.copying = max([node.lagging, *[complete for _, complete in node.copies.values()]])
    if world.now < node.lagging:
        return frozenset()
    return frozenset(
        name
        for name, (source, complete) in node.copies.items()
        if world.now >= complete and name in known and known[name].instance in ("", source)
    )


def _newest(node: Node, gate: Gate) -> Record | None:
    """The newest record of a gateway: what was shown, or what a peer said."""
    found = [record for record in (node.seen.records.get(gate.config.name), gate.record) if record]
    return max(found, key=lambda record: record.at, default=None)


class Look:
    """One look, in the background; what it shows is of the time it was asked, as far as the agent knows.

    It may have been asked a while ago.
    """

    __slots__ = ("asked", "began", "name", "node", "process", "tries")

    def __init__(self, node: Node, name: str, ago: float = 0.0):
        self.node, self.name, self.process, self.tries = node, name, node.process, TRIES
        self.asked, self.began = node.local - ago, node.world.now - ago

    def begin(self, ago: float = 0.0, cut: bool = False) -> bool:
        """False: that was so long ago that the answer changes nothing."""
        under_way = self.node.world.read(self.node, self.name, self._show, self._answer, ago, cut)
        if under_way:
            self.node.flying.setdefault(self.name, []).append(self.began)
        return under_way

    def _again(self) -> None:
        if self.node.process == self.process:
            self.node.world.read(self.node, self.name, self._show, self._answer)

    def _show(self, at: float) -> Any:
        return READS[self.name](self.node, at - self.node.world.cloud.stale, self.asked)

    def _answer(self, result: Any) -> None:
        node, name, world = self.node, self.name, self.node.world
        if node.process != self.process:
            return
        if isinstance(result, (Refused, Unanswered)):
            self.tries -= 1
            doubt(node, name)
            if self.tries and result != DENIED:
                world.later(world.jitter(0.3), self._again)
                return
        else:
            matters = name in _mattering(node)
            news = take(node, result, self.asked)
            node.shown[name] = max(node.shown.get(name, 0.0), self.began)
            if news or matters or name in _mattering(node):
                node.due = PROMPTLY
                node.soon()
        node.flying[name].remove(self.began)


def _mattering(node: Node) -> set[str]:
    """Looks of which even an answer that shows nothing new may decide something, as it is a later one."""
    assert node.state is not None
    seen, found = node.seen, set()
    own = seen.egress.get(OWN)
    if node.state.failed or (own and node.local - own.at >= fitness.RECENT):
        found.add("egress")
    for gate in node.state.gates.values():
        record = gate.record
        if record and record.instance and record.instance not in seen.members:
            found.add("members")
        if record and record.interface == seen.interface and gate.role not in elect.OURS:
            found.add("records")
        if record and node.local - record.at >= elect.REACH:  # also by a jump of the clock: it is not ready
            found.add("records")
        if gate.role is Role.TAKING or gate.failed:
            found.add("egress")
        if gate.role is Role.CLAIMING or gate.role in elect.OURS:
            for table in gate.config.tables:
                if table in seen.routes and not seen.routes[table].here:
                    found.add("records")
    return found
