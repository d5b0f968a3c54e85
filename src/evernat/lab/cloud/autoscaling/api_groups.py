"""The calls that make, change, delete and describe groups, and their tags."""

from __future__ import annotations

from typing import Any

from evernat.lab.cloud import ec2_run, ec2_templates
from evernat.lab.cloud.autoscaling import launch, reconcile
from evernat.lab.cloud.autoscaling.model import PROCESSES, Group, GroupTag, Member, make_hook, new_arn
from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.resources import utc_now
from evernat.lab.cloud.state import Region


def find(region: Region, params: Params) -> Group:
    """The group named, or AWS's refusal."""
    name = params.get("AutoScalingGroupName", "")
    group = region.groups.get(name)
    if group is None:
        raise AwsError(
            "ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup: {name} not found"
        )
    return group


def touch(region: Region) -> None:
    """Act on a change at once, as AWS does within a second or two."""
    reconcile.advance(region)


@handles("autoscaling", "CreateAutoScalingGroup")
def create(region: Region, params: Params) -> Params:
    """A group; its instances follow."""
    name = params.get("AutoScalingGroupName", "")
    if name in region.groups:
        raise AwsError(
            "AlreadyExists",
            f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
        )
    group = Group(
        name=name,
        arn=new_arn(region.name, region.account, name),
        minimum=int(params.get("MinSize", 0)),
        maximum=int(params.get("MaxSize", 0)),
        desired=int(params.get("DesiredCapacity") or params.get("MinSize") or 0),
        subnets=[],
        created=utc_now(),
    )
    _apply(region, group, params)
    for spec in params.get("LifecycleHookSpecificationList") or []:
        hook = make_hook(spec)
        group.hooks[hook.name] = hook
    _set_tags(group, params.get("Tags") or [])
    region.groups[name] = group
    group.cause = (
        f"a user request created an AutoScalingGroup changing the desired capacity from 0 to {group.desired}."
    )
    touch(region)
    return {}


@handles("autoscaling", "UpdateAutoScalingGroup")
def update(region: Region, params: Params) -> Params:
    """Change what is given, leave the rest."""
    group = find(region, params)
    before = group.desired
    trial = Group(
        group.name, group.arn, group.minimum, group.maximum, group.desired, group.subnets, group.created
    )
    trial.template, trial.mixed = group.template, group.mixed
    _apply(region, trial, params)
    _apply(region, group, params)
    if group.desired != before:
        group.cause = f"a user request updated the group, changing desired from {before} to {group.desired}."
    group.retry_at = 0.0
    touch(region)
    return {}


def _apply(region: Region, group: Group, params: Params) -> None:
    """Take over the parameters and check the whole. Raises AwsError; `group` is then not to be used."""
    group.minimum = int(params.get("MinSize", group.minimum))
    group.maximum = int(params.get("MaxSize", group.maximum))
    wanted = int(params.get("DesiredCapacity", group.desired))
    if "DesiredCapacity" not in params:
        wanted = min(max(wanted, group.minimum), group.maximum)
    group.desired = wanted
    if not 0 <= group.minimum <= group.maximum:
        raise AwsError("ValidationError", "Max bound must be greater than or equal to min bound")
    if not group.minimum <= group.desired <= group.maximum:
        raise AwsError(
            "ValidationError",
            f"Desired capacity:{group.desired} must be between the specified min size:{group.minimum} and max "
            f"size:{group.maximum}",
        )
    if "VPCZoneIdentifier" in params:
        group.subnets = [s.strip() for s in params["VPCZoneIdentifier"].split(",") if s.strip()]
    for subnet_id in group.subnets:
        try:
            region.subnet(subnet_id)
        except AwsError as problem:
            raise AwsError("ValidationError", problem.message) from None
    if not group.subnets:
        raise AwsError("ValidationError", "At least one Availability Zone or VPC Subnet is required.")
    if params.get("LaunchTemplate"):
        group.template, group.mixed = dict(params["LaunchTemplate"]), None
    if params.get("MixedInstancesPolicy"):
        group.template, group.mixed = None, dict(params["MixedInstancesPolicy"])
    if not launch.template_of(group):
        raise AwsError(
            "ValidationError",
            "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
            "MixedInstancesPolicy parameter.",
        )
    _check_template(region, group)
    _settings(group, params)


