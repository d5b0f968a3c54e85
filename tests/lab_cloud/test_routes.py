from __future__ import annotations

import pytest

from evernat.lab.cloud.resources import RouteRecord
from evernat.lab.world import Route
from tests import targets
from tests.lab_cloud.support import REGION, Lab, refused

ALL = "0.0.0.0/0"


def test_create_refuses_what_is_there(lab: Lab) -> None:
    """RouteAlreadyExists for a second route to a destination, the local one included."""
    lab.ec2.create_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, GatewayId=lab.gateway)
    for destination in (ALL, "10.0.0.0/16"):
        with refused("RouteAlreadyExists"):
            lab.ec2.create_route(
                RouteTableId=lab.table, DestinationCidrBlock=destination, GatewayId=lab.gateway
            )


def test_replace_refuses_what_is_not_there(lab: Lab) -> None:
    """ReplaceRoute without a route is an InvalidParameterValue, DeleteRoute an InvalidRoute.NotFound."""
    with refused("InvalidParameterValue"):
        lab.ec2.replace_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, GatewayId=lab.gateway)
    with refused("InvalidRoute.NotFound"):
        lab.ec2.delete_route(RouteTableId=lab.table, DestinationCidrBlock=ALL)


def test_a_route_to_an_interface_is_active_while_an_instance_has_it(lab: Lab) -> None:
    """Attached to nothing, or to a stopped instance, it is a blackhole."""
    eni, instance = lab.eni(), lab.run()
    lab.ec2.create_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, NetworkInterfaceId=eni)
    assert lab.routes(lab.table)[ALL]["State"] == "blackhole"
    lab.attach(eni, instance)
    shown = lab.routes(lab.table)[ALL]
    assert (shown["State"], shown["NetworkInterfaceId"], shown["InstanceId"]) == ("active", eni, instance)
    lab.ec2.stop_instances(InstanceIds=[instance])
    lab.advance()
    assert lab.routes(lab.table)[ALL]["State"] == "blackhole"


def test_a_route_outlives_its_target_as_a_blackhole(lab: Lab) -> None:
    """The route stays when its interface is deleted, in the API and in the world."""
    eni = lab.eni()
    lab.ec2.create_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, NetworkInterfaceId=eni)
    table = next(t for t in lab.cloud.world().route_tables if t.id == lab.table)
    assert Route(ALL, "eni", eni) in table.routes
    lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert lab.routes(lab.table)[ALL]["State"] == "blackhole"
    table = next(t for t in lab.cloud.world().route_tables if t.id == lab.table)
    assert Route(ALL, "blackhole") in table.routes


def test_targets_must_exist_in_the_same_network(lab: Lab) -> None:
    """Each kind of target has its own code when it is unknown; another VPC's is an InvalidParameterValue."""
    for key, value, code in (
        ("NetworkInterfaceId", "eni-00000000000000000", "InvalidNetworkInterfaceID.NotFound"),
        ("GatewayId", "igw-00000000000000000", "InvalidGatewayID.NotFound"),
        ("NatGatewayId", "nat-00000000000000000", "InvalidNatGatewayID.NotFound"),
    ):
        with refused(code):
            lab.ec2.create_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, **{key: value})
    loose = lab.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    with refused("InvalidParameterValue"):
        lab.ec2.create_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, GatewayId=loose)
    with refused("InvalidRouteTableID.NotFound"):
        lab.ec2.create_route(RouteTableId="rtb-0", DestinationCidrBlock=ALL, GatewayId=lab.gateway)


def test_a_nat_gateway_can_be_replaced_and_put_back(lab: Lab) -> None:
    """The default route goes from a NAT gateway to an interface and back."""
    allocation, public = lab.eip()
    nat = lab.ec2.create_nat_gateway(SubnetId=lab.public, AllocationId=allocation)["NatGateway"][
        "NatGatewayId"
    ]
    lab.advance()
    lab.ec2.create_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, NatGatewayId=nat)
    assert lab.routes(lab.table)[ALL]["State"] == "active"
    assert [(n.id, n.public_address) for n in lab.cloud.world().nat_gateways] == [(nat, public)]
    eni = lab.eni()
    lab.ec2.replace_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, NetworkInterfaceId=eni)
    assert "NatGatewayId" not in lab.routes(lab.table)[ALL]
    lab.ec2.replace_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, NatGatewayId=nat)
    lab.ec2.delete_nat_gateway(NatGatewayId=nat)
    lab.advance()
    assert lab.routes(lab.table)[ALL]["State"] == "blackhole"
    lab.ec2.release_address(AllocationId=allocation)


def test_subnets_use_their_own_table_or_the_main_one(lab: Lab) -> None:
    """The world names the table in force for each subnet."""
    main = next(t.id for t in lab.cloud.world().route_tables if t.id != lab.table)
    lab.ec2.associate_route_table(RouteTableId=lab.table, SubnetId=lab.private)
    tables = {s.id: s.route_table_id for s in lab.cloud.world().subnets}
    assert (tables[lab.private], tables[lab.public]) == (lab.table, main)
    with refused("Resource.AlreadyAssociated"):
        lab.ec2.associate_route_table(RouteTableId=main, SubnetId=lab.private)


def test_tables_are_found_by_association_and_route(lab: Lab) -> None:
    """Filters of DescribeRouteTables."""
    lab.ec2.associate_route_table(RouteTableId=lab.table, SubnetId=lab.private)
    lab.ec2.create_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, GatewayId=lab.gateway)
    for name, value in (("association.subnet-id", lab.private), ("route.gateway-id", lab.gateway)):
        found = lab.ec2.describe_route_tables(Filters=[{"Name": name, "Values": [value]}])["RouteTables"]
        assert [t["RouteTableId"] for t in found] == [lab.table]


