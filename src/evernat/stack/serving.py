"""Who holds what: the record that AWS has of a stack's gateways, and what nodes reported.

A gateway is an Elastic IP (its association says who holds it, nothing else does) or a persistent interface (its
attachment does). `readiness` says what follows from it for clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.discover import (
    all_addresses,
    discover_interfaces,
    discover_reports,
    route_tables,
    security_groups,
    tagged_groups,
)
from evernat.stack.environment import subnets
from evernat.stack.found import Address, Found, Group, Interface, Nic, Node, RouteTable, SecurityGroup, Subnet
from evernat.stack.instances import discover_nodes
from evernat.stack.reports import Report, read, today


@dataclass(frozen=True)
class Scene:
    """What was observed of a stack at one moment. `around` fills in the last two fields."""

    stack: str
    addresses: Mapping[str, Address]
    """By gateway: the Elastic IPs that are one's identity."""
    nodes: tuple[Node, ...]
    groups: Mapping[str, Group]
    tables: tuple[RouteTable, ...]
    """The stack's, and others of its VPC where these were asked for."""
    reports: Mapping[str, str] = field(default_factory=dict)
    """What nodes reported, as it was written: by gateway its holder's, by `node-SLOT` that of a boot that failed."""
    interfaces: tuple[Interface, ...] = ()
    """The persistent ones, the one in use first."""
    own: Address | None = None
    """The Elastic IP that the stack allocated for its persistent interface."""
    security_groups: Mapping[str, SecurityGroup] = field(default_factory=dict)
    """By id: those of the interfaces that gateways sit on."""
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    """By id: those of the VPC."""

    @property
    def gateways(self) -> tuple[str, ...]:
        """Names of the gateways. The one that is an interface has the stack's name."""
        return tuple(sorted(self.addresses)) or (self.stack,)

    @cached_property
    def own_tables(self) -> tuple[RouteTable, ...]:
        """The tables that carry the stack's tag."""
        return tuple(t for t in self.tables if t.tags.get(names.STACK_TAG) == self.stack)

    def slots(self, gateway: str) -> tuple[str, ...]:
        """The slots that can hold a gateway, home first; the one of a stack without slots has no name."""
        address = self.addresses.get(gateway)
        return address.slots if address else () if self.addresses else ("",)

    def interface(self, gateway: str) -> str:
        """The id of the interface that a gateway sits on; empty when it is on none."""
        if self.addresses:
            address = self.addresses.get(gateway)
            return address.interface_id if address else ""
        return self.interfaces[0].id if self.interfaces else ""

    def holder(self, gateway: str) -> Node | None:
        """The node that has a gateway."""
        place = self.interface(gateway)
        return next((n for n in self.nodes if place and place in n.interfaces), None)

    def nic(self, gateway: str) -> Nic | None:
        """What AWS says of the interface that a gateway sits on."""
        place, holder = self.interface(gateway), self.holder(gateway)
        return holder.nics.get(place) if holder else None

    def group(self, slot: str) -> Group | None:
        """A slot's Auto Scaling group."""
        return next((g for g in self.groups.values() if g.tags.get(names.SLOT_TAG, "") == slot), None)

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
        """What the present holder of a gateway reported of it."""
        holder = self.holder(gateway)
        return read(self.reports.get(gateway), holder.id if holder else None, today())

    def standby(self, gateway: str) -> Node | None:
        """A node that could take the gateway at once: in one of its slots, in service, and not the holder.

        If the holder reported lately whom it hears, one of those: AWS shows a dead node in service for a minute.
        """
        holder, report = self.holder(gateway), self.report(gateway)
        slots = self.slots(gateway) if self.addresses else ()
        others = [n for slot in slots for n in self.able(slot) if holder is None or n.id != holder.id]
        if report and not report.stale:
            others = [n for n in others if n.id in report.standby]
        # Prefer a standby in another slot: it fails independently of the holder.
        return min(others, key=lambda n: holder is not None and n.slot == holder.slot, default=None)

    def tables_of(self, gateway: str) -> tuple[RouteTable, ...]:
        """The tables whose default route is to lead to the gateway."""
        if not self.addresses:
            return self.own_tables
        return tuple(t for t in self.own_tables if t.tags.get(names.GATEWAY_TAG) == gateway)

    def astray(self, gateway: str) -> tuple[RouteTable, ...]:
        """Of those the ones that do not lead to its holder."""
        holder = self.holder(gateway)
        return tuple(t for t in self.tables_of(gateway) if not holder or not leads_to(t, holder))

    def leading(self, gateway: str) -> tuple[RouteTable, ...]:
        """All tables that lead to where a gateway is, whoever made the route."""
        place = self.interface(gateway)
        return tuple(t for t in self.tables if place and t.default and t.default.id == place)

    def clients(self, gateway: str) -> tuple[Subnet, ...]:
        """The subnets whose default route leads to a gateway."""
        ids = {s for table in self.leading(gateway) for s in self._subnets_of(table)}
        return tuple(self.subnets[s] for s in sorted(ids) if s in self.subnets)

    def _subnets_of(self, table: RouteTable) -> tuple[str, ...]:
        if not table.main:
            return table.subnets
        elsewhere = {s for t in self.tables if t.vpc_id == table.vpc_id for s in t.subnets}
        rest = (s.id for s in self.subnets.values() if s.vpc_id == table.vpc_id and s.id not in elsewhere)
        return (*table.subnets, *rest)


