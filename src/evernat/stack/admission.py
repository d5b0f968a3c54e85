"""Whether security groups let clients' packets in and out again. Pure.

AWS adds up the rules of all groups of an interface: what one of them allows is allowed (EC2 user guide, security group
rules). Only rules for every protocol count, for a NAT that passes TCP alone is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, collapse_addresses

from evernat.stack.found import Rule, SecurityGroup, Subnet

EVERYTHING = "-1"
"""AWS's protocol number for all protocols."""
INTERNET = IPv4Network("0.0.0.0/0")


def shut(groups: tuple[SecurityGroup, ...], clients: Iterable[Subnet]) -> Iterator[str]:
    """What the groups of a gateway's interface keep its clients from, in words.

    Sources that are prefix lists or other groups cannot be judged from here: with one of those nothing is claimed.
    """
    named = ", ".join(g.id for g in groups) or "no security group"
    inward = [rule for group in groups for rule in group.ingress if rule.source != group.id]
    out = [client.cidr for client in clients if not _covers(inward, IPv4Network(client.cidr))]
    if out:
        yield f"the rules of {named} do not let all of {', '.join(out)} in"
    if not _covers([rule for group in groups for rule in group.egress], INTERNET):
        yield f"the rules of {named} do not let everything out"


def _covers(rules: Iterable[Rule], network: IPv4Network) -> bool:
    whole = [rule for rule in rules if rule.protocol == EVERYTHING and rule.kind != "ipv6"]
    if any(rule.kind != "cidr" for rule in whole):
        return True
    allowed = collapse_addresses(IPv4Network(rule.source) for rule in whole)
    return any(network.subnet_of(one) for one in allowed)
