"""Deploying, changing and destroying a stack against the lab's cloud."""

from __future__ import annotations

from evernat.stack import library
from tests.stack.world import World


def test_full_life(world: World) -> None:
    """A deployed stack is complete, a second plan is empty, and destroy leaves the account as it was."""
    api = world.api()
    gateway = world.gateway()
    plan = library.plan(gateway, api)
    for step in plan.steps:
        print(step.verb, step.part, step.title, step.changes)
    library.deploy(gateway, plan, api)
    print(world.made())
    again = library.plan(gateway, api)
    assert again.changes == ()
    library.destroy(library.plan_removal("main", api), api)
    world.settle()
    assert world.inventory() == world.before
