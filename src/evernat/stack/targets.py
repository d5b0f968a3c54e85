"""What a default route can lead to: how AWS's calls name it, how our tag remembers it, and whether it is still there.

CreateRoute and ReplaceRoute name each kind of target by a field of its own (EC2 API reference). DescribeRouteTables
shows it in the field of the same name, with one exception: the endpoint of a Gateway Load Balancer stands in GatewayId.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.found import RouteTable, Target

Here = Callable[[Api, str, list[str]], Collection[str]]
"""(AWS, VPC, ids) -> those that a route of the VPC can lead to now."""


@dataclass(frozen=True)
class Kind:
    """A kind of target: its field in AWS's calls, its name in the tag, and how to ask which of some are there.

    `here` is None where EC2 cannot be asked.
    """

    field: str
    tag: str
    here: Here | None


def target(field: str, identifier: str, state: str = "active", *, propagated: bool = False) -> Target:
    """A target as DescribeRouteTables, or an older tag, names it."""
    if field == "GatewayId" and identifier.startswith("vpce-"):
        field = "VpcEndpointId"
    return Target(field, identifier, state, propagated)


def shown(route: Mapping[str, Any]) -> Target:
    """Where a route of DescribeRouteTables leads. Its field is empty when it is of no kind that is known here."""
    propagated = route.get("Origin", "CreateRoute") not in ("CreateRoute", "CreateRouteTable")
    state = route.get("State") or "active"
    # An instance's route also names its interface, which comes first.
    for kind in KINDS:
        if route.get(kind.field):
            return target(kind.field, route[kind.field], state, propagated=propagated)
    return Target("", "a target of a kind that is not known", state, propagated)


def remembered(tags: Mapping[str, str]) -> Target | None:
    """The former target that a table's tag remembers; its field is empty when it is of no kind that is known here."""
    text = tags.get(names.PREVIOUS_ROUTE_TAG, "")
    if not text:
        return None
    tag, _, identifier = text.partition("=")
    field = next((kind.field for kind in KINDS if kind.tag == tag), "")
    return target(field, identifier) if field and identifier else Target("", text)


def to_remember(former: Target) -> str:
    """The same as text for the tag."""
    return f"{next(kind.tag for kind in KINDS if kind.field == former.field)}={former.id}"


def is_uncertain(former: Target | None) -> bool:
    """Whether a target is of a kind that `gone` cannot judge."""
    return former is not None and any(kind.field == former.field and kind.here is None for kind in KINDS)


def gone(api: Api, tables: Iterable[RouteTable]) -> frozenset[str]:
    """Of the targets that these tables remember, those that their routes cannot lead to any more."""
    wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
    for table in tables:
        former = remembered(table.tags)
        if former and former.field:
            wanted[former.field, table.vpc_id].add(former.id)
    missing: set[str] = set()
    for (field, vpc_id), ids in sorted(wanted.items()):
        here = next(kind.here for kind in KINDS if kind.field == field)
        if here:
            missing |= ids - set(here(api, vpc_id, sorted(ids)))
    return frozenset(missing)


def _found(api: Api, operation: str, key: str, name: str, ids: list[str]) -> list[dict[str, Any]]:
    """Asked for by a filter: an id that is not there is no error then."""
    # DescribeNatGateways alone calls its parameter Filter.
    parameter = "Filter" if operation == "describe_nat_gateways" else "Filters"
    asked: dict[str, Any] = {parameter: [{"Name": name, "Values": ids}]}
    return api.pages("ec2", operation, key, **asked)


def _nat(api: Api, vpc_id: str, ids: list[str]) -> set[str]:
    found = _found(api, "describe_nat_gateways", "NatGateways", "nat-gateway-id", ids)
    live = ("pending", "available")
    return {n["NatGatewayId"] for n in found if n["State"] in live and n["VpcId"] == vpc_id}


def _interface(api: Api, vpc_id: str, ids: list[str]) -> set[str]:
    found = _found(api, "describe_network_interfaces", "NetworkInterfaces", "network-interface-id", ids)
    return {i["NetworkInterfaceId"] for i in found if i["VpcId"] == vpc_id}


