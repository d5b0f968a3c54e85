"""What the router does to packets besides routing: address mapping, source/destination check, security groups. Pure.

Nothing here remembers a flow except the security groups, and those remember per interface, not per address: when an
Elastic IP moves, the next packet follows. There is no connection tracking (`ct`) in the router at all.

The way of a packet:

```
prerouting   cable cut? - from the internet: public -> private, also inside ICMP errors - source check
forward      hole? - lost on purpose? - egress rules of the sender's groups - destination check - ingress rules of the
             receiver's groups
postrouting  to the internet: private -> public, also inside ICMP errors; without a public address: dropped
```
"""

from __future__ import annotations

from collections.abc import Mapping

from evernat.lab.addresses import API_HOST, CHECKIP_HOST, METADATA
from evernat.lab.fabric import groups
from evernat.lab.fabric.layout import HOLE, IGW, ROUTER_ADDRESS
from evernat.lab.fabric.nftables import TABLE, Holder, Ruleset
from evernat.lab.fabric.wiring import Port
from evernat.lab.world import Unreachable, World

REASONS = (
    "disconnected",
    "spoofed",
    "not_owner",
    "no_route",
    "no_such_address",
    "no_public_address",
    "unknown_public_address",
    "group_ingress",
    "group_egress",
    "router",
    "lost",
    "no_api",
    "no_checkip",
    "no_internet",
)
"""Why packets are dropped; each is a counter."""

# The VPC's router and the internet gateway do not show in a traceroute: what ours takes off it puts on before.
_ONE_MORE = ", ".join(f"{ttl} : {ttl + 1}" for ttl in range(1, 255))

_HOLDERS = {
    "owned": Holder("set", "type ifname . ipv4_addr"),
    "unchecked": Holder("set", "type ifname"),
    "cut": Holder("set", "type ifname"),
    "vpc": Holder("set", "type ipv4_addr; flags interval"),
    "to_private": Holder("map", "type ipv4_addr : ipv4_addr"),
    "to_public": Holder("map", "type ipv4_addr : ipv4_addr"),
    "egress": Holder("map", "type ifname : verdict"),
    "ingress": Holder("map", "type ifname : verdict"),
    "lossy": Holder("map", "type ifname : verdict"),
    "parted": Holder("map", "type ifname : verdict"),
    "nodes": Holder("set", "type ifname"),
    "hops": Holder("map", "typeof meta oifname : ip ttl"),
}

BASE = f"""
table {TABLE} {{
{"".join(f"    counter {reason} {{ }}" + chr(10) for reason in REASONS)}
{"".join(f"    {holder.kind} {name} {{ {holder.declaration}; }}" + chr(10) for name, holder in _HOLDERS.items())}
    map one_more {{ typeof ip ttl : ip ttl; elements = {{ {_ONE_MORE} }} }}
{groups.STATE}
    chain inner_source {{ }}
    chain inner_destination {{ }}
    chain keep_ttl {{ }}
    chain answer_ttl {{ }}
    chain unreachable {{ }}

    chain from_internet {{
        {groups.ICMP_ERRORS} jump inner_source
        ip daddr set ip daddr map @to_private accept
        ip daddr {ROUTER_ADDRESS} accept
        counter name unknown_public_address drop
    }}
    chain prerouting {{
        type filter hook prerouting priority raw; policy accept;
        iifname @cut counter name disconnected drop
        jump keep_ttl
        iifname {IGW} goto from_internet
        iifname . ip saddr @owned accept
        iifname @unchecked accept
        iifname lo accept
        counter name spoofed drop
    }}
    chain input {{
        type filter hook input priority filter; policy drop;
        ip daddr {METADATA} tcp dport 80 accept
        iifname lo accept
        ip daddr {ROUTER_ADDRESS} meta l4proto icmp accept
        counter name router drop
    }}
    chain output {{
        type filter hook output priority filter; policy accept;
        ip saddr {METADATA} jump answer_ttl
    }}
    chain faults {{
        iifname vmap @lossy
        oifname vmap @lossy
        jump unreachable
        iifname != @nodes return
        oifname != @nodes return
        iifname vmap @parted
        oifname vmap @parted
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        oifname {HOLE} ip daddr @vpc counter name no_such_address drop
        oifname {HOLE} counter name no_route drop
        oifname @cut counter name disconnected drop
        jump faults
        iifname vmap @egress
        oifname {IGW} accept
        oifname != @unchecked oifname . ip daddr != @owned counter name not_owner drop
        oifname vmap @ingress
    }}
    chain postrouting {{
        type filter hook postrouting priority filter; policy accept;
        oifname != {IGW} accept
        {groups.ICMP_ERRORS} jump inner_destination
        ip saddr {ROUTER_ADDRESS} accept
        ip saddr set ip saddr map @to_public accept
        counter name no_public_address drop
    }}
}}
"""
"""Loaded once, before the rules of `handmade`.

Everything that depends on the World is in the sets, the maps and the chains of the security groups.
"""

