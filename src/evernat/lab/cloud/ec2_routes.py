"""Routes. moto keeps the tables and their associations; the routes in them and whether they work are ours.

A route whose target is gone is a `blackhole`; CreateRoute refuses a destination that is there, ReplaceRoute one that
is not (EC2 API reference; VPC user guide, route tables).
"""

from __future__ import annotations

import ipaddress
from typing import Any

from evernat.lab.cloud.ec2_targets import KINDS, kind_of
from evernat.lab.cloud.ec2_targets import check as check_target
from evernat.lab.cloud.errors import AwsError, invalid, missing
from evernat.lab.cloud.filters import apply, page, select
from evernat.lab.cloud.registry import Params, guards, handles
from evernat.lab.cloud.resources import RouteRecord
from evernat.lab.cloud.state import Region

TARGETS = (
    *("GatewayId", "NatGatewayId", "NetworkInterfaceId", "InstanceId", "EgressOnlyInternetGatewayId"),
    *dict.fromkeys(kind.parameter for kind in KINDS.values() if kind.parameter != "GatewayId"),
)
"""Parameters that can name a route's target."""

FILTERS = {
    "route-table-id": "RouteTableId",
    "vpc-id": "VpcId",
    "owner-id": "OwnerId",
    "association.main": "Associations.Main",
    "association.subnet-id": "Associations.SubnetId",
    "association.gateway-id": "Associations.GatewayId",
    "association.route-table-id": "Associations.RouteTableId",
    "association.route-table-association-id": "Associations.RouteTableAssociationId",
    "route.destination-cidr-block": "Routes.DestinationCidrBlock",
    "route.gateway-id": "Routes.GatewayId",
    "route.nat-gateway-id": "Routes.NatGatewayId",
    "route.instance-id": "Routes.InstanceId",
    "route.network-interface-id": "Routes.NetworkInterfaceId",
    "route.state": "Routes.State",
    "route.origin": "Routes.Origin",
}


def local_cidrs(region: Region, vpc_id: str) -> list[str]:
    """The destinations of the local routes: the VPC's own blocks."""
    found = region.vpc(vpc_id).get_cidr_block_association_set(ipv6=False)
    return [str(item["cidr_block"]) for item in found]


def active(region: Region, route: RouteRecord, vpc_id: str) -> bool:
    """Whether the target can take packets of the table's VPC."""
    if route.kind == "eni":
        interface = region.interfaces.get(route.target_id)
        machine = region.machines.get(interface.plug.instance_id) if interface and interface.plug else None
        return machine is not None and machine.state in ("pending", "running")
    if route.kind in KINDS:
        return KINDS[route.kind].serves(region, route.target_id, vpc_id)
    if route.kind == "igw":
        gateway = region.ec2.internet_gateways.get(route.target_id)
        return gateway is not None and gateway.vpc is not None
    gateway = region.nat_gateways.get(route.target_id)
    return gateway is not None and gateway.state == "available"


def _destination(params: Params) -> str:
    text = params.get("DestinationCidrBlock")
    if not text:
        raise missing("destinationCidrBlock")
    try:
        # Host bits are cleared without a word (CreateRoute, DestinationCidrBlock).
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise invalid("destinationCidrBlock", text) from None


def _target(region: Region, table: Any, params: Params) -> tuple[str, str]:
    given = [k for k in TARGETS if params.get(k)]
    if len(given) != 1:
        raise AwsError("InvalidParameterCombination", "A route needs exactly one target.")
    wanted = str(params[given[0]])
    if given[0] == "EgressOnlyInternetGatewayId":
        raise invalid("destinationIpv6CidrBlock", "")  # IPv6 traffic only
    kind = kind_of(given[0], wanted)
    if kind:
        check_target(region, kind, wanted, table.vpc_id)
        return kind, wanted
    if given[0] == "GatewayId":
        return _gateway(region, table, wanted)
    if given[0] == "NatGatewayId":
        gateway = region.nat_gateways.get(wanted)
        if gateway is None or gateway.state not in ("pending", "available"):
            raise AwsError("InvalidNatGatewayID.NotFound", f"The natGateway ID '{wanted}' does not exist")
        _same_vpc(table, gateway.vpc_id, wanted)
        return "nat", wanted
    if given[0] == "InstanceId":
        plugged = region.plugged(region.machine(wanted).id)
        if len(plugged) != 1:
            raise AwsError(
                "InvalidInstanceID", f"There are multiple interfaces attached to instance '{wanted}'."
            )
        wanted = plugged[0].id
    interface = region.interface(wanted)
    _same_vpc(table, interface.vpc_id, wanted)
    return "eni", wanted


def _gateway(region: Region, table: Any, gateway_id: str) -> tuple[str, str]:
    gateway = region.ec2.internet_gateways.get(gateway_id)
    if gateway is None:
        raise AwsError("InvalidGatewayID.NotFound", f"The gateway ID '{gateway_id}' does not exist")
    _same_vpc(table, gateway.vpc.id if gateway.vpc else "", gateway_id)
    return "igw", gateway_id


