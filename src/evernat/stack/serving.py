"""Who holds what, in a stack whose gateways are addresses: AWS's record of it, and whether all is as it should be.

The association of a gateway's Elastic IP says who holds it; nothing else does. A node's launch hook lets it into
service only when it has proven NAT, or could take over with every connection known to it: a member in service is able.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.discover import (
    all_addresses,
    discover_nodes,
    discover_reports,
    route_tables,
    tagged_groups,
)
from evernat.stack.found import Address, Found, Group, Node, RouteTable
from evernat.stack.reports import Report, read, today


@dataclass(frozen=True)
class Scene:
    """One look at a stack's nodes, groups, addresses and tables."""

    stack: str
    addresses: Mapping[str, Address]
    """By gateway."""
    nodes: tuple[Node, ...]
    groups: Mapping[str, Group]
    tables: tuple[RouteTable, ...]
    reports: Mapping[str, str] = field(default_factory=dict)
    """By gateway: what its holder told last, as it was written."""

    def holder(self, gateway: str) -> Node | None:
        """The node that has a gateway's address."""
        address = self.addresses.get(gateway)
        if address is None or not address.interface_id:
            return None
        return next((n for n in self.nodes if address.interface_id in n.interfaces), None)

    def group(self, slot: str) -> Group | None:
        """A slot's Auto Scaling group."""
        return next((g for g in self.groups.values() if g.tags.get(names.SLOT_TAG) == slot), None)

    def able(self, slot: str) -> tuple[Node, ...]:
        """The slot's nodes that are in service and well."""
        group = self.group(slot)
        fit = {
            m.id
            for m in (group.members if group else ())
            if m.state == "InService" and m.health.lower() == "healthy"
        }
        return tuple(n for n in self.nodes if n.id in fit and n.state == "running")

    def report(self, gateway: str) -> Report | None:
        """What the present holder of a gateway told of it."""
        holder = self.holder(gateway)
        return read(self.reports.get(gateway), holder.id if holder else None, today())

    def standby(self, gateway: str) -> Node | None:
        """A node that could take the gateway at once: in one of its slots, in service, and not the holder.

        If the holder told lately whom it hears, one of those: AWS shows a dead node in service for a minute.
        """
        holder, address, report = self.holder(gateway), self.addresses.get(gateway), self.report(gateway)
        slots = address.slots if address else ()
        others = [n for slot in slots for n in self.able(slot) if holder is None or n.id != holder.id]
        if report and not report.stale:
            others = [n for n in others if n.id in report.standby]
        # Of several the one in another slot: its fate is not tied to the holder's.
        return min(others, key=lambda n: holder is not None and n.slot == holder.slot, default=None)

    def tables_of(self, gateway: str) -> tuple[RouteTable, ...]:
        """The tables whose default route is to lead to the gateway."""
        return tuple(t for t in self.tables if t.tags.get(names.GATEWAY_TAG) == gateway)

    def astray(self, gateway: str) -> tuple[RouteTable, ...]:
        """Of those the ones that do not lead to its holder."""
        holder = self.holder(gateway)
        return tuple(t for t in self.tables_of(gateway) if not holder or not leads_to(t, holder))


def leads_to(table: RouteTable, node: Node) -> bool:
    """Whether a table's default route leads to a node."""
    return table.default is not None and table.default.id in node.interfaces


def look(api: Api, stack: str, *, reports: bool = False) -> Scene:
    """A few queries side by side. `reports`: with what the holders told."""
    by_stack = [{"Name": f"tag:{names.STACK_TAG}", "Values": [stack]}]
    seen = api.gather(
        addresses=lambda: all_addresses(api),
        nodes=lambda: discover_nodes(api, stack),
        groups=lambda: tagged_groups(api, stack),
        tables=lambda: route_tables(api, by_stack),
        reports=lambda: discover_reports(api, stack) if reports else {},
    )
    own = [a for a in seen["addresses"] if a.tags.get(names.STACK_TAG) == stack]
    tables = seen["tables"].values()
    found = Found(
        stack,
        addresses=tuple(own),
        nodes=tuple(seen["nodes"]),
        groups=seen["groups"],
        route_tables=tuple(tables),
        reports=seen["reports"],
    )
    return scene_of(found)


def scene_of(found: Found) -> Scene:
    """The same from all that was found."""
    addresses: dict[str, Address] = {}
    for address in found.gateway_addresses:
        # Should a gateway have two, by a call whose answer was lost, the one in use counts.
        if address.association_id or address.gateway not in addresses:
            addresses[address.gateway] = address
    tables = (t for t in found.route_tables if t.tags.get(names.STACK_TAG) == found.stack)
    return Scene(
        stack=found.stack,
        addresses=addresses,
        nodes=found.nodes,
        groups={g.name: g for g in found.own_groups},
        tables=tuple(sorted(tables, key=lambda t: t.id)),
        reports=found.reports,
    )


def lacking(scene: Scene, slots: tuple[str, ...], gateways: tuple[str, ...]) -> Iterator[str]:
    """What is missing until every gateway is served and somebody stands by for each."""
    for slot in slots:
        if not scene.able(slot):
            yield f"slot {slot}: {_why_not(scene, slot)}"
    for gateway in gateways:
        holder = scene.holder(gateway)
        address = scene.addresses.get(gateway)
        if holder is None:
            public = f" ({address.public_address})" if address else ""
            yield f"no node has taken gateway {gateway}{public} yet"
        elif holder.id not in {n.id for n in scene.able(holder.slot)}:
            yield f"{holder.id} holds {gateway} and is not in service"
        else:
            for table in scene.astray(gateway):
                yield f"{table.id} does not lead to {holder.id}, which holds {gateway}, yet"
            # Of what AWS shows in service the holder may know better.
            others = [slot for slot in slots if slot != holder.slot and scene.able(slot)]
            if others and not scene.standby(gateway):
                yield f"{holder.id} hears no standby for {gateway} that is ready"


def _why_not(scene: Scene, slot: str) -> str:
    group = scene.group(slot)
    if group is None:
        return "there is no Auto Scaling group"
    if not group.members:
        return "the Auto Scaling group has not launched a node yet"
    told = []
    for member in group.members:
        node = next((n for n in scene.nodes if n.id == member.id), None)
        if node and node.state != "running":
            told.append(f"{member.id} is {node.state}")
        elif member.health.lower() != "healthy":
            told.append(f"{member.id} is unhealthy; the group is about to replace it")
        elif member.state.startswith("Pending"):
            told.append(f"{member.id} is not ready yet (boot, packages, rules, connections, probe)")
        else:
            told.append(f"{member.id} is {member.state}")
    return "; ".join(told)
