"""What a stack pays for public IPv4 addresses, which is most of its bill beside the nodes. Pure."""

from __future__ import annotations

from evernat.stack.spec import Gateway

PUBLIC_IPV4 = 0.005
"""USD an hour, in use or not, Elastic IP or not (VPC pricing)."""
HOURS = 730
"""Of a month, as AWS's own calculator takes it."""
MONTH = PUBLIC_IPV4 * HOURS
"""USD a month for one address."""


def public_addresses(gateway: Gateway, nodes: int, gateways: int) -> int:
    """How many are paid for: gateways' Elastic IPs, and those that nodes got at launch and still have.

    An Elastic IP on a node's primary private address takes the place of the one that the node got at launch.
    """
    beside = not gateway.by_address or gateway.on_secondary
    return nodes + gateways if beside else max(nodes, gateways)
