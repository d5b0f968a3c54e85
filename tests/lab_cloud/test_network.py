from __future__ import annotations

import pytest

from evernat.lab.cloud import Cloud, build_network
from evernat.lab.profile import NONE
from evernat.lab.world import Rule
from tests.lab_cloud.support import Lab, Server, refused


def test_the_account_starts_empty(lab: Lab) -> None:
    """There is no default VPC, as moto would have it."""
    assert [v["VpcId"] for v in lab.ec2.describe_vpcs()["Vpcs"]] == [lab.vpc]


def test_a_group_in_use_cannot_be_deleted(lab: Lab) -> None:
    """An interface, or a rule of another group, holds it: DependencyViolation."""
    eni = lab.eni()
    with refused("DependencyViolation"):
        lab.ec2.delete_security_group(GroupId=lab.group)
    lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
    other = lab.ec2.create_security_group(GroupName="o", Description="o", VpcId=lab.vpc)["GroupId"]
    rule = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "UserIdGroupPairs": [{"GroupId": lab.group}]}]
    lab.ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=rule)
    with refused("DependencyViolation"):
        lab.ec2.delete_security_group(GroupId=lab.group)
    lab.ec2.delete_security_group(GroupId=other)
    lab.ec2.delete_security_group(GroupId=lab.group)


def test_group_names_are_unique_in_a_vpc(lab: Lab) -> None:
    """A second one is an InvalidGroup.Duplicate."""
    with refused("InvalidGroup.Duplicate"):
        lab.ec2.create_security_group(GroupName="g", Description="g", VpcId=lab.vpc)


def test_rules_have_a_quota_and_are_unique(lab: Lab) -> None:
    """60 rules per direction; the same rule twice is an InvalidPermission.Duplicate."""
    ranges = [{"CidrIp": f"10.1.{i}.0/24"} for i in range(60)]
    permission = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": ranges}]
    lab.ec2.authorize_security_group_ingress(GroupId=lab.group, IpPermissions=permission)
    more = [{"IpProtocol": "udp", "FromPort": 1, "ToPort": 1, "IpRanges": [{"CidrIp": "10.2.0.0/24"}]}]
    with refused("RulesPerSecurityGroupLimitExceeded"):
        lab.ec2.authorize_security_group_ingress(GroupId=lab.group, IpPermissions=more)
    lab.ec2.revoke_security_group_ingress(GroupId=lab.group, IpPermissions=permission)
    lab.ec2.authorize_security_group_ingress(GroupId=lab.group, IpPermissions=more)
    with refused("InvalidPermission.Duplicate"):
        lab.ec2.authorize_security_group_ingress(GroupId=lab.group, IpPermissions=more)


