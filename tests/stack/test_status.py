"""What status tells of a stack in its different states."""

from __future__ import annotations

from evernat.stack.status import status
from tests.stack.world import World


def test_starting(world: World) -> None:
    """Before NAT is proven the gateway is starting, and status says what is missing."""
    world.agent_works = False
    world.deploy(world.gateway(), ready=False)
    world.settle()
    (gateway,) = status(world.api(), "main").gateways
    assert gateway.state == "starting"
    assert "boots and does not have the interface yet" in gateway.why
    assert gateway.holder is None


def test_ready(world: World) -> None:
    """A proven gateway with its node, routes, group, agent version and last change."""
    plan = world.deploy(world.gateway())
    now = status(world.api(), "main")
    assert [g.state for g in now.gateways] == ["ready"]
    assert [r.state for r in now.routes] == ["ok", "ok", "ok"]
    assert now.group is not None
    assert (now.group.desired, now.group.members, now.group.purchase) == (1, 1, "spot")
    assert now.group.last_activity
    (node,) = now.nodes
    assert (node.id, node.spot, node.lifecycle) == (now.gateways[0].holder, True, "InService")
    assert node.agent == now.agent_version != ""
    assert "launch template version 1" in now.last_change
    assert plan.stack == now.stack


def test_down(world: World) -> None:
    """With no node and none coming the gateway is down, and its routes are blackholes."""
    world.deploy(world.gateway())
    world.cloud.faults.no_capacity()
    world.client("ec2").terminate_instances(InstanceIds=world.made()["instances"])
    world.settle()
    now = status(world.api(), "main")
    assert now.gateways[0].state == "down"
    assert now.gateways[0].public_address
    assert [r.state for r in now.routes] == ["blackhole"] * 3


def test_disabled(world: World) -> None:
    """A disabled gateway says so."""
    world.deploy(world.gateway(enabled=False))
    (gateway,) = status(world.api(), "main").gateways
    assert (gateway.state, gateway.why) == ("disabled", "enabled = false")


def test_foreign_route(world: World) -> None:
    """A route that somebody led elsewhere shows."""
    world.deploy(world.gateway())
    table = world.network.private_route_table_ids[0]
    world.client("ec2").replace_route(
        RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=world.network.internet_gateway_id
    )
    states = {r.route_table: r.state for r in status(world.api(), "main").routes}
    assert states[table] == "foreign"
