"""The same gateway from two sides, in one shape: what `evernat deploy` asks AWS for, and what the module has made.

A shape is part -> arguments, named as the AWS API names them. Parts that come in numbers carry a slot or a name.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from evernat.stack.steps import Call, Plan
from evernat.stack.values import AgentPolicy, ClusterPolicy, UserData, resolve

Shape = dict[str, dict[str, Any]]
State = Mapping[str, Mapping[str, Any]]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything inside."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def text_of(user_data: str) -> str:
    """The cloud-config inside."""
    return gzip.decompress(base64.b64decode(user_data)).decode()


def _tags(listed: Any) -> dict[str, str]:
    return {t["Key"]: t["Value"] for t in listed}


def _specified(params: Mapping[str, Any]) -> dict[str, str]:
    return _tags(params["TagSpecifications"][0]["Tags"])


def _statements(document: str) -> dict[str, Any]:
    """A policy by the names of its statements."""
    return {s["Sid"]: s for s in json.loads(document)["Statement"]}


# --- what evernat asks for ---


def of_plan(plan: Plan, known: Mapping[str, str], groups: Mapping[str, str]) -> Shape:
    """The calls of a first deploy. `known`: references -> ids; `groups`: names of groups -> those of the module."""
    made: Shape = {}
    for step in plan.steps:
        for call in step.actions:
            if isinstance(call, Call):
                params = resolve(_renamed(call.params, groups), {**known, "nonce": ""})
                part, arguments = CALLS[call.operation](params)
                made.setdefault(part, {}).update(arguments)
    return made


def _renamed(value: Any, groups: Mapping[str, str]) -> Any:
    """With the module's group names where others refer to them: in user data and policies."""
    if isinstance(value, UserData):
        return replace(value, config={**value.config, "group": groups[value.config["group"]]})
    if isinstance(value, AgentPolicy):
        return replace(
            value, arguments={**value.arguments, "group_name": groups[value.arguments["group_name"]]}
        )
    if isinstance(value, ClusterPolicy):
        renamed = [groups[name] for name in value.arguments["group_names"]]
        return replace(value, arguments={**value.arguments, "group_names": renamed})
    if isinstance(value, Mapping):
        return {key: _renamed(inner, groups) for key, inner in value.items()}
    return value


def _ingress(params: dict[str, Any]) -> list[str]:
    return sorted(
        f"{p['IpProtocol']} {p.get('FromPort', '')}-{p.get('ToPort', '')} {source}"
        for p in params["IpPermissions"]
        for source in (
            *(r["CidrIp"] for r in p.get("IpRanges", [])),
            *("self" for _ in p.get("UserIdGroupPairs", [])),
        )
    )


