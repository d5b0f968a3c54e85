"""What a simulated node's loop does to learn what is: ears, the copies of flows, and looks at AWS in the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from evernat.agent import elect
from evernat.agent.cluster_model import (
    Beat,
    Member,
    Record,
    Route,
)
from evernat.agent.common import Proof
from evernat.scenario.cloud import DENIED, Association, Refused, Unanswered

if TYPE_CHECKING:
    from evernat.scenario.node import Node

DOZE = 1.0
"""Seconds between two rounds of the loop when nothing happens: saves most of the work, and changes nothing."""

TURN = 0.05
"""Seconds between two rounds when something does."""

NOTICED = 0.7
"""Seconds after which the silence of a peer is nothing new."""

SYNC = 0.15
"""Seconds a full copy of the flows takes."""

AT_ONCE = 6
"""Looks at one fact that may be under way,"""

HANGS = 1.0
"""not counting those that began so long ago,"""

MOST = 40
"""but these too."""

TRIES = 4
"""Attempts at a read, or at what AWS was too busy for."""


def look(node: Node) -> None:
    """Bring in what needs no asking, and ask for what is due."""
    world, seen = node.world, node.seen
    now = world.now
    pace, calm = DOZE, True
    beats: dict[str, Beat] = {}
    for speaker, one in node.ears.items():
        one.listen(now)
        if one.content is not None:
            beats[speaker] = one.content._replace(at=one.heard_at)
            if not one.steady:
                calm, age = False, node.local - one.heard_at
                if age < NOTICED:
                    pace = min(pace, max(TURN, elect.SILENT - age))
    node.seen = seen._replace(beats=beats, synced=_synced(node))
    # While all peers are heard and no role changes, the periods stay: `node.due` is when the next look is.
    if not calm or now >= node.due or len(node.looked) < node.facts:
        node.period = _look_around(node)
    node.pace = min(pace, node.period)


def _look_around(node: Node) -> float:
    """Begin the looks that are due; gives the shortest period."""
    assert node.state is not None
    now, periods = node.world.now, elect.looks(node.state, node.seen, node.local)
    for name, period in periods.items():
        if now - node.looked.get(name, -1e9) >= period and _free(node.flying.get(name, []), now):
            node.looked[name] = now
            _look(node, name)
    node.facts = len(periods)
    node.due = min(node.looked.get(name, now) + period for name, period in periods.items())
    return min(periods.values())


def _free(flying: list[float], now: float) -> bool:
    """Whether one more look may be under way."""
    return len(flying) < MOST and sum(now - began < HANGS for began in flying) < AT_ONCE


def _look(node: Node, name: str) -> None:
    if name in READS:
        _ask(node, name)
    elif name == "faults":
        faults: tuple[str, ...] = () if node.kernel is not None else ("the rules are not loaded",)
        faults += () if node.unchecked else ("the source/destination check is on",)
        node.seen = node.seen._replace(faults=faults)
    elif name == "notice":
        node.seen = node.seen._replace(notice=node.notice)


def _synced(node: Node) -> frozenset[str]:
    """Gateways whose flows are all here. Copying goes on while both can talk."""
    world, state = node.world, node.state
    assert state is not None
    for name in state.gates:
        holder = world.cloud.holder(name)
        speaker = world.nodes.get(holder)
        copy = node.copies.get(name)
        record = node.seen.records.get(name)
        if speaker is None or speaker is node or (copy and copy[0] == holder):
            continue
        if not record or record.instance != holder:  # it knows of no one to ask
            continue
        if speaker.speaks and world.talk(node, speaker):
            node.copies[name] = (holder, world.now + SYNC)
    if world.now < node.lagging:
        return frozenset()
    known = node.seen.records
    return frozenset(
        name
        for name, (source, complete) in node.copies.items()
        if world.now >= complete and name in known and known[name].instance in ("", source)
    )


def _ask(node: Node, name: str) -> None:
    """One look, in the background; what it shows is of the time it was asked, as far as the agent knows."""
    world, asked, process, tries = node.world, node.local, node.process, TRIES
    began, flying = world.now, node.flying.setdefault(name, [])
    flying.append(began)

    def ask() -> None:
        if node.process == process:
            world.call(node, name, lambda now: READS[name](node, now - world.cloud.stale), answer)

    def answer(result: Any) -> None:
        nonlocal tries
        if node.process != process:
            return
        if isinstance(result, (Refused, Unanswered)):
            tries -= 1
            if tries and result != DENIED:
                world.later(world.jitter(0.3), ask)
                return
        else:
            TAKE_IN[name](node, result, asked)
            if node.known.get(name) != result:
                node.known[name] = result
                node.soon()
        flying.remove(began)

    ask()


def _records(node: Node, now: float) -> dict[str, tuple[Association | None, str]]:
    cloud = node.world.cloud
    return {g.name: (cloud.owners[g.name].at(now), cloud.wishes[g.name].at(now)) for g in node.config.mine()}


def _take_records(node: Node, found: dict[str, tuple[Association | None, str]], asked: float) -> None:
    for gateway, (owner, wish) in found.items():
        keep(node, gateway, owner, asked, wish)


def keep(node: Node, gateway: str, owner: Association | None, at: float, wish: str | None = None) -> None:
    """A record came in; an older one never replaces a younger."""
    old = node.seen.records.get(gateway)
    if old and old.at > at:
        return
    public = node.world.layout.public(gateway)
    wish = wish if wish is not None else (old.handover if old else "")
    association, interface, instance = (owner.id, owner.interface, owner.instance) if owner else ("", "", "")
    made = Record(association, instance, interface, public, wish, at)
    node.seen = node.seen._replace(records={**node.seen.records, gateway: made})


def _members(node: Node, now: float) -> dict[str, Member]:
    found = {}
    for instance, history in node.world.cloud.instances.items():
        one = history.at(now) if now >= history.times[0] else None
        if one and one.state in ("pending", "running"):
            other = node.world.nodes[instance]
            found[instance] = Member(
                instance, one.slot, other.addresses[0], one.state, f"{other.launched + 1000:09.3f}"
            )
    return found


def _take_members(node: Node, found: dict[str, Member], asked: float) -> None:
    if asked >= node.seen.listed:
        node.seen = node.seen._replace(members=found, listed=asked)
        node.world.speak(node)


def _routes(node: Node, now: float) -> dict[str, bool]:
    routes = node.world.cloud.routes
    return {t: routes[t].at(now) == node.interface for g in node.config.mine() for t in g.tables}


def _take_routes(node: Node, found: dict[str, bool], asked: float) -> None:
    kept = dict(node.seen.routes)
    for table, here in found.items():
        if table not in kept or kept[table].at <= asked:
            kept[table] = Route(here, asked)
    node.seen = node.seen._replace(routes=kept)


def _proof(node: Node, _: float) -> dict[str, str]:
    """What the internet answers to the addresses that lead here now: for the others there is no answer."""
    world = node.world
    return {
        g.name: world.layout.public(g.name)
        for g in node.config.mine()
        if world.cloud.holder(g.name) == node.id and node.kernel is not None
    }


def _take_proof(node: Node, found: dict[str, str], _: float) -> None:
    proofs = {name: Proof(address, node.local) for name, address in found.items()}
    node.seen = node.seen._replace(proofs={**node.seen.proofs, **proofs})


READS: dict[str, Callable[[Node, float], Any]] = {
    "records": _records,
    "members": _members,
    "routes": _routes,
    "proofs": _proof,
}
TAKE_IN: dict[str, Callable[[Node, Any, float], None]] = {
    "records": _take_records,
    "members": _take_members,
    "routes": _take_routes,
    "proofs": _take_proof,
}
