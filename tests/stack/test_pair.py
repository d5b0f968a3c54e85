"""A pair: deployed, changed, rolled and destroyed against the lab's cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from evernat.agent.kernel.firewall import DEFAULT
from evernat.bundle import beside, folder, parameters
from evernat.stack import library
from evernat.stack.errors import NotReady
from evernat.stack.values import _user_data
from tests.stack.cluster import Agents
from tests.stack.support import PARAMETERS, agent_json, pair
from tests.stack.world import World, nat_gateway


@pytest.fixture
def agents(world: World) -> Agents:
    """The agents of the stack `main`."""
    return Agents(world)


def test_full_life(world: World, agents: Agents) -> None:
    """A pair has two groups, one address, one key; a second plan is empty, and destroy leaves the account as it was."""
    plan = world.deploy(pair(world))
    made = {kind: len(things) for kind, things in world.made().items()}
    assert made == {
        "instances": 2, "interfaces": 2, "addresses": 1, "security groups": 1, "templates": 2, "groups": 2,
        "parameters": PARAMETERS + 1, "roles": 1, "profiles": 1,
    }  # fmt: skip
    assert plan.resources == 15
    assert agents.slots() == {"main": "a"}
    holder = agents.nodes[agents.holders()["main"]]["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assert set(world.routes().values()) == {holder}
    assert len(world.routes()) == 3
    assert library.plan(pair(world), world.api()).changes == ()
    world.destroy()
    world.gone()
    assert library.plan_removal("main", world.api()).steps == ()


def test_what_a_node_is_told(world: World, agents: Agents) -> None:
    """Each slot's user data names itself, its gateway, who else can hold it, and where the key is."""
    forward = {"port": 8080, "target": "172.18.64.10", "target_port": 80}
    world.deploy(pair(world, port_forward=[forward]))
    told = agent_json(world, "b")
    (address,) = world.made()["addresses"]
    assert told.pop("version")
    assert told == {
        "stack": "main",
        "identity": "address",
        "slot": "b",
        "slots": ["a", "b"],
        "gateways": [
            {
                "name": "main",
                "address": address,
                "home": "a",
                "standby": "b",
                "index": {"a": 1, "b": 1},
                "tables": list(world.network.private_route_table_ids),
                "clients": list(world.network.private_cidrs),
                "forwards": [
                    {
                        "protocol": "tcp", "ports": [8080, 8080], "target": "172.18.64.10", "target_port": 80,
                        "sources": ["0.0.0.0/0"],
                    }
                ],
            }
        ],
        "group": "evernat-main-b",
        "hook": "evernat-ready",
        "key_parameter": "/evernat/main/key",
        "code": list(parameters("main")),
        "port": 4817,
        "probe": None,
        "firewall": {**DEFAULT._asdict(), "allow_transit": [], "node_ingress": []},
        "places": ["1.1.1.1:443", "8.8.8.8:443"],
    }  # fmt: skip


def test_where_nodes_live(world: World, agents: Agents) -> None:
    """Each slot's group has its own subnet, launches before it terminates, and rebalances; nodes carry their slot."""
    world.deploy(pair(world))
    for slot, subnet in zip("ab", world.network.public_subnet_ids, strict=False):
        (group,) = world.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[f"evernat-main-{slot}"]
        )["AutoScalingGroups"]
        assert group["VPCZoneIdentifier"] == subnet
        assert group["InstanceMaintenancePolicy"] == {
            "MinHealthyPercentage": 100,
            "MaxHealthyPercentage": 200,
        }
        assert group["CapacityRebalance"]
        (node,) = [n for n in agents.nodes.values() if n["SubnetId"] == subnet]
        assert {"Key": "evernat:slot", "Value": slot} in node["Tags"]


def test_one_subnet(world: World, agents: Agents) -> None:
    """Both nodes of a pair may live in one subnet."""
    subnet = world.network.public_subnet_ids[0]
    world.deploy(pair(world, public_subnets=[subnet]))
    agents.slots()
    assert [n["SubnetId"] for n in agents.nodes.values()] == [subnet, subnet]


