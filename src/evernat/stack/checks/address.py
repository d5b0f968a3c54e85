"""The Elastic IP that the user brings."""

from __future__ import annotations

from collections.abc import Iterator

from evernat.stack import names
from evernat.stack.context import Context
from evernat.stack.errors import Problem
from evernat.stack.found import Address


def check(context: Context) -> Iterator[Problem]:
    """An allocation id must exist, and must not be on something that is not ours."""
    wanted = context.gateway.elastic_ip
    if not wanted.startswith("eipalloc-"):
        return
    region = context.environment.identity.region
    address = next((a for a in context.environment.addresses if a.id == wanted), None)
    if address is None:
        remedy = 'correct the allocation id, or set elastic_ip = "create"'
        yield Problem("elastic_ip", wanted, f"there is no such Elastic IP in {region}", remedy)
        return
    ours = {i.id for i in context.found.interfaces}
    ours |= {interface for node in context.found.nodes for interface in node.interfaces}
    other = address.tags.get(names.STACK_TAG, context.gateway.name)
    if other != context.gateway.name:
        remedy = "use another address: this one would be fought over"
        yield Problem("elastic_ip", wanted, f"serves the stack {other}", remedy)
    elif address.association_id and address.interface_id not in ours and not _lent(context, address):
        holder = address.interface_id or address.instance_id or "something else"
        yield Problem(
            "elastic_ip",
            wanted,
            f"{address.public_address} is on {holder} already",
            "disassociate it there first, or use another address",
        )


def _lent(context: Context, address: Address) -> bool:
    """Whether it is lent to this stack, and so on a node of it, listed or not: nodes come and go while one looks."""
    tags = address.tags
    return tags.get(names.STACK_TAG) == context.gateway.name and names.GATEWAY_TAG in tags
