"""A deploy that gives up puts back the routes that it took from somebody else, and what is proven stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evernat.stack import library
from evernat.stack.api import READS, Api
from evernat.stack.errors import ApiError, NotReady
from evernat.stack.giveback import give_back
from evernat.stack.spec import Gateway
from evernat.stack.status import status
from tests import targets
from tests.stack.cluster import Agents
from tests.stack.support import pair, ring
from tests.stack.telling import PASSES, failing
from tests.stack.test_former_routes import Scene
from tests.stack.world import World, nat_gateway

NO_WAY = failing("foreign forward chain", "table ip filter chain FORWARD drops")
Maker = Callable[[World], Gateway]


def tags(world: World, table: str) -> dict[str, str]:
    """A table's tags of ours."""
    (found,) = world.client("ec2").describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return {t["Key"]: t["Value"] for t in found["Tags"] if t["Key"].startswith("evernat:")}


def hasty(world: World) -> Agents:
    """Nodes that take routes before their clients have internet, which they do not have."""
    agents = Agents(world)
    agents.hasty = True
    world.teller().egress = NO_WAY
    return agents


@pytest.mark.parametrize("topology", [pair, ring])
def test_taken_without_proof(world: World, topology: Maker) -> None:
    """What nodes took goes back, no node may take it again, and the message says so; going on takes it for good."""
    nat = nat_gateway(world)
    agents = hasty(world)
    with pytest.raises(NotReady) as caught:
        world.deploy(topology(world), replace_routes=True, timeout=60)
    lines = caught.value.cause.splitlines()
    for table in world.network.private_route_table_ids:
        assert f"{table} leads to {nat} again" in lines
        assert tags(world, table) == {
            "evernat:stack": "main",
            "evernat:previous-route": f"nat-gateway-id={nat}",
        }
    assert "foreign forward chain" in lines[0]
    world.settle()
    assert set(world.routes().values()) == {nat}
    assert {r.state for r in status(world.api(), "main").routes} == {"foreign"}
    world.teller().egress = PASSES
    agents.hasty = False
    world.deploy(topology(world))
    assert nat not in world.routes().values()
    world.destroy()
    world.gone()


@pytest.mark.parametrize("topology", [pair, ring])
def test_never_taken(world: World, topology: Maker) -> None:
    """Nodes that wait for their proof took nothing, and do not take it when deploy has given up."""
    nat = nat_gateway(world)
    Agents(world)
    world.teller().egress = NO_WAY
    with pytest.raises(NotReady, match=f"still leads to {nat}"):
        world.deploy(topology(world), replace_routes=True, timeout=60)
    world.teller().egress = PASSES
    world.settle()
    assert set(world.routes().values()) == {nat}
    world.destroy()
    world.gone()


def test_the_proven_ones_stay(world: World) -> None:
    """Of a ring only the tables of the gateway without proof go back."""
    nat = nat_gateway(world)
    agents = Agents(world)
    agents.hasty = True
    world.teller().unlike = {"main-b": NO_WAY}
    with pytest.raises(NotReady):
        world.deploy(ring(world), replace_routes=True, timeout=60)
    assert [target == nat for target in world.routes().values()] == [False, True, False]
    states = {g.name: g.state for g in status(world.api(), "main").gateways}
    assert states == {"main-a": "ready", "main-b": "down", "main-c": "ready"}
    world.destroy()
    world.gone()


def test_without_a_standby(world: World) -> None:
    """A gateway that is served and alone keeps its tables: its clients have internet."""
    nat = nat_gateway(world)
    agents = Agents(world)
    agents.heard_after = 10**6
    with pytest.raises(NotReady, match="hears no standby"):
        world.deploy(pair(world), replace_routes=True, timeout=60)
    assert nat not in world.routes().values()