def leads_to(table: RouteTable, node: Node) -> bool:
    """Whether a table's default route leads to a node."""
    return table.default is not None and table.default.id in node.interfaces


def look(api: Api, stack: str, *, reports: bool = False) -> Scene:
    """A few queries side by side. `reports`: with what nodes reported."""
    return scene_of(_found(api, stack, reports=reports))


def survey(api: Api, stack: str) -> Scene:
    """All that `readiness` needs, in two rounds of queries side by side."""
    return around(api, scene_of(_found(api, stack, reports=True)))


def around(api: Api, scene: Scene) -> Scene:
    """The scene with the whole VPC's tables and subnets, and with the security groups that gateways are behind."""
    vpcs = {n.vpc_id for n in scene.nodes} | {i.vpc_id for i in scene.interfaces} - {""}
    wanted = sorted({g for name in scene.gateways if (nic := scene.nic(name)) for g in nic.groups})
    seen = api.gather(
        tables=lambda: {i: t for vpc in vpcs for i, t in route_tables(api, _in(vpc)).items()},
        subnets=lambda: {i: s for vpc in vpcs for i, s in subnets(api, vpc).items()},
        groups=lambda: security_groups(api, [{"Name": "group-id", "Values": wanted}]) if wanted else [],
    )
    tables = {t.id: t for t in scene.tables} | seen["tables"]
    return replace(
        scene,
        tables=tuple(tables[i] for i in sorted(tables)),
        subnets=seen["subnets"],
        security_groups={g.id: g for g in seen["groups"]},
    )


def _in(vpc: str) -> list[dict[str, object]]:
    return [{"Name": "vpc-id", "Values": [vpc]}]


def _found(api: Api, stack: str, *, reports: bool) -> Found:
    seen = api.gather(
        addresses=lambda: all_addresses(api),
        nodes=lambda: discover_nodes(api, stack),
        groups=lambda: tagged_groups(api, stack),
        interfaces=lambda: discover_interfaces(api, stack),
        tables=lambda: route_tables(api, names.by_tag(stack)),
        reports=lambda: discover_reports(api, stack) if reports else {},
    )
    own = [a for a in seen["addresses"] if a.tags.get(names.STACK_TAG) == stack]
    return Found(
        stack,
        addresses=tuple(own),
        nodes=tuple(seen["nodes"]),
        groups=seen["groups"],
        interfaces=tuple(seen["interfaces"]),
        route_tables=tuple(seen["tables"].values()),
        reports=seen["reports"],
    )


def scene_of(found: Found) -> Scene:
    """The same from all that was found."""
    addresses: dict[str, Address] = {}
    for address in found.gateway_addresses:
        # Should a gateway have two, by a call whose answer was lost, the one in use counts.
        if address.association_id or address.gateway not in addresses:
            addresses[address.gateway] = address
    plain = [a for a in found.addresses if not a.gateway and a.tags.get(names.PART_TAG) == "address"]
    in_use_first = sorted(found.interfaces, key=lambda i: (not i.instance_id, not i.association_id, i.id))
    return Scene(
        stack=found.stack,
        addresses=addresses,
        nodes=found.nodes,
        groups={g.name: g for g in found.own_groups},
        tables=tuple(sorted(found.route_tables, key=lambda t: t.id)),
        reports=found.reports,
        interfaces=tuple(in_use_first),
        own=min(plain, key=lambda a: (not a.association_id, a.id), default=None),
    )