def place(lab: Lab) -> targets.Place:
    """Where targets are made."""
    return targets.Place(lab.ec2, lab.cloud.region(REGION), lab.vpc, lab.public, lambda: lab.advance(60.0))


@pytest.mark.parametrize("name", targets.KINDS)
def test_each_kind_of_target(lab: Lab, name: str) -> None:
    """A route is shown as what it is; without its target it is refused when it is made, and a blackhole afterwards."""
    kind, here = targets.KINDS[name], place(lab)
    identifier = kind.make(here)
    lab.ec2.create_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, **{kind.field: identifier})
    shown = lab.routes(lab.table)[ALL]
    assert (shown["State"], shown[kind.shown]) == ("active", identifier)
    kinds = {k.shown for k in targets.KINDS.values()} & shown.keys()
    assert kinds == {kind.shown}
    kind.end(here, identifier)
    assert lab.routes(lab.table)[ALL]["State"] == "blackhole"
    table = next(t for t in lab.cloud.world().route_tables if t.id == lab.table)
    assert Route(ALL, "blackhole") in table.routes
    with refused(kind.missing):
        lab.ec2.replace_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, **{kind.field: identifier})


def test_an_endpoint_is_set_by_its_own_name(lab: Lab) -> None:
    """What DescribeRouteTables shows as GatewayId is no GatewayId when a Gateway Load Balancer's endpoint is set."""
    identifier = targets.KINDS["endpoint"].make(place(lab))
    with refused("InvalidGatewayID.NotFound"):
        lab.ec2.create_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, GatewayId=identifier)


def test_a_target_serves_its_own_network(lab: Lab) -> None:
    """A transit gateway, or a private one, that is not attached to the table's VPC is not there."""
    other = lab.ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    table = lab.ec2.create_route_table(VpcId=other)["RouteTable"]["RouteTableId"]
    for name in ("transit gateway", "private gateway", "endpoint", "carrier gateway", "local gateway"):
        kind = targets.KINDS[name]
        with refused(kind.missing):
            lab.ec2.create_route(
                RouteTableId=table, DestinationCidrBlock=ALL, **{kind.field: kind.make(place(lab))}
            )


def test_egress_only(lab: Lab) -> None:
    """An egress-only internet gateway takes IPv6 alone."""
    gateway = lab.ec2.create_egress_only_internet_gateway(VpcId=lab.vpc)["EgressOnlyInternetGateway"]
    with refused("InvalidParameterValue"):
        lab.ec2.create_route(
            RouteTableId=lab.table,
            DestinationCidrBlock=ALL,
            EgressOnlyInternetGatewayId=gateway["EgressOnlyInternetGatewayId"],
        )


def test_a_propagated_route(lab: Lab) -> None:
    """It is shown beside a static one of the same destination, cannot be replaced, and stays when that is deleted."""
    gateway = targets.KINDS["private gateway"].make(place(lab))
    region = lab.cloud.region(REGION)
    region.propagated[lab.table] = [RouteRecord(ALL, "vgw", gateway, "EnableVgwRoutePropagation")]

    def shown() -> list[tuple[str, str]]:
        table = lab.ec2.describe_route_tables(RouteTableIds=[lab.table])["RouteTables"][0]
        return [(r["GatewayId"], r["Origin"]) for r in table["Routes"] if r["DestinationCidrBlock"] == ALL]

    propagated = (gateway, "EnableVgwRoutePropagation")
    assert shown() == [propagated]
    with refused("InvalidParameterValue"):
        lab.ec2.replace_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, GatewayId=lab.gateway)
    lab.ec2.create_route(RouteTableId=lab.table, DestinationCidrBlock=ALL, GatewayId=lab.gateway)
    assert shown() == [(lab.gateway, "CreateRoute"), propagated]
    lab.ec2.delete_route(RouteTableId=lab.table, DestinationCidrBlock=ALL)
    assert shown() == [propagated]


ASKED = {
    "endpoint": ("describe_vpc_endpoints", "VpcEndpoints", "vpc-endpoint-id"),
    "transit gateway": (
        "describe_transit_gateway_vpc_attachments",
        "TransitGatewayVpcAttachments",
        "transit-gateway-id",
    ),
    "peering": ("describe_vpc_peering_connections", "VpcPeeringConnections", "vpc-peering-connection-id"),
    "carrier gateway": ("describe_carrier_gateways", "CarrierGateways", "carrier-gateway-id"),
    "private gateway": ("describe_vpn_gateways", "VpnGateways", "vpn-gateway-id"),
    "local gateway": (
        "describe_local_gateway_route_table_vpc_associations",
        "LocalGatewayRouteTableVpcAssociations",
        "local-gateway-id",
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_targets_are_found_by_filters(lab: Lab, name: str) -> None:
    """An id in a filter finds just that one; one that is not there finds nothing, and is no error."""
    operation, key, filtered = ASKED[name]
    kind = targets.KINDS[name]
    identifier = kind.make(place(lab))
    for wanted, count in ((identifier, 1), ("x-0a1b2c3d", 0)):
        found = getattr(lab.ec2, operation)(Filters=[{"Name": filtered, "Values": [wanted]}])[key]
        assert len(found) == count
    assert identifier in found_ids(getattr(lab.ec2, operation)()[key])


def found_ids(found: list[dict[str, str]]) -> set[str]:
    """All plain values."""
    return {value for thing in found for value in thing.values() if isinstance(value, str)}
