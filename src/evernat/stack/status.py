"""What a stack is doing now: one look, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.discover import discover, tagged_groups
from evernat.stack.environment import identify
from evernat.stack.errors import StackError
from evernat.stack.found import Found, Group, Interface, RouteTable
from evernat.stack.parts.routes import describe, is_ours
from evernat.stack.reports import Report
from evernat.stack.serving import Scene, lacking, scene_of
from evernat.stack.wait import readiness


@dataclass(frozen=True)
class GatewayStatus:
    """A gateway. `state` is ready, alone (served, but nobody could take it), starting, disabled or down.

    `why` says what is missing when it is not ready. Slots are empty in a stack that has none.
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
    """What the holder last told of it, where gateways are addresses."""


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
    tables = [t for t in found.route_tables if t.tags.get(names.STACK_TAG) == stack or is_ours(t, found)]
    scene = scene_of(found)
    groups = [g for g in found.own_groups if not g.status]
    shown = tuple(_group(g, _last_activity(api, g)) for g in groups)
    interface = next(iter(found.interfaces), None)
    single = next((g for g in groups if names.SLOT_TAG not in g.tags), None)
    gateways = _gateways(scene, groups) or (_gateway(stack, found, single, interface),)
    templates = found.own_templates.values()
    newest = max((t.versions[t.latest] for t in templates), key=lambda v: v.created, default=None)
    return Status(
        stack=stack,
        region=api.region,
        vpc_id=next((g.vpc_id for g in found.security_groups), interface.vpc_id if interface else ""),
        topology=_topology(gateways),
        gateways=gateways,
        routes=tuple(_route(table, found, scene) for table in tables),
        group=next((g for g in shown if single and g.name == single.name), None),
        nodes=_nodes(found),
        agent_version=newest.description.removeprefix("evernat ") if newest else "",
        last_change=f"{newest.created}: launch template version {newest.number}" if newest else "",
        groups=shown,
    )


def _topology(gateways: tuple[GatewayStatus, ...]) -> str:
    if len(gateways) > 1:
        return "ring"
    return "pair" if gateways[0].standby_slot else "single"


def _gateways(scene: Scene, groups: list[Group]) -> tuple[GatewayStatus, ...]:
    """The gateways that are addresses."""
    disabled = bool(groups) and not any(int(g.raw.get("DesiredCapacity", 0)) for g in groups)
    return tuple(_by_address(scene, name, disabled) for name in sorted(scene.addresses))


def _by_address(scene: Scene, name: str, disabled: bool) -> GatewayStatus:
    address, holder, standby = scene.addresses[name], scene.holder(name), scene.standby(name)
    missing = list(lacking(scene, address.slots, (name,)))
    served = not list(lacking(scene, (), (name,)))
    members = any(g.members for slot in address.slots if (g := scene.group(slot)))
    if not missing:
        state = "ready"
    elif served:
        state = "alone"
    else:
        state = "disabled" if disabled else "starting" if members else "down"
    waiting = [slot for slot in address.slots if not holder or slot != holder.slot]
    return GatewayStatus(
        name=name,
        public_address=address.public_address,
        holder=holder.id if holder else None,
        state=state,
        why="enabled = false" if state == "disabled" else "; ".join(missing),
        interface=address.interface_id or None,
        private_address=address.private_address or None,
        standby=standby.id if standby else None,
        holder_slot=holder.slot if holder else "",
        standby_slot=standby.slot if standby else "".join(waiting[:1]) if len(address.slots) > 1 else "",
        home_slot=next(iter(address.slots), ""),
        report=scene.report(name),
    )


def _gateway(stack: str, found: Found, group: Group | None, interface: Interface | None) -> GatewayStatus:
    condition = readiness(group, found.interfaces, found.nodes)
    desired = int(group.raw.get("DesiredCapacity", 0)) if group else 0
    if condition.holds:
        state = "ready"
    elif group and not desired:
        state = "disabled"
    else:
        state = "starting" if group and group.members else "down"
    return GatewayStatus(
        name=stack,
        public_address=(interface.public_address or None) if interface else None,
        holder=(interface.instance_id or None) if interface else None,
        state=state,
        why="enabled = false" if state == "disabled" else condition.missing,
        interface=interface.id if interface else None,
        private_address=interface.private_address if interface else None,
    )


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
