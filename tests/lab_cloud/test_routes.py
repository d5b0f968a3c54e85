from __future__ import annotations

from evernat.lab.world import Route
from tests.lab_cloud.support import Lab, refused

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