def _settings(group: Group, params: Params) -> None:
    group.cooldown = int(params.get("DefaultCooldown", group.cooldown))
    group.grace = float(params.get("HealthCheckGracePeriod", group.grace))
    group.health_check_type = params.get("HealthCheckType", group.health_check_type)
    group.policies = params.get("TerminationPolicies") or group.policies
    group.protect_new = bool(params.get("NewInstancesProtectedFromScaleIn", group.protect_new))
    group.capacity_rebalance = bool(params.get("CapacityRebalance", group.capacity_rebalance))
    if "MaxInstanceLifetime" in params:
        seconds = int(params["MaxInstanceLifetime"])
        if seconds and seconds < 86400:
            raise AwsError(
                "ValidationError", "Maximum instance lifetime must be 0 or at least 86400 seconds."
            )
        group.max_lifetime = seconds or None
    if "InstanceMaintenancePolicy" in params:
        group.maintenance = _maintenance(params["InstanceMaintenancePolicy"])
    if "DefaultInstanceWarmup" in params:
        seconds = int(params["DefaultInstanceWarmup"])
        group.warmup = seconds if seconds >= 0 else None


def _maintenance(policy: dict[str, int]) -> dict[str, int] | None:
    least, most = int(policy.get("MinHealthyPercentage", -1)), int(policy.get("MaxHealthyPercentage", -1))
    if least == -1 and most == -1:
        return None
    if not (0 <= least <= 100 <= most <= 200 and most - least <= 100):
        raise AwsError(
            "ValidationError",
            "The minimum healthy percentage must be 0-100, the maximum 100-200, and at most 100 apart.",
        )
    return {"MinHealthyPercentage": least, "MaxHealthyPercentage": most}


def _check_template(region: Region, group: Group) -> None:
    """AWS tries the template out before it accepts it, and refuses one that names an existing interface."""
    try:
        for choice in launch.choices(region, group):
            whole, _ = ec2_run.merged(region, launch.params(region, group, choice))
            if any(n.get("NetworkInterfaceId") for n in whole.get("NetworkInterfaces") or []):
                raise AwsError(
                    "InvalidParameterValue", "A network interface ID cannot be specified for a group."
                )
            ec2_run.validate(region, whole)
        spec = launch.template_of(group)
        ec2_templates.resolve(ec2_templates.find(region, spec), spec.get("Version"))
    except AwsError as problem:
        raise AwsError(
            "ValidationError", f"You must use a valid fully-formed launch template. {problem.message}"
        ) from None


@handles("autoscaling", "SetDesiredCapacity")
def set_desired(region: Region, params: Params) -> Params:
    """Within the bounds of the group."""
    group = find(region, params)
    wanted = int(params["DesiredCapacity"])
    if not group.minimum <= wanted <= group.maximum:
        side = "above max value" if wanted > group.maximum else "below min value"
        raise AwsError(
            "ValidationError", f"New SetDesiredCapacity value {wanted} is {side} for the AutoScalingGroup."
        )
    group.cause = f"a user request explicitly set group desired capacity from {group.desired} to {wanted}."
    group.desired = wanted
    touch(region)
    return {}


@handles("autoscaling", "DeleteAutoScalingGroup")
def delete(region: Region, params: Params) -> Params:
    """Refused with instances in it, unless forced: then they end without waiting for hooks."""
    group = find(region, params)
    if group.members and not params.get("ForceDelete"):
        raise AwsError(
            "ResourceInUse",
            "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
            "still in the group.",
        )
    group.deleting = True
    group.desired = group.minimum = 0
    for member in list(group.members.values()):
        member.skip_hooks = True
        reconcile.complete(region, group, member, "ABANDON")
        reconcile.terminate(region, group, member, "a user request force deleted the AutoScalingGroup.")
    touch(region)
    return {}


@handles("autoscaling", "SuspendProcesses")
def suspend(region: Region, params: Params) -> Params:
    """Those named, or all."""
    find(region, params).suspended |= _processes(params)
    return {}


@handles("autoscaling", "ResumeProcesses")
def resume(region: Region, params: Params) -> Params:
    """Those named, or all."""
    find(region, params).suspended -= _processes(params)
    touch(region)
    return {}


def _processes(params: Params) -> set[str]:
    named = set(params.get("ScalingProcesses") or PROCESSES)
    if named - set(PROCESSES):
        raise AwsError("ValidationError", f"{sorted(named - set(PROCESSES))} are not valid processes.")
    return named


def _set_tags(group: Group, tags: list[dict[str, Any]]) -> None:
    for tag in tags:
        group.tags[tag["Key"]] = GroupTag(
            tag["Key"], tag.get("Value", ""), bool(tag.get("PropagateAtLaunch"))
        )


