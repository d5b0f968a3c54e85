"""Bad input that only AWS can tell: one clear message each, and nothing is changed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from evernat.stack import library
from evernat.stack.api import Api
from evernat.stack.errors import AccessError, ApiError, BadInput, StackError
from tests.stack.support import ring
from tests.stack.world import World


def refused(world: World, api: Api | None = None, **fields: Any) -> StackError:
    """The error a deploy of the article's gateway with these fields ends with; nothing may have been changed."""
    before, calls = world.inventory(), len(world.mutations())
    with pytest.raises(StackError) as caught:
        library.plan(world.gateway(**fields), api or world.api())
    assert len(world.mutations()) == calls
    assert world.inventory() == before
    assert caught.value.remedy
    return caught.value


def one(error: StackError, field: str, value: str, cause: str) -> None:
    """Assert that there is one problem, with this field and value."""
    assert isinstance(error, BadInput)
    assert [(p.field, p.value) for p in error.problems] == [(field, value)]
    assert cause in error.cause


def test_cidr_outside_the_vpc(world: World) -> None:
    """A private network must be inside the VPC."""
    error = refused(world, private_subnets_cidr_blocks=["172.18.64.0/20", "10.0.0.0/8"])
    one(error, "private_subnets_cidr_blocks[1]", "10.0.0.0/8", "outside the VPC (172.18.0.0/16)")


def test_public_subnet_without_internet_gateway(world: World) -> None:
    """A private subnet cannot be the public one."""
    subnet = world.network.private_subnet_ids[0]
    one(
        refused(world, public_subnet=subnet),
        "public_subnet",
        subnet,
        "no default route to an internet gateway",
    )


def test_public_subnet_unknown(world: World) -> None:
    """A subnet that is not in the VPC is named."""
    one(refused(world, public_subnet="subnet-0dead"), "public_subnet", "subnet-0dead", "no such subnet")


def other_vpc(world: World) -> tuple[str, str, str]:
    """Another VPC with a public subnet and its route table."""
    ec2 = world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone="us-west-2a")["Subnet"][
        "SubnetId"
    ]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    return vpc, subnet, table


def test_route_table_of_another_vpc(world: World) -> None:
    """A route table must be of the VPC."""
    _, _, table = other_vpc(world)
    one(refused(world, private_route_table_ids=[table]), "private_route_table_ids[0]", table, "not in vpc-")


def test_route_table_unknown(world: World) -> None:
    """A route table that does not exist is named."""
    one(
        refused(world, private_route_table_ids=["rtb-0dead"]),
        "private_route_table_ids[0]",
        "rtb-0dead",
        "no such",
    )


def test_route_table_of_the_public_subnet(world: World) -> None:
    """The nodes' own route table must keep leading to the internet gateway, whatever flags are given."""
    table = world.network.public_route_table_id
    error = refused(world, private_route_table_ids=[table])
    one(error, "private_route_table_ids[0]", table, "lose their own way out")


def test_foreign_default_route(world: World) -> None:
    """A default route to somewhere else is only replaced when the user says so."""
    ec2 = world.client("ec2")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=world.network.public_subnet_ids[0], AllocationId=address)
    identifier = nat["NatGateway"]["NatGatewayId"]
    table = world.network.private_route_table_ids[1]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=identifier)
    error = refused(world)
    one(error, "private_route_table_ids[1]", table, f"default route to {identifier}")
    assert "--replace-routes" in error.remedy
    assert library.plan(world.gateway(), world.api(), replace_routes=True).changes


def test_types_of_mixed_architecture(world: World) -> None:
    """All types must fit one image."""
    error = refused(world, instance_types=["t4g.nano", "t3.nano"])
    one(error, "instance_types", "t4g.nano, t3.nano", "t4g.nano is arm64, t3.nano is x86_64")


def test_type_unknown(world: World) -> None:
    """A type that does not exist is named."""
    one(
        refused(world, instance_types=["t4g.nano", "t4g.pico"]),
        "instance_types",
        "t4g.pico",
        "no such instance type",
    )


def test_image_of_the_wrong_architecture(world: World) -> None:
    """An image must fit the types."""
    (image, *_) = world.client("ec2").describe_images(
        Filters=[{"Name": "architecture", "Values": ["x86_64"]}]
    )["Images"]
    error = refused(world, image_id=image["ImageId"])
    one(error, "image_id", image["ImageId"], "is for x86_64, but instance_types (t4g.nano) is arm64")


def test_image_unknown(world: World) -> None:
    """An image that does not exist is named."""
    one(refused(world, image_id="ami-0dead"), "image_id", "ami-0dead", "no such image")


def test_volume_smaller_than_the_image(world: World) -> None:
    """The disk must hold the image."""
    one(refused(world, root_volume={"size": 1}), "root_volume.size", "1", "less than the image's")


def test_allocation_unknown(world: World) -> None:
    """An allocation id that does not exist is named."""
    one(refused(world, elastic_ip="eipalloc-0dead"), "elastic_ip", "eipalloc-0dead", "no such Elastic IP")


def test_address_on_something_else(world: World) -> None:
    """An address in use is not taken away from whatever has it."""
    ec2 = world.client("ec2")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    taken = ec2.create_network_interface(SubnetId=world.network.public_subnet_ids[1])
    interface = taken["NetworkInterface"]["NetworkInterfaceId"]
    ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface)
    one(refused(world, elastic_ip=address), "elastic_ip", address, f"is on {interface} already")


def test_port_forward_target_outside(world: World) -> None:
    """A forward leads into the VPC."""
    error = refused(
        world, port_forward=[{"port": 80, "target": "10.0.0.1"}, {"port": 81, "target": "i-0dead"}]
    )
    assert isinstance(error, BadInput)
    assert [(p.field, p.value) for p in error.problems] == [
        ("port_forward[0].target", "10.0.0.1"),
        ("port_forward[1].target", "i-0dead"),
    ]


