"""The calls by which the AWS provider makes a resource: from its values to API operations and their parameters.

The parity test compares them with what `evernat deploy` asks for; `standin.lab` makes them, in a lab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Values = Mapping[str, Any]
Calls = Iterator[tuple[str, str, dict[str, Any]]]
"""Service, operation, parameters."""


def calls(kind: str, values: Values) -> Calls:
    """In order. Nothing for what is no resource of AWS."""
    return CALLS[kind](values) if kind in CALLS else iter(())


def tag_list(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """As the API takes tags."""
    return [{"Key": key, "Value": value} for key, value in sorted((tags or {}).items())]


def _tagged(kind: str, v: Values) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tag_list(v["tags"])}]


def _set(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not set."""
    return {key: value for key, value in fields.items() if value not in (None, "", [], {})}


def _security_group(v: Values) -> Calls:
    named = {"GroupName": v["name"], "Description": v["description"], "VpcId": v["vpc_id"]}
    yield "ec2", "create_security_group", {**named, "TagSpecifications": _tagged("security-group", v)}


def rule(v: Values) -> dict[str, Any]:
    """A rule as the API takes it."""
    protocol = "-1" if v["protocol"] == "all" else v["protocol"]
    ports = {} if protocol == "-1" else {"FromPort": v["from_port"], "ToPort": v["to_port"]}
    words = {"Description": v["description"]} if v["description"] else {}
    sources = _set(
        {
            "IpRanges": [{"CidrIp": block, **words} for block in v["cidr_blocks"] or []],
            "UserIdGroupPairs": [{"GroupId": v["security_group_id"], **words}] if v["self"] else [],
        }
    )
    return {
        "GroupId": v["security_group_id"],
        "IpPermissions": [{"IpProtocol": protocol, **ports, **sources}],
    }


def _rule(v: Values) -> Calls:
    yield "ec2", f"authorize_security_group_{v['type']}", rule(v)


def _interface(v: Values) -> Calls:
    named = {"SubnetId": v["subnet_id"], "Groups": v["security_groups"], "Description": v["description"]}
    yield "ec2", "create_network_interface", {**named, "TagSpecifications": _tagged("network-interface", v)}
    check = {"NetworkInterfaceId": v["id"], "SourceDestCheck": {"Value": v["source_dest_check"]}}
    yield "ec2", "modify_network_interface_attribute", check


def _address(v: Values) -> Calls:
    yield "ec2", "allocate_address", {"Domain": "vpc", "TagSpecifications": _tagged("elastic-ip", v)}
    if v["network_interface"]:
        given = {"AllocationId": v["id"], "NetworkInterfaceId": v["network_interface"]}
        yield "ec2", "associate_address", {**given, "AllowReassociation": True}


def _association(v: Values) -> Calls:
    given = {"AllocationId": v["allocation_id"], "NetworkInterfaceId": v["network_interface_id"]}
    yield "ec2", "associate_address", {**given, "AllowReassociation": v["allow_reassociation"]}


def _route(v: Values) -> Calls:
    table = {"RouteTableId": v["route_table_id"], "DestinationCidrBlock": v["destination_cidr_block"]}
    yield "ec2", "create_route", {**table, "NetworkInterfaceId": v["network_interface_id"]}


def _role(v: Values) -> Calls:
    named = {"RoleName": v["name"], "Description": v["description"], "Tags": tag_list(v["tags"])}
    given = {
        "AssumeRolePolicyDocument": v["assume_role_policy"],
        "PermissionsBoundary": v["permissions_boundary"],
    }
    yield "iam", "create_role", _set({**named, **given})


def _policy(v: Values) -> Calls:
    named = {"RoleName": v["role"], "PolicyName": v["name"]}
    yield "iam", "put_role_policy", {**named, "PolicyDocument": v["policy"]}


def _attachment(v: Values) -> Calls:
    yield "iam", "attach_role_policy", {"RoleName": v["role"], "PolicyArn": v["policy_arn"]}


def _profile(v: Values) -> Calls:
    yield "iam", "create_instance_profile", {"InstanceProfileName": v["name"], "Tags": tag_list(v["tags"])}
    yield "iam", "add_role_to_instance_profile", {"InstanceProfileName": v["name"], "RoleName": v["role"]}


