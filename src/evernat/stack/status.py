"""What a stack is doing now: one look, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.boots import Boot, failed
from evernat.stack.discover import discover, tagged_groups
from evernat.stack.environment import identify
from evernat.stack.errors import StackError
from evernat.stack.found import Found, Group, RouteTable
from evernat.stack.parts.routes import describe, is_ours
from evernat.stack.readiness import readiness
from evernat.stack.reports import Report
from evernat.stack.serving import Scene, around, scene_of

FINE = ("ready", "disabled")
"""States of a gateway that is as its user wants it."""


@dataclass(frozen=True)
class GatewayStatus:
    """A gateway. `state` and `why`, which says what is missing when it is not ready: see `readiness`.

    Slots are empty in a stack that has none.
    """

    name: str
    public_address: str | None
    holder: str | None
    state: str
    why: str
    interface: str | None
    private_address: str | None
    standby: str | None = None
    holder_slot: str = ""
    standby_slot: str = ""
    home_slot: str = ""
    report: Report | None = None
    """What the holder last reported of it."""


@dataclass(frozen=True)
class RouteStatus:
    """A route table's default route. `state` is ok, blackhole, missing, foreign or astray (not at the holder)."""

    route_table: str
    target: str
    state: str
    gateway: str = ""


@dataclass(frozen=True)
class NodeStatus:
    """A node: what EC2 and the Auto Scaling group say of it."""

    id: str
    type: str
    zone: str
    state: str
    lifecycle: str
    health: str
    spot: bool
    private_address: str
    public_address: str
    agent: str
    launched: str
    slot: str = ""


@dataclass(frozen=True)
class GroupStatus:
    """An Auto Scaling group; `last_activity` is its newest scaling activity."""

    name: str
    desired: int
    members: int
    purchase: str
    last_activity: str


@dataclass(frozen=True)
class Status:
    """A stack at one moment."""

    stack: str
    region: str
    vpc_id: str
    topology: str
    gateways: tuple[GatewayStatus, ...]
    routes: tuple[RouteStatus, ...]
    group: GroupStatus | None
    nodes: tuple[NodeStatus, ...]
    agent_version: str
    last_change: str
    groups: tuple[GroupStatus, ...] = ()
    """All groups; `group` is the one of a stack without slots."""
    boots: tuple[Boot, ...] = ()
    """While a slot has no node in service: its last boot, and what became of it."""

    @property
    def whole(self) -> bool:
        """Whether every gateway is ready, or off as the user wants it."""
        return all(g.state in FINE for g in self.gateways)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def status(api: Api, stack: str) -> Status:
    """Look at a stack. Raises StackError when there is none of that name."""
    identify(api)
    found = discover(api, stack)
    found = replace(found, groups={**found.groups, **tagged_groups(api, stack)})
    there = (
        found.interfaces,
        found.security_groups,
        found.own_groups,
        found.template,
        found.nodes,
        found.role,
    )
    if not any(there):
        remedy = "check the name and the region (--region), or make one with  evernat deploy"
        raise StackError(f"there is no stack {stack} in {api.region}", remedy)
    scene = around(api, scene_of(found))
    tables = [t for t in found.route_tables if t.tags.get(names.STACK_TAG) == stack or is_ours(t, found)]
    groups = [g for g in found.own_groups if not g.status]
    shown = tuple(_group(g, _last_activity(api, g)) for g in groups)
    single = next((g for g in groups if names.SLOT_TAG not in g.tags), None)
    gateways = tuple(_gateway(scene, name) for name in scene.gateways)
    templates = found.own_templates.values()
    newest = max((t.versions[t.latest] for t in templates), key=lambda v: v.created, default=None)
    return Status(
        stack=stack,
        region=api.region,
        vpc_id=next(iter(_vpcs(found)), ""),
        topology=_topology(gateways),
        gateways=gateways,
        routes=tuple(_route(table, found, scene) for table in tables),
        group=next((g for g in shown if single and g.name == single.name), None),
        nodes=_nodes(found),
        agent_version=newest.description.removeprefix("evernat ") if newest else "",
        last_change=f"{newest.created}: launch template version {newest.number}" if newest else "",
        groups=shown,
        boots=failed(api, scene) if not all(g.state in FINE for g in gateways) else (),
    )


