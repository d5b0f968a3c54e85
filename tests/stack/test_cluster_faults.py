"""A fault at every changing call of a pair's deploy, roll and destroy: running again completes, or leaves nothing.

As in `test_faults`, but each call is hit once: every other one is carried out and not answered.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from evernat.stack import library
from evernat.stack.errors import AccessError, BadInput
from evernat.stack.spec import Gateway
from tests.stack.cluster import Agents
from tests.stack.support import PARAMETERS, pair, ring
from tests.stack.test_faults import FATAL, KINDS, Target, made, strike, struck
from tests.stack.world import World, nat_gateway

ROUNDS = (("UnauthorizedOperation", "drop-after"), ("drop-after", "throttle"), ("drop-before", "drop-after"))
PARAMETER_CALLS = ("ssm:PutParameter", "ssm:DeleteParameter")


def whole(world: World, agents: Agents) -> None:
    """Assert that the account has exactly one whole pair more than before, each thing once."""
    counts = {kind: len(things) for kind, things in world.made().items()}
    assert counts == {
        "instances": 2, "interfaces": 2, "addresses": 1, "security groups": 1, "templates": 2, "groups": 2,
        "parameters": PARAMETERS + 1, "roles": 1, "profiles": 1,
    }  # fmt: skip
    assert list(agents.slots()) == ["main"]
    assert library.plan(pair(world), world.api()).changes == ()


def calls_of(world: World) -> tuple[list[Target], list[Target]]:
    """The changing calls of a clean deploy and a clean destroy, without most of those that are alike."""
    api = world.api()
    library.deploy(pair(world), library.plan(pair(world), api, replace_routes=True), api, replace_routes=True)
    deploying = list(made(api, reads=False))
    api = world.api()
    library.destroy(library.plan_removal("main", api), api)
    return few(deploying), few(list(made(api, reads=False)))


def few(calls: list[Target]) -> list[Target]:
    """The first three calls about parameters (the key's, and two files') and the last."""
    last = max(call.nth for call in calls if call.action in PARAMETER_CALLS)
    return [c for c in calls if c.action not in PARAMETER_CALLS or c.nth <= 3 or c.nth == last]


def test_deploy_and_destroy(world: World) -> None:
    """Wherever a deploy or destroy is hit, the next run completes it. Where the routes led before is never lost."""
    nat_gateway(world)
    agents = Agents(world)
    deploying, destroying = calls_of(world)
    world.gone()
    assert len(deploying) >= 16
    assert len(destroying) >= 14
    deploy = partial(world.deploy, pair(world), replace_routes=True)
    for number in range(0, max(len(deploying), len(destroying)), 2):
        # An odd number of pairs of kinds, so that calls which are alike for every slot meet different ones.
        kinds = ROUNDS[number // 2 % len(ROUNDS)]
        for run, calls in ((deploy, deploying), (world.destroy, destroying)):
            for offset, kind in enumerate(kinds):
                target = calls[(number + offset) % len(calls)]
                strike(world, kind, target)
                # What a run before this one has done already is not called again, and so cannot be hit.
                if offset:
                    hit_or_not(world, kind, run)
                else:
                    struck(world, kind, run)
            run()
            if run is deploy:
                whole(world, agents)
            else:
                world.gone()


def hit_or_not(world: World, kind: str, run: partial[object] | object) -> None:
    """Run into the fault if the run still comes by it."""
    assert callable(run)
    try:
        run()
    except Exception:
        assert kind in FATAL
    world.cloud.faults.clear()


def test_rolling(world: World) -> None:
    """A roll that is cut off at any changing call goes on with the next run, and never leaves the gateway alone."""
    agents = Agents(world)
    world.deploy(pair(world))
    api, gateway = world.api(), pair(world, user_data_runcmd=["echo first"])
    library.deploy(gateway, library.plan(gateway, api), api)
    rolling = list(made(api, reads=False))
    assert {"ec2:CreateTags", "autoscaling:StartInstanceRefresh"} <= {t.action for t in rolling}
    for number, target in enumerate(rolling):
        kind = KINDS[number % len(KINDS)]
        gateway = pair(world, user_data_runcmd=[f"echo {number}"])
        strike(world, kind, target)
        struck(world, kind, partial(world.deploy, gateway))
        world.deploy(gateway)
        assert library.plan(gateway, world.api()).changes == ()
        assert len(world.made()["instances"]) == 2
        assert agents.slots()["main"] in ("a", "b")


def test_looking(world: World) -> None:
    """A query that fails while it is waited for ends the run with the reason; it never counts as nothing there."""
    agents = Agents(world)
    for action in ("DescribeAddresses", "DescribeRouteTables", "DescribeAutoScalingGroups"):
        plan = library.plan(pair(world), world.api())
        agents.works = False
        world.cloud.faults.add(action, "UnauthorizedOperation", nth=1)
        with pytest.raises(AccessError, match=action):
            library.deploy(pair(world), plan, world.api())
        world.cloud.faults.clear()
    agents.works = True
    world.deploy(pair(world))
    whole(world, agents)


def test_smaller_and_larger(world: World) -> None:
    """Slots come and go: a ring of three becomes one of two, and three again; gateways that stay keep their address."""
    agents = Agents(world)
    world.deploy(ring(world))
    first = agents.public()
    third = world.network.private_route_table_ids[2]
    smaller = ring(world, public_subnets=list(world.network.public_subnet_ids[:2]), table_slots={third: "b"})
    world.deploy(smaller)
    assert library.plan(smaller, world.api()).changes == ()
    world.settle()
    assert len(world.made()["instances"]) == 2
    assert sorted(agents.slots()) == ["main-a", "main-b"]
    world.deploy(ring(world))
    assert agents.slots() == {"main-a": "a", "main-b": "b", "main-c": "c"}
    kept = {gateway: public for gateway, public in first.items() if gateway != "main-c"}
    assert kept.items() <= agents.public().items()
    world.destroy()
    world.gone()


def test_single_grows_into_a_pair(world: World) -> None:
    """A single gateway by address gets a standby, and loses it again, without another address."""
    agents = Agents(world)
    single = world.gateway(identity="address")
    world.deploy(single)
    address = world.made()["addresses"]
    world.deploy(pair(world))
    assert world.made()["addresses"] == address
    whole(world, agents)
    world.deploy(single)
    world.settle()
    assert world.made()["addresses"] == address
    assert agents.slots() == {"main": "a"}
    assert len(world.made()["instances"]) == 1


def test_identity_does_not_change(world: World) -> None:
    """A stack of the other identity is refused before anything is changed."""
    world.deploy(world.gateway())
    changed = len(world.mutations())
    with pytest.raises(Exception, match='identity = address: the stack main is there with identity = "eni"'):
        world.deploy(pair(world))
    assert len(world.mutations()) == changed


def other(world: World, topology: str, name: str = "main") -> Gateway:
    """A pair or a ring under a name."""
    return (pair if topology == "pair" else ring)(world, name=name)


@pytest.mark.parametrize(("there", "wanted"), [("pair", "ring"), ("ring", "pair")])
def test_a_pair_does_not_become_a_ring(world: World, there: str, wanted: str) -> None:
    """Nor the other way round: refused before anything is changed, with the way that works. And that one does."""
    first, second = Agents(world), Agents(world, "other")  # the world asks the last one
    world.clock.work.append(first.turn)
    world.deploy(other(world, there))
    before, changed = first.public(), len(world.mutations())
    with pytest.raises(BadInput) as caught:
        world.deploy(other(world, wanted))
    (problem,) = caught.value.problems
    assert (problem.field, problem.value) == ("topology", wanted)
    assert all(gateway in problem.cause for gateway in before)
    assert "--replace-routes" in problem.remedy
    assert len(world.mutations()) == changed
    world.deploy(other(world, wanted, "other"), replace_routes=True)
    assert first.public() == before
    world.destroy()
    world.settle()
    interfaces = {n["NetworkInterfaces"][0]["NetworkInterfaceId"] for n in second.nodes.values()}
    assert set(world.routes().values()) <= interfaces
    assert len(world.routes()) == 3
    assert library.plan(other(world, wanted, "other"), world.api()).changes == ()
    with pytest.raises(BadInput, match="does not exist any more"):
        world.destroy("other")  # its routes led to nodes of the first one
    world.destroy("other", leave_routes=True)
    world.settle()
    assert not any(world.made().values())


def test_half_destroyed_may_become_another(world: World) -> None:
    """Without nodes there is nothing to break: what is left of a pair gives way to a ring."""
    Agents(world)
    world.deploy(pair(world))
    api = world.api()
    plan = library.plan_removal("main", api)
    cut = next(n for n, step in enumerate(plan.steps) if step.part == "address")
    library.destroy(replace(plan, steps=plan.steps[:cut]), api)
    steps = library.plan(ring(world), world.api()).changes
    assert [(s.verb, s.part) for s in steps if s.part == "address"] == [("create", "address")] * 3 + [
        ("delete", "address")
    ]
