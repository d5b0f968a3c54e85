"""The Auto Scaling group of one (of each slot): it launches the node, and launches another when that one dies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evernat.stack import names
from evernat.stack.context import LATER, Context, ref_of, tag_changes
from evernat.stack.found import Found, Group, Member, Node
from evernat.stack.layout import Slot
from evernat.stack.parts import template
from evernat.stack.steps import Call, Change, Step, Wait
from evernat.stack.values import Ref

HOOK_SETTINGS: dict[str, Any] = {
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
    "HeartbeatTimeout": 300,
    "DefaultResult": "ABANDON",
}
"""A node has five minutes to prove that NAT works; then the group throws it away and tries another."""

GROUP_TAGS_ON_NODES = False
"""Instances, their interfaces and volumes get their tags from the launch template, which names the part they play."""

BUSY = ("ScalingActivityInProgress", "ResourceInUse", "Invalid IAM Instance Profile", "is pending delete")
"""A new instance profile is not known everywhere at once; a group of that name may still be on its way out."""


SLOT_SETTINGS: dict[str, Any] = {
    # Room for the new one beside the old one, which capacity rebalancing asks for.
    "MaxSize": 2,
    "CapacityRebalance": True,
    "InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200},
}
"""Where no interface has to be handed on, a node is ended only after the one that replaces it is in service."""


def settings(context: Context, slot: Slot | None = None) -> dict[str, Any]:
    """The group as AWS takes it, with references."""
    gateway = context.gateway
    size = 1 if gateway.enabled else 0
    return {
        "MinSize": size,
        "MaxSize": 1,
        "DesiredCapacity": size,
        "VPCZoneIdentifier": slot.subnet if slot else gateway.public_subnet,
        "HealthCheckType": "EC2",
        "HealthCheckGracePeriod": 0,
        "MixedInstancesPolicy": {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {
                    "LaunchTemplateId": Ref(ref_of("launch-template", slot)),
                    "Version": "$Latest",
                },
                "Overrides": [{"InstanceType": name} for name in gateway.instance_types],
            },
            "InstancesDistribution": {
                "OnDemandBaseCapacity": 0,
                "OnDemandPercentageAboveBaseCapacity": 0 if gateway.use_spot_instance else 100,
                "SpotAllocationStrategy": "price-capacity-optimized",
            },
        },
        **(SLOT_SETTINGS if slot else {}),
    }


def steps(context: Context, slot: Slot | None = None) -> list[Step]:
    """Create the group with its hook, bring it in line, and replace nodes that are not what a new one would be.

    Nodes in slots are replaced by `rolling`, when all groups are as they must be.
    """
    name = context.name_in(slot)
    group = context.found.groups.get(name)
    if group is None or group.status:
        because = "the old one is being deleted" if group else ""
        return [Step("create", "group", name, (_create(context, slot),), (), because)]
    corrected = _changed(context, group, slot) + _hook(group)
    return corrected if slot else corrected + _rolled(context, group)


def outdated(context: Context, slot: Slot | None = None) -> dict[str, str]:
    """Members that a launch today would make differently, with the reason."""
    group = context.found.groups.get(context.name_in(slot))
    if group is None or group.status or not context.gateway.enabled:
        return {}
    reasons = {member.id: _why_outdated(context, member, slot) for member in group.members}
    return {identifier: reason for identifier, reason in reasons.items() if reason}


def removal(found: Found) -> list[Step]:
    """Delete the groups with their instances, and instances that left them; wait until all have ended."""
    return _removed(found, found.own_groups, found.nodes)


def _removed(found: Found, groups: tuple[Group, ...], nodes: tuple[Node, ...]) -> list[Step]:
    inside = {m.id for group in groups for m in group.members}
    strays = [node.id for node in nodes if node.id not in inside and node.state != "shutting-down"]
    if not groups and not nodes:
        return []
    # All groups go first and are waited for together: their nodes end side by side.
    steps = [_deleted(group) for group in groups[:-1]]
    actions: list[Call | Wait] = [] if not groups or groups[-1].status else [deleted(groups[-1])]
    if strays:
        actions.append(
            Call("ec2", "terminate_instances", {"InstanceIds": strays}, done=("InvalidInstanceID.NotFound",))
        )
    actions.append(Wait("group-gone", found.stack))
    ending = tuple(Change("node", f"{n.id} ({n.type})", "") for n in nodes)
    title = groups[-1].name if groups else "nodes that are in no group"
    return [*steps, Step("delete", "group", title, tuple(actions), ending)]


def _deleted(group: Group) -> Step:
    return Step("delete", "group", group.name, () if group.status else (deleted(group),))


def deleted(group: Group) -> Call:
    """Delete a group with its instances."""
    params = {"AutoScalingGroupName": group.name, "ForceDelete": True}
    return Call("autoscaling", "delete_auto_scaling_group", params, patient=BUSY[:2])


def _create(context: Context, slot: Slot | None) -> Call:
    params = {
        "AutoScalingGroupName": context.name_in(slot),
        **settings(context, slot),
        # Part of the creation, so that the very first instance is held back too.
        "LifecycleHookSpecificationList": [{"LifecycleHookName": names.HOOK, **HOOK_SETTINGS}],
        "Tags": _tags(context, slot),
    }
    return Call("autoscaling", "create_auto_scaling_group", params, patient=(*BUSY, "AlreadyExists"))


def _tags(context: Context, slot: Slot | None) -> list[dict[str, Any]]:
    place = {
        "ResourceId": context.name_in(slot),
        "ResourceType": "auto-scaling-group",
        "PropagateAtLaunch": GROUP_TAGS_ON_NODES,
    }
    return [{**tag, **place} for tag in names.tag_list(context.node_tags("group", slot))]


def _changed(context: Context, group: Group, slot: Slot | None) -> list[Step]:
    wanted = settings(context, slot)
    changes = list(_differences(group.raw, wanted, context))
    calls: list[Call] = []
    if changes:
        params = {"AutoScalingGroupName": group.name, **wanted}
        calls.append(Call("autoscaling", "update_auto_scaling_group", params, patient=BUSY))
    suspended = sorted(p["ProcessName"] for p in group.raw.get("SuspendedProcesses") or [])
    if suspended:
        # A group that may not launch or terminate does not heal.
        changes += [Change(f"process {name}", "suspended", "running") for name in suspended]
        params = {"AutoScalingGroupName": group.name, "ScalingProcesses": suspended}
        calls.append(Call("autoscaling", "resume_processes", params))
    tags = tag_changes(group.tags, context.node_tags("group", slot))
    if tags:
        calls.append(Call("autoscaling", "create_or_update_tags", {"Tags": _tags(context, slot)}))
    return [Step("change", "group", group.name, tuple(calls), (*changes, *tags))] if calls else []


def _differences(
    have: Mapping[str, Any], want: Mapping[str, Any], context: Context, path: str = ""
) -> list[Change]:
    """Leaves that differ; what AWS adds is left alone."""
    found: list[Change] = []
    for key, value in want.items():
        name, old = f"{path}{key}", have.get(key)
        if isinstance(value, Mapping):
            found += _differences(old if isinstance(old, Mapping) else {}, value, context, f"{name}.")
            continue
        if key == "Overrides":
            old = ", ".join(str(o.get("InstanceType")) for o in old or [])
            value = ", ".join(o["InstanceType"] for o in value)
        new = context.resolved(value)
        if old != new:
            found.append(Change(name, str(old), LATER if new is None else str(new)))
    return found


def _hook(group: Group) -> list[Step]:
    have = group.hooks.get(names.HOOK)
    changes = tuple(
        Change(key, str(have.get(key)) if have else "", str(value))
        for key, value in HOOK_SETTINGS.items()
        if have is None or have.get(key) != value
    )
    if not changes:
        return []
    params = {"AutoScalingGroupName": group.name, "LifecycleHookName": names.HOOK, **HOOK_SETTINGS}
    call = Call("autoscaling", "put_lifecycle_hook", params)
    return [Step("change" if have else "create", "launch-hook", names.HOOK, (call,), changes)]


def _rolled(context: Context, group: Group) -> list[Step]:
    reasons = outdated(context)
    return [
        Step("replace", "node", member.id, (ended(member),), (), reasons[member.id])
        for member in group.members
        if member.id in reasons
    ]


def ended(member: Member) -> Call:
    """End a member; the group launches another.

    A persistent interface can be on one node only, so there the new node cannot be ready before the old one ends, and
    nothing is gained by launching first, as an instance refresh would.
    """
    params = {"InstanceId": member.id, "ShouldDecrementDesiredCapacity": False}
    # ValidationError is how the group says that it does not know the instance: it ended already.
    return Call("autoscaling", "terminate_instance_in_auto_scaling_group", params, done=("ValidationError",))


def _why_outdated(context: Context, member: Member, slot: Slot | None) -> str:
    if member.state.startswith("Terminat"):
        return ""
    gateway = context.gateway
    if member.type and member.type not in gateway.instance_types:
        return f"its type {member.type} is no longer among instance_types"
    node = next((n for n in context.found.nodes if n.id == member.id), None)
    if slot and node and node.subnet != slot.subnet:
        return f"it lives in {node.subnet}"
    if node and node.spot != gateway.use_spot_instance:
        return "it runs on spot" if node.spot else "it does not run on spot"
    if node and not slot and context.interface is None:
        return "the gateway gets another interface"
    launched = context.found.templates.get(context.name_in(slot))
    known = launched.versions if launched else {}
    version = member.version or _version_of(node)
    if version not in known:
        return "the launch template version it was made from is gone" if version else ""
    changed = [c.field for c in template.changes(context, known[version], slot, tags=False)]
    return f"launch template: {', '.join(changed)}" if changed else ""


def _version_of(node: Node | None) -> int:
    """The template version by the tag that EC2 puts on what it launches from one; 0 when it does not say."""
    version = node.tags.get("aws:ec2launchtemplate:version", "") if node else ""
    return int(version) if version.isdecimal() else 0
