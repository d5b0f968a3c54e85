"""Deploying, changing and destroying a stack against the lab's cloud."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from evernat.stack import library
from evernat.stack.errors import BadInput, NotReady
from evernat.stack.steps import Plan, Step
from tests.stack.world import World, nat_gateway


def titles(plan: Plan) -> list[tuple[str, str]]:
    """(verb, part) of the steps that change something."""
    return [(step.verb, step.part) for step in plan.changes]


def step_of(plan: Plan, part: str) -> Step:
    """The one step for a part."""
    (step,) = [s for s in plan.changes if s.part == part]
    return step


def template_of(world: World) -> dict[str, Any]:
    """The newest version of the stack's launch template."""
    answer = world.client("ec2").describe_launch_template_versions(
        LaunchTemplateName="evernat-main", Versions=["$Latest"]
    )
    return dict(answer["LaunchTemplateVersions"][0]["LaunchTemplateData"])


def test_full_life(world: World) -> None:
    """A deployed stack is complete, a second plan is empty, and destroy leaves the account as it was."""
    plan = world.deploy(world.gateway())
    assert plan.resources == 11
    world.complete()
    assert world.deploy(world.gateway()).changes == ()
    world.complete()
    world.destroy()
    world.gone()
    assert library.plan_removal("main", world.api()).steps == ()


def test_calls_of_a_plan(world: World) -> None:
    """A plan of an existing stack takes at most 26 calls, with every optional thing in use, and changes nothing."""
    world.client("ec2").create_key_pair(KeyName="me")
    target = world.network.client_instance_ids[0]
    gateway = world.gateway(key_name="me", port_forward=[{"port": 80, "target": target}])
    world.deploy(gateway)
    api, mutations = world.api(), len(world.mutations())
    assert library.plan(gateway, api).changes == ()
    assert len(api.calls) <= 27
    assert len(world.mutations()) == mutations


def test_what_is_made(world: World) -> None:
    """The node's template and group are what the documentation promises."""
    world.deploy(world.gateway(tags={"Team": "net", "Name": "mine"}))
    data = template_of(world)
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["CreditSpecification"] == {"CpuCredits": "standard"}
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]
    assert data["BlockDeviceMappings"][0]["Ebs"]["VolumeType"] == "gp3"
    assert data["ImageId"].startswith("resolve:ssm:/aws/service/ami-amazon-linux-latest/")
    raw = base64.b64decode(data["UserData"])
    assert len(raw) <= 16_384
    assert gzip.decompress(raw).startswith(b"#cloud-config")
    group = world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    distribution = group["MixedInstancesPolicy"]["InstancesDistribution"]
    assert distribution["SpotAllocationStrategy"] == "price-capacity-optimized"
    assert distribution["OnDemandPercentageAboveBaseCapacity"] == 0
    interface = world.interface()
    assert not interface["SourceDestCheck"]
    tags = {t["Key"]: t["Value"] for t in interface["TagSet"]}
    assert tags == {"Name": "mine", "Team": "net", "evernat:stack": "main", "evernat:part": "interface"}


def test_security_group(world: World) -> None:
    """All protocols come in from the private networks, forwarded ports from their sources, everything goes out."""
    forward = {"protocol": "udp", "port": "5000-5010", "target": "172.18.64.10", "sources": ["192.0.2.0/24"]}
    world.deploy(world.gateway(port_forward=[forward]))
    (group,) = world.client("ec2").describe_security_groups(GroupNames=["evernat-main"])["SecurityGroups"]
    opened = {
        (p["IpProtocol"], p.get("FromPort"), r["CidrIp"])
        for p in group["IpPermissions"]
        for r in p["IpRanges"]
    }
    assert opened == {
        ("-1", None, "172.18.64.0/20"),
        ("-1", None, "172.18.80.0/20"),
        ("-1", None, "172.18.96.0/20"),
        ("udp", 5000, "192.0.2.0/24"),
    }
    assert [(p["IpProtocol"], r["CidrIp"]) for p in group["IpPermissionsEgress"] for r in p["IpRanges"]] == [
        ("-1", "0.0.0.0/0")
    ]


def test_routes_wait_for_proof(world: World) -> None:
    """No route changes before a node has proven NAT; deploy says what is missing, and running it again goes on."""
    world.agent_works = False
    with pytest.raises(NotReady, match="does not have the interface yet"):
        world.deploy(world.gateway(), timeout=60)
    assert world.routes() == {}
    world.agent_works = True
    world.deploy(world.gateway())
    world.complete()


def test_no_wait(world: World) -> None:
    """Without waiting the routes are set at once."""
    world.agent_works = False
    world.deploy(world.gateway(), ready=False)
    assert len(world.routes()) == 3


