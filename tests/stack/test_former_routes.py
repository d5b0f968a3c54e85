"""Where default routes led before the stack: put back as what they were, or told before anything is changed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import botocore.session
import pytest

from evernat.lab.cloud import ec2_targets
from evernat.lab.cloud.resources import RouteRecord
from evernat.stack import library, names
from evernat.stack.errors import AccessError, ApiError, BadInput, StackError
from evernat.stack.found import Target
from evernat.stack.spec import Gateway
from evernat.stack.targets import KINDS as OURS
from evernat.stack.targets import remembered, shown, to_remember
from tests import targets
from tests.stack.cluster import Agents
from tests.stack.support import pair, ring
from tests.stack.world import REGION, Server, World

ALL = "0.0.0.0/0"

Wanted = Callable[..., Gateway]

TOPOLOGIES: dict[str, Wanted] = {
    "single": lambda world, **fields: world.gateway(**fields),
    "pair": pair,
    "ring": ring,
}
THREES = [list(targets.KINDS)[n : n + 3] for n in range(0, len(targets.KINDS), 3)]
"""The network has three private tables."""


class Scene:
    """A network whose private tables lead to different kinds of targets, and a topology to deploy there."""

    def __init__(self, world: World, topology: str, kinds: list[str]) -> None:
        self.world = world
        self.wanted = TOPOLOGIES[topology]
        self.agents = Agents(world) if topology != "single" else None
        self.place = targets.Place(
            world.client("ec2"), world.cloud.region(REGION), world.network.vpc_id,
            world.network.public_subnet_ids[0], world.settle,
        )  # fmt: skip
        self.tables = list(world.network.private_route_table_ids)
        self.kinds = dict(zip(self.tables, (targets.KINDS[kind] for kind in kinds), strict=False))
        self.former = {table: kind.make(self.place) for table, kind in self.kinds.items()}
        for table, kind in self.kinds.items():
            self.place.ec2.create_route(
                RouteTableId=table, DestinationCidrBlock=ALL, **{kind.field: self.former[table]}
            )
        world.before = world.inventory()

    def deploy(self, **options: Any) -> None:
        """The whole of it, over the former routes."""
        gateway, api = self.wanted(self.world, **options.pop("fields", {})), self.world.api()
        leave = bool(options.get("leave_routes"))
        plan = library.plan(gateway, api, replace_routes=True, leave_routes=leave)
        library.deploy(gateway, plan, api, replace_routes=True, **options)

    def destroy(self, **options: Any) -> None:
        """As the command does."""
        api = self.world.api()
        library.destroy(library.plan_removal("main", api, **options), api, **options)

    def leads(self) -> dict[str, str]:
        """Table -> where its default route leads, as DescribeRouteTables names it; tables without one are left out."""
        found = self.place.ec2.describe_route_tables(RouteTableIds=self.tables)["RouteTables"]
        fields = {kind.shown for kind in targets.KINDS.values()}
        return {
            t["RouteTableId"]: next(r[f] for f in sorted(fields, reverse=True) if f in r)
            for t in found
            for r in t["Routes"]
            if r["DestinationCidrBlock"] == ALL
        }

    def tags(self, table: str) -> dict[str, str]:
        """A table's tags."""
        (found,) = self.place.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        return {t["Key"]: t["Value"] for t in found["Tags"]}

    def end(self, table: str) -> None:
        """The former target of a table goes."""
        self.kinds[table].end(self.place, self.former[table])

    def unchanged(self, run: Callable[[], object], kind: type[StackError] = BadInput) -> StackError:
        """The error of a run that changes nothing."""
        before, calls = self.world.inventory(), len(self.world.mutations())
        with pytest.raises(kind) as caught:
            run()
        assert len(self.world.mutations()) == calls
        assert self.world.inventory() == before
        return caught.value

    def follows(self, tables: list[str]) -> None:
        """Assert that these tables still follow the gateway when its holder dies."""
        assert self.agents
        self.place.ec2.terminate_instances(InstanceIds=list(set(self.agents.holders().values())))
        for _ in range(60):
            self.world.clock.sleep(1.0)
        nodes = {
            i["NetworkInterfaceId"]
            for i in self.place.ec2.describe_network_interfaces()["NetworkInterfaces"]
            if (i.get("Attachment") or {}).get("InstanceId") in self.agents.holders().values()
        }
        assert {self.leads()[table] for table in tables} <= nodes

    def nothing_left(self) -> None:
        """Assert that the account has nothing more than before; the targets that went were somebody else's."""
        self.world.settle()
        assert not any(self.world.made().values())


