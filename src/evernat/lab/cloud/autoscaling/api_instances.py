"""Members of groups: describe, health, protection, termination, detaching; and the activity log."""

from __future__ import annotations

from typing import Any

from evernat.lab.cloud.autoscaling import reconcile
from evernat.lab.cloud.autoscaling.api_groups import described_member, find, touch
from evernat.lab.cloud.autoscaling.model import Activity, Group, Member
from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.state import Region


def _member(region: Region, instance_id: str) -> tuple[Group, Member]:
    for group in region.groups.values():
        if instance_id in group.members:
            return group, group.members[instance_id]
    raise AwsError(
        "ValidationError", f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
    )


@handles("autoscaling", "DescribeAutoScalingInstances")
def describe(region: Region, params: Params) -> Params:
    """Members of all groups."""
    wanted = params.get("InstanceIds")
    shown = []
    for group in region.groups.values():
        for member in group.members.values():
            if not wanted or member.instance_id in wanted:
                item = described_member(member) | {"AutoScalingGroupName": group.name}
                shown.append(item | {"HealthStatus": item["HealthStatus"].upper()})
    return {"AutoScalingInstances": shown}


@handles("autoscaling", "SetInstanceHealth")
def set_health(region: Region, params: Params) -> Params:
    """Unhealthy members are replaced; within the grace period only if ShouldRespectGracePeriod is false.

    One that is already terminating is refused (user guide, "Health checks for instances").
    """
    group, member = _member(region, params.get("InstanceId", ""))
    status = params.get("HealthStatus", "")
    if status not in ("Healthy", "Unhealthy"):
        raise AwsError("ValidationError", "HealthStatus must be Healthy or Unhealthy")
    if member.leaving:
        raise AwsError("ValidationError", f"The instance {member.instance_id} is already terminating.")
    started = member.in_service_since if member.in_service_since is not None else region.clock()
    young = region.clock() - started < group.grace
    if not (young and params.get("ShouldRespectGracePeriod", True)):
        member.healthy = status == "Healthy"
        member.sentenced = not member.healthy
    return {}


@handles("autoscaling", "SetInstanceProtection")
def set_protection(region: Region, params: Params) -> Params:
    """Protection from scale-in; unhealthy members are replaced all the same."""
    group = find(region, params)
    for instance_id in params.get("InstanceIds") or []:
        if instance_id not in group.members:
            raise AwsError("ValidationError", f"The instance {instance_id} is not part of {group.name}.")
        group.members[instance_id].protected = bool(params.get("ProtectedFromScaleIn"))
    return {}


@handles("autoscaling", "TerminateInstanceInAutoScalingGroup")
def terminate(region: Region, params: Params) -> Params:
    """End a member; the gap is filled unless the desired capacity is decremented too."""
    group, member = _member(region, params.get("InstanceId", ""))
    if params.get("ShouldDecrementDesiredCapacity"):
        if group.desired <= group.minimum:
            raise AwsError(
                "ValidationError",
                f"Currently, desiredSize equals minSize ({group.minimum}). Terminating instance without replacement "
                "will violate group's min size constraint.",
            )
        group.desired -= 1
    reconcile.terminate(region, group, member, "a user request took the instance out of service.")
    touch(region)
    return {"Activity": _activity(group, member.activity) if member.activity else None}


@handles("autoscaling", "DetachInstances")
def detach(region: Region, params: Params) -> Params:
    """The instance lives on outside the group."""
    group = find(region, params)
    activities = []
    for instance_id in params.get("InstanceIds") or []:
        if instance_id not in group.members:
            raise AwsError("ValidationError", f"The instance {instance_id} is not part of {group.name}.")
        member = group.members.pop(instance_id)
        region.machines[member.instance_id].owner = ""
        activity = group.log(
            f"Detaching EC2 instance: {instance_id}", "a user request detached the instance."
        )
        activity.finish("Successful")
        activities.append(_activity(group, activity))
        if params.get("ShouldDecrementDesiredCapacity"):
            group.desired = max(group.minimum, group.desired - 1)
    touch(region)
    return {"Activities": activities}


@handles("autoscaling", "DescribeScalingActivities")
def describe_activities(region: Region, params: Params) -> Params:
    """The log, newest first."""
    name = params.get("AutoScalingGroupName")
    groups = [find(region, params)] if name else list(region.groups.values())
    shown = [_activity(g, a) for g in groups for a in g.activities]
    return {"Activities": shown[: int(params.get("MaxRecords") or 100)]}


def _activity(group: Group, activity: Activity) -> dict[str, Any]:
    return {
        "ActivityId": activity.id,
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": activity.start,
        "EndTime": activity.end,
        "StatusCode": activity.status,
        "StatusMessage": activity.message or None,
        "Progress": 100 if activity.end else 50,
        "Details": activity.details,
    }


@handles("autoscaling", "DescribeAccountLimits")
def describe_limits(region: Region, _params: Params) -> Params:
    """Quotas (EC2 Auto Scaling quotas)."""
    return {
        "MaxNumberOfAutoScalingGroups": 500,
        "MaxNumberOfLaunchConfigurations": 200,
        "NumberOfAutoScalingGroups": len(region.groups),
        "NumberOfLaunchConfigurations": 0,
    }
