"""A ring: a gateway and a node in each zone, each node standing by for the zone before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evernat.stack import library
from evernat.stack.checks import check
from evernat.stack.context import Context
from evernat.stack.environment import look
from evernat.stack.errors import BadInput
from evernat.stack.spec import Gateway
from tests.stack.cluster import Agents
from tests.stack.support import PARAMETERS, agent_json, pair, ring, template_of
from tests.stack.world import World


def refused(world: World, gateway: Gateway) -> list[tuple[str, str, str]]:
    """(field, value, cause) of every problem of a plan that is refused."""
    with pytest.raises(BadInput) as caught:
        library.plan(gateway, world.api())
    assert all(problem.remedy for problem in caught.value.problems)
    return [(p.field, p.value, p.cause) for p in caught.value.problems]


def test_full_life(world: World) -> None:
    """Each zone has its node, its address and its route; a second plan is empty; destroy leaves nothing."""
    agents = Agents(world)
    plan = world.deploy(ring(world))
    made = {kind: len(things) for kind, things in world.made().items()}
    assert made == {
        "instances": 3, "interfaces": 3, "addresses": 3, "security groups": 1, "templates": 3, "groups": 3,
        "parameters": PARAMETERS, "roles": 1, "profiles": 1,
    }  # fmt: skip
    assert plan.resources == 20
    assert agents.slots() == {"main-a": "a", "main-b": "b", "main-c": "c"}
    interfaces = {
        n["InstanceId"]: n["NetworkInterfaces"][0]["NetworkInterfaceId"] for n in agents.nodes.values()
    }
    led = [interfaces[agents.holders()[f"main-{slot}"]] for slot in "abc"]
    assert [world.routes()[table] for table in world.network.private_route_table_ids] == led
    assert library.plan(ring(world), world.api()).changes == ()
    world.destroy()
    world.gone()


def test_what_a_node_is_told(world: World) -> None:
    """A node knows its own gateway, at its primary address, and the one it stands by for, at its secondary."""
    Agents(world)
    world.deploy(ring(world))
    told = agent_json(world, "a")
    assert told["slots"] == ["a", "b", "c"]
    own, guest = told["gateways"]
    assert (own["name"], own["home"], own["standby"], own["index"]) == ("main-a", "a", "b", {"a": 0, "b": 1})
    assert (guest["name"], guest["home"], guest["standby"], guest["index"]) == (
        "main-c",
        "c",
        "a",
        {"c": 0, "a": 1},
    )
    assert own["tables"] == [world.network.private_route_table_ids[0]]
    assert own["clients"] == [world.network.private_cidrs[0]]
    assert guest["clients"] == [world.network.private_cidrs[2]]
    assert template_of(world, "a")["NetworkInterfaces"][0]["SecondaryPrivateIpAddressCount"] == 1


def test_two_zones(world: World) -> None:
    """In a ring of two each stands by for the other; tables of the third zone are told with `table_slots`."""
    agents = Agents(world)
    subnets = list(world.network.public_subnet_ids[:2])
    third = world.network.private_route_table_ids[2]
    field = "private_route_table_ids[2]"
    told = refused(world, ring(world, public_subnets=subnets))
    assert (field, third, "serves no subnet in a zone of the ring") in told
    gateway = ring(world, public_subnets=subnets, table_slots={third: "b"})
    world.deploy(gateway)
    assert agents.slots() == {"main-a": "a", "main-b": "b"}
    own, _ = agent_json(world, "b")["gateways"][::-1]
    assert own["name"] == "main-b"
    assert own["clients"] == list(world.network.private_cidrs[1:])
    assert library.plan(gateway, world.api()).changes == ()


def test_one_large_block(world: World) -> None:
    """A block that spans zones is divided by their subnets: a node tells its gateways apart by who is asking."""
    Agents(world)
    world.deploy(ring(world, private_subnets_cidr_blocks=["172.18.64.0/18"]))
    told = {g["name"]: g["clients"] for slot in "abc" for g in agent_json(world, slot)["gateways"]}
    assert told == {
        f"main-{slot}": [cidr] for slot, cidr in zip("abc", world.network.private_cidrs, strict=True)
    }


def test_forwards(world: World) -> None:
    """A forward belongs to the gateway that its target's replies leave by; else the user says it."""
    forwards: list[dict[str, Any]] = [
        {"port": 80, "target": "172.18.80.10"},
        {"port": 81, "target": world.network.client_instance_ids[2]},
        {"port": 82, "target": "name:web", "slot": "a"},
    ]
    Agents(world)
    world.deploy(ring(world, port_forward=forwards))
    told = {
        g["name"]: [f["ports"][0] for f in g["forwards"]]
        for s in "abc"
        for g in agent_json(world, s)["gateways"]
    }
    assert told == {"main-a": [82], "main-b": [80], "main-c": [81]}
    ((field, value, cause),) = refused(world, ring(world, port_forward=[{"port": 82, "target": "name:web"}]))
    assert (field, value) == ("port_forward[0].slot", "name:web")
    assert "replies" in cause


