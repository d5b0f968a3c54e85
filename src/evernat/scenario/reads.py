"""What looks at AWS show a simulated node, and how it takes that in; what comes in says whether it is news."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from evernat.agent.cluster_model import Member, Record, Route
from evernat.agent.common import Proof
from evernat.scenario.cloud import Association

if TYPE_CHECKING:
    from evernat.scenario.node import Node


def _records(node: Node, now: float) -> dict[str, tuple[Association | None, str]]:
    cloud = node.world.cloud
    return {g.name: (cloud.owners[g.name].at(now), cloud.wishes[g.name].at(now)) for g in node.mine}


def _take_records(node: Node, found: dict[str, tuple[Association | None, str]], asked: float) -> bool:
    news = [
        keep(node, gateway, owner, asked, wish)
        for gateway, (owner, wish) in found.items()
        if not over(node, owner)
    ]
    return any(news)


def over(node: Node, owner: Association | None) -> bool:
    """Whether AWS told this process that it ended that association: then a look that shows it is an old one."""
    return owner is not None and owner.id in node.ended


def keep(node: Node, gateway: str, owner: Association | None, at: float, wish: str | None = None) -> bool:
    """A record came in; whether it is news. An older one never replaces a younger."""
    old = node.seen.records.get(gateway)
    if old and old.at > at:
        return False
    public = node.world.layout.public(gateway)
    wish = wish if wish is not None else (old.handover if old else "")
    association, interface, instance = (owner.id, owner.interface, owner.instance) if owner else ("", "", "")
    made = Record(association, instance, interface, public, wish, at)
    node.seen = node.seen._replace(records={**node.seen.records, gateway: made})
    return not old or old[:-1] != made[:-1]


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


def _take_members(node: Node, found: dict[str, Member], asked: float) -> bool:
    if asked < node.seen.listed:
        return False
    news = found != node.seen.members
    node.seen = node.seen._replace(members=found, listed=asked)
    if news:
        node.world.speak(node)
    return news


def _routes(node: Node, now: float) -> dict[str, bool]:
    routes = node.world.cloud.routes
    return {t: routes[t].at(now) == node.interface for g in node.mine for t in g.tables}


def _take_routes(node: Node, found: dict[str, bool], asked: float) -> bool:
    kept, news = dict(node.seen.routes), False
    for table, here in found.items():
        old = kept.get(table)
        if not old or old.at <= asked:
            kept[table] = Route(here, asked)
            news = news or not old or old.here != here
    node.seen = node.seen._replace(routes=kept)
    return news


def _proof(node: Node, now: float) -> dict[str, str]:
    """What the internet answers to the addresses that lead here: for the others there is no answer."""
    world, found = node.world, {}
    for g in node.mine:
        owner = world.cloud.owners[g.name].at(now + world.cloud.stale)  # no record, but what is
        if owner and owner.instance == node.id and node.kernel is not None:
            found[g.name] = world.layout.public(g.name)
    return found


def _take_proof(node: Node, found: dict[str, str], asked: float) -> bool:
    kept, news = dict(node.seen.proofs), False
    for name, address in found.items():
        if name in kept and kept[name].at > asked:
            continue
        news = news or name not in kept or kept[name].address != address
        kept[name] = Proof(address, asked)
    node.seen = node.seen._replace(proofs=kept)
    return news


READS: dict[str, Callable[[Node, float], Any]] = {
    "records": _records,
    "members": _members,
    "routes": _routes,
    "proofs": _proof,
}
TAKE_IN: dict[str, Callable[[Node, Any, float], bool]] = {
    "records": _take_records,
    "members": _take_members,
    "routes": _take_routes,
    "proofs": _take_proof,
}
