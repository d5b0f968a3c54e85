"""What looks at AWS show a simulated node, in the agent's own terms; the agent's own rule takes it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from evernat.agent import elect
from evernat.agent.cluster_model import OWN, Member, Record, Role, Route
from evernat.agent.machine import view
from evernat.agent.node.merge import BY_KEY, merge
from evernat.agent.values import Egress
from evernat.scenario.cloud import FOREIGN, Association

if TYPE_CHECKING:
    from evernat.scenario.node import Node

Found = dict[str, Any]


def take(node: Node, found: Found, asked: float) -> bool:
    """An answer came in, to what was asked then by the node's clock; whether it is news."""
    old = node.seen
    node.seen = merge(old, asked, found, node.newest)
    news = any(_bare(name, getattr(old, name)) != _bare(name, getattr(node.seen, name)) for name in found)
    if news and "members" in found:
        node.world.speak(node)
    return news


def _bare(name: str, value: Any) -> Any:
    """A fact without the moment it was observed."""
    if name == "listed":
        return None
    return {key: each._replace(at=0.0) for key, each in value.items()} if name in BY_KEY else value


def record(node: Node, gateway: str, owner: Association | None, at: float, wish: str | None = None) -> Found:
    """A record as the agent has it; without a wish the one it knows."""
    known = node.seen.records.get(gateway)
    wish = wish if wish is not None else (known.handover if known else "")
    who = (owner.id, owner.instance, owner.interface) if owner else ("", "", "")
    return {"records": {gateway: Record(*who, node.world.layout.public(gateway), wish, at)}}


def _records(node: Node, now: float, asked: float) -> Found:
    cloud, found = node.world.cloud, {}
    for g in node.mine:
        owner = cloud.owners[g.name].at(now)
        if not over(node, owner):
            found.update(record(node, g.name, owner, asked, cloud.wishes[g.name].at(now))["records"])
    return {"records": found}


def over(node: Node, owner: Association | None) -> bool:
    """Whether AWS told this process that it ended that association: then a look that shows it is an old one."""
    return owner is not None and owner.id in node.ended


def _members(node: Node, now: float, asked: float) -> Found:
    found = {}
    for instance, history in node.world.cloud.instances.items():
        one = history.at(now) if now >= history.times[0] else None
        if one and one.state in view.AUDIBLE:
            other = node.world.nodes[instance]
            launched = f"{other.launched + 1000:09.3f}"
            found[instance] = Member(instance, one.slot, other.addresses[0], one.state, launched)
    return {"members": found, "listed": asked}


def _routes(node: Node, now: float, asked: float) -> Found:
    routes = node.world.cloud.routes
    found = {t: routes[t].at(now) for g in node.mine for t in g.tables}
    return {"routes": {t: Route(to == node.interface, asked, to == FOREIGN) for t, to in found.items()}}


def _egress(node: Node, now: float, asked: float) -> Found:
    """Of gateways whose address is here or coming, and of the node's own way."""
    world, hop = node.world, way_out(node)
    found = {OWN: Egress(asked, hop, hop)}
    for g in node.mine:
        if node.role(g.name) in (Role.CLAIMING, *elect.OURS):
            owner = world.cloud.owners[g.name].at(now + world.cloud.stale)  # no record, but what is
            ends = hop or ("" if owner and owner.instance == node.id else "address")
            found[g.name] = Egress(asked, ends, ends, "" if ends else world.layout.public(g.name))
    return {"egress": found}


def way_out(node: Node) -> str:
    """The hop where packets that a node forwards end, empty when they reach the internet."""
    if node.kernel is None:
        return "own table"
    if node.blocked:
        return "foreign forward chain"
    return "beyond" if node.offline or node.world.dark else ""


READS: Mapping[str, Callable[[Node, float, float], Found]] = {
    "records": _records,
    "members": _members,
    "routes": _routes,
    "egress": _egress,
}
"""By fact: what a look shows that AWS answers at one time, asked at another (by the node's clock)."""
