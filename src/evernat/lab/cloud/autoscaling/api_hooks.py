"""Lifecycle hooks and their actions."""

from __future__ import annotations

from typing import Any

from evernat.lab.cloud.autoscaling import reconcile
from evernat.lab.cloud.autoscaling.api_groups import find, touch
from evernat.lab.cloud.autoscaling.model import Group, Hook, Member, make_hook
from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.state import Region


@handles("autoscaling", "PutLifecycleHook")
def put(region: Region, params: Params) -> Params:
    """Make a hook, or change the one of that name."""
    group = find(region, params)
    name = params.get("LifecycleHookName", "")
    old = group.hooks.get(name)
    given = dict(params)
    if old:
        given = {
            "LifecycleTransition": old.transition,
            "HeartbeatTimeout": old.heartbeat,
            "DefaultResult": old.default_result,
            "NotificationMetadata": old.metadata,
            **params,
        }
    group.hooks[name] = make_hook(given)
    return {}


@handles("autoscaling", "DeleteLifecycleHook")
def delete(region: Region, params: Params) -> Params:
    """Instances that wait for it go on: with ABANDON while launching, CONTINUE while terminating."""
    group = find(region, params)
    name = params.get("LifecycleHookName", "")
    if group.hooks.pop(name, None) is None:
        raise AwsError("ValidationError", f"No Lifecycle Hook found with name: {name}")
    for member in list(group.members.values()):
        if member.wait and member.wait.hook == name:
            result = "ABANDON" if member.state == "Pending:Wait" else "CONTINUE"
            reconcile.complete(region, group, member, result)
    touch(region)
    return {}


@handles("autoscaling", "DescribeLifecycleHooks")
def describe(region: Region, params: Params) -> Params:
    """The hooks of a group."""
    group = find(region, params)
    names = params.get("LifecycleHookNames")
    return {
        "LifecycleHooks": [_described(group, h) for h in group.hooks.values() if not names or h.name in names]
    }


def _described(group: Group, hook: Hook) -> dict[str, Any]:
    return {
        "LifecycleHookName": hook.name,
        "AutoScalingGroupName": group.name,
        "LifecycleTransition": hook.transition,
        "HeartbeatTimeout": int(hook.heartbeat),
        "GlobalTimeout": int(hook.total),
        "DefaultResult": hook.default_result,
        "NotificationMetadata": hook.metadata or None,
    }


def _waiting(group: Group, params: Params) -> Member:
    """The member whose action is meant: by token or instance id, waiting for this very hook."""
    name = params.get("LifecycleHookName", "")
    if name not in group.hooks:
        raise AwsError("ValidationError", f"No Lifecycle Hook found with name: {name}")
    token, instance_id = params.get("LifecycleActionToken"), params.get("InstanceId")
    for member in group.members.values():
        if (
            member.wait
            and member.wait.hook == name
            and (member.wait.token == token if token else member.instance_id == instance_id)
        ):
            return member
    what = f"token {token}" if token else f"instance ID {instance_id}"
    raise AwsError("ValidationError", f"No active Lifecycle Action found with {what}")


@handles("autoscaling", "CompleteLifecycleAction")
def complete(region: Region, params: Params) -> Params:
    """CONTINUE or ABANDON."""
    group = find(region, params)
    result = params.get("LifecycleActionResult", "")
    if result not in ("CONTINUE", "ABANDON"):
        raise AwsError("ValidationError", "Lifecycle action result must be one of: CONTINUE, ABANDON")
    reconcile.complete(region, group, _waiting(group, params), result)
    touch(region)
    return {}


@handles("autoscaling", "RecordLifecycleActionHeartbeat")
def heartbeat(region: Region, params: Params) -> Params:
    """The wait begins anew, up to the hook's total."""
    group = find(region, params)
    member = _waiting(group, params)
    if member.wait:
        member.wait.deadline = region.clock() + group.hooks[member.wait.hook].heartbeat
        region.timers.add(member.wait.deadline, lambda: None)
    return {}