def test_zone_twice(world: World) -> None:
    """Two nodes of a ring in one zone are refused."""
    made = world.client("ec2").create_subnet(
        VpcId=world.network.vpc_id, CidrBlock="172.18.176.0/20", AvailabilityZone="us-west-2a"
    )["Subnet"]["SubnetId"]
    world.client("ec2").associate_route_table(RouteTableId=world.network.public_route_table_id, SubnetId=made)
    told = refused(world, ring(world, public_subnets=[world.network.public_subnet_ids[0], made]))
    assert (told[0][0], told[0][1]) == ("public_subnets[1]", made)
    assert "is in us-west-2a" in told[0][2]


def test_table_of_two_gateways(world: World) -> None:
    """One route table for two zones belongs to the gateway that `table_slots` names, with the clients of both."""
    table, other, _ = world.network.private_route_table_ids
    ec2 = world.client("ec2")
    described = ec2.describe_route_tables(RouteTableIds=[other])["RouteTables"][0]["Associations"][0]
    ec2.replace_route_table_association(
        AssociationId=described["RouteTableAssociationId"], RouteTableId=table
    )
    wanted: dict[str, Any] = {"private_route_table_ids": [table, world.network.private_route_table_ids[2]]}
    (first, *_) = refused(world, ring(world, **wanted))
    assert first == ("private_route_table_ids[0]", table, "serves subnets of several gateways (a, b)")
    Agents(world)
    world.deploy(ring(world, **wanted, table_slots={table: "a"}))
    own = next(g for g in agent_json(world, "a")["gateways"] if g["name"] == "main-a")
    assert own["clients"] == ["172.18.64.0/19"]


def test_type_with_one_address(world: World) -> None:
    """A type whose interfaces have room for one address only is refused for a ring, and does for a pair."""
    environment, found = look(world.api(), ring(world))
    small = {"t4g.nano": replace(environment.types["t4g.nano"], addresses=1)}
    environment = replace(environment, types=small)
    check(Context(pair(world), environment, found, "0"))
    with pytest.raises(
        BadInput, match=r"t4g.nano: takes 1 private address per interface, a ring's node needs 2"
    ):
        check(Context(ring(world), environment, found, "0"))


def test_address_quota(world: World) -> None:
    """A ring needs one Elastic IP for each zone that the account may still allocate."""
    ec2 = world.client("ec2")
    quota = ec2.describe_account_attributes(AttributeNames=["vpc-max-elastic-ips"])["AccountAttributes"][0]
    for _ in range(int(quota["AttributeValues"][0]["AttributeValue"]) - 2):
        ec2.allocate_address(Domain="vpc")
    assert [field for field, _, _ in refused(world, ring(world))] == ["elastic_ip"]


def test_roll(world: World) -> None:
    """Every slot is emptied before its node is replaced, guests included, and gets its gateway back afterwards."""
    agents = Agents(world)
    world.deploy(ring(world))
    before = set(world.made()["instances"])
    agents.history.clear()
    agents.returns = False  # the worst case: guests are still there when the next slot's turn comes
    changed = ring(world, user_data_runcmd=["touch /tmp/x"])
    world.deploy(changed)
    assert not before & set(world.made()["instances"])
    # The gateways of a slot leave before its node is replaced; a's own goes back home when b's turn comes.
    assert agents.history == [
        ("main-a", "b"), ("main-a", "a"), ("main-b", "c"), ("main-b", "b"), ("main-c", "a"),
    ]  # fmt: skip
    agents.returns = True
    world.settle()
    assert agents.slots() == {"main-a": "a", "main-b": "b", "main-c": "c"}
    assert library.plan(changed, world.api()).changes == ()
