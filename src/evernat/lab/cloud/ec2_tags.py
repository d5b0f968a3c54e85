"""Tags: ours because most tagged resources are. They stay in moto's store, where moto's own resources look."""

from __future__ import annotations

import itertools
from typing import Any

from evernat.lab.cloud.errors import AwsError, missing
from evernat.lab.cloud.filters import apply, page
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.state import Region

TYPES = {
    "i": "instance",
    "eni": "network-interface",
    "eipalloc": "elastic-ip",
    "vol": "volume",
    "vpc": "vpc",
    "subnet": "subnet",
    "rtb": "route-table",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "lt": "launch-template",
    "key": "key-pair",
    "sir": "spot-instances-request",
    "acl": "network-acl",
    "dopt": "dhcp-options",
}
"""Id prefix -> resource type as tag specifications and DescribeTags name it (EC2 user guide, tagging)."""

LIMIT = 50
"""Tags per resource (EC2 user guide, tag restrictions); those of AWS itself do not count."""


def specified(params: Params, kind: str, *others: str) -> dict[str, str]:
    """The tags a create call gives to resources of a kind.

    A specification for a kind that is neither this one nor one of `others` is refused: the call makes none of it.
    """
    tags: dict[str, str] = {}
    for one in params.get("TagSpecifications") or []:
        given = one.get("ResourceType")
        if given not in (kind, *others):
            raise AwsError(
                "InvalidParameterValue",
                f"'{given}' is not a valid taggable resource type for this operation.",
            )
        if given == kind:
            tags.update({t["Key"]: t.get("Value", "") for t in one.get("Tags", [])})
    check(tags)
    return tags


def check(tags: dict[str, str], already: int = 0) -> None:
    """Refuse reserved keys and more tags than a resource may have."""
    for key in tags:
        if key.lower().startswith("aws:"):
            raise AwsError("InvalidParameterValue", f"Tag keys starting with 'aws:' are reserved: {key}")
        if not key or len(key) > 128 or len(tags[key]) > 256:
            raise AwsError("InvalidParameterValue", f"Tag key or value is too long or empty: {key}")
    if len(tags) + already > LIMIT:
        raise AwsError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")


def exists(region: Region, resource_id: str) -> bool:
    """Whether there is such a resource."""
    ours = (
        region.machines,
        region.interfaces,
        region.elastic,
        region.volumes,
        region.nat_gateways,
        region.templates,
        region.ec2.vpcs,
        region.ec2.route_tables,
        region.ec2.internet_gateways,
        region.ec2.network_acls,
        region.ec2.dhcp_options_sets,
    )
    nested = itertools.chain(region.ec2.subnets.values(), region.ec2.groups.values())
    if any(resource_id in store for store in (*ours, *nested)):
        return True
    if any(m.spot_request_id == resource_id for m in region.machines.values()):
        return True
    rules = (r for by_id in region.ec2.groups.values() for g in by_id.values() for r in all_rules(g))
    if any(rule.id == resource_id for rule in rules):
        return True
    return any(getattr(pair, "id", "") == resource_id for pair in region.ec2.key_pairs.values())


def all_rules(group: Any) -> list[Any]:
    """Both directions of a moto security group."""
    return [*group.ingress_rules, *group.egress_rules]


def _resources(region: Region, params: Params) -> list[str]:
    ids: list[str] = params.get("Resources") or []
    if not ids:
        raise missing("resourceIdSet")
    for resource_id in ids:
        kind = TYPES.get(resource_id.rsplit("-", 1)[0])
        if kind is None:
            raise AwsError("InvalidID", f"The ID '{resource_id}' is not valid")
        if not exists(region, resource_id):
            raise AwsError(_missing_code(kind), f"The {kind} ID '{resource_id}' does not exist")
    return ids


def _missing_code(kind: str) -> str:
    # Each kind has a code of its own (EC2 API error codes).
    special = {
        "instance": "InvalidInstanceID.NotFound",
        "network-interface": "InvalidNetworkInterfaceID.NotFound",
        "elastic-ip": "InvalidAllocationID.NotFound",
        "volume": "InvalidVolume.NotFound",
        "security-group": "InvalidGroup.NotFound",
        "route-table": "InvalidRouteTableID.NotFound",
        "subnet": "InvalidSubnetID.NotFound",
        "vpc": "InvalidVpcID.NotFound",
        "launch-template": "InvalidLaunchTemplateId.NotFound",
    }
    return special.get(kind, "InvalidID")


@handles("ec2", "CreateTags")
def create_tags(region: Region, params: Params) -> Params:
    """Add tags to any resources."""
    tags = {t["Key"]: t.get("Value", "") for t in params.get("Tags", [])}
    ids = _resources(region, params)
    for resource_id in ids:
        have = [k for k in region.tags(resource_id) if not k.startswith("aws:") and k not in tags]
        check(tags, len(have))
    for resource_id in ids:
        region.tag(resource_id, tags)
    return {}


@handles("ec2", "DeleteTags")
def delete_tags(region: Region, params: Params) -> Params:
    """Remove tags by key, or by key and value where a value is given; none given: all of them."""
    for resource_id in _resources(region, params):
        have = region.ec2.tags[resource_id]
        if not params.get("Tags"):
            for key in [k for k in have if not k.startswith("aws:")]:
                del have[key]
        for tag in params.get("Tags") or []:
            if tag["Key"] in have and ("Value" not in tag or tag["Value"] == have[tag["Key"]]):
                del have[tag["Key"]]
    return {}


@handles("ec2", "DescribeTags")
def describe_tags(region: Region, params: Params) -> Params:
    """All tags of what exists: moto keeps those of deleted resources."""
    listed = [
        {
            "ResourceId": resource_id,
            "ResourceType": TYPES.get(resource_id.rsplit("-", 1)[0], "*"),
            "Key": key,
            "Value": value,
        }
        for resource_id, tags in region.ec2.tags.items()
        if tags and exists(region, resource_id)
        for key, value in tags.items()
    ]
    for item in listed:
        item["Tags"] = [{"Key": item["Key"], "Value": item["Value"]}]
    names = {"key": "Key", "value": "Value", "resource-id": "ResourceId", "resource-type": "ResourceType"}
    return page(apply(listed, params.get("Filters"), names), params, "Tags")