def test_single_by_address(world: World, agents: Agents) -> None:
    """A single gateway by address needs one public address and no persistent interface."""
    world.deploy(world.gateway(identity="address"))
    made = world.made()
    assert (len(made["instances"]), len(made["interfaces"]), len(made["addresses"])) == (1, 1, 1)
    assert agents.slots() == {"main": "a"}
    assert library.plan(world.gateway(identity="address"), world.api()).changes == ()
    world.destroy()
    world.gone()


def test_the_key(world: World, agents: Agents) -> None:
    """The key is 32 random bytes in a SecureString, kept by later deploys, and in no plan."""
    plan = world.deploy(pair(world))
    ssm = world.client("ssm")
    stored = ssm.get_parameter(Name="/evernat/main/key", WithDecryption=True)["Parameter"]
    assert stored["Type"] == "SecureString"
    assert len(bytes.fromhex(stored["Value"])) == 32
    assert stored["Value"] not in repr(plan)
    world.deploy(pair(world, tags={"Team": "net"}))
    again = ssm.get_parameter(Name="/evernat/main/key", WithDecryption=True)["Parameter"]
    assert again["Value"] == stored["Value"]


def stored(world: World) -> dict[str, str]:
    """The agent's files in the parameter store."""
    pages = (
        world.client("ssm")
        .get_paginator("get_parameters_by_path")
        .paginate(Path=folder("main"), Recursive=True)
    )
    found = [p for page in pages for p in page["Parameters"]]
    assert {p["Type"] for p in found} <= {"String"}
    return {p["Name"]: p["Value"] for p in found}