def test_a_single_whose_next_node_fails(world: World) -> None:
    """A rolled node that is never proven: the tables go back to the NAT Gateway that is still there."""
    nat = nat_gateway(world)
    world.deploy(world.gateway(), replace_routes=True)
    world.teller().egress = NO_WAY
    changed = world.gateway(user_data_runcmd=["touch /tmp/x"])
    with pytest.raises(NotReady, match=f"leads to {nat} again"):
        world.deploy(changed, timeout=60)
    assert set(world.routes().values()) == {nat}
    world.teller().egress = PASSES
    world.deploy(changed)
    world.complete()
    world.destroy()
    world.gone()


def test_a_single_that_did_not_wait(world: World) -> None:
    """Routes that --no-wait set without proof are put back by the next deploy that waits in vain."""
    nat = nat_gateway(world)
    world.agent_works = False
    world.deploy(world.gateway(), replace_routes=True, ready=False)
    assert nat not in world.routes().values()
    with pytest.raises(NotReady, match=f"leads to {nat} again"):
        world.deploy(world.gateway(), timeout=30)
    assert set(world.routes().values()) == {nat}
    world.destroy()
    world.gone()


def test_nothing_was_there_before(world: World) -> None:
    """Tables that had no way out have none to go back to: they stay, and nothing is said of them."""
    hasty(world)
    with pytest.raises(NotReady) as caught:
        world.deploy(pair(world), timeout=60)
    assert "leads to" not in caught.value.cause
    assert len(world.routes()) == 3


def taken(world: World) -> str:
    """A pair without proof has taken the routes of a NAT Gateway; its id."""
    nat = nat_gateway(world)
    hasty(world)
    retaken(world)
    return nat


def retaken(world: World) -> None:
    """Have the nodes take the routes again."""
    api = world.api()
    library.apply(library.plan(pair(world), api, replace_routes=True), api, ready=False)
    world.settle()
    assert not [target for target in world.routes().values() if target.startswith("nat-")]


def test_the_former_target_is_gone(world: World) -> None:
    """A NAT Gateway that was deleted meanwhile takes nothing back: said, and the table stays with the stack."""
    nat = taken(world)
    world.client("ec2").delete_nat_gateway(NatGatewayId=nat)
    world.settle()
    with pytest.raises(NotReady, match=f"could not be given back to {nat}: it does not exist any more"):
        world.deploy(pair(world), timeout=60)
    assert all(tags(world, t)["evernat:gateway"] == "main" for t in world.network.private_route_table_ids)


