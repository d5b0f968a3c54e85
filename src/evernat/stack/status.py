"""What a stack is doing now: one look, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.discover import discover
from evernat.stack.environment import identify
from evernat.stack.errors import StackError
from evernat.stack.found import Found, Group, Interface, RouteTable
from evernat.stack.parts.routes import describe, is_ours
from evernat.stack.wait import readiness


@dataclass(frozen=True)
class GatewayStatus:
    """A gateway. `state` is ready, starting, disabled or down; `why` says what is missing when it is not ready."""

    name: str
    public_address: str | None
    holder: str | None
    state: str
    why: str
    interface: str | None
    private_address: str | None


@dataclass(frozen=True)
class RouteStatus:
    """A route table's default route. `state` is ok, blackhole, missing or foreign."""

    route_table: str
    target: str
    state: str


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


@dataclass(frozen=True)
class GroupStatus:
    """The Auto Scaling group; `last_activity` is its newest scaling activity."""

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

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def status(api: Api, stack: str) -> Status:
    """Look at a stack. Raises StackError when there is none of that name."""
    identify(api)
    found = discover(api, stack)
    if not any(
        (found.interfaces, found.security_groups, found.group, found.template, found.nodes, found.role)
    ):
        remedy = "check the name and the region (--region), or make one with  evernat deploy"
        raise StackError(f"there is no stack {stack} in {api.region}", remedy)
    tables = [t for t in found.route_tables if t.tags.get(names.STACK_TAG) == stack or is_ours(t, found)]
    interface = next(iter(found.interfaces), None)
    group = found.group if found.group and not found.group.status else None
    template = found.template
    newest = template.versions[template.latest] if template else None
    activity = _last_activity(api, group) if group else ""
    return Status(
        stack=stack,
        region=api.region,
        vpc_id=interface.vpc_id if interface else "",
        topology="single",
        gateways=(_gateway(stack, found, group, interface),),
        routes=tuple(_route(table, found) for table in tables),
        group=_group(group, activity) if group else None,
        nodes=_nodes(found, group),
        agent_version=newest.description.removeprefix("evernat ") if newest else "",
        last_change=f"{newest.created}: launch template version {newest.number}" if newest else "",
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


def _route(table: RouteTable, found: Found) -> RouteStatus:
    if table.default is None:
        state = "missing"
    elif not is_ours(table, found):
        state = "foreign"
    else:
        state = "ok" if table.default.state == "active" else "blackhole"
    return RouteStatus(table.id, describe(table.default), state)


def _nodes(found: Found, group: Group | None) -> tuple[NodeStatus, ...]:
    members = {m.id: m for m in group.members} if group else {}
    versions = found.template.versions if found.template else {}
    made = []
    for node in found.nodes:
        member = members.get(node.id)
        version = versions.get(member.version) if member else None
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
            )
        )
    return tuple(made)


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
