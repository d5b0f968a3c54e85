"""What users let in by rules of their own on the stack's security groups, for the node's firewall. Pure.

A group that is open (pair, ring) says nothing about whom the node should let in, and our own rules are marked (MARK):
those of the rest that name a protocol or somebody are the user's. What is left out is told, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..contract import MARK
from .firewall import Opening

ANYWHERE = "0.0.0.0/0"
BOUNDS = {"tcp": (0, 65535), "udp": (0, 65535)}


class Rule(NamedTuple):
    """An inbound rule by AWS's record. Empty: it has another kind of source (IPv6, too: the node has none)."""

    id: str
    protocol: str
    first: int
    last: int
    cidr: str = ""
    group: str = ""
    prefixes: str = ""
    description: str = ""


def foreign(rules: Iterable[Rule]) -> list[Rule]:
    """Those that are not ours."""
    return [rule for rule in rules if rule.description != MARK]


def groups(rules: Iterable[Rule]) -> list[str]:
    """The groups whose members' addresses have to be known."""
    return sorted({rule.group for rule in foreign(rules) if rule.group})


def openings(
    rules: Iterable[Rule], members: Mapping[str, Sequence[str]], clients: Sequence[str]
) -> tuple[tuple[Opening, ...], list[str]]:
    """What to let in, in a fixed order, and what is not, and why.

    `members`: group -> private addresses. Rules that let a whole network of clients in are those of a version of ours
    that marked none.
    """
    found, notes = [], []
    for rule in sorted(foreign(rules)):
        sources = [rule.cidr] if rule.cidr else [f"{each}/32" for each in members.get(rule.group, ())]
        if rule.protocol == "-1" and rule.cidr in clients:
            continue
        if rule.protocol == "-1" and rule.cidr == ANYWHERE:
            notes.append(f"{rule.id}: everything from everywhere is not let in: name a protocol")
        elif rule.prefixes:
            notes.append(f"{rule.id}: the entries of {rule.prefixes} are not known: name their CIDR blocks")
        elif sources:
            found.append(Opening(_protocol(rule.protocol), *_range(rule), tuple(sorted(sources))))
        elif rule.group:
            notes.append(f"{rule.id}: no address of a member of {rule.group} is known")
    return tuple(found), notes


def _protocol(name: str) -> str:
    return {"1": "icmp", "6": "tcp", "17": "udp"}.get(name, name)


def _range(rule: Rule) -> tuple[int, int]:
    """Ports, or type and code; -1 to -1 are all ports."""
    if _protocol(rule.protocol) in BOUNDS and rule.first < 0:
        return BOUNDS[_protocol(rule.protocol)]
    return rule.first, rule.last