def _parameter(v: Values) -> Calls:
    value = v["value"] if v["type"] == "SecureString" else v["insecure_value"]
    named = {"Name": v["name"], "Description": v["description"], "Tags": tag_list(v["tags"])}
    yield "ssm", "put_parameter", {**named, "Type": v["type"], "Value": value}


def _disk(v: Values) -> dict[str, Any]:
    (disk,) = v["block_device_mappings"]
    (ebs,) = disk["ebs"]
    volume = {
        "VolumeType": ebs["volume_type"],
        "VolumeSize": ebs["volume_size"] or None,
        "Encrypted": ebs["encrypted"] == "true",
        "KmsKeyId": ebs["kms_key_id"],
        "DeleteOnTermination": ebs["delete_on_termination"] == "true",
    }
    return {"DeviceName": disk["device_name"], "Ebs": _set(volume)}


def _template(v: Values) -> Calls:
    (interface,), (metadata,) = v["network_interfaces"], v["metadata_options"]
    data = {
        "ImageId": v["image_id"],
        "InstanceType": v["instance_type"],
        "KeyName": v["key_name"],
        "IamInstanceProfile": {"Name": v["iam_instance_profile"][0]["name"]},
        "NetworkInterfaces": [
            _set(
                {
                    "DeviceIndex": interface["device_index"],
                    "AssociatePublicIpAddress": interface["associate_public_ip_address"] == "true",
                    "DeleteOnTermination": interface["delete_on_termination"] == "true",
                    "Groups": interface["security_groups"],
                    "SecondaryPrivateIpAddressCount": interface["ipv4_address_count"],
                }
            )
        ],
        "MetadataOptions": _set(
            {
                "HttpTokens": metadata["http_tokens"],
                "HttpEndpoint": metadata["http_endpoint"],
                "HttpPutResponseHopLimit": metadata["http_put_response_hop_limit"],
                "InstanceMetadataTags": metadata["instance_metadata_tags"],
            }
        ),
        "BlockDeviceMappings": [_disk(v)],
        "TagSpecifications": [
            {"ResourceType": s["resource_type"], "Tags": tag_list(s["tags"])} for s in v["tag_specifications"]
        ],
        "CreditSpecification": next(
            ({"CpuCredits": c["cpu_credits"]} for c in v["credit_specification"]), None
        ),
        "UserData": v["user_data"],
    }
    named = {"LaunchTemplateName": v["name"], "VersionDescription": v["description"]}
    tagged = {"TagSpecifications": _tagged("launch-template", v)}
    yield "ec2", "create_launch_template", {**named, "LaunchTemplateData": _set(data), **tagged}


def _mixed(v: Values) -> dict[str, Any]:
    (policy,) = v["mixed_instances_policy"]
    (spread,), (launch,) = policy["instances_distribution"], policy["launch_template"]
    (specification,) = launch["launch_template_specification"]
    return {
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
    }


def _group(v: Values) -> Calls:
    kept = {"AutoScalingGroupName": v["name"], "MinSize": v["min_size"], "MaxSize": v["max_size"]}
    data = {
        **kept,
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
        "MixedInstancesPolicy": _mixed(v),
        "LifecycleHookSpecificationList": [
            {
                "LifecycleHookName": h["name"],
                "LifecycleTransition": h["lifecycle_transition"],
                "HeartbeatTimeout": h["heartbeat_timeout"],
                "DefaultResult": h["default_result"],
            }
            for h in v["initial_lifecycle_hook"]
        ],
        "Tags": [
            {
                "ResourceId": v["name"],
                "ResourceType": "auto-scaling-group",
                "Key": t["key"],
                "Value": t["value"],
                "PropagateAtLaunch": t["propagate_at_launch"],
            }
            for t in v["tag"]
        ],
    }
    yield "autoscaling", "create_auto_scaling_group", _set(data)


CALLS: dict[str, Callable[[Values], Calls]] = {
    "aws_autoscaling_group": _group,
    "aws_eip": _address,
    "aws_eip_association": _association,
    "aws_iam_instance_profile": _profile,
    "aws_iam_role": _role,
    "aws_iam_role_policy": _policy,
    "aws_iam_role_policy_attachment": _attachment,
    "aws_launch_template": _template,
    "aws_network_interface": _interface,
    "aws_route": _route,
    "aws_security_group": _security_group,
    "aws_security_group_rule": _rule,
    "aws_ssm_parameter": _parameter,
}
