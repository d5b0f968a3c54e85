"""Instance refreshes: start, cancel, describe."""

from __future__ import annotations

import uuid
from typing import Any

from evernat.lab.cloud.autoscaling import refresh
from evernat.lab.cloud.autoscaling.api_groups import find, touch, update
from evernat.lab.cloud.autoscaling.launch import template_of
from evernat.lab.cloud.autoscaling.model import Group, Refresh
from evernat.lab.cloud.ec2_templates import find as find_template
from evernat.lab.cloud.ec2_templates import resolve
from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.resources import utc_now
from evernat.lab.cloud.state import Region


@handles("autoscaling", "StartInstanceRefresh")
def start(region: Region, params: Params) -> Params:
    """One at a time per group. SkipMatching leaves instances that have the wanted template already."""
    group = find(region, params)
    if refresh.active(group):
        raise AwsError(
            "InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the request."
        )
    desired = params.get("DesiredConfiguration")
    if desired:
        update(region, {"AutoScalingGroupName": group.name, **desired})
    preferences = params.get("Preferences") or {}
    todo = [m.instance_id for m in group.staying()]
    if preferences.get("SkipMatching"):
        spec = template_of(group)
        template = find_template(region, spec)
        version = str(resolve(template, spec.get("Version")).number)
        todo = [i for i in todo if group.members[i].template[::2] != (template.id, version)]
    made = Refresh(
        id=str(uuid.uuid4()),
        start=utc_now(),
        preferences=preferences,
        todo=todo,
        total=len(todo),
        since=region.clock(),
        desired_configuration=desired,
    )
    group.refreshes.insert(0, made)
    touch(region)
    return {"InstanceRefreshId": made.id}


@handles("autoscaling", "CancelInstanceRefresh")
def cancel(region: Region, params: Params) -> Params:
    """What was replaced stays replaced."""
    group = find(region, params)
    current = refresh.active(group)
    if current is None:
        raise AwsError("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found.")
    current.status = "Cancelling"
    touch(region)
    return {"InstanceRefreshId": current.id}


@handles("autoscaling", "DescribeInstanceRefreshes")
def describe(region: Region, params: Params) -> Params:
    """Newest first."""
    group = find(region, params)
    wanted = params.get("InstanceRefreshIds")
    return {
        "InstanceRefreshes": [_described(group, r) for r in group.refreshes if not wanted or r.id in wanted]
    }


def _described(group: Group, current: Refresh) -> dict[str, Any]:
    return {
        "InstanceRefreshId": current.id,
        "AutoScalingGroupName": group.name,
        "Status": current.status,
        "StatusReason": current.reason or None,
        "StartTime": current.start,
        "EndTime": current.end,
        "PercentageComplete": refresh.percentage(current),
        "InstancesToUpdate": len(current.todo),
        "Preferences": current.preferences or None,
        "DesiredConfiguration": current.desired_configuration,
        "Strategy": "Rolling",
    }
