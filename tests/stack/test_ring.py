"""A ring: a gateway and a node in each zone, each node standing by for the zone before it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from ipaddress import IPv4Network
from random import Random
from typing import Any

import pytest

from evernat.stack import library
from evernat.stack.checks import check
from evernat.stack.context import Context
from evernat.stack.environment import look
from evernat.stack.errors import BadInput
from evernat.stack.found import Environment, Identity, RouteTable, Subnet
from evernat.stack.layout import layout, slot_of_subnet
from evernat.stack.load import gateway_from
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
        "parameters": PARAMETERS + 3, "roles": 1, "profiles": 1,
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


def test_a_gateway_without_clients(world: World) -> None:
    """A zone whose private subnets are in no block is refused: nothing could be told to the kernel about nobody."""
    third = world.network.public_subnet_ids[2]
    ((field, value, cause),) = refused(
        world, ring(world, private_subnets_cidr_blocks=world.network.private_cidrs[:2])
    )
    assert (field, value) == ("public_subnets[2]", third)
    assert "serve nobody" in cause
    assert "us-west-2c" in cause


def test_no_two_gateways_share_a_client() -> None:
    """Whatever the zones, tables and blocks: a node tells its gateways apart by who is asking, so blocks of different
    gateways never overlap, and all that a private subnet of the ring has in a block is in that of one gateway."""
    for seed in range(300):
        made, environment = drawn(Random(seed))
        shapes = layout(made, environment).gateways
        served = {shape.home: [IPv4Network(c) for c in shape.clients] for shape in shapes}
        for one, other in itertools.combinations(served.values(), 2):
            assert not any(a.overlaps(b) for a in one for b in other), seed
        blocks = [IPv4Network(b) for b in made.private_subnets_cidr_blocks]
        for subnet in environment.subnets.values():
            slot = slot_of_subnet(made, environment, subnet.id)
            if subnet.id in made.subnets or not slot:
                continue
            for host in itertools.islice(IPv4Network(subnet.cidr).hosts(), 0, None, 61):
                wanted = any(host in block for block in blocks)
                assert any(host in c for c in served[slot]) == wanted, (seed, host)


def drawn(random: Random) -> tuple[Gateway, Environment]:
    """A ring in a VPC of /24 and smaller private subnets, spread over zones and tables by chance."""
    zones = [f"us-west-2{letter}" for letter in "abcd"]
    ring_of = zones[: random.randint(2, 4)]
    public = {
        f"subnet-{n:x}": Subnet(f"subnet-{n:x}", "vpc-1", z, f"10.0.{n}.0/24") for n, z in enumerate(ring_of)
    }
    private: dict[str, Subnet] = {}
    tables: dict[str, tuple[str, ...]] = {}
    for n in range(16, 40):
        subnet = Subnet(
            f"subnet-{n:x}", "vpc-1", random.choice(zones), f"10.0.{n}.0/{random.choice((24, 24, 26))}"
        )
        private[subnet.id] = subnet
        name = f"rtb-{random.randint(1, 12):x}"
        tables[name] = (*tables.get(name, ()), subnet.id)
    blocks = {f"10.0.{random.randrange(16, 40)}.0/{random.choice((24, 25, 27))}" for _ in range(9)}
    blocks |= {"10.0.16.0/21", "10.0.32.0/22"} if random.random() < 0.5 else set()
    gateway = gateway_from(
        {
            "name": "main",
            "region": "us-west-2",
            "topology": "ring",
            "vpc_id": "vpc-1",
            "public_subnets": list(public),
            "private_subnets_cidr_blocks": sorted(blocks),
            "private_route_table_ids": [t for t in sorted(tables) if random.random() < 0.7],
            "table_slots": {},
        }
    )
    found = {name: RouteTable(name, "vpc-1", {}, subnets, False, None) for name, subnets in tables.items()}
    identity = Identity("123456789012", "aws", "us-west-2")
    return gateway, Environment(identity, subnets={**public, **private}, route_tables=found)


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
    # Another subnet of zone b, or its gateway would serve nobody.
    more = "172.18.192.0/20"
    ec2.create_subnet(VpcId=world.network.vpc_id, CidrBlock=more, AvailabilityZone="us-west-2b")
    wanted: dict[str, Any] = {
        "private_route_table_ids": [table, world.network.private_route_table_ids[2]],
        "private_subnets_cidr_blocks": [*world.network.private_cidrs, more],
    }
    (first, *_) = refused(world, ring(world, **wanted))
    assert first == ("private_route_table_ids[0]", table, "serves subnets of several gateways (a, b)")
    Agents(world)
    world.deploy(ring(world, **wanted, table_slots={table: "a"}))
    own = next(g for g in agent_json(world, "a")["gateways"] if g["name"] == "main-a")
    assert own["clients"] == ["172.18.64.0/19"]


def test_type_with_one_address(world: World) -> None:
    """A type whose interfaces have room for one address only is refused for a ring, and does for a shared pair."""
    environment, found = look(world.api(), ring(world))
    small = {"t4g.nano": replace(environment.types["t4g.nano"], addresses=1)}
    environment = replace(environment, types=small)
    check(Context(pair(world, node_address="shared"), environment, found, "0"))
    for gateway in (ring(world), pair(world)):
        with pytest.raises(
            BadInput, match=r"t4g.nano: takes 1 IPv4 per interface, a node of this \w+ needs 2"
        ):
            check(Context(gateway, environment, found, "0"))


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