def test_launch_that_fails(world: World) -> None:
    """When the group cannot launch, deploy says why."""
    world.cloud.faults.no_capacity()
    with pytest.raises(NotReady, match="capacity"):
        world.deploy(world.gateway(), timeout=60)
    world.cloud.faults.clear()
    world.deploy(world.gateway())
    world.complete()


def test_user_data_rolls_the_group(world: World) -> None:
    """Other user data makes another version and another node; the address stays."""
    world.deploy(world.gateway())
    (old,) = world.made()["instances"]
    public = world.interface()["Association"]["PublicIp"]
    gateway = world.gateway(user_data_runcmd=["touch /tmp/x"])
    plan = library.plan(gateway, world.api())
    assert titles(plan) == [("change", "launch-template"), ("replace", "node")]
    assert [c.field for c in step_of(plan, "launch-template").changes] == ["UserData"]
    assert "UserData" in step_of(plan, "node").because
    world.deploy(gateway)
    world.complete()
    assert world.made()["instances"] != [old]
    assert world.interface()["Association"]["PublicIp"] == public
    assert library.plan(gateway, world.api()).changes == ()


def test_types_roll_the_group(world: World) -> None:
    """A type that is no longer wanted is replaced; one more type to choose from replaces nothing."""
    world.deploy(world.gateway())
    more = library.plan(world.gateway(instance_types=["t4g.nano", "t4g.micro"]), world.api())
    assert titles(more) == [("change", "group")]
    other = library.plan(world.gateway(instance_types=["t4g.micro"]), world.api())
    assert titles(other) == [("change", "launch-template"), ("change", "group"), ("replace", "node")]
    world.deploy(world.gateway(instance_types=["t4g.micro"]))
    world.complete()


def test_on_demand(world: World) -> None:
    """Leaving spot replaces the node with one on demand."""
    world.deploy(world.gateway())
    plan = world.deploy(world.gateway(use_spot_instance=False))
    assert titles(plan) == [("change", "group"), ("replace", "node")]
    world.complete()
    nodes = world.client("ec2").describe_instances(InstanceIds=world.made()["instances"])["Reservations"]
    assert "InstanceLifecycle" not in nodes[0]["Instances"][0]


def test_tags_roll_nothing(world: World) -> None:
    """Another tag is put on everything, and no node is replaced for it."""
    world.deploy(world.gateway())
    plan = world.deploy(world.gateway(tags={"Team": "net"}))
    assert {verb for verb, _ in titles(plan)} == {"change"}
    assert library.plan(world.gateway(tags={"Team": "net"}), world.api()).changes == ()
    world.complete()


def test_disabled(world: World) -> None:
    """enabled = false ends the node and keeps the rest; enabling brings a node back with the same address."""
    world.deploy(world.gateway())
    public = world.interface()["Association"]["PublicIp"]
    world.deploy(world.gateway(enabled=False))
    world.settle()
    assert world.made()["instances"] == []
    assert library.plan(world.gateway(enabled=False), world.api()).changes == ()
    world.deploy(world.gateway())
    world.complete()
    assert world.interface()["Association"]["PublicIp"] == public


def test_own_address(world: World) -> None:
    """An address of the user's is used, and kept when the stack goes."""
    address = world.client("ec2").allocate_address(Domain="vpc")["AllocationId"]
    world.before = world.inventory()
    world.deploy(world.gateway(elastic_ip=address))
    assert world.interface()["Association"]["AllocationId"] == address
    assert world.made()["addresses"] == []
    assert library.plan(world.gateway(elastic_ip=address), world.api()).changes == ()
    world.destroy()
    world.gone()
    assert "AssociationId" not in world.client("ec2").describe_addresses()["Addresses"][0]


def test_from_created_to_own_address(world: World) -> None:
    """Going over to an address of one's own releases the stack's."""
    world.deploy(world.gateway())
    address = world.client("ec2").allocate_address(Domain="vpc")["AllocationId"]
    world.deploy(world.gateway(elastic_ip=address))
    assert world.made()["addresses"] == [address]
    assert world.interface()["Association"]["AllocationId"] == address


def test_no_address(world: World) -> None:
    """With elastic_ip = none an address that the user puts on the interface is left alone."""
    world.deploy(world.gateway(elastic_ip="none"))
    assert world.made()["addresses"] == []
    ec2 = world.client("ec2")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, NetworkInterfaceId=world.interface()["NetworkInterfaceId"])
    assert library.plan(world.gateway(elastic_ip="none"), world.api()).changes == ()


def test_from_nat_gateway_and_back(world: World) -> None:
    """Default routes to a NAT gateway are replaced, remembered in tags, and put back by destroy."""
    identifier = nat_gateway(world)
    world.deploy(world.gateway(), replace_routes=True)
    world.complete()
    tables = world.client("ec2").describe_route_tables(
        RouteTableIds=list(world.network.private_route_table_ids)
    )
    for table in tables["RouteTables"]:
        tags = {t["Key"]: t["Value"] for t in table["Tags"]}
        assert tags["evernat:previous-route"] == f"nat-gateway-id={identifier}"
    assert library.plan(world.gateway(), world.api()).changes == ()
    world.destroy()
    world.gone()
    assert set(world.routes().values()) == {identifier}