def _instance(api: Api, vpc_id: str, ids: list[str]) -> set[str]:
    found = _found(api, "describe_instances", "Reservations", "instance-id", ids)
    instances = [i for r in found for i in r["Instances"]]
    return {i["InstanceId"] for i in instances if i.get("VpcId") == vpc_id}  # a terminated one is in none


def _gateway(api: Api, vpc_id: str, ids: list[str]) -> set[str]:
    """An internet gateway or a virtual private gateway."""
    internet, private = ([i for i in ids if i.startswith(start)] for start in ("igw-", "vgw-"))
    there: dict[str, Any] = {}
    if internet:
        found = _found(api, "describe_internet_gateways", "InternetGateways", "internet-gateway-id", internet)
        there |= {g["InternetGatewayId"]: g.get("Attachments") for g in found}
    if private:
        found = _found(api, "describe_vpn_gateways", "VpnGateways", "vpn-gateway-id", private)
        there |= {g["VpnGatewayId"]: g.get("VpcAttachments") for g in found}
    return {
        identifier
        for identifier, attachments in there.items()
        for a in attachments or []
        if a.get("VpcId") == vpc_id and a.get("State") in ("available", "attached")
    }


def _endpoint(api: Api, vpc_id: str, ids: list[str]) -> set[str]:
    found = _found(api, "describe_vpc_endpoints", "VpcEndpoints", "vpc-endpoint-id", ids)
    return {e["VpcEndpointId"] for e in found if (e["VpcId"], e["State"].lower()) == (vpc_id, "available")}


def _transit(api: Api, vpc_id: str, ids: list[str]) -> set[str]:
    # The gateway may be another account's; to a VPC it is there by its attachment.
    operation, key = "describe_transit_gateway_vpc_attachments", "TransitGatewayVpcAttachments"
    found = _found(api, operation, key, "transit-gateway-id", ids)
    live = ("available", "modifying")
    return {a["TransitGatewayId"] for a in found if a["VpcId"] == vpc_id and a["State"] in live}


def _peering(api: Api, vpc_id: str, ids: list[str]) -> set[str]:
    operation, key = "describe_vpc_peering_connections", "VpcPeeringConnections"
    found = _found(api, operation, key, "vpc-peering-connection-id", ids)
    sides = ("RequesterVpcInfo", "AccepterVpcInfo")
    ours = [c for c in found if vpc_id in {(c.get(side) or {}).get("VpcId") for side in sides}]
    return {c["VpcPeeringConnectionId"] for c in ours if c["Status"]["Code"] == "active"}


def _carrier(api: Api, vpc_id: str, ids: list[str]) -> set[str]:
    found = _found(api, "describe_carrier_gateways", "CarrierGateways", "carrier-gateway-id", ids)
    return {g["CarrierGatewayId"] for g in found if (g["VpcId"], g["State"]) == (vpc_id, "available")}


def _local(api: Api, vpc_id: str, ids: list[str]) -> set[str]:
    operation, key = (
        "describe_local_gateway_route_table_vpc_associations",
        "LocalGatewayRouteTableVpcAssociations",
    )
    found = _found(api, operation, key, "local-gateway-id", ids)
    return {a["LocalGatewayId"] for a in found if (a["VpcId"], a["State"]) == (vpc_id, "associated")}


KINDS = (
    Kind("NatGatewayId", "nat-gateway-id", _nat),
    Kind("NetworkInterfaceId", "network-interface-id", _interface),
    Kind("TransitGatewayId", "transit-gateway-id", _transit),
    Kind("VpcPeeringConnectionId", "vpc-peering-connection-id", _peering),
    Kind("VpcEndpointId", "vpc-endpoint-id", _endpoint),
    Kind("CarrierGatewayId", "carrier-gateway-id", _carrier),
    Kind("LocalGatewayId", "local-gateway-id", _local),
    # These are other services' (Network Manager, ODB).
    Kind("CoreNetworkArn", "core-network-arn", None),
    Kind("OdbNetworkArn", "odb-network-arn", None),
    # IPv6 alone; told from what is not known.
    Kind("EgressOnlyInternetGatewayId", "egress-only-internet-gateway-id", None),
    Kind("InstanceId", "instance-id", _instance),
    Kind("GatewayId", "gateway-id", _gateway),
)
"""Every target that CreateRoute takes. The order counts where a route shows two."""
