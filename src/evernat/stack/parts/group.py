"""The Auto Scaling group of one: it launches the node, and launches another when that one dies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evernat.stack import names
from evernat.stack.context import LATER, Context, tag_changes
from evernat.stack.found import Found, Group, Member, Node
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


def settings(context: Context) -> dict[str, Any]:
    """The group as AWS takes it, with references."""
    gateway = context.gateway
    size = 1 if gateway.enabled else 0
    return {
        "MinSize": size,
        "MaxSize": 1,
        "DesiredCapacity": size,
        "VPCZoneIdentifier": gateway.public_subnet,
        "HealthCheckType": "EC2",
        "HealthCheckGracePeriod": 0,
        "MixedInstancesPolicy": {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {
                    "LaunchTemplateId": Ref("launch-template"),
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
    }


def steps(context: Context) -> list[Step]:
    """Create the group with its hook, bring it in line, and replace nodes that are not what a new one would be."""
    group = context.found.group
    if group is None or group.status:
        return [
            Step(
                "create",
                "group",
                context.name,
                (_create(context),),
                (),
                "the old one is being deleted" if group else "",
            )
        ]
    return _changed(context, group) + _hook(context, group) + _rolled(context, group)


def outdated(context: Context) -> dict[str, str]:
    """Members that a launch today would make differently, with the reason."""
    group = context.found.group
    if group is None or group.status or not context.gateway.enabled:
        return {}
    reasons = {member.id: _why_outdated(context, member) for member in group.members}
    return {identifier: reason for identifier, reason in reasons.items() if reason}


def removal(found: Found) -> list[Step]:
    """Delete the group with its instances, and instances that left it; wait until all have ended."""
    group = found.group if found.group and found.group.tags.get(names.STACK_TAG) == found.stack else None
    inside = {m.id for m in group.members} if group else set()
    strays = [node.id for node in found.nodes if node.id not in inside and node.state != "shutting-down"]
    if group is None and not found.nodes:
        return []
    actions: list[Call | Wait] = []
    if group and not group.status:
        params = {"AutoScalingGroupName": group.name, "ForceDelete": True}
        actions.append(Call("autoscaling", "delete_auto_scaling_group", params, patient=BUSY[:2]))
    if strays:
        actions.append(
            Call("ec2", "terminate_instances", {"InstanceIds": strays}, done=("InvalidInstanceID.NotFound",))
        )
    actions.append(Wait("group-gone", found.stack))
    nodes = tuple(Change("node", f"{n.id} ({n.type})", "") for n in found.nodes)
    title = group.name if group else "nodes that are in no group"
    return [Step("delete", "group", title, tuple(actions), nodes)]


def _create(context: Context) -> Call:
    params = {
        "AutoScalingGroupName": context.name,
        **settings(context),
        # Part of the creation, so that the very first instance is held back too.
        "LifecycleHookSpecificationList": [{"LifecycleHookName": names.HOOK, **HOOK_SETTINGS}],
        "Tags": _tags(context),
    }
    return Call("autoscaling", "create_auto_scaling_group", params, patient=(*BUSY, "AlreadyExists"))


def _tags(context: Context) -> list[dict[str, Any]]:
    place = {
        "ResourceId": context.name,
        "ResourceType": "auto-scaling-group",
        "PropagateAtLaunch": GROUP_TAGS_ON_NODES,
    }
    return [{**tag, **place} for tag in names.tag_list(context.tags("group"))]


def _changed(context: Context, group: Group) -> list[Step]:
    changes = list(_differences(group.raw, settings(context), context))
    calls: list[Call] = []
    if changes:
        params = {"AutoScalingGroupName": context.name, **settings(context)}
        calls.append(Call("autoscaling", "update_auto_scaling_group", params, patient=BUSY))
    suspended = sorted(p["ProcessName"] for p in group.raw.get("SuspendedProcesses") or [])
    if suspended:
        # A group that may not launch or terminate does not heal.
        changes += [Change(f"process {name}", "suspended", "running") for name in suspended]
        params = {"AutoScalingGroupName": context.name, "ScalingProcesses": suspended}
        calls.append(Call("autoscaling", "resume_processes", params))
    tags = tag_changes(group.tags, context.tags("group"))
    if tags:
        calls.append(Call("autoscaling", "create_or_update_tags", {"Tags": _tags(context)}))
    return [Step("change", "group", context.name, tuple(calls), (*changes, *tags))] if calls else []


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


def _hook(context: Context, group: Group) -> list[Step]:
    have = group.hooks.get(names.HOOK)
    changes = tuple(
        Change(key, str(have.get(key)) if have else "", str(value))
        for key, value in HOOK_SETTINGS.items()
        if have is None or have.get(key) != value
    )
    if not changes:
        return []
    params = {"AutoScalingGroupName": context.name, "LifecycleHookName": names.HOOK, **HOOK_SETTINGS}
    call = Call("autoscaling", "put_lifecycle_hook", params)
    return [Step("change" if have else "create", "launch-hook", names.HOOK, (call,), changes)]


def _rolled(context: Context, group: Group) -> list[Step]:
    reasons = outdated(context)
    return [
        Step("replace", "node", member.id, (_terminate(member),), (), reasons[member.id])
        for member in group.members
        if member.id in reasons
    ]


def _terminate(member: Member) -> Call:
    # The interface can be on one node only, so the new node cannot be ready before the old one ends: nothing is gained
    # by launching first, as an instance refresh would.
    params = {"InstanceId": member.id, "ShouldDecrementDesiredCapacity": False}
    # ValidationError is how the group says that it does not know the instance: it ended already.
    return Call("autoscaling", "terminate_instance_in_auto_scaling_group", params, done=("ValidationError",))


def _why_outdated(context: Context, member: Member) -> str:
    if member.state.startswith("Terminat"):
        return ""
    gateway = context.gateway
    if member.type and member.type not in gateway.instance_types:
        return f"its type {member.type} is no longer among instance_types"
    node = next((n for n in context.found.nodes if n.id == member.id), None)
    if node and node.spot != gateway.use_spot_instance:
        return "it runs on spot" if node.spot else "it does not run on spot"
    if node and context.interface is None:
        return "the gateway gets another interface"
    known = context.found.template.versions if context.found.template else {}
    version = member.version or _version_of(node)
    if version not in known:
        return "the launch template version it was made from is gone" if version else ""
    changed = [c.field for c in template.changes(context, known[version], tags=False)]
    return f"launch template: {', '.join(changed)}" if changed else ""


def _version_of(node: Node | None) -> int:
    """The template version by the tag that EC2 puts on what it launches from one; 0 when it does not say."""
    version = node.tags.get("aws:ec2launchtemplate:version", "") if node else ""
    return int(version) if version.isdecimal() else 0
