"""A fault at every single API call of plan, deploy and destroy: running again completes, checked by the API's listing.

The calls are those that a clean run makes. Each case strikes one of them, lets the run end as it will, and runs again
without faults: the stack must be there once and whole, or gone without a trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import NamedTuple

import pytest

from evernat.stack import library
from evernat.stack.api import READS, Api
from evernat.stack.errors import AccessError, StackError
from evernat.stack.steps import Plan, Step
from tests.stack.world import World

KINDS = ("UnauthorizedOperation", "throttle", "drop-before", "drop-after")
TIMES = {"throttle": 99}
"""Throttling is waited out, so it goes on until the run has given up."""
FATAL = ("UnauthorizedOperation", "throttle")
"""The run ends with these. After a cut connection it looks what came of the call, and goes on by itself."""

TURNS = (("UnauthorizedOperation", "throttle", "drop-before"), ("drop-after",))
"""Every call is hit by one of each. Faults before anything was done take turns."""


class Target(NamedTuple):
    """The nth call of an action in a run."""

    action: str
    nth: int


def made(api: Api, *, reads: bool) -> Iterator[Target]:
    """The calls an Api has made that only look, or that change something."""
    seen: Counter[str] = Counter()
    for service, operation in api.calls:
        action = f"{service}:{api.client(service).meta.method_to_api_mapping[operation]}"
        seen[action] += 1
        if operation.startswith(READS) == reads:
            yield Target(action, seen[action])


def strike(world: World, kind: str, *targets: Target) -> None:
    """Make the targets fail. Counting begins now."""
    world.cloud.faults.clear()
    for target in targets:
        world.cloud.faults.add(target.action, kind, nth=target.nth, times=TIMES.get(kind, 1))


def struck(world: World, kind: str, run: Callable[[], object]) -> None:
    """Run into the fault, and see that it ended as this kind must."""
    if kind in FATAL:
        with pytest.raises(StackError):
            run()
    else:
        run()
    assert all(fault.struck for fault in world.cloud.faults.listed)
    world.cloud.faults.clear()


def targets_of(world: World) -> tuple[list[Target], list[Target]]:
    """The changing calls of a clean deploy and a clean destroy."""
    api, gateway = world.api(), world.gateway()
    library.deploy(gateway, library.plan(gateway, api), api)
    world.complete()
    deploying = list(made(api, reads=False))
    api = world.api()
    library.destroy(library.plan_removal("main", api), api)
    world.gone()
    return deploying, list(made(api, reads=False))


def pairs(targets: list[Target]) -> list[tuple[Target, Target]]:
    """Each call of the first half with one of the second: a run is hit at the one, the next run at the other."""
    half = (len(targets) + 1) // 2
    while half < len(targets) - 1 and targets[half].action == targets[half - 1].action:
        half += 1
    first, second = targets[:half], targets[half:]
    assert not {t.action for t in first} & {t.action for t in second}, "else they could not be told apart"
    return list(zip(first, (second * half)[:half], strict=True))


@pytest.mark.parametrize("kinds", TURNS)
def test_deploy_and_destroy(world: World, kinds: tuple[str, ...]) -> None:
    """Faults at any changing call leave something that the next run completes, or removes, without a duplicate."""
    deploying, destroying = (pairs(targets) for targets in targets_of(world))
    assert len(deploying) >= 9
    assert len(destroying) >= 7
    for number in range(max(len(deploying), len(destroying))):
        kind = kinds[number % len(kinds)]
        hit(world, kind, deploying[number % len(deploying)], lambda: world.deploy(world.gateway()))
        world.complete()
        hit(world, kind, destroying[number % len(destroying)], world.destroy)
        world.gone()


def hit(world: World, kind: str, targets: tuple[Target, Target], run: Callable[[], object]) -> None:
    """Run into two faults, then run in peace."""
    if kind in FATAL:
        for target in targets:
            strike(world, kind, target)
            struck(world, kind, run)
    else:
        strike(world, kind, *targets)
        struck(world, kind, run)
    run()


@pytest.mark.parametrize("kinds", TURNS)
def test_looking(world: World, kinds: tuple[str, ...]) -> None:
    """A query that fails ends the run with an error, or is tried again; it never counts as "nothing there"."""
    world.deploy(world.gateway())
    api = world.api()
    library.plan(world.gateway(), api)
    before = world.inventory()
    for kind, target in zip(cycle(kinds), made(api, reads=True), strict=False):
        strike(world, kind, target)
        struck(world, kind, lambda: unchanged(library.plan(world.gateway(), world.api())))
    api = world.api()
    whole = library.plan_removal("main", api).steps
    for kind, target in zip(cycle(kinds), made(api, reads=True), strict=False):
        strike(world, kind, target)
        struck(world, kind, lambda: same(library.plan_removal("main", world.api()), whole))
    assert world.inventory() == before


def unchanged(plan: Plan) -> None:
    """Assert that there is nothing to do."""
    assert plan.changes == ()


def same(plan: Plan, steps: tuple[Step, ...]) -> None:
    """Assert that the plan has these steps."""
    assert plan.steps == steps


def test_every_call_throttled_once(world: World) -> None:
    """Throttling now and then is waited out and nobody notices."""
    api, gateway = world.api(), world.gateway()
    for service in ("ec2", "iam", "autoscaling", "ssm", "sts"):
        for action in api.client(service).meta.service_model.operation_names:
            world.cloud.faults.add(f"{service}:{action}", "throttle")
    library.deploy(gateway, library.plan(gateway, api), api)
    world.complete()


@pytest.mark.parametrize(
    "action", ["DescribeAutoScalingGroups", "DescribeNetworkInterfaces", "DescribeInstances"]
)
def test_waiting(world: World, action: str) -> None:
    """A query that fails while deploy waits for the node ends it with the reason; the next run goes on."""
    plan = library.plan(world.gateway(), world.api())
    world.agent_works = False
    world.cloud.faults.add(action, "AccessDenied", nth=2)
    with pytest.raises(AccessError):
        library.deploy(world.gateway(), plan, world.api())
    world.agent_works = True
    world.deploy(world.gateway())
    world.complete()
