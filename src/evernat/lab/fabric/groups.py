"""Security groups as nftables chains: stateful per interface, without connection tracking. Pure.

Sources of the rules (AWS, VPC User Guide "Security groups", EC2 User Guide "Security group connection tracking"):
- rules only allow; several groups on an interface add up;
- what answers an allowed flow passes whatever the rules of the other direction say, ICMP errors about it too;
- a TCP or UDP flow is not tracked when one direction's rule allows it from or to everywhere and the other direction
  allows all ports to or from everywhere; ICMP is always tracked. An untracked flow ends when its rule is removed, a
  tracked one goes on;
- idle timeouts: TCP 432,000 s, UDP 30 s, or 180 s once more than one packet has passed.

A flow is remembered as (interface index, protocol, own address and port, peer's address and port), written the same
way for packets out and in. The kernel does not soon use an index again, so an interface that was plugged in anew knows
no old flows. What AWS does to a tracked flow that turns up mid-stream at another interface is not documented; here the
rules decide alone, for a packet in mid-stream as for a first one.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from evernat.lab.fabric.nftables import Holder
from evernat.lab.world import Rule, SecurityGroup, World

Way = Literal["out", "in"]

ICMP_ERRORS = (
    "icmp type { destination-unreachable, source-quench, redirect, time-exceeded, parameter-problem }"
)

_EVERYWHERE = "0.0.0.0/0"
_FLOWS_AT_MOST = 262_144
_FIRST = {"tcp": "432000s", "udp": "30s", "ping": "30s"}
_LATER = {**_FIRST, "udp": "180s"}


@dataclass(frozen=True)
class _Words:
    """How one direction is said in nft: the interface, and which address and port are its own."""

    interface: str
    own: str
    own_port: str
    peer: str
    peer_port: str
    counter: str

    @property
    def flow(self) -> str:
        own, peer = f"ip {self.own} . th {self.own_port}", f"ip {self.peer} . th {self.peer_port}"
        return f"meta {self.interface} . meta l4proto . {own} . {peer}"

    @property
    def ping(self) -> str:
        return f"meta {self.interface} . ip {self.own} . ip {self.peer} . icmp id"


_WORDS: dict[Way, _Words] = {
    "out": _Words("iif", "saddr", "sport", "daddr", "dport", "group_egress"),
    "in": _Words("oif", "daddr", "dport", "saddr", "sport", "group_ingress"),
}


def _note(name: str, way: Way, timeouts: dict[str, str]) -> str:
    """A chain that remembers the packet's flow and lets the packet pass."""
    words = _WORDS[way]
    return f"""
    chain {name}_{way} {{
        meta l4proto tcp update @flows {{ {words.flow} timeout {timeouts["tcp"]} }}
        meta l4proto udp update @flows {{ {words.flow} timeout {timeouts["udp"]} }}
        icmp type {{ echo-request, echo-reply }} update @pings {{ {words.ping} timeout {timeouts["ping"]} }}
    }}"""


def _errors(way: Way) -> str:
    """A chain for ICMP errors; `handmade` puts rules before its drop."""
    return f"""
    chain about_flow_{way} {{ }}
    chain errors_{way} {{
        jump about_flow_{way}
        meta mark {PASSED} meta mark set 0 return
        counter name {_WORDS[way].counter} drop
    }}"""


PASSED = "0x1"
"""The mark by which a hand-made rule says that an ICMP error belongs to a flow it knows."""

STATE = f"""
    set flows {{
        typeof meta iif . meta l4proto . ip saddr . th sport . ip daddr . th dport
        flags dynamic, timeout; size {_FLOWS_AT_MOST};
    }}
    set pings {{
        typeof meta iif . ip saddr . ip daddr . icmp id
        flags dynamic, timeout; size {_FLOWS_AT_MOST};
    }}
""" + "".join(_note("first", way, _FIRST) + _note("later", way, _LATER) + _errors(way) for way in _WORDS)
"""The part of the base table that remembers flows, and the chains that every group's chain ends in."""


def chain_name(way: Way, groups: Iterable[str]) -> str:
    """The chain for interfaces with just these groups."""
    digest = hashlib.sha256(" ".join(sorted(groups)).encode()).hexdigest()
    return f"{way}_{digest[:16]}"


def members(world: World) -> dict[str, Holder]:
    """For each group that a rule refers to, the set of its interfaces' private addresses."""
    named = {group for rule in _all_rules(world.groups) for group in rule.groups}
    addresses: dict[str, set[str]] = {group: set() for group in named}
    for eni in world.enis:
        for group in named.intersection(eni.groups):
            addresses[group].update(eni.addresses)
    return {
        _member_set(group): Holder("set", "type ipv4_addr", frozenset(found))
        for group, found in sorted(addresses.items())
    }


