"""What a call touches, in the terms of IAM: resource ARNs with their tags, and condition keys.

Source: the service authorization reference ("Actions, resources, and condition keys for Amazon EC2", "... for Amazon
EC2 Auto Scaling"). Where an action there takes several resources, each must be allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from evernat.lab.cloud import ec2_tags, ssm
from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.iam import Resource
from evernat.lab.cloud.registry import Params, reads
from evernat.lab.cloud.state import Region

_ID = re.compile(r"^([a-z]+(?:-[a-z]+)?)-[0-9a-f]{8,17}$")

ROUTE_ACTIONS = ("CreateRoute", "ReplaceRoute", "DeleteRoute")
"""Of these the reference lists the route table alone, not the target."""


def ec2_arn(region: Region, kind: str, identifier: str) -> str:
    """The ARN of an EC2 resource. Images are public and have no account in theirs."""
    account = "" if kind == "image" else region.account
    return f"arn:aws:ec2:{region.name}:{account}:{kind}/{identifier}"


def resources(region: Region, service: str, action: str, params: Params) -> tuple[Resource, ...]:
    """The resources a call is authorized against; empty for calls that name none (evaluated against `*`)."""
    if service == "ec2" and not reads(action):
        return tuple(_ec2(region, i) for i in dict.fromkeys(_ec2_ids(region, action, params)))
    if service == "autoscaling" and not reads(action):
        return _groups(region, params)
    if service == "ssm":
        one = params.get("Name") or params.get("Path")
        names = params.get("Names") or ([one] if one else [])
        return tuple(_parameter(region, n) for n in names)
    if service == "iam" and params.get("RoleName"):
        return (Resource(f"arn:aws:iam::{region.account}:role/{params['RoleName']}"),)
    return ()


def _parameter(region: Region, name: str) -> Resource:
    tags = ssm.tags(region, name).items()
    context = {f"{service}:ResourceTag/{key}": value for service in ("aws", "ssm") for key, value in tags}
    return Resource(ssm.arn(region, name), context)


def _ec2_ids(region: Region, action: str, params: Params) -> Iterator[str]:
    if action in ROUTE_ACTIONS:
        yield str(params.get("RouteTableId", ""))
        return
    for value in _strings(params):
        if value.startswith("eipassoc-"):
            yield from (e.allocation_id for e in region.elastic.values() if e.association_id == value)
        elif value.startswith("eni-attach-"):
            yield from _of_attachment(region, value)
        elif _ID.match(value):
            yield value


def _of_attachment(region: Region, attachment_id: str) -> Iterator[str]:
    for interface in region.interfaces.values():
        if interface.plug and interface.plug.id == attachment_id:
            yield interface.id
            yield interface.plug.instance_id


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("Tags", "TagSpecifications", "ClientToken"):
                yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _ec2(region: Region, identifier: str) -> Resource:
    match = _ID.match(identifier)
    kind = "image" if identifier.startswith("ami-") else ec2_tags.TYPES.get(match[1] if match else "", "")
    tags = region.tags(identifier)
    context: dict[str, str] = {f"aws:ResourceTag/{k}": v for k, v in tags.items()}
    context |= {f"ec2:ResourceTag/{k}": v for k, v in tags.items()}
    arn = ec2_arn(region, kind or "unknown", identifier)
    if identifier in region.machines:
        machine = region.machines[identifier]
        context |= {
            "ec2:InstanceID": machine.id,
            "ec2:InstanceType": machine.instance_type,
            "ec2:AvailabilityZone": machine.zone,
            "ec2:InstanceProfile": machine.profile_arn,
        }
    if identifier in region.interfaces:
        interface = region.interfaces[identifier]
        context |= {
            "ec2:NetworkInterfaceID": interface.id,
            "ec2:AvailabilityZone": interface.zone,
            "ec2:Subnet": ec2_arn(region, "subnet", interface.subnet_id),
            "ec2:Vpc": ec2_arn(region, "vpc", interface.vpc_id),
        }
    if identifier in region.ec2.route_tables:
        context["ec2:Vpc"] = ec2_arn(region, "vpc", region.route_table(identifier).vpc_id)
    return Resource(arn, context)


def _groups(region: Region, params: Params) -> tuple[Resource, ...]:
    names = {params.get("AutoScalingGroupName", "")}
    machine = region.machines.get(params.get("InstanceId", ""))
    if machine:
        names.add(machine.owner)
    found = []
    for name in sorted(names - {""}):
        group = region.groups.get(name)
        if group is None:
            found.append(
                Resource(f"arn:aws:autoscaling:{region.name}:{region.account}:autoScalingGroup:none:{name}")
            )
            continue
        tags = {t.key: t.value for t in group.tags.values()}
        context = {f"aws:ResourceTag/{k}": v for k, v in tags.items()}
        context |= {f"autoscaling:ResourceTag/{k}": v for k, v in tags.items()}
        found.append(Resource(group.arn, context))
    return tuple(found)


def context(region: Region, params: Params, *, source: str, instance_id: str, role: str) -> dict[str, Any]:
    """The condition keys that belong to the request as a whole."""
    keys: dict[str, Any] = {
        "aws:RequestedRegion": region.name,
        "ec2:Region": region.name,
        "aws:SourceIp": source,
        # The lab's plain HTTP stands for HTTPS.
        "aws:SecureTransport": "true",
        "aws:PrincipalAccount": region.account,
    }
    if instance_id:
        keys |= {
            "aws:PrincipalArn": f"arn:aws:iam::{region.account}:role/{role}",
            "ec2:SourceInstanceARN": ec2_arn(region, "instance", instance_id),
            "aws:Ec2InstanceSourceVpc": getattr(region.machines.get(instance_id), "vpc_id", ""),
        }
        keys |= {f"aws:PrincipalTag/{t['Key']}": t["Value"] for t in _role_tags(region, role)}
    tags = params.get("Tags") or [t for s in params.get("TagSpecifications") or [] for t in s.get("Tags", [])]
    if tags and isinstance(tags, list):
        keys["aws:TagKeys"] = [t["Key"] for t in tags]
        keys |= {f"aws:RequestTag/{t['Key']}": t.get("Value", "") for t in tags}
    for name, key in (("Attribute", "ec2:Attribute"), ("AutoScalingGroupName", "autoscaling:GroupName")):
        if params.get(name):
            keys[key] = params[name]
    return keys


def _role_tags(region: Region, role: str) -> list[dict[str, str]]:
    found = next((r for r in region.iam.roles.values() if r.name == role), None)
    tags = found.tags if found else None
    return list(tags.values()) if isinstance(tags, dict) else list(tags or [])


def refusal(service: str, action: str, caller: str, resource: str) -> AwsError:
    """The error of a call that no policy allows."""
    text = f"User: {caller} is not authorized to perform: {service}:{action} on resource: {resource or '*'}"
    if service == "ec2":
        return AwsError(
            "UnauthorizedOperation", f"You are not authorized to perform this operation. {text}", 403
        )
    # The query protocol's code, and that of the JSON protocol (each service's common errors).
    return (
        AwsError("AccessDeniedException", text, 400)
        if service == "ssm"
        else AwsError("AccessDenied", text, 403)
    )
