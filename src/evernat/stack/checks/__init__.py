"""Checks of the input against what is there, before anything is changed. One topic per file, all pure.

Each takes the context and yields problems; all are collected, so that a user sees every mistake at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from evernat.stack.checks import address, identity, machine, naming, network, quota, ring, routes
from evernat.stack.context import Context
from evernat.stack.errors import BadInput, Problem

Check = Callable[[Context], Iterator[Problem]]

CHECKS: tuple[Check, ...] = (
    naming.check,
    identity.check,
    network.check,
    ring.check,
    machine.check,
    address.check,
    quota.check,
)


def check(context: Context, *, replace_routes: bool = False) -> None:
    """Raise BadInput with every problem found. `replace_routes`: the user agrees to replace foreign default routes."""
    problems: list[Problem] = []
    if context.environment.vpc is None:
        # Nothing else can be judged: most often the region is another one than meant.
        problems = list(network.vpc_missing(context))
    else:
        problems = [problem for one in CHECKS for problem in one(context)]
        problems += routes.check(context, replace_routes=replace_routes)
    if problems:
        raise BadInput(problems)