def test_nat_gateway_gone_meanwhile(world: World) -> None:
    """A former target that does not exist any more is told; who goes on loses the default route, and is shown why."""
    identifier = nat_gateway(world)
    world.deploy(world.gateway(), replace_routes=True)
    world.client("ec2").delete_nat_gateway(NatGatewayId=identifier)
    world.settle()
    with pytest.raises(BadInput, match=f"led to {identifier} before") as caught:
        world.destroy()
    assert "--leave-routes" in caught.value.remedy
    plan = library.plan_removal("main", world.api(), leave_routes=True)
    routes = [step for step in plan.steps if step.part == "route"]
    assert all(identifier in step.because and step.verb == "delete" for step in routes)
    world.destroy(leave_routes=True)
    assert world.routes() == {}


def test_table_no_longer_named(world: World) -> None:
    """A route table that the file no longer names is given back."""
    world.deploy(world.gateway())
    first, *rest = world.network.private_route_table_ids
    plan = world.deploy(world.gateway(private_route_table_ids=rest))
    assert titles(plan) == [("delete", "route")]
    assert set(world.routes()) == set(rest)
    assert first not in world.routes()


def test_other_public_subnet(world: World) -> None:
    """Moving to another public subnet makes another interface, takes the address along, removes the old one last."""
    world.deploy(world.gateway())
    public = world.interface()["Association"]["PublicIp"]
    gateway = world.gateway(public_subnet=world.network.public_subnet_ids[1])
    plan = library.plan(gateway, world.api())
    assert ("replace", "interface") in titles(plan)
    assert titles(plan)[-1] == ("delete", "interface")
    world.deploy(gateway)
    world.complete()
    assert world.interface()["Association"]["PublicIp"] == public
    assert library.plan(gateway, world.api()).changes == ()


def test_duplicates(world: World) -> None:
    """Should a thing exist twice, the one in use stays and the other goes."""
    world.deploy(world.gateway())
    ec2 = world.client("ec2")
    tags = [{"Key": "evernat:stack", "Value": "main"}]
    address = [{"ResourceType": "elastic-ip", "Tags": [*tags, {"Key": "evernat:part", "Value": "address"}]}]
    ec2.allocate_address(Domain="vpc", TagSpecifications=address)
    interface = [
        {"ResourceType": "network-interface", "Tags": [*tags, {"Key": "evernat:part", "Value": "interface"}]}
    ]
    ec2.create_network_interface(SubnetId=world.network.public_subnet_ids[0], TagSpecifications=interface)
    used = world.made()["instances"]
    assert titles(world.deploy(world.gateway())) == [("delete", "address"), ("delete", "interface")]
    world.complete()
    assert world.made()["instances"] == used


def test_two_stacks_side_by_side(world: World) -> None:
    """Two stacks in one VPC do not touch each other."""
    first, *rest = world.network.private_route_table_ids
    one = world.gateway(name="one", private_route_table_ids=[first])
    two = world.gateway(name="two", private_route_table_ids=rest)
    world.deploy(one)
    between = world.inventory()
    world.deploy(two)
    assert library.plan(one, world.api()).changes == ()
    world.destroy("two")
    world.settle()
    assert world.inventory() == between


def test_stray_node(world: World) -> None:
    """A node that somebody took out of the group is ended by destroy too."""
    world.deploy(world.gateway())
    (node,) = world.made()["instances"]
    world.client("autoscaling").detach_instances(
        AutoScalingGroupName="evernat-main", InstanceIds=[node], ShouldDecrementDesiredCapacity=False
    )
    world.settle()
    world.destroy()
    world.gone()


def test_policies_of_the_user(world: World) -> None:
    """A policy that the user attached to the role is left alone by deploy, and does not stop destroy."""
    world.deploy(world.gateway())
    iam, role = world.client("iam"), "evernat-main-us-west-2"
    policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}'
    iam.put_role_policy(RoleName=role, PolicyName="mine", PolicyDocument=policy)
    assert library.plan(world.gateway(), world.api()).changes == ()
    world.destroy()
    world.gone()


def test_stuck_interface(world: World) -> None:
    """Destroy waits for an interface that a dead node holds for a while."""
    world.deploy(world.gateway())
    world.cloud.faults.interface_release(60)
    world.destroy()
    world.gone()


def test_from_evernat_import() -> None:
    """The library is at the top: `from evernat import Gateway, plan, apply`."""
    from evernat import Gateway, apply, plan
    from evernat.stack.spec import Gateway as Same

    assert Gateway is Same
    assert plan is library.plan
    assert apply is library.apply