@pytest.fixture(params=TOPOLOGIES)
def topology(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("kinds", THREES, ids=lambda kinds: ", ".join(kinds))
def test_put_back(world: World, topology: str, kinds: list[str]) -> None:
    """Whatever a table led to, destroy leads it there again, and nothing else of ours is left."""
    scene = Scene(world, topology, kinds)
    before = scene.leads()
    assert set(before.values()) == set(scene.former.values())
    scene.deploy()
    assert not set(scene.leads().values()) & set(scene.former.values())
    scene.destroy()
    assert scene.leads() == before
    world.gone()


@pytest.mark.parametrize("kinds", THREES, ids=lambda kinds: ", ".join(kinds))
def test_gone(world: World, topology: str, kinds: list[str]) -> None:
    """A former target that is gone is told before anything changes; with --leave-routes its table has no way out."""
    scene = Scene(world, topology, kinds)
    scene.deploy()
    asked = [table for table, kind in scene.kinds.items() if kind.asked]
    for table in scene.kinds:
        scene.end(table)
    if asked:
        error = scene.unchanged(scene.destroy)
        assert isinstance(error, BadInput)
        assert {p.value for p in error.problems} == set(asked)
        assert all(scene.former[table] in error.cause for table in asked)
        assert "--leave-routes" in error.remedy
    else:
        told_by_the_call(scene)
    scene.destroy(leave_routes=True)
    assert scene.leads() == {}
    scene.nothing_left()
    assert all(names.STACK_TAG not in scene.tags(table) for table in scene.tables)


def told_by_the_call(scene: Scene) -> None:
    """Where EC2 cannot be asked, the call that puts the route back fails: its table stays ours as it was."""
    tags, leads = {t: scene.tags(t) for t in scene.kinds}, scene.leads()
    with pytest.raises(ApiError) as caught:
        scene.destroy()
    assert "--leave-routes" in caught.value.remedy
    assert scene.leads() == leads
    assert {t: scene.tags(t) for t in scene.kinds} == tags


@pytest.mark.parametrize("kind", targets.KINDS)
def test_shrinking(world: World, topology: str, kind: str) -> None:
    """A table that is no longer named gets its former route back; when that is gone it is told first."""
    scene = Scene(world, topology, [kind, "transit gateway" if kind != "transit gateway" else "endpoint"])
    first, second, third = scene.tables
    scene.deploy()
    home = next(iter(scene.wanted(world).private_route_table_ids))
    assert home == first
    scene.deploy(fields={"private_route_table_ids": [first, third]})
    assert scene.leads()[second] == scene.former[second]
    assert names.STACK_TAG not in scene.tags(second)
    scene.end(first)
    smaller: dict[str, Any] = {"fields": {"private_route_table_ids": [third]}}
    if scene.kinds[first].asked:
        error = scene.unchanged(lambda: scene.deploy(**smaller))
        assert isinstance(error, BadInput)
        assert [(p.field, p.value) for p in error.problems] == [("private_route_table_ids", first)]
        assert "--leave-routes" in error.remedy
    else:
        with pytest.raises(ApiError) as caught:
            scene.deploy(**smaller)
        assert "--leave-routes" in caught.value.remedy
    smaller |= {"leave_routes": True}
    scene.deploy(**smaller)
    assert set(scene.leads()) == {second, third}
    assert names.STACK_TAG not in scene.tags(first)
    scene.destroy()
    assert scene.leads() == {second: scene.former[second]}


def test_gone_between_plan_and_call(world: World, topology: str) -> None:
    """A target that goes while the user reads the plan: its table stays as it was, and nodes may still lead it."""
    scene = Scene(world, topology, ["transit gateway", "endpoint", "peering"])
    scene.deploy()
    tags, leads = {t: scene.tags(t) for t in scene.tables}, scene.leads()
    plan = library.plan_removal("main", world.api())
    order = [step.title for step in plan.steps if step.part == "route"]
    scene.end(order[1])
    with pytest.raises(ApiError, match=r"InvalidVpcEndpointId|InvalidVpcPeering|InvalidTransit") as caught:
        library.destroy(plan, world.api())
    assert scene.former[order[1]] in caught.value.remedy
    assert scene.leads() == {**leads, order[0]: scene.former[order[0]]}
    for table in order[1:]:
        assert scene.tags(table) == tags[table]
    if scene.agents:
        scene.follows(order[1:])
    scene.unchanged(scene.destroy)
    scene.destroy(leave_routes=True)
    assert scene.leads() == {t: scene.former[t] for t in (order[0], order[2])}
    scene.nothing_left()


@pytest.mark.parametrize(
    "code", ["UnauthorizedOperation", "InternalError", "throttle", "drop-before", "drop-after"]
)
def test_refused(world: World, topology: str, code: str) -> None:
    """Whatever becomes of the call that puts a route back, no table is half given back, and the next run goes on."""
    scene = Scene(world, topology, ["transit gateway", "endpoint", "peering"])
    before = scene.leads()
    scene.deploy()
    world.cloud.faults.add("ReplaceRoute", code, nth=2)
    with suppress(StackError):
        scene.destroy()
    world.cloud.faults.clear()
    for table, target in scene.leads().items():
        tags = scene.tags(table)
        assert target == scene.former[table] or names.PREVIOUS_ROUTE_TAG in tags
        assert topology == "single" or target == scene.former[table] or names.GATEWAY_TAG in tags
    scene.destroy()
    assert scene.leads() == before
    world.gone()


def test_killed_at_every_call(world: World, server: Server, topology: str) -> None:
    """A destroy that is killed after each of its calls, run by run, loses no route and ends as one run does."""
    scene = Scene(world, topology, ["endpoint", "core network", "carrier gateway"])
    before, runs = scene.leads(), 0
    scene.deploy()
    while os.WIFSIGNALED(killed(world, server, scene.destroy, after=1 + runs % 2)):
        runs += 1
        for table, target in scene.leads().items():
            assert target == before[table] or names.PREVIOUS_ROUTE_TAG in scene.tags(table)
        assert runs < 100
    assert runs >= 10
    assert scene.leads() == before
    world.gone()


def test_shrinking_killed_at_every_call(world: World, server: Server, topology: str) -> None:
    """The same for a deploy that gives two tables back."""
    scene = Scene(world, topology, ["peering", "local gateway", "transit gateway"])
    before, runs = scene.leads(), 0
    scene.deploy()
    kept = scene.tables[0]
    smaller = {"private_route_table_ids": [kept]}
    while os.WIFSIGNALED(killed(world, server, lambda: scene.deploy(fields=smaller), after=1)):
        runs += 1
        for table, target in scene.leads().items():
            assert target == before[table] or names.PREVIOUS_ROUTE_TAG in scene.tags(table)
        assert runs < 100
    assert runs >= 4
    assert {t: scene.leads()[t] for t in scene.tables[1:]} == {t: before[t] for t in scene.tables[1:]}
    assert scene.leads()[kept] != before[kept]
    scene.destroy()
    assert scene.leads() == before
    world.gone()


def killed(world: World, server: Server, run: Callable[[], object], after: int) -> int:
    """Run in a process of its own that gets SIGKILL once the cloud has carried out so many changes; its wait status."""
    first = len(world.mutations())
    pid = os.fork()
    if pid == 0:
        world.clock.work = [lambda: time.sleep(0.001)]
        for client in server.clients(world.api()).values():
            client._endpoint.http_session.close()  # connections are the parent's
        with suppress(StackError):
            run()
        os._exit(0)
    nodes = {"CompleteLifecycleAction", "AttachNetworkInterface", "AssociateAddress", "DisassociateAddress"}

    def end(_environ: object) -> None:
        made = [call for call in world.mutations()[first:] if call.partition(":")[2] not in nodes]
        if len(made) >= after:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    server.after = end
    try:
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return status
            world.clock.sleep(1.0)
            time.sleep(0.001)
    finally:
        server.after = lambda _environ: None


def test_a_kind_that_is_not_known(world: World, topology: str) -> None:
    """A tag of another version is told before anything changes: what it remembers is not forgotten without a word."""
    scene = Scene(world, topology, ["endpoint"])
    scene.deploy()
    (table,) = scene.kinds
    for text in ("warp-gate-id=wg-1", "endpoint", "vpc-endpoint-id="):
        scene.place.ec2.create_tags(
            Resources=[table], Tags=[{"Key": names.PREVIOUS_ROUTE_TAG, "Value": text}]
        )
        error = scene.unchanged(scene.destroy)
        assert text in error.cause
        error = scene.unchanged(lambda: scene.deploy(fields={"private_route_table_ids": scene.tables[1:]}))
        assert "does not know" in error.cause
    scene.destroy(leave_routes=True)
    assert scene.leads() == {}
    scene.nothing_left()


def test_an_endpoint_in_an_older_tag(world: World, topology: str) -> None:
    """Earlier versions wrote an endpoint down as the gateway that DescribeRouteTables shows it as."""
    scene = Scene(world, topology, ["endpoint"])
    scene.deploy()
    (table,) = scene.kinds
    tag = {"Key": names.PREVIOUS_ROUTE_TAG, "Value": f"gateway-id={scene.former[table]}"}
    scene.place.ec2.create_tags(Resources=[table], Tags=[tag])
    scene.destroy()
    assert scene.leads() == scene.former
    world.gone()


def test_never_taken(world: World, topology: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A route of a kind that could not be put back is not replaced, not even with --replace-routes."""
    warp = ec2_targets.Kind("GatewayId", "IpAddress", "", lambda *_: True)
    monkeypatch.setitem(ec2_targets.KINDS, "warp", warp)
    scene = Scene(world, topology, [])
    first = scene.tables[0]
    scene.place.region.routes[first] = {ALL: RouteRecord(ALL, "warp", "10.0.0.1")}
    error = scene.unchanged(scene.deploy)
    assert isinstance(error, BadInput)
    assert [p.value for p in error.problems] == [first]
    assert "does not know" in error.cause


def test_propagated(world: World, topology: str) -> None:
    """A route that a gateway announces is not replaced but preceded; without ours it holds again."""
    scene = Scene(world, topology, ["private gateway"])
    (table,) = scene.kinds
    gateway = scene.former[table]
    scene.place.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=ALL)
    scene.place.region.propagated[table] = [RouteRecord(ALL, "vgw", gateway, "EnableVgwRoutePropagation")]
    world.before = world.inventory()
    with pytest.raises(BadInput, match=gateway):
        library.plan(scene.wanted(world), world.api())
    scene.deploy()
    (found,) = scene.place.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert len([r for r in found["Routes"] if r["DestinationCidrBlock"] == ALL]) == 2
    assert names.PREVIOUS_ROUTE_TAG not in scene.tags(table)
    assert library.plan(scene.wanted(world), world.api()).changes == ()
    scene.destroy()
    assert scene.leads() == {table: gateway}
    world.gone()


def test_denied_to_look(world: World, topology: str) -> None:
    """Who may not ask if a former target is there is told so, and nothing is changed."""
    scene = Scene(world, topology, ["transit gateway"])
    scene.deploy()
    world.cloud.faults.add("DescribeTransitGatewayVpcAttachments", "UnauthorizedOperation", times=-1)
    scene.unchanged(scene.destroy, AccessError)
    world.cloud.faults.clear()
    scene.destroy()
    world.gone()


def test_every_kind_of_aws() -> None:
    """Our table has every target that CreateRoute takes, and what DescribeRouteTables shows is told and remembered."""
    model = botocore.session.get_session().get_service_model("ec2")
    shape: Any = model.operation_model("CreateRoute").input_shape
    taken = set(shape.members)
    destination = {"DryRun", "RouteTableId", *(name for name in taken if name.startswith("Destination"))}
    assert taken - destination == {kind.field for kind in OURS}
    assert len({kind.tag for kind in OURS}) == len(OURS)
    for kind in OURS:
        target = Target(kind.field, "x-1")
        assert remembered({names.PREVIOUS_ROUTE_TAG: to_remember(target)}) == target
        assert kind.field == "VpcEndpointId" or shown({kind.field: "x-1"}) == target
    assert shown({"GatewayId": "vpce-1"}) == Target("VpcEndpointId", "vpce-1")
    assert shown({"IpAddress": "10.0.0.1", "Origin": "Advertisement"}).propagated
    assert not shown({"WarpGateId": "wg-1"}).field
