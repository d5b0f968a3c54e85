"""Where a gateway's Elastic IP sits on a node: beside the node's own public address, or in its place."""

from __future__ import annotations

from typing import Any

import pytest

from evernat.stack import library
from evernat.stack.cost import MONTH
from evernat.stack.errors import BadInput
from evernat.stack.spec import Gateway
from tests.stack.cluster import Agents
from tests.stack.support import agent_json, pair, ring, template_of
from tests.stack.world import World

SMALL = {"instance_types": ["t4g.small"]}


def single(world: World, **fields: Any) -> Gateway:
    """A single whose gateway is an address."""
    return world.gateway(identity="address", **fields)


CASES = [
    (pair, {}, {"a": 1, "b": 1}, 2, 3),
    (pair, {"node_address": "own"}, {"a": 1, "b": 1}, 2, 3),
    (pair, {"node_address": "shared"}, {"a": 0, "b": 0}, 1, 2),
    (ring, {}, {"a": 0, "b": 1}, 2, 3),
    (ring, {"node_address": "shared"}, {"a": 0, "b": 1}, 2, 3),
    (ring, {"node_address": "own", **SMALL}, {"a": 1, "b": 2}, 3, 6),
    (single, {}, {"a": 0}, 1, 1),
    (single, {"node_address": "own"}, {"a": 1}, 2, 2),
]


@pytest.mark.parametrize(("make", "fields", "index", "private", "public"), CASES)
def test_places(
    world: World, make: Any, fields: dict[str, Any], index: dict[str, int], private: int, public: int
) -> None:
    """Nodes are launched with as many private addresses as they need, and told which is whose; what is paid is said."""
    Agents(world)
    plan = world.deploy(make(world, **fields))
    assert agent_json(world, "a")["gateways"][0]["index"] == index
    interface = template_of(world, "a")["NetworkInterfaces"][0]
    assert interface.get("SecondaryPrivateIpAddressCount", 0) == private - 1
    assert plan.public_addresses == public
    assert library.plan(make(world, **fields), world.api()).changes == ()


def test_with_an_interface_there_is_nothing_to_choose(world: World) -> None:
    """The gateway's interface never is the node's: both words are refused."""
    assert library.plan(world.gateway(), world.api()).public_addresses == 2
    for word in ("own", "shared"):
        with pytest.raises(BadInput, match=r"node_address.*identity eni"):
            world.gateway(node_address=word)


@pytest.mark.parametrize(
    ("types", "wrong"),
    [
        (["t4g.nano"], ["t4g.nano"]),
        (["t4g.small", "t4g.micro"], ["t4g.micro"]),
        (["t4g.small", "m6g.medium"], []),
    ],
)
def test_a_ring_of_small_types(world: World, types: list[str], wrong: list[str]) -> None:
    """A node of a ring needs three addresses; each type that takes two is named, with both ways out."""
    gateway = ring(world, node_address="own", instance_types=types)
    if not wrong:
        assert library.plan(gateway, world.api()).changes
        return
    with pytest.raises(BadInput) as caught:
        library.plan(gateway, world.api())
    assert [(p.field, p.value) for p in caught.value.problems] == [("instance_types", t) for t in wrong]
    assert caught.value.problems[0].cause == "takes 2 IPv4 per interface, a node of this ring needs 3"
    assert 'node_address = "shared"' in caught.value.problems[0].remedy
    assert "small" in caught.value.problems[0].remedy


@pytest.mark.parametrize("make", [pair, single])
def test_nano_has_room_for_one_gateway(world: World, make: Any) -> None:
    """Two addresses: the node's own and the gateway's."""
    assert library.plan(make(world, node_address="own", instance_types=["t4g.nano"]), world.api()).changes


def test_an_interface_counts_on_the_first_card(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is an interface is attached to the card on which the node has its own."""
    api = world.api()
    raw = api.pages("ec2", "describe_instance_types", "InstanceTypes")[0]
    network = {
        **raw["NetworkInfo"],
        "MaximumNetworkInterfaces": 4,
        "DefaultNetworkCardIndex": 1,
        "NetworkCards": [
            {"NetworkCardIndex": 0, "MaximumNetworkInterfaces": 3},
            {"NetworkCardIndex": 1, "MaximumNetworkInterfaces": 1},
        ],
    }
    pages = api.pages

    def one_card(service: str, operation: str, key: str, **params: Any) -> list[Any]:
        found = pages(service, operation, key, **params)
        return (
            [{**t, "NetworkInfo": network} for t in found]
            if operation == "describe_instance_types"
            else found
        )

    monkeypatch.setattr(api, "pages", one_card)
    with pytest.raises(BadInput, match="takes one interface, a node needs two"):
        library.plan(world.gateway(), api)


def test_a_pair_changes_over(world: World) -> None:
    """From shared to own and back: the nodes are replaced, one after the other, and the address stays what it was."""
    agents = Agents(world)
    world.deploy(pair(world, node_address="shared"))
    public, nodes = agents.public(), set(world.made()["instances"])
    for wish, index, then in (("own", 1, "b"), ("shared", 0, "a")):
        agents.history.clear()
        world.deploy(pair(world, node_address=wish))
        assert agents.public() == public
        assert not nodes & set(world.made()["instances"])
        # One handover, from the last old node to the first new one.
        assert agents.history == [("main", then)]
        assert agent_json(world, "b")["gateways"][0]["index"] == {"a": index, "b": index}
        assert library.plan(pair(world, node_address=wish), world.api()).changes == ()
        nodes = set(world.made()["instances"])


def test_disabled_nodes_have_no_address(world: World) -> None:
    """Elastic IPs are paid for all the same."""
    assert library.plan(pair(world, enabled=False), world.api()).public_addresses == 1
    assert pytest.approx(3.65) == MONTH