@pytest.fixture
def other_agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Make this a later version of evernat."""

    def change() -> None:
        later = ("f" * 16, ("#\n#file elect.py\npass",))
        monkeypatch.setattr(beside, "_pieces", lambda identity: later)
        _user_data.cache_clear()

    yield change
    _user_data.cache_clear()  # what was made of it


def test_the_agents_files(world: World, agents: Agents, other_agent: Callable[[], None]) -> None:
    """Deploy makes them as they should be, tagged; a changed agent's are made before any node needs them, and the old
    deleted when none does; destroy leaves none."""
    world.deploy(pair(world))
    first = parameters("main")
    assert stored(world) == first
    tags = world.client("ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId=next(iter(first)))
    assert {"Key": "evernat:stack", "Value": "main"} in tags["TagList"]
    before = set(world.made()["instances"])
    other_agent()
    begun = len(world.cloud.calls)
    plan = world.deploy(pair(world))
    assert [(s.verb, s.part) for s in plan.changes if s.part == "code"] == [
        ("create", "code"),
        ("delete", "code"),
    ]
    assert stored(world) == parameters("main")
    assert not set(parameters("main")) & set(first)
    assert not before & set(world.made()["instances"])
    did = [c.action for c in world.cloud.calls[begun:]]
    assert did.index("PutParameter") < did.index("CreateLaunchTemplateVersion")
    assert did.index("DeleteParameter") > max(n for n, a in enumerate(did) if a == "CompleteLifecycleAction")
    assert library.plan(pair(world), world.api()).changes == ()
    world.destroy()
    world.gone()


def test_a_lost_file_is_made_again(world: World, agents: Agents) -> None:
    """A parameter that somebody deleted is the one thing that the next deploy makes."""
    world.deploy(pair(world))
    lost = list(parameters("main"))[1]
    world.client("ssm").delete_parameter(Name=lost)
    plan = world.deploy(pair(world))
    assert [(step.verb, step.part, len(step.actions)) for step in plan.changes] == [("create", "code", 1)]
    assert stored(world) == parameters("main")
    (step,) = [s for s in library.plan_removal("main", world.api()).steps if s.part == "key"]
    # The key, the files, and a report that may have been made since.
    assert (step.title, len(step.actions)) == ("/evernat/main", 2 + len(parameters("main")))


def test_neighbours_keep_their_files(world: World, agents: Agents) -> None:
    """A stack whose name begins alike loses nothing."""
    ssm = world.client("ssm")
    theirs = [f"{folder('main-b')}/0123456789abcdef/0", "/evernat/mainly"]
    for name in theirs:
        ssm.put_parameter(Name=name, Type="String", Value="x")
    world.before = world.inventory()
    world.deploy(pair(world))
    world.destroy()
    world.gone()


def test_security_group(world: World, agents: Agents) -> None:
    """Everything comes in and goes out, so that no flow is tracked; members have a rule of their own."""
    world.deploy(pair(world))
    (group,) = world.client("ec2").describe_security_groups(GroupNames=["evernat-main"])["SecurityGroups"]
    opened = {
        (p["IpProtocol"], p.get("FromPort"), *(r["CidrIp"] for r in p["IpRanges"]),
         *(r["GroupId"] for r in p["UserIdGroupPairs"]))
        for p in group["IpPermissions"]
    }  # fmt: skip
    own = group["GroupId"]
    assert opened == {("-1", None, "0.0.0.0/0"), ("tcp", 4817, own), ("udp", 4817, own)}


def test_not_ready(world: World, agents: Agents) -> None:
    """deploy says what is missing until a node holds the gateway; going on is running it again."""
    agents.works = False
    with pytest.raises(NotReady, match=r"slot a: i-.* is not ready yet.*no node has taken gateway main"):
        world.deploy(pair(world), timeout=30)
    assert world.routes() == {}
    agents.works = True
    world.deploy(pair(world))
    assert agents.slots() == {"main": "a"}


def test_from_nat_gateway_and_back(world: World, agents: Agents) -> None:
    """Routes to a NAT gateway stay until a node has the gateway, are remembered, and are put back by destroy."""
    identifier = nat_gateway(world)
    agents.works = False
    with pytest.raises(NotReady):
        world.deploy(pair(world), replace_routes=True, timeout=30)
    assert set(world.routes().values()) == {identifier}
    agents.works = True
    world.deploy(pair(world))
    assert identifier not in world.routes().values()
    assert library.plan(pair(world), world.api()).changes == ()
    world.destroy()
    world.gone()
    assert set(world.routes().values()) == {identifier}


def test_roll(world: World, agents: Agents) -> None:
    """Other user data replaces both nodes: the standby first, then the holder after one handover. The address stays."""
    world.deploy(pair(world))
    before, address = set(world.made()["instances"]), world.made()["addresses"]
    agents.history.clear()
    changed = pair(world, user_data_runcmd=["touch /tmp/x"])
    plan = world.deploy(changed)
    rolled = [step.title for step in plan.steps if step.verb == "replace"]
    assert [title[-6:] for title in rolled] == ["slot b", "slot a"]
    assert agents.history == [("main", "b")]
    assert agents.slots() == {"main": "b"}
    assert not before & set(world.made()["instances"])
    assert world.made()["addresses"] == address
    assert library.plan(changed, world.api()).changes == ()


def test_own_address(world: World, agents: Agents) -> None:
    """An address of the user's is lent for as long as the stack is there, and handed back without tags."""
    ec2 = world.client("ec2")
    named = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "Name", "Value": "mine"}]}]
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=named)["AllocationId"]
    world.before = world.inventory()
    world.deploy(pair(world, elastic_ip=address))
    assert agents.slots() == {"main": "a"}
    assert world.made()["addresses"] == []
    assert library.plan(pair(world, elastic_ip=address), world.api()).changes == ()
    world.destroy()
    world.gone()
    (left,) = ec2.describe_addresses()["Addresses"]
    assert "AssociationId" not in left
    assert left["Tags"] == named[0]["Tags"]