def _template(p: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    data = dict(p["LaunchTemplateData"])
    tags = _specified(p)
    data["TagSpecifications"] = {s["ResourceType"]: _tags(s["Tags"]) for s in data["TagSpecifications"]}
    data["UserData"] = text_of(data["UserData"])
    own = {"LaunchTemplateName": p["LaunchTemplateName"], "VersionDescription": p["VersionDescription"]}
    return _slotted("template", tags), {**own, **data, "Tags": tags}


def _group(p: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    tags = _tags(p["Tags"])
    hooks = {h["LifecycleHookName"]: h for h in p["LifecycleHookSpecificationList"]}
    rest = {k: v for k, v in p.items() if k != "LifecycleHookSpecificationList"}
    propagated = any(t["PropagateAtLaunch"] for t in p["Tags"])
    return _slotted("group", tags), {**rest, "Tags": tags, "Hooks": hooks, "PropagateAtLaunch": propagated}


def _slotted(part: str, tags: Mapping[str, str]) -> str:
    return f"{part} {tags.get('evernat:slot', '')}".strip()


def _parameter(p: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"parameter {p['Name']}", {**p, "Tags": _tags(p["Tags"])}


def _address(p: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    tags = _specified(p)
    return f"address {tags.get('evernat:gateway', '')}".strip(), {"Domain": p["Domain"], "Tags": tags}


CALLS: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "create_security_group": lambda p: (
        "security-group",
        {**{k: p[k] for k in ("GroupName", "Description", "VpcId")}, "Tags": _specified(p)},
    ),
    # AWS makes a group with a rule that lets everything out.
    "authorize_security_group_ingress": lambda p: (
        "security-group",
        {"Ingress": _ingress(p), "Egress": ["-1 - 0.0.0.0/0"]},
    ),
    "create_network_interface": lambda p: (
        "interface",
        {**{k: p[k] for k in ("SubnetId", "Groups", "Description")}, "Tags": _specified(p)},
    ),
    "modify_network_interface_attribute": lambda p: (
        "interface",
        {"SourceDestCheck": p["SourceDestCheck"]["Value"]},
    ),
    "allocate_address": _address,
    "associate_address": lambda p: ("association", p),
    "create_role": lambda p: (
        "role",
        {
            **p,
            "AssumeRolePolicyDocument": json.loads(p["AssumeRolePolicyDocument"]),
            "Tags": _tags(p["Tags"]),
        },
    ),
    "attach_role_policy": lambda p: ("role", {"PolicyArn": p["PolicyArn"]}),
    "put_role_policy": lambda p: (
        "policy",
        {"PolicyName": p["PolicyName"], **_statements(p["PolicyDocument"])},
    ),
    "create_instance_profile": lambda p: ("profile", {**p, "Tags": _tags(p["Tags"])}),
    "add_role_to_instance_profile": lambda p: ("profile", {"RoleName": p["RoleName"]}),
    "create_launch_template": _template,
    "create_auto_scaling_group": _group,
    "put_parameter": _parameter,
    "create_route": lambda p: (f"route {p['RouteTableId']}", p),
    "create_tags": lambda p: (f"route-table {p['Resources'][0]}", {"Tags": _tags(p["Tags"])}),
}


# --- what the module has made ---


def of_state(state: State) -> Shape:
    """The resources of an apply."""
    made: Shape = {}
    for address, values in state.items():
        kind = address.split(".")[-2]
        if kind in RESOURCES:
            for part, arguments in RESOURCES[kind](values):
                here = made.setdefault(part, {})
                for key, value in arguments.items():
                    here[key] = (
                        sorted(here[key] + value) if key in ("Ingress", "Egress") and key in here else value
                    )
    return made


Made = Iterator[tuple[str, dict[str, Any]]]


def _made_rule(v: Mapping[str, Any]) -> Made:
    protocol = "-1" if v["protocol"] == "all" else v["protocol"]
    ports = "-" if protocol == "-1" else f"{v['from_port']}-{v['to_port']}"
    sources = ["self"] if v["self"] else v["cidr_blocks"]
    yield (
        "security-group",
        {v["type"].capitalize(): sorted(f"{protocol} {ports} {source}" for source in sources)},
    )


def _made_template(v: Mapping[str, Any]) -> Made:
    (interface,), (metadata,), (disk,) = (
        v["network_interfaces"],
        v["metadata_options"],
        v["block_device_mappings"],
    )
    (ebs,) = disk["ebs"]
    data = {
        "LaunchTemplateName": v["name"],
        "VersionDescription": v["description"],
        "ImageId": v["image_id"],
        "InstanceType": v["instance_type"],
        "KeyName": v["key_name"] or None,
        "IamInstanceProfile": {"Name": v["iam_instance_profile"][0]["name"]},
        "NetworkInterfaces": [
            {
                "DeviceIndex": interface["device_index"],
                "AssociatePublicIpAddress": interface["associate_public_ip_address"] == "true",
                "DeleteOnTermination": interface["delete_on_termination"] == "true",
                "Groups": interface["security_groups"],
                "SecondaryPrivateIpAddressCount": interface["ipv4_address_count"],
            }
        ],
        "MetadataOptions": {
            "HttpTokens": metadata["http_tokens"],
            "HttpEndpoint": metadata["http_endpoint"],
            "HttpPutResponseHopLimit": metadata["http_put_response_hop_limit"],
        },
        "BlockDeviceMappings": [
            {
                "DeviceName": disk["device_name"],
                "Ebs": {
                    "VolumeType": ebs["volume_type"],
                    "VolumeSize": ebs["volume_size"] or None,
                    "Encrypted": ebs["encrypted"] == "true",
                    "DeleteOnTermination": ebs["delete_on_termination"] == "true",
                },
            }
        ],
        "TagSpecifications": {s["resource_type"]: s["tags"] for s in v["tag_specifications"]},
        "CreditSpecification": next(
            ({"CpuCredits": c["cpu_credits"]} for c in v["credit_specification"]), None
        ),
        "UserData": text_of(v["user_data"]),
        "Tags": v["tags"],
    }
    yield _slotted("template", v["tags"]), data


def _made_group(v: Mapping[str, Any]) -> Made:
    tags = {t["key"]: t["value"] for t in v["tag"]}
    (policy,) = v["mixed_instances_policy"]
    (spread,), (launch,) = policy["instances_distribution"], policy["launch_template"]
    (specification,) = launch["launch_template_specification"]
    data = {
        "AutoScalingGroupName": v["name"],
        "MinSize": v["min_size"],
        "MaxSize": v["max_size"],
        "DesiredCapacity": v["desired_capacity"],
        "VPCZoneIdentifier": ",".join(v["vpc_zone_identifier"]),
        "HealthCheckType": v["health_check_type"],
        "HealthCheckGracePeriod": v["health_check_grace_period"],
        "CapacityRebalance": v["capacity_rebalance"] or None,
        "InstanceMaintenancePolicy": {
            name: bounds[argument]
            for bounds in v["instance_maintenance_policy"]
            for name, argument in (
                ("MinHealthyPercentage", "min_healthy_percentage"),
                ("MaxHealthyPercentage", "max_healthy_percentage"),
            )
        },
        "InstanceRefresh": v["instance_refresh"],
        "MixedInstancesPolicy": {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {
                    "LaunchTemplateId": specification["launch_template_id"],
                    "Version": specification["version"],
                },
                "Overrides": [{"InstanceType": o["instance_type"]} for o in launch["override"]],
            },
            "InstancesDistribution": {
                "OnDemandBaseCapacity": spread["on_demand_base_capacity"],
                "OnDemandPercentageAboveBaseCapacity": spread["on_demand_percentage_above_base_capacity"],
                "SpotAllocationStrategy": spread["spot_allocation_strategy"],
            },
        },
        "Hooks": {
            h["name"]: {
                "LifecycleHookName": h["name"],
                "LifecycleTransition": h["lifecycle_transition"],
                "HeartbeatTimeout": h["heartbeat_timeout"],
                "DefaultResult": h["default_result"],
            }
            for h in v["initial_lifecycle_hook"]
        },
        "PropagateAtLaunch": any(t["propagate_at_launch"] for t in v["tag"]),
        "Tags": tags,
    }
    yield _slotted("group", tags), data


def _made_address(v: Mapping[str, Any]) -> Made:
    yield (
        f"address {v['tags'].get('evernat:gateway', '')}".strip(),
        {"Domain": v["domain"], "Tags": v["tags"]},
    )


def _made_parameter(v: Mapping[str, Any]) -> Made:
    value = v["value"] if v["type"] == "SecureString" else v["insecure_value"]
    named = {
        "Name": v["name"],
        "Description": v["description"],
        "Type": v["type"],
        "Value": value,
        "Tags": v["tags"],
    }
    yield f"parameter {v['name']}", named


def _one(part: str, **names: str) -> Callable[[Mapping[str, Any]], Made]:
    """Arguments that are just named otherwise."""

    def made(values: Mapping[str, Any]) -> Made:
        yield part, {argument: values[name] for argument, name in names.items()}

    return made


def _made_route(v: Mapping[str, Any]) -> Made:
    fields = ("RouteTableId", "route_table_id"), ("DestinationCidrBlock", "destination_cidr_block")
    target = {"NetworkInterfaceId": v["network_interface_id"]}
    yield f"route {v['route_table_id']}", {**{argument: v[name] for argument, name in fields}, **target}


def _made_role(v: Mapping[str, Any]) -> Made:
    document = json.loads(v["assume_role_policy"])
    named = {"RoleName": v["name"], "Description": v["description"], "Tags": v["tags"]}
    yield "role", {**named, "AssumeRolePolicyDocument": document}


def _made_policy(v: Mapping[str, Any]) -> Made:
    yield "policy", {"PolicyName": v["name"], **_statements(v["policy"])}


RESOURCES: dict[str, Callable[[Mapping[str, Any]], Made]] = {
    "aws_security_group": _one(
        "security-group", GroupName="name", Description="description", VpcId="vpc_id", Tags="tags"
    ),
    "aws_security_group_rule": _made_rule,
    "aws_network_interface": _one(
        "interface",
        SubnetId="subnet_id",
        Groups="security_groups",
        Description="description",
        SourceDestCheck="source_dest_check",
        Tags="tags",
    ),
    "aws_eip": _made_address,
    "aws_eip_association": _one(
        "association",
        AllocationId="allocation_id",
        NetworkInterfaceId="network_interface_id",
        AllowReassociation="allow_reassociation",
    ),
    "aws_route": _made_route,
    "aws_iam_role": _made_role,
    "aws_iam_role_policy": _made_policy,
    "aws_iam_role_policy_attachment": _one("role", PolicyArn="policy_arn"),
    "aws_iam_instance_profile": _one("profile", InstanceProfileName="name", RoleName="role", Tags="tags"),
    "aws_launch_template": _made_template,
    "aws_autoscaling_group": _made_group,
    "aws_ssm_parameter": _made_parameter,
}