def test_rules_reach_the_world(lab: Lab) -> None:
    """Protocols, ports, CIDRs and groups as the fabric needs them."""
    permissions = [
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/16"}]},
        {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 81, "UserIdGroupPairs": [{"GroupId": lab.group}]},
        {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
    ]
    lab.ec2.authorize_security_group_ingress(GroupId=lab.group, IpPermissions=permissions)
    group = next(g for g in lab.cloud.world().groups if g.id == lab.group)
    assert set(group.ingress) == {
        Rule("-1", -1, -1, ("10.0.0.0/16",)),
        Rule("tcp", 80, 81, (), (lab.group,)),
        Rule("icmp", 8, -1, ("0.0.0.0/0",)),
    }
    assert group.egress == (Rule("-1", -1, -1, ("0.0.0.0/0",)),)


def test_what_is_in_use_cannot_be_deleted(lab: Lab) -> None:
    """Subnet with interfaces, gateway with mapped addresses, VPC with anything: DependencyViolation."""
    eni = lab.eni()
    lab.ec2.associate_address(AllocationId=lab.eip()[0], NetworkInterfaceId=eni)
    with refused("DependencyViolation"):
        lab.ec2.delete_subnet(SubnetId=lab.public)
    with refused("DependencyViolation"):
        lab.ec2.detach_internet_gateway(InternetGatewayId=lab.gateway, VpcId=lab.vpc)
    with refused("DependencyViolation"):
        lab.ec2.delete_vpc(VpcId=lab.vpc)
    with refused("DependencyViolation"):
        lab.ec2.delete_internet_gateway(InternetGatewayId=lab.gateway)
    lab.ec2.associate_route_table(RouteTableId=lab.table, SubnetId=lab.private)
    with refused("DependencyViolation"):
        lab.ec2.delete_route_table(RouteTableId=lab.table)


def test_a_vpc_can_be_taken_down_in_order(lab: Lab) -> None:
    """Everything that was made can be deleted again."""
    lab.ec2.detach_internet_gateway(InternetGatewayId=lab.gateway, VpcId=lab.vpc)
    lab.ec2.delete_internet_gateway(InternetGatewayId=lab.gateway)
    for subnet in (lab.public, lab.private, lab.other_zone):
        lab.ec2.delete_subnet(SubnetId=subnet)
    lab.ec2.delete_route_table(RouteTableId=lab.table)
    lab.ec2.delete_security_group(GroupId=lab.group)
    lab.ec2.delete_vpc(VpcId=lab.vpc)
    world = lab.cloud.world()
    assert (world.vpc_cidrs, world.subnets, world.route_tables, world.groups) == ((), (), (), ())


def test_subnets_count_their_free_addresses(lab: Lab) -> None:
    """AWS keeps five of each subnet; every interface takes its own."""
    lab.eni()
    subnets = lab.ec2.describe_subnets(SubnetIds=[lab.public, lab.private])["Subnets"]
    assert [s["AvailableIpAddressCount"] for s in subnets] == [250, 251]


def test_unknown_ids_have_codes_of_their_own(lab: Lab) -> None:
    """InvalidVpcID.NotFound, InvalidSubnetID.NotFound, InvalidGroup.NotFound, InvalidAllocationID.NotFound."""
    with refused("InvalidVpcID.NotFound"):
        lab.ec2.describe_vpcs(VpcIds=["vpc-00000000000000000"])
    with refused("InvalidSubnetID.NotFound"):
        lab.ec2.describe_subnets(SubnetIds=["subnet-00000000000000000"])
    with refused("InvalidGroup.NotFound"):
        lab.ec2.describe_security_groups(GroupIds=["sg-00000000000000000"])
    with refused("InvalidAllocationID.NotFound"):
        lab.ec2.describe_addresses(AllocationIds=["eipalloc-00000000000000000"])


def test_tags_of_everything(lab: Lab) -> None:
    """CreateTags, DescribeTags and DeleteTags work on moto's resources and ours alike; unknown ids are refused."""
    for resource in (lab.vpc, lab.table, lab.eni(), lab.run(), lab.eip()[0]):
        lab.ec2.create_tags(Resources=[resource], Tags=[{"Key": "k", "Value": "v"}])
        found = lab.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [resource]}])["Tags"]
        assert [(t["Key"], t["Value"]) for t in found] == [("k", "v")]
        lab.ec2.delete_tags(Resources=[resource], Tags=[{"Key": "k"}])
    assert lab.ec2.describe_tags(Filters=[{"Name": "key", "Values": ["k"]}])["Tags"] == []
    with refused("InvalidRouteTableID.NotFound"):
        lab.ec2.create_tags(Resources=["rtb-00000000000000000"], Tags=[{"Key": "k", "Value": "v"}])
    with refused("InvalidParameterValue"):
        lab.ec2.create_tags(Resources=[lab.vpc], Tags=[{"Key": "aws:x", "Value": "v"}])


def test_regions_are_apart(lab: Lab) -> None:
    """What is in us-west-2 is unknown in eu-west-1."""
    elsewhere = lab.server.client("ec2", region="eu-west-1")
    assert elsewhere.describe_vpcs()["Vpcs"] == []
    with refused("InvalidVpcID.NotFound"):
        elsewhere.describe_vpcs(VpcIds=[lab.vpc])


@pytest.fixture(scope="module")
def article(server: Server) -> Cloud:
    return Cloud(NONE)


def test_the_articles_network(server: Server, article: Cloud) -> None:
    """VPC, six subnets in three zones, a private table each, three clients with fixed addresses."""
    server.cloud = article
    made = build_network(server.client)
    article.tick()
    world = article.world()
    assert world.vpc_cidrs == ("172.18.0.0/16",)
    assert {(s.cidr, s.zone) for s in world.subnets} >= {
        ("172.18.64.0/20", "us-west-2a"),
        ("172.18.96.0/20", "us-west-2c"),
        ("172.18.160.0/20", "us-west-2c"),
    }
    tables = {s.id: s.route_table_id for s in world.subnets}
    assert [tables[s] for s in made.private_subnet_ids] == list(made.private_route_table_ids)
    assert {tables[s] for s in made.public_subnet_ids} == {made.public_route_table_id}
    assert {(i.host, i.private_address, i.powered) for i in world.instances} == {
        ("client-a", "172.18.64.10", True),
        ("client-b", "172.18.80.10", True),
        ("client-c", "172.18.96.10", True),
    }