def _same_vpc(table: Any, vpc_id: str, target: str) -> None:
    if table.vpc_id != vpc_id:
        raise AwsError(
            "InvalidParameterValue",
            f"route table {table.id} and target {target} belong to different networks",
        )


@handles("ec2", "CreateRoute")
def create(region: Region, params: Params) -> Params:
    """Refused with RouteAlreadyExists if the destination has a route."""
    table = region.route_table(params.get("RouteTableId", ""))
    destination = _destination(params)
    routes = region.routes.setdefault(table.id, {})
    if destination in routes or destination in local_cidrs(region, table.vpc_id):
        raise AwsError("RouteAlreadyExists", f"The route identified by {destination} already exists.")
    routes[destination] = RouteRecord(destination, *_target(region, table, params))
    return {"Return": True}


@handles("ec2", "ReplaceRoute")
def replace(region: Region, params: Params) -> Params:
    """Refused if there is no such route."""
    table = region.route_table(params.get("RouteTableId", ""))
    destination = _destination(params)
    routes = region.routes.setdefault(table.id, {})
    if destination not in routes:
        raise AwsError(
            "InvalidParameterValue",
            f"There is no route defined for '{destination}' in the route table. Use CreateRoute instead.",
        )
    routes[destination] = RouteRecord(destination, *_target(region, table, params))
    return {}


@handles("ec2", "DeleteRoute")
def delete(region: Region, params: Params) -> Params:
    """Refused if there is no such route."""
    table = region.route_table(params.get("RouteTableId", ""))
    destination = _destination(params)
    if region.routes.get(table.id, {}).pop(destination, None) is None:
        raise AwsError(
            "InvalidRoute.NotFound",
            f"no route with destination-cidr-block {destination} in route table {table.id}",
        )
    return {}


@guards("ec2", "DeleteRouteTable")
def check_delete_table(region: Region, params: Params) -> None:
    """The main table and tables in use stay."""
    table = region.route_table(params.get("RouteTableId", ""))
    if table.main_association_id or table._associations:
        raise AwsError(
            "DependencyViolation", f"The routeTable '{table.id}' has dependencies and cannot be deleted."
        )
    region.routes.pop(table.id, None)
    region.untag(table.id)


@guards("ec2", "AssociateRouteTable")
def check_associate(region: Region, params: Params) -> None:
    """A subnet has one table; another needs ReplaceRouteTableAssociation."""
    table = region.route_table(params.get("RouteTableId", ""))
    subnet_id = params.get("SubnetId", "")
    if not subnet_id:
        return
    _same_vpc(table, region.subnet(subnet_id).vpc_id, subnet_id)
    for other in region.ec2.route_tables.values():
        if other is not table and subnet_id in other._associations.values():
            raise AwsError(
                "Resource.AlreadyAssociated",
                f"the specified association for route table {table.id} conflicts with an existing association",
            )


@handles("ec2", "DescribeRouteTables")
def describe(region: Region, params: Params) -> Params:
    """Tables with routes, their states, and associations."""
    shown = [described(region, t) for t in region.ec2.route_tables.values()]
    shown = select(
        shown, "RouteTableId", params.get("RouteTableIds"), "InvalidRouteTableID.NotFound", "routeTable"
    )
    return page(apply(shown, params.get("Filters"), FILTERS), params, "RouteTables")


def described(region: Region, table: Any) -> dict[str, Any]:
    """A route table as DescribeRouteTables shows it."""
    local = [
        {"DestinationCidrBlock": c, "GatewayId": "local", "Origin": "CreateRouteTable", "State": "active"}
        for c in local_cidrs(region, table.vpc_id)
    ]
    records = [*region.routes.get(table.id, {}).values(), *region.propagated.get(table.id, [])]
    made = [_described_route(region, r, table.vpc_id) for r in records]
    return {
        "RouteTableId": table.id,
        "VpcId": table.vpc_id,
        "OwnerId": region.account,
        "Routes": [*local, *made],
        "Associations": table.associations,
        "PropagatingVgws": [],
        "Tags": region.tag_list(table.id),
    }


def _described_route(region: Region, route: RouteRecord, vpc_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "DestinationCidrBlock": route.destination,
        "Origin": route.origin,
        "State": "active" if active(region, route, vpc_id) else "blackhole",
    }
    if route.kind in KINDS:
        shown[KINDS[route.kind].shown] = route.target_id
    elif route.kind == "igw":
        shown["GatewayId"] = route.target_id
    elif route.kind == "nat":
        shown["NatGatewayId"] = route.target_id
    else:
        shown["NetworkInterfaceId"] = route.target_id
        interface = region.interfaces.get(route.target_id)
        if interface and interface.plug:
            shown["InstanceId"] = interface.plug.instance_id
            shown["InstanceOwnerId"] = region.account
    return shown
