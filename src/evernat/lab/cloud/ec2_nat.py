"""Managed NAT gateways: what a deployment may find in a VPC and replace (EC2 API reference)."""

from __future__ import annotations

from typing import Any

from evernat.lab.cloud import ec2_interfaces, ec2_public, ec2_tags
from evernat.lab.cloud.errors import AwsError, missing
from evernat.lab.cloud.filters import apply, page, select
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.resources import NatGatewayRecord, new_id, utc_now
from evernat.lab.cloud.state import Region

FILTERS = {
    "nat-gateway-id": "NatGatewayId",
    "state": "State",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
    "connectivity-type": "ConnectivityType",
}

REMEMBERED = 3600.0
"""Seconds a deleted NAT gateway stays visible, "usually about an hour" (VPC user guide)."""


@handles("ec2", "CreateNatGateway")
def create(region: Region, params: Params) -> Params:
    """A public NAT gateway needs an Elastic IP that is free."""
    subnet = region.subnet(params.get("SubnetId", ""))
    public = params.get("ConnectivityType", "public") == "public"
    if public and not params.get("AllocationId"):
        raise missing("AllocationId")
    elastic = region.allocation(params["AllocationId"]) if public else None
    if elastic and elastic.association_id:
        raise AwsError(
            "Resource.AlreadyAssociated",
            f"Elastic IP address [{elastic.allocation_id}] is already associated",
        )
    tags = ec2_tags.specified(params, "natgateway")
    interface = ec2_interfaces.new_interface(region, subnet.id, {}, params.get("PrivateIpAddress"))
    gateway = NatGatewayRecord(
        id=new_id("nat"),
        vpc_id=subnet.vpc_id,
        subnet_id=subnet.id,
        interface_id=interface.id,
        allocation_id=elastic.allocation_id if elastic else "",
        state="pending",
        created=utc_now(),
        public=public,
    )
    interface.kind = "nat_gateway"
    interface.groups = []
    interface.source_dest_check = False
    interface.description = f"Interface for NAT Gateway {gateway.id}"
    if elastic:
        ec2_public.associate(region, elastic, interface, interface.addresses[0])
    region.nat_gateways[gateway.id] = gateway
    region.tag(gateway.id, tags)
    region.later(region.profile.pending, lambda: _settle(gateway, "pending", "available"))
    return {"NatGateway": described(region, gateway), "ClientToken": params.get("ClientToken")}


def _settle(gateway: NatGatewayRecord, before: str, after: str) -> None:
    if gateway.state == before:
        gateway.state = after


@handles("ec2", "DeleteNatGateway")
def delete(region: Region, params: Params) -> Params:
    """Its Elastic IP is dissociated, not released; routes to it become blackholes."""
    gateway = region.nat_gateways.get(params.get("NatGatewayId", ""))
    if gateway is None or gateway.state in ("deleting", "deleted"):
        raise AwsError("NatGatewayNotFound", f"NatGateway {params.get('NatGatewayId')} was not found")
    gateway.state = "deleting"

    def gone() -> None:
        gateway.state = "deleted"
        interface = region.interfaces.get(gateway.interface_id)
        if interface:
            ec2_interfaces.delete(region, interface)
        region.later(REMEMBERED, lambda: _forget(region, gateway))

    region.later(region.profile.shutting_down, gone)
    return {"NatGatewayId": gateway.id}


def _forget(region: Region, gateway: NatGatewayRecord) -> None:
    region.nat_gateways.pop(gateway.id, None)
    region.untag(gateway.id)


@handles("ec2", "DescribeNatGateways")
def describe(region: Region, params: Params) -> Params:
    """NAT gateways, deleted ones for a while too."""
    shown = [described(region, g) for g in region.nat_gateways.values()]
    shown = select(shown, "NatGatewayId", params.get("NatGatewayIds"), "NatGatewayNotFound", "natGateway")
    filters = params.get("Filter") or params.get("Filters")
    return page(apply(shown, filters, FILTERS), params, "NatGateways")


def described(region: Region, gateway: NatGatewayRecord) -> dict[str, Any]:
    """A NAT gateway as DescribeNatGateways shows it."""
    interface = region.interfaces.get(gateway.interface_id)
    elastic = region.elastic.get(gateway.allocation_id)
    address = {
        "AllocationId": gateway.allocation_id or None,
        "NetworkInterfaceId": gateway.interface_id,
        "PrivateIp": interface.addresses[0] if interface else None,
        "PublicIp": elastic.public_ip if elastic and interface else None,
        "AssociationId": elastic.association_id if elastic and interface else None,
        "IsPrimary": True,
        "Status": "succeeded",
    }
    return {
        "NatGatewayId": gateway.id,
        "VpcId": gateway.vpc_id,
        "SubnetId": gateway.subnet_id,
        "State": gateway.state,
        "ConnectivityType": "public" if gateway.public else "private",
        "CreateTime": gateway.created,
        "NatGatewayAddresses": [address],
        "Tags": region.tag_list(gateway.id),
    }