KINDS = [
    pytest.param(kind, marks=[] if kind in ("nat gateway", "endpoint", "peering") else pytest.mark.long)
    for kind in targets.KINDS
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind(world: World, kind: str) -> None:
    """Whatever a table led to, it is given back to; a kind that is not known leaves it with the stack."""
    scene = Scene(world, "pair", [kind])
    hasty(world)
    with pytest.raises(NotReady, match=f"{scene.tables[0]} leads to .* again"):
        scene.deploy(timeout=60)
    assert scene.leads()[scene.tables[0]] == scene.former[scene.tables[0]]
    retaken(world)
    tag = [{"Key": "evernat:previous-route", "Value": "warp-gate-id=wg-1"}]
    world.client("ec2").create_tags(Resources=[scene.tables[0]], Tags=tag)
    with pytest.raises(NotReady, match="could not be given back to warp-gate-id=wg-1: it is of a kind"):
        world.deploy(pair(world), timeout=60)
    assert tags(world, scene.tables[0])["evernat:gateway"] == "main"


def replaced(world: World, table: str, agents: Agents) -> None:
    """The holder sets a table's route."""
    holder = agents.nodes[agents.holders()["main"]]
    interface = holder["NetworkInterfaces"][0]["NetworkInterfaceId"]
    world.client("ec2").replace_route(
        RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NetworkInterfaceId=interface
    )


@pytest.mark.parametrize(("times", "wins"), [(2, False), (99, True)])
def test_a_node_that_read_the_tag_before(
    world: World, monkeypatch: pytest.MonkeyPatch, times: int, wins: bool
) -> None:
    """A node that sets the route once more after it was put back loses; one that goes on is told."""
    nat = taken(world)
    agents = Agents(world)
    assert agents.slots() == {"main": "a"}
    table, real, again = world.network.private_route_table_ids[0], Api.call, list[str]()

    def call(api: Api, service: str, operation: str, **params: Any) -> dict[str, Any]:
        answer = real(api, service, operation, **params)
        if operation == "replace_route" and params["RouteTableId"] == table and len(again) < times:
            again.append(operation)
            replaced(world, table, agents)
        return answer

    monkeypatch.setattr(Api, "call", call)
    found = {one.table: one.text() for one in give_back(world.api(), "main")}
    if wins:
        assert (
            found.pop(table) == f"{table} could not be given back to {nat}: nodes go on setting another route"
        )
    assert set(found.values()) == {f"{t} leads to {nat} again" for t in found}
    assert len(found) == 2 if wins else 3


def refusing(monkeypatch: pytest.MonkeyPatch, operation: str, nth: int = 1) -> None:
    """AWS refuses the nth call of an operation, and all after it."""
    real, seen = Api.call, list[str]()

    def call(api: Api, service: str, asked: str, **params: Any) -> dict[str, Any]:
        if asked == operation:
            seen.append(asked)
            if len(seen) >= nth:
                raise ApiError(f"{service}:{asked}", "UnauthorizedOperation", "not you")
        return real(api, service, asked, **params)

    monkeypatch.setattr(Api, "call", call)


@pytest.mark.parametrize(
    ("operation", "words"),
    [("delete_tags", "and then: AWS refused"), ("replace_route", "could not be given back")],
)
def test_refused(world: World, monkeypatch: pytest.MonkeyPatch, operation: str, words: str) -> None:
    """What AWS refuses on the way back is said beside the reason for giving up, and the next run goes on."""
    nat = taken(world)
    with monkeypatch.context() as patch:
        refusing(patch, operation)
        with pytest.raises(NotReady) as caught:
            world.deploy(pair(world), timeout=10)
    if operation == "replace_route":  # tables that stay with the nodes must follow them
        assert all(tags(world, t)["evernat:gateway"] == "main" for t in world.network.private_route_table_ids)
    first, *others = caught.value.cause.splitlines()
    assert "not ready after 10 s" in first
    assert any(words in line and "UnauthorizedOperation" in line for line in others)
    with pytest.raises(NotReady, match=f"leads to {nat} again"):
        world.deploy(pair(world), timeout=10)
    assert set(world.routes().values()) == {nat}


def test_interrupted_anywhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before or after any of its calls, giving back goes on with the next run, and destroy leaves nothing."""
    nat = taken(world)
    real, limit, count = Api.call, 0, 0

    def call(api: Api, service: str, operation: str, **params: Any) -> dict[str, Any]:
        nonlocal count
        if operation.startswith(READS):
            return real(api, service, operation, **params)
        count += 1
        if count == limit:
            raise KeyboardInterrupt
        answer = real(api, service, operation, **params)
        if count == limit - 1:
            raise KeyboardInterrupt
        return answer

    give_back(world.api(), "main")
    for limit in range(1, 8):  # noqa: B007 - `call` reads it: three tags, three routes, and after the last
        retaken(world)
        count = 0
        with monkeypatch.context() as patch:
            patch.setattr(Api, "call", call)
            with pytest.raises(KeyboardInterrupt):
                give_back(world.api(), "main")
        give_back(world.api(), "main")
        assert set(world.routes().values()) == {nat}
    world.destroy()
    world.gone()


def test_killed_between_tag_and_route(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table without the nodes' tag that still leads to them is put back by destroy, and by deploy taken again."""
    nat = taken(world)
    with monkeypatch.context() as patch:
        refusing(patch, "delete_tags", 2)
        with pytest.raises(ApiError):
            give_back(world.api(), "main")
    world.teller().egress = PASSES
    world.deploy(pair(world))
    assert nat not in world.routes().values()
    assert status(world.api(), "main").whole
    world.destroy()
    world.gone()
    assert set(world.routes().values()) == {nat}