def chains(world: World, combinations: set[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Two chains for each combination of groups that occurs."""
    by_id = {group.id: group for group in world.groups}
    result: dict[str, tuple[str, ...]] = {}
    for combination in sorted(combinations):
        held = [by_id[group] for group in combination if group in by_id]
        ingress = [rule for group in held for rule in group.ingress]
        egress = [rule for group in held for rule in group.egress]
        result[chain_name("out", combination)] = _chain("out", egress, ingress)
        result[chain_name("in", combination)] = _chain("in", ingress, egress)
    return result


def _chain(way: Way, rules: list[Rule], other_way: list[Rule]) -> tuple[str, ...]:
    words = _WORDS[way]
    untracked = _untracked(rules, other_way, "dport") + _untracked(other_way, rules, "sport")
    tracked = [match for rule in rules for match in _matches(rule, words.peer)]
    # Only a first fragment has ports; if it is dropped, the others never make a packet.
    lines = ["ip frag-off & 0x1fff != 0 return"]
    lines += [f"{match} return" for match in untracked]
    if untracked:  # errors about flows that nobody remembers
        lines.append(f"{ICMP_ERRORS} return")
    lines += [
        f"meta l4proto {{ tcp, udp }} {words.flow} @flows goto later_{way}",
        f"icmp type {{ echo-request, echo-reply }} {words.ping} @pings goto later_{way}",
        *(f"{match} goto first_{way}".lstrip() for match in tracked),
        f"{ICMP_ERRORS} goto errors_{way}",
        f"counter name {words.counter} drop",
    ]
    return tuple(dict.fromkeys(lines))


def _untracked(rules: list[Rule], answers: list[Rule], port: str) -> list[str]:
    """Matches for what `rules` allow without tracking, as `answers`, those of the other direction, let everything back.

    `port` is where the packet has the port that the rules name: in an answer it is the source.
    """
    return [
        _ports(protocol, rule, port)
        for rule in rules
        for protocol in ("tcp", "udp")
        if rule.protocol in (protocol, "-1") and _EVERYWHERE in rule.cidrs
        if any(_EVERYWHERE in answer.cidrs and _all_ports(answer, protocol) for answer in answers)
    ]


def _all_ports(rule: Rule, protocol: str) -> bool:
    return rule.protocol == "-1" or (rule.protocol == protocol and _whole_range(rule))


def _whole_range(rule: Rule) -> bool:
    return rule.from_port <= 0 and rule.to_port in (-1, 65535)


def _matches(rule: Rule, peer: str) -> list[str]:
    """What the rule matches, one text per kind of peer."""
    what = _what(rule)
    matches = [f"ip {peer} @{_member_set(group)} {what}" for group in rule.groups]
    if _EVERYWHERE in rule.cidrs:
        matches.append(what)
    elif rule.cidrs:
        matches.append(f"ip {peer} {{ {', '.join(_distinct(rule.cidrs))} }} {what}")
    return [match.strip() for match in matches]


def _what(rule: Rule) -> str:
    if rule.protocol == "-1":
        return ""
    if rule.protocol in ("tcp", "udp"):
        return _ports(rule.protocol, rule)
    if rule.protocol == "icmp":
        kind = "" if rule.from_port == -1 else f" icmp type {rule.from_port}"
        code = "" if rule.to_port == -1 else f" icmp code {rule.to_port}"
        return f"ip protocol icmp{kind}{code}"
    return f"ip protocol {rule.protocol}"


def _ports(protocol: str, rule: Rule, port: str = "dport") -> str:
    if rule.protocol == "-1" or _whole_range(rule):
        return f"meta l4proto {protocol}"
    return f"{protocol} {port} {rule.from_port}-{rule.to_port}"


def _distinct(cidrs: tuple[str, ...]) -> list[str]:
    """The networks without those inside others, which nft would call overlapping."""
    networks = ipaddress.collapse_addresses(ipaddress.IPv4Network(cidr, strict=False) for cidr in cidrs)
    return [str(network) for network in networks]


def _member_set(group: str) -> str:
    return f"members_{group.replace('-', '_')}"


def _all_rules(groups: Iterable[SecurityGroup]) -> Iterable[Rule]:
    return (rule for group in groups for rule in (*group.ingress, *group.egress))
