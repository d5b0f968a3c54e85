"""What is there must be of the same kind as what is wanted."""

from __future__ import annotations

from collections.abc import Iterator

from evernat.stack import names
from evernat.stack.context import Context
from evernat.stack.errors import Problem


def check(context: Context) -> Iterator[Problem]:
    """A stack's identity does not change: what moves with an interface is not what moves with an address."""
    found, gateway = context.found, context.gateway
    own = {group.name for group in found.own_groups}
    by_interface = bool(found.interfaces) or names.resource_name(gateway.name) in own
    by_address = bool(own - {names.resource_name(gateway.name)})
    there = "eni" if by_interface else "address" if by_address else ""
    wanted = "address" if gateway.by_address else "eni"
    if there and there != wanted:
        yield Problem(
            "identity",
            wanted,
            f'the stack {gateway.name} is there with identity = "{there}"',
            "deploy under another name and destroy this one afterwards, or destroy this one first",
        )
