"""Runs that are killed, changes that are cut off, and routes taken over meanwhile: the next run completes or removes.

The faults are those of `test_faults`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from evernat.stack import library
from evernat.stack.errors import StackError
from tests.stack.test_faults import KINDS, Target, made, pairs, strike, struck, targets_of
from tests.stack.world import Server, World, nat_gateway


def in_child(world: World, server: Server, target: Target, run: Callable[[], object]) -> int:
    """Run in a process of its own that gets SIGKILL once the cloud has carried out the target; its wait status."""
    first = len(world.cloud.calls)
    pid = os.fork()
    if pid == 0:
        world.clock.work = [lambda: time.sleep(0.001)]
        for client in server.clients(world.api()).values():
            client._endpoint.http_session.close()  # connections are the parent's
        with suppress(StackError):
            run()
        os._exit(0)

    def after(_environ: object) -> None:
        calls = [c for c in world.cloud.calls[first:] if c.name == target.action]
        if len(calls) >= target.nth:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    server.after = after
    try:
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return status
            world.clock.sleep(1.0)
            time.sleep(0.001)
    finally:
        server.after = lambda _environ: None


def test_killed(world: World, server: Server) -> None:
    """A process killed right after any changing call leaves something that the next run completes, or removes."""
    deploying, destroying = (pairs(targets) for targets in targets_of(world))
    for number in range(max(len(deploying), len(destroying))):
        for target in deploying[number % len(deploying)]:
            assert os.WIFSIGNALED(in_child(world, server, target, lambda: world.deploy(world.gateway()))), (
                target
            )
        world.deploy(world.gateway())
        world.complete()
        for target in destroying[number % len(destroying)]:
            assert os.WIFSIGNALED(in_child(world, server, target, world.destroy)), target
        world.destroy()
        world.gone()


def test_changes(world: World) -> None:
    """A fault at any call of a move to another subnet leaves something that the next run completes.

    The default routes led to a NAT gateway before; however often the stack moves and fails, destroy puts them back.
    """
    nat = nat_gateway(world)
    homes = world.network.public_subnet_ids[:2]
    world.deploy(world.gateway(public_subnet=homes[0]), replace_routes=True)
    api, gateway = world.api(), world.gateway(public_subnet=homes[1])
    library.deploy(gateway, library.plan(gateway, api), api)
    for number, target in enumerate(made(api, reads=False)):
        gateway = world.gateway(public_subnet=homes[number % 2])
        kind = KINDS[number % len(KINDS)]
        strike(world, kind, target)
        struck(world, kind, partial(world.deploy, gateway))
        world.deploy(gateway)
        world.complete()
    world.destroy()
    world.gone()
    assert set(world.routes().values()) == {nat}


def test_taking_over_from_a_nat_gateway(world: World) -> None:
    """A fault while routes are taken over from a NAT gateway never loses where they led."""
    nat_gateway(world)
    api, gateway = world.api(), world.gateway()
    library.deploy(gateway, library.plan(gateway, api, replace_routes=True), api, replace_routes=True)
    takeovers = [t for t in made(api, reads=False) if t.action in ("ec2:CreateTags", "ec2:ReplaceRoute")]
    assert len(takeovers) == 6
    for number, target in enumerate(takeovers):
        world.destroy()
        world.gone()
        kind = KINDS[number % len(KINDS)]
        strike(world, kind, target)
        struck(world, kind, lambda: world.deploy(world.gateway(), replace_routes=True))
        if number % 2:
            world.deploy(world.gateway(), replace_routes=True)
    world.destroy()
    world.gone()
