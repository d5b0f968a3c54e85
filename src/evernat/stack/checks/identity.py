"""What is there must be of the same kind as what is wanted."""

from __future__ import annotations

from collections.abc import Iterator

from evernat.stack import names
from evernat.stack.context import Context
from evernat.stack.errors import Problem

REMEDY = "deploy under another name (with --replace-routes) and destroy this one afterwards, or destroy this one first"


def check(context: Context) -> Iterator[Problem]:
    """Identity and gateways of a stack stay."""
    yield from _identity(context)
    yield from _gateways(context)


def _identity(context: Context) -> Iterator[Problem]:
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
            REMEDY,
        )


def _gateways(context: Context) -> Iterator[Problem]:
    """A stack keeps at least one of its gateways.

    From pair to ring or back all are other ones, with other addresses: the nodes that are there could neither serve the
    new ones nor go on with the old, for the tables are lent to one gateway at a time.
    """
    found, gateway = context.found, context.gateway
    if not gateway.by_address or not found.own_groups:
        return
    there = [address.gateway for address in found.gateway_addresses]
    wanted = [shape.name for shape in context.layout.gateways]
    if there and not set(there) & set(wanted):
        yield Problem(
            "topology",
            gateway.topology,
            f"the stack {gateway.name} is there with {_named(there)}; instead of that it would have {_named(wanted)}, "
            "at other public addresses, and every connection would break",
            REMEDY,
        )


def _named(gateways: list[str]) -> str:
    listed = sorted(set(gateways))
    return f"gateway{'s' if len(listed) > 1 else ''} {', '.join(listed)}"