def test_address_quota(world: World) -> None:
    """No address can be allocated when the account has as many as it may have."""
    ec2 = world.client("ec2")
    quota = ec2.describe_account_attributes(AttributeNames=["vpc-max-elastic-ips"])["AccountAttributes"][0]
    for _ in range(int(quota["AttributeValues"][0]["AttributeValue"])):
        ec2.allocate_address(Domain="vpc")
    one(refused(world), "elastic_ip", "create", "Elastic IPs")


def test_security_group_quota(world: World) -> None:
    """More rules than a security group takes are refused before one exists."""
    blocks = [f"172.18.{number}.0/24" for number in range(61)]
    error = refused(world, private_subnets_cidr_blocks=blocks)
    one(error, "private_subnets_cidr_blocks + port_forward.sources", "61", "a security group takes 60")


def test_quota_while_deploying(world: World) -> None:
    """A quota that only shows while deploying is told with what to do, and the next run goes on."""
    world.cloud.faults.add("AllocateAddress", "AddressLimitExceeded")
    with pytest.raises(ApiError) as caught:
        world.deploy(world.gateway())
    assert "L-0263D0A3" in caught.value.remedy
    world.deploy(world.gateway())
    world.complete()


@pytest.mark.parametrize("code", ["ExpiredToken", "RequestExpired"])
def test_expired_credentials(world: World, code: str) -> None:
    """Expired credentials are told as such, with the way to new ones."""
    world.cloud.faults.add("GetCallerIdentity", code)
    error = refused(world)
    assert isinstance(error, AccessError)
    assert code in error.cause
    assert "log in again" in error.remedy


def test_no_credentials(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials the message says so."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = refused(world, Api.of("us-west-2"))
    assert isinstance(error, AccessError)
    assert "credentials" in error.cause


def test_wrong_region(world: World) -> None:
    """A VPC of another region is not found; the message names the region that was asked."""
    error = refused(world, world.api("eu-central-1"), region=None)
    one(error, "vpc_id", world.network.vpc_id, "no such VPC in eu-central-1")
    assert "--region" in error.remedy


def test_no_region(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region the message says where it can be set."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "no AWS region" in refused(world, Api.of()).cause


def test_unreachable_region(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A region that cannot be reached is told with what to check."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    api = Api.of("us-west-2")
    api.clock = world.clock
    assert "check the region's name" in refused(world, api).remedy


def test_two_stacks_with_one_name(world: World) -> None:
    """A name that is taken in another VPC is refused, and the other stack stays as it is."""
    world.deploy(world.gateway())
    vpc, subnet, table = other_vpc(world)
    error = refused(
        world,
        vpc_id=vpc,
        public_subnet=subnet,
        private_subnets_cidr_blocks=["10.0.1.0/24"],
        private_route_table_ids=[],
    )
    one(error, "name", "main", f"is in {world.network.vpc_id} already")
    assert table


@pytest.mark.parametrize("kind", ["security group", "launch template", "role", "instance profile"])
def test_name_taken_by_a_stranger(world: World, kind: str) -> None:
    """Something that has one of our names without our tag is left alone."""
    if kind == "security group":
        world.client("ec2").create_security_group(
            GroupName="evernat-main", Description="x", VpcId=world.network.vpc_id
        )
    elif kind == "launch template":
        world.client("ec2").create_launch_template(
            LaunchTemplateName="evernat-main", LaunchTemplateData={"InstanceType": "t4g.nano"}
        )
    elif kind == "role":
        world.client("iam").create_role(RoleName="evernat-main-us-west-2", AssumeRolePolicyDocument="{}")
    else:
        world.client("iam").create_instance_profile(InstanceProfileName="evernat-main-us-west-2")
    world.before = world.inventory()
    one(refused(world), "name", "main", f"the {kind} evernat-main")
    world.destroy()
    world.gone()


def test_key_pair_unknown(world: World) -> None:
    """A key pair that does not exist is named."""
    one(refused(world, key_name="nobody"), "key_name", "nobody", "no such key pair")


def test_policy_unknown(world: World) -> None:
    """A Session Manager policy that does not exist is named."""
    arn = "arn:aws:iam::123456789012:policy/none-such"
    one(refused(world, ssm_policy_arn=arn), "ssm_policy_arn", arn, "no such policy")


def test_user_data_too_large(world: World) -> None:
    """User data beyond AWS's limit is refused with its size."""
    noise = random.Random(1).randbytes(20_000).hex()
    error = refused(world, user_data_write_files=[{"path": "/x", "content": noise}])
    one(error, "user_data_write_files", "", "16,384")


def test_permission_denied(world: World) -> None:
    """A query that is not allowed names the permission that is missing; it never counts as nothing there."""
    world.cloud.faults.add("DescribeNetworkInterfaces", "UnauthorizedOperation", nth=2)
    error = refused(world)
    assert isinstance(error, AccessError)
    assert "allow ec2:DescribeNetworkInterfaces" in error.remedy


@pytest.mark.parametrize("name", ["node", "node-a", "node-f", "replacement"])
def test_names_of_reports(world: World, name: str) -> None:
    """A stack whose gateway would share its report's name with another report is refused."""
    one(refused(world, name=name), "name", name, "reserved")


def test_names_of_a_rings_reports(world: World) -> None:
    """In a ring it is the gateways' names that count: `node` would have the gateway node-a."""
    with pytest.raises(BadInput, match="name = node: is reserved"):
        library.plan(ring(world, name="node"), world.api())
    library.plan(ring(world, name="node-a"), world.api())