EMPTY = Ruleset(_HOLDERS, {"unreachable": ()})
"""What `BASE` leaves behind, as the value that the first transaction starts from."""


_COUNTERS = {"api": "no_api", "checkip": "no_checkip"}


def render(world: World, ports: Mapping[str, Port]) -> Ruleset:
    """What the router's ruleset must hold. `ports` by interface id."""
    to_public = _mapping(world)
    to_private = {public: private for private, public in to_public.items()}
    plugged = list(ports.values())
    grouped = [(f'"{port.name}"', port.groups) for port in plugged if port.groups is not None]
    elements = {
        "owned": {f'"{port.name}" . {address}' for port in plugged for address in port.addresses},
        "unchecked": {f'"{port.name}"' for port in plugged if not port.checked},
        "cut": {f'"{port.name}"' for port in plugged if port.cut},
        "vpc": set(world.vpc_cidrs),
        "to_private": {f"{public} : {private}" for public, private in to_private.items()},
        "to_public": {f"{private} : {public}" for private, public in to_public.items()},
        "egress": {f"{name} : jump {groups.chain_name('out', held)}" for name, held in grouped},
        "ingress": {f"{name} : jump {groups.chain_name('in', held)}" for name, held in grouped},
        "lossy": {f'"{port.name}" : jump {_lose(port.lossy)}' for port in plugged if port.lossy},
        "parted": {f'"{port.name}" : jump {_lose(port.parted)}' for port in plugged if port.parted},
        "nodes": {f'"{port.name}"' for port in plugged if port.node},
        "hops": {f'"{port.name}" : {port.hops}' for port in plugged},
    }
    holders = {
        name: Holder(holder.kind, holder.declaration, frozenset(elements[name]))
        for name, holder in _HOLDERS.items()
    }
    chains = groups.chains(world, {held for _, held in grouped})
    for share in ({port.lossy for port in plugged} | {port.parted for port in plugged}) - {0}:
        which = f"numgen random mod 1000 < {share} " if share < 1000 else ""
        chains[_lose(share)] = (f"{which}counter name lost drop",)
    chains["unreachable"] = tuple(
        rule for lost in world.unreachable for rule in _separate(world, lost, ports)
    )
    return Ruleset({**holders, **groups.members(world)}, chains)


def _separate(world: World, lost: Unreachable, ports: Mapping[str, Port]) -> list[str]:
    """The rules that drop what passes between somebody and something outside, one for each direction.

    For everybody packets end at the internet gateway, so those of clients get as far as their node; for an instance
    they end at its cables.
    """
    near = [
        f'"{port.name}"'
        for interface, port in ports.items()
        if port.machine[0] == lost.instance and lost.interface in ("", interface)
    ]
    if lost.instance and not near:
        return []
    there = _there(world, lost.what)
    verdict = f"counter name {_COUNTERS.get(lost.what, 'no_internet')} drop"
    if not lost.instance:
        return [f"oifname {IGW} ip daddr {there} {verdict}", f"iifname {IGW} ip saddr {there} {verdict}"]
    names = f"{{ {', '.join(near)} }}"
    return [f"iifname {names} ip daddr {there} {verdict}", f"oifname {names} ip saddr {there} {verdict}"]


def _there(world: World, what: str) -> str:
    """What an `Unreachable` names, as nft compares an address with it."""
    one = {"api": API_HOST, "checkip": CHECKIP_HOST}
    spared = {"internet": (API_HOST,), "places": (API_HOST, CHECKIP_HOST)}
    if what in spared:
        return f"!= {{ {', '.join((*spared[what], *world.vpc_cidrs))} }}"
    return one.get(what, what)


def _lose(share: int) -> str:
    """The chain that drops so many of a thousand packets."""
    return f"lose_{share}"


def _mapping(world: World) -> dict[str, str]:
    """Private to public address, of interfaces and NAT gateways, plugged in or not."""
    mapping = {nat.private_address: nat.public_address for nat in world.nat_gateways}
    for eni in world.enis:
        mapping.update(dict(eni.public))
    return mapping