@handles("autoscaling", "CreateOrUpdateTags")
def create_tags(region: Region, params: Params) -> Params:
    """Tags of groups; instances that run already do not get them."""
    for tag in params.get("Tags") or []:
        _set_tags(find(region, {"AutoScalingGroupName": tag.get("ResourceId")}), [tag])
    return {}


@handles("autoscaling", "DeleteTags")
def delete_tags(region: Region, params: Params) -> Params:
    """Remove tags of groups."""
    for tag in params.get("Tags") or []:
        find(region, {"AutoScalingGroupName": tag.get("ResourceId")}).tags.pop(tag["Key"], None)
    return {}


@handles("autoscaling", "DescribeTags")
def describe_tags(region: Region, params: Params) -> Params:
    """The tags of all groups."""
    shown = [t for g in region.groups.values() for t in described_tags(g)]
    keys = {"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value"}
    for wanted in params.get("Filters") or []:
        key = keys.get(wanted.get("Name", ""))
        if key:
            shown = [t for t in shown if t[key] in (wanted.get("Values") or [])]
    return {"Tags": shown}


def described_tags(group: Group) -> list[dict[str, Any]]:
    """A group's tags as the API shows them."""
    return [
        {
            "ResourceId": group.name,
            "ResourceType": "auto-scaling-group",
            "Key": t.key,
            "Value": t.value,
            "PropagateAtLaunch": t.propagate,
        }
        for t in group.tags.values()
    ]


@handles("autoscaling", "DescribeAutoScalingGroups")
def describe(region: Region, params: Params) -> Params:
    """Groups by name or by tag; unknown names are left out without a word."""
    names = params.get("AutoScalingGroupNames")
    shown = [g for g in region.groups.values() if not names or g.name in names]
    for wanted in params.get("Filters") or []:
        shown = [g for g in shown if _matches(g, wanted.get("Name", ""), wanted.get("Values") or [])]
    return {"AutoScalingGroups": [described(region, g) for g in shown]}


def _matches(group: Group, name: str, values: list[str]) -> bool:
    if name.startswith("tag:"):
        tag = group.tags.get(name[4:])
        return tag is not None and tag.value in values
    if name == "tag-key":
        return any(k in values for k in group.tags)
    if name == "tag-value":
        return any(t.value in values for t in group.tags.values())
    raise AwsError("ValidationError", f"Filter type {name} is not correct.")


def described(region: Region, group: Group) -> dict[str, Any]:
    """A group as DescribeAutoScalingGroups shows it."""
    zones = [region.subnet(s).availability_zone for s in group.subnets]
    return {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "MinSize": group.minimum,
        "MaxSize": group.maximum,
        "DesiredCapacity": group.desired,
        "DefaultCooldown": group.cooldown,
        "AvailabilityZones": sorted(set(zones)),
        "VPCZoneIdentifier": ",".join(group.subnets),
        "LoadBalancerNames": [],
        "TargetGroupARNs": [],
        "HealthCheckType": group.health_check_type,
        "HealthCheckGracePeriod": int(group.grace),
        "LaunchTemplate": group.template,
        "MixedInstancesPolicy": group.mixed,
        "Instances": [described_member(m) for m in group.members.values()],
        "CreatedTime": group.created,
        "SuspendedProcesses": [
            {"ProcessName": p, "SuspensionReason": "User suspended"} for p in sorted(group.suspended)
        ],
        "EnabledMetrics": [],
        "Status": "Delete in progress" if group.deleting else None,
        "Tags": described_tags(group),
        "TerminationPolicies": group.policies,
        "NewInstancesProtectedFromScaleIn": group.protect_new,
        "ServiceLinkedRoleARN": f"arn:aws:iam::{region.account}:role/aws-service-role/autoscaling.amazonaws.com/"
        "AWSServiceRoleForAutoScaling",
        "CapacityRebalance": group.capacity_rebalance,
        "MaxInstanceLifetime": group.max_lifetime,
        "InstanceMaintenancePolicy": group.maintenance,
        "DefaultInstanceWarmup": group.warmup,
    }


def described_member(member: Member) -> dict[str, Any]:
    """A member as groups show it."""
    template_id, name, version = member.template
    return {
        "InstanceId": member.instance_id,
        "InstanceType": member.instance_type,
        "AvailabilityZone": member.zone,
        "LifecycleState": member.state,
        "HealthStatus": "Healthy" if member.healthy else "Unhealthy",
        "LaunchTemplate": {
            "LaunchTemplateId": template_id,
            "LaunchTemplateName": name,
            "Version": version,
        },
        "ProtectedFromScaleIn": member.protected,
    }