def _vpcs(found: Found) -> list[str]:
    return [g.vpc_id for g in found.security_groups] + [i.vpc_id for i in found.interfaces]


def _topology(gateways: tuple[GatewayStatus, ...]) -> str:
    if len(gateways) > 1:
        return "ring"
    return "pair" if gateways[0].standby_slot else "single"


def _gateway(scene: Scene, name: str) -> GatewayStatus:
    holder, standby, found = scene.holder(name), scene.standby(name), readiness(scene, name)
    slots = scene.slots(name) if scene.addresses else ()
    waiting = [slot for slot in slots if not holder or slot != holder.slot]
    public, private = _addresses(scene, name)
    return GatewayStatus(
        name=name,
        public_address=public or None,
        holder=holder.id if holder else None,
        state=found.state,
        why=found.why,
        interface=scene.interface(name) or None,
        private_address=private or None,
        standby=standby.id if standby else None,
        holder_slot=holder.slot if holder else "",
        standby_slot=standby.slot if standby else "".join(waiting[:1]) if len(slots) > 1 else "",
        home_slot=next(iter(slots), ""),
        report=scene.report(name),
    )


def _addresses(scene: Scene, name: str) -> tuple[str, str]:
    """Public and private address of a gateway, empty where there is none."""
    place = scene.addresses.get(name) or next(iter(scene.interfaces), None)
    return (place.public_address, place.private_address) if place else ("", "")


def _route(table: RouteTable, found: Found, scene: Scene) -> RouteStatus:
    gateway = table.tags.get(names.GATEWAY_TAG, "")
    if table.default is None:
        state = "missing"
    elif not is_ours(table, found):
        state = "foreign"
    elif table.default.state != "active":
        state = "blackhole"
    else:
        state = "astray" if gateway and table in scene.astray(gateway) else "ok"
    return RouteStatus(table.id, describe(table.default), state, gateway)


def _nodes(found: Found) -> tuple[NodeStatus, ...]:
    groups = [g for g in found.own_groups if not g.status]
    members = {m.id: (m, found.templates.get(g.name)) for g in groups for m in g.members}
    made = []
    for node in found.nodes:
        member, template = members.get(node.id, (None, None))
        version = template.versions.get(member.version) if template and member else None
        made.append(
            NodeStatus(
                id=node.id,
                type=node.type,
                zone=node.zone,
                state=node.state,
                lifecycle=member.state if member else "not in the group",
                health=member.health if member else "",
                spot=node.spot,
                private_address=node.private_address,
                public_address=node.public_address,
                agent=version.description.removeprefix("evernat ") if version else "",
                launched=node.launched,
                slot=node.slot,
            )
        )
    return tuple(sorted(made, key=lambda n: n.slot))


def _group(group: Group, activity: str) -> GroupStatus:
    distribution = (group.raw.get("MixedInstancesPolicy") or {}).get("InstancesDistribution") or {}
    spot = distribution.get("OnDemandPercentageAboveBaseCapacity", 100) == 0
    desired = int(group.raw.get("DesiredCapacity", 0))
    return GroupStatus(group.name, desired, len(group.members), "spot" if spot else "on-demand", activity)


def _last_activity(api: Api, group: Group) -> str:
    answer = api.call(
        "autoscaling", "describe_scaling_activities", AutoScalingGroupName=group.name, MaxRecords=1
    )
    activities = answer.get("Activities") or []
    if not activities:
        return ""
    newest = activities[0]
    what = newest.get("StatusMessage") or newest.get("Description") or ""
    return f"{newest.get('StartTime', '')} {newest.get('StatusCode', '')}: {what}"
