"""VPCs, subnets, gateways and security groups: what moto lets pass and AWS refuses.

moto deletes what is in use; AWS answers `DependencyViolation` (EC2 API error codes).
"""

from __future__ import annotations

from typing import Any

from evernat.lab.cloud import ec2_tags
from evernat.lab.cloud.errors import AwsError, dependency, missing
from evernat.lab.cloud.filters import apply, page, select
from evernat.lab.cloud.registry import Params, guards, handles
from evernat.lab.cloud.state import Region

SUBNET_FILTERS = {
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
    "availability-zone": "AvailabilityZone",
    "availability-zone-id": "AvailabilityZoneId",
    "cidr-block": "CidrBlock",
    "default-for-az": "DefaultForAz",
    "map-public-ip-on-launch": "MapPublicIpOnLaunch",
    "owner-id": "OwnerId",
    "state": "State",
}


@handles("ec2", "CreateSubnet")
def create_subnet(region: Region, params: Params) -> Params:
    """moto takes the first subnet of a zone for the default one, which would give its instances public addresses."""
    vpc = region.vpc(params.get("VpcId", ""))
    if not params.get("CidrBlock"):
        raise missing("cidrBlock")
    zones = region.ec2.describe_availability_zones()
    wanted = params.get("AvailabilityZone") or params.get("AvailabilityZoneId") or zones[0].name
    zone = next((z.name for z in zones if wanted in (z.name, z.zone_id)), None)
    if zone is None:
        known = ", ".join(z.name for z in zones)
        raise AwsError(
            "InvalidParameterValue",
            f"Value ({wanted}) for parameter availabilityZone is invalid. Subnets can currently only be created in "
            f"the following availability zones: {known}.",
        )
    tags = ec2_tags.specified(params, "subnet")
    subnet = region.ec2.create_subnet(vpc.id, params["CidrBlock"], None, zone)
    subnet.map_public_ip_on_launch = subnet.default_for_az = False
    region.tag(subnet.id, tags)
    return {"Subnet": _subnet(region, subnet)}


@guards("ec2", "DeleteSubnet")
def check_delete_subnet(region: Region, params: Params) -> None:
    """Not while an interface is in it."""
    subnet = region.subnet(params.get("SubnetId", ""))
    if region.used_private(subnet.id):
        raise dependency(f"The subnet '{subnet.id}' has dependencies and cannot be deleted.")
    for table in region.ec2.route_tables.values():
        # AWS drops the association together with the subnet.
        for association_id, target in list(table._associations.items()):
            if target == subnet.id:
                del table._associations[association_id]


@guards("ec2", "DeleteVpc")
def check_delete_vpc(region: Region, params: Params) -> None:
    """Not while it has subnets, interfaces, a gateway, or groups and tables besides those it was born with."""
    vpc = region.vpc(params.get("VpcId", ""))
    attached = any(g.vpc is vpc for g in region.ec2.internet_gateways.values())
    subnets = any(s.vpc_id == vpc.id for s in region.all_subnets())
    groups = len(region.ec2.groups.get(vpc.id, {})) > 1
    if attached or subnets or groups or any(i.vpc_id == vpc.id for i in region.interfaces.values()):
        raise dependency(f"The vpc '{vpc.id}' has dependencies and cannot be deleted.")


@guards("ec2", "DetachInternetGateway")
def check_detach_gateway(region: Region, params: Params) -> None:
    """Not while the network has mapped public addresses."""
    vpc = region.vpc(params.get("VpcId", ""))
    mapped = (
        i.auto_public or region.elastic_on(i.id) for i in region.interfaces.values() if i.vpc_id == vpc.id
    )
    if any(mapped):
        raise dependency(
            f"Network {vpc.id} has some mapped public address(es). Please unmap those public address(es) before "
            "detaching the gateway."
        )


@guards("ec2", "DeleteSecurityGroup")
def check_delete_group(region: Region, params: Params) -> None:
    """Not while an interface or another group refers to it, and never the default one."""
    group_id = params.get("GroupId")
    if not group_id:
        raise missing("groupId")
    group = region.security_group(group_id)
    if group.name == "default":
        raise AwsError(
            "CannotDelete", f'the specified group: "{group.id}" name: "default" cannot be deleted by a user'
        )
    used = any(group_id in i.groups for i in region.interfaces.values())
    others = (g for g in region.ec2.groups.get(group.vpc_id, {}).values() if g is not group)
    referred = any(
        (rule.source_group or {}).get("GroupId") == group_id
        for other in others
        for rule in [*other.ingress_rules, *other.egress_rules]
    )
    if used or referred:
        raise dependency(f"resource {group_id} has a dependent object")
    region.untag(group_id)


@guards("ec2", "CreateSecurityGroup")
def check_create_group(region: Region, params: Params) -> None:
    """A VPC is needed: the lab's account has no default one. Names are unique within it."""
    if not params.get("VpcId"):
        raise AwsError("VPCIdNotSpecified", "No default VPC for this user")
    vpc = region.vpc(params["VpcId"])
    if any(g.name == params.get("GroupName") for g in region.ec2.groups.get(vpc.id, {}).values()):
        raise AwsError(
            "InvalidGroup.Duplicate",
            f"The security group '{params.get('GroupName')}' already exists for VPC '{vpc.id}'",
        )


@handles("ec2", "DescribeSubnets")
def describe_subnets(region: Region, params: Params) -> Params:
    """moto counts free addresses from its own interfaces, of which there are none."""
    shown = [_subnet(region, s) for s in region.all_subnets()]
    shown = select(shown, "SubnetId", params.get("SubnetIds"), "InvalidSubnetID.NotFound", "subnet")
    return page(apply(shown, params.get("Filters"), SUBNET_FILTERS), params, "Subnets")


def _subnet(region: Region, subnet: Any) -> dict[str, Any]:
    return {
        "SubnetId": subnet.id,
        "SubnetArn": f"arn:aws:ec2:{region.name}:{region.account}:subnet/{subnet.id}",
        "VpcId": subnet.vpc_id,
        "CidrBlock": subnet.cidr_block,
        "AvailabilityZone": subnet.availability_zone,
        "AvailabilityZoneId": subnet._availability_zone.zone_id,
        "AvailableIpAddressCount": region.free_addresses(subnet),
        "MapPublicIpOnLaunch": region.maps_public(subnet),
        "DefaultForAz": False,
        "State": "available",
        "OwnerId": region.account,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Ipv6Native": False,
        "Tags": region.tag_list(subnet.id),
    }
