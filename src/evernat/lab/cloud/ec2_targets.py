"""What a route can lead to besides interfaces, internet and NAT gateways (EC2 API reference, CreateRoute).

moto keeps most of these. The lab has no packets behind them: a route there is active for the API, and a dead end for
packets. Local gateways, core networks and ODB networks are made outside of EC2: `Region.elsewhere` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.filters import apply, page, select
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.resources import new_id
from evernat.lab.cloud.state import Region


@dataclass(frozen=True)
class Kind:
    """A kind of target: the parameter that names one, how DescribeRouteTables names it, and the code if there is none.

    `serves` says whether one can take packets of a VPC: it is there, and attached to it.
    """

    parameter: str
    shown: str
    missing: str
    serves: Callable[[Region, str, str], bool]


def _endpoint(region: Region, identifier: str, vpc_id: str) -> bool:
    found = region.ec2.vpc_end_points.get(identifier)
    return bool(found) and (found.vpc_id, found.state) == (vpc_id, "available")


def _transit(region: Region, identifier: str, vpc_id: str) -> bool:
    # To a VPC without an attachment a transit gateway does not exist.
    found = region.ec2.transit_gateway_attachments.values()
    return any(
        (a.transit_gateway_id, a.resource_id, a.state) == (identifier, vpc_id, "available") for a in found
    )


def _peering(region: Region, identifier: str, vpc_id: str) -> bool:
    found = region.ec2.vpc_pcxs.get(identifier)
    return bool(found) and found.status["Code"] == "active" and vpc_id in (found.vpc.id, found.peer_vpc.id)


def _carrier(region: Region, identifier: str, vpc_id: str) -> bool:
    found = region.ec2.carrier_gateways.get(identifier)
    return bool(found) and found.vpc_id == vpc_id


def _private(region: Region, identifier: str, vpc_id: str) -> bool:
    found = region.ec2.vpn_gateways.get(identifier)
    attachment = found.attachments.get(vpc_id) if found and found.state == "available" else None
    return attachment is not None and attachment.state == "attached"


def _elsewhere(region: Region, identifier: str, vpc_id: str) -> bool:
    return region.elsewhere.get(identifier) == vpc_id


KINDS = {
    # The endpoint of a Gateway Load Balancer is set by one name and shown by another.
    "vpce": Kind("VpcEndpointId", "GatewayId", "InvalidVpcEndpointId.NotFound", _endpoint),
    "tgw": Kind("TransitGatewayId", "TransitGatewayId", "InvalidTransitGatewayID.NotFound", _transit),
    "pcx": Kind(
        "VpcPeeringConnectionId", "VpcPeeringConnectionId", "InvalidVpcPeeringConnectionID.NotFound", _peering
    ),
    "cagw": Kind("CarrierGatewayId", "CarrierGatewayId", "InvalidCarrierGatewayID.NotFound", _carrier),
    "vgw": Kind("GatewayId", "GatewayId", "InvalidGatewayID.NotFound", _private),
    "lgw": Kind("LocalGatewayId", "LocalGatewayId", "InvalidLocalGatewayID.NotFound", _elsewhere),
    "core-network": Kind("CoreNetworkArn", "CoreNetworkArn", "InvalidCoreNetworkArn.NotFound", _elsewhere),
    "odb-network": Kind("OdbNetworkArn", "OdbNetworkArn", "InvalidOdbNetworkArn.NotFound", _elsewhere),
}


def kind_of(parameter: str, identifier: str) -> str:
    """The kind of what a parameter of CreateRoute names; empty when it is not one of these."""
    fit = [name for name, kind in KINDS.items() if kind.parameter == parameter]
    return next((name for name in fit if parameter != "GatewayId" or identifier.startswith(f"{name}-")), "")


def check(region: Region, name: str, identifier: str, vpc_id: str) -> None:
    """Refuse what does not serve a VPC."""
    kind = KINDS[name]
    if not kind.serves(region, identifier, vpc_id):
        raise AwsError(kind.missing, f"The {kind.parameter} '{identifier}' does not exist")


# What follows moto has no filters for (EC2 API reference, the filters of each).

ENDPOINT_FILTERS = {
    "service-name": "ServiceName",
    "vpc-id": "VpcId",
    "vpc-endpoint-id": "VpcEndpointId",
    "vpc-endpoint-state": "State",
    "vpc-endpoint-type": "VpcEndpointType",
}
PEERING_FILTERS = {
    "vpc-peering-connection-id": "VpcPeeringConnectionId",
    "status-code": "Status.Code",
    "status-message": "Status.Message",
    **{
        f"{side}-vpc-info.{name}": f"{side.capitalize()}VpcInfo.{field}"
        for side in ("accepter", "requester")
        for name, field in (("vpc-id", "VpcId"), ("owner-id", "OwnerId"), ("cidr-block", "CidrBlock"))
    },
}
ASSOCIATION_FILTERS = {"local-gateway-id": "LocalGatewayId", "vpc-id": "VpcId", "state": "State"}


@handles("ec2", "DescribeVpcEndpoints")
def endpoints(region: Region, params: Params) -> Params:
    """The endpoints that are there."""
    found = [e for e in region.ec2.vpc_end_points.values() if e.state != "deleted"]
    shown: list[dict[str, Any]] = [
        {
            "VpcEndpointId": e.id,
            "VpcEndpointType": e.vpc_endpoint_type or "Gateway",
            "VpcId": e.vpc_id,
            "ServiceName": e.service_name,
            "State": e.state,
            "PolicyDocument": e.policy_document,
            "RouteTableIds": e.route_table_ids or [],
            "SubnetIds": e.subnet_ids or [],
            "NetworkInterfaceIds": e.network_interface_ids or [],
            "Groups": [{"GroupId": g} for g in e.security_group_ids or []],
            "PrivateDnsEnabled": bool(e.private_dns_enabled),
            "DnsEntries": e.dns_entries or [],
            "OwnerId": region.account,
            "Tags": region.tag_list(e.id),
        }
        for e in found
    ]
    shown = select(
        shown, "VpcEndpointId", params.get("VpcEndpointIds"), "InvalidVpcEndpointId.NotFound", "Vpc Endpoint"
    )
    return page(apply(shown, params.get("Filters"), ENDPOINT_FILTERS), params, "VpcEndpoints")


@handles("ec2", "DescribeVpcPeeringConnections")
def peerings(region: Region, params: Params) -> Params:
    """Peering connections, deleted ones too for as long as moto keeps them."""
    shown: list[dict[str, Any]] = [
        {
            "VpcPeeringConnectionId": c.id,
            "Status": c.status,
            "AccepterVpcInfo": c.accepter_vpc_info,
            "RequesterVpcInfo": c.requester_vpc_info,
            "Tags": region.tag_list(c.id),
        }
        for c in region.ec2.vpc_pcxs.values()
    ]
    shown = select(
        shown,
        "VpcPeeringConnectionId",
        params.get("VpcPeeringConnectionIds"),
        "InvalidVpcPeeringConnectionID.NotFound",
        "vpcPeeringConnection",
    )
    return page(apply(shown, params.get("Filters"), PEERING_FILTERS), params, "VpcPeeringConnections")


@handles("ec2", "DescribeLocalGatewayRouteTableVpcAssociations")
def associations(region: Region, params: Params) -> Params:
    """The VPCs that local gateways serve."""
    shown: list[dict[str, Any]] = [
        {
            "LocalGatewayRouteTableVpcAssociationId": new_id("lgw-vpc-assoc"),
            "LocalGatewayId": identifier,
            "VpcId": vpc_id,
            "OwnerId": region.account,
            "State": "associated",
        }
        for identifier, vpc_id in region.elsewhere.items()
        if identifier.startswith("lgw-")
    ]
    found = apply(shown, params.get("Filters"), ASSOCIATION_FILTERS)
    return page(found, params, "LocalGatewayRouteTableVpcAssociations")
