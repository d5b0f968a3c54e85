"""What the node's firewall is told by the user and by the place it stands in, and the lines both tables share. Pure.

Nobody outside needs a port of the node, and a source address proves nothing: who sends with a client's address from
the internet arrives by the same interface as the client. So clients get ICMP alone, at a bounded rate, and everything
else is opened by name: `Firewall.node_ingress`, the rules that users add to the security group (`ingress`), and SSH for
clients when the node has a key pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, collapse_addresses
from typing import NamedTuple

LINK_LOCAL = "169.254.0.0/16"
METADATA = "169.254.169.254"


class Opening(NamedTuple):
    """What may reach the node itself. `protocol`: tcp, udp, icmp, a number, or -1 for all; `sources`: CIDR blocks.

    `first` and `last` are ports, of icmp type and code, where -1 stands for all.
    """

    protocol: str
    first: int
    last: int
    sources: tuple[str, ...]


class Firewall(NamedTuple):
    """What the user sets."""

    idle_timeout: int = 3600
    """Seconds an established TCP connection may be silent; what comes from its client later gets a reset."""
    client_connections: int = 0
    """Entries of the connection table that one client may have; 0: a quarter of them."""
    allow_transit: tuple[str, ...] = ()
    """CIDR blocks inside the VPC, or link-local ones, that clients may reach through the node."""
    node_ingress: tuple[Opening, ...] = ()
    ssh: bool = False
    """The node has a key pair: clients may reach its port 22."""
    fast_path: str = "off"
    """on: established flows bypass the rules in the kernel's flowtable."""

    @classmethod
    def parse(cls, raw: dict[str, object]) -> Firewall:
        """From the settings' JSON; an unknown key is a TypeError that names it."""
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
        made = cls(**plain)  # type: ignore[arg-type]
        rules = (Opening(r[0], r[1], r[2], tuple(r[3])) for r in made.node_ingress)
        return made._replace(node_ingress=tuple(rules))


class Site(NamedTuple):
    """Where the node stands. Both may be empty: what is not known is neither opened nor closed."""

    subnets: tuple[str, ...] = ()
    """CIDR blocks its interfaces lie in. The VPC's router, their DHCP server, has the first address of each."""
    inside: tuple[str, ...] = ()
    """CIDR blocks of the VPC."""


DEFAULT, NOWHERE = Firewall(), Site()


def early(members: Iterable[str], port: int) -> list[str]:
    """For the raw hook of what comes in: the node's own traffic that needs no place in the connection table."""
    beats = [f"udp dport {port} ip saddr {blocks(members)} notrack"] if members else []
    return [*beats, f"ip saddr {METADATA} tcp sport 80 notrack"]


def own(members: Iterable[str], port: int) -> list[str]:
    """The same for what the node sends."""
    beats = [f"udp dport {port} ip daddr {blocks(members)} notrack"] if members else []
    return [*beats, f"ip daddr {METADATA} tcp dport 80 notrack"]


def admitted(clients: Sequence[str], site: Site, firewall: Firewall) -> list[str]:
    """For the input hook, after replies: what reaches the node itself, besides what is in the chain `opened`."""
    # Untracked: never the first packet of a connection.
    lines = [f"ip saddr {METADATA} tcp sport 80 tcp flags & (syn | ack) != syn accept"]
    lines += [opened(each) for each in firewall.node_ingress]
    if firewall.ssh:
        lines.append(f"ip saddr {blocks(clients)} tcp dport 22 accept")
    lines.append(
        f"ip saddr {blocks(clients)} meta l4proto icmp limit rate 100/second burst 100 packets accept"
    )
    if site.subnets:
        routers = (f"{IPv4Network(subnet)[1]}/32" for subnet in site.subnets)
        lines.append(f"ip saddr {blocks(routers)} udp sport 67 udp dport 68 accept")
    return lines


def transit(clients: Sequence[str], site: Site, firewall: Firewall) -> list[str]:
    """For the forward hook, before anything new is let out: what is not the internet."""
    inside = [IPv4Network(block) for block in (LINK_LOCAL, *site.inside)]
    for allowed in map(IPv4Network, firewall.allow_transit):
        inside = [rest for block in inside for rest in _without(block, allowed)]
    return [f"ip saddr {blocks(clients)} ip daddr {blocks(map(str, inside))} counter drop"] if inside else []


CLAMP = "tcp flags syn tcp option maxseg size set 1460"
"""For the forward hook, both ways. The kernel only ever lowers the value. 1,500 bytes are what an internet gateway
carries; a far end on EC2 may offer 8,961, and packets of that size find no way back where ICMP is filtered."""

REPLIES = [
    "meta l4proto != icmp ct state established,related accept",
    "icmp type != echo-request ct state established,related accept",
]
"""For the input hook. After the first answer a ping counts as established, and no limit would see it any more."""

YOUNG = "set young { type ether_type; flags timeout; elements = { ip timeout %ds }; }"
"""Its one element stays for `idle_timeout` seconds after the table was loaded. So long a client's packet may belong to
a connection older than the table (the node was replaced, the gateway came here), and is picked up in mid-stream. From
then on whatever has no entry has been silent for longer than that."""
SILENT = "tcp flags & (fin | syn | rst | ack) != syn ct state new meta protocol != @young"
"""What comes after that, and gets a reset instead of a connection that goes on with half of its settings unknown."""

FLOWTABLE = 'flowtable fast { hook ingress priority filter; devices = { "%s" }; }'
OFFLOAD = "ct state established ct status assured meta l4proto { tcp, udp } flow add @fast"
"""Assured: a flow that lasts. A name looked up once would live longer there than in the connection table."""


def blocks(networks: Iterable[str]) -> str:
    """The same addresses as an anonymous set of blocks that do not overlap: nft takes no others."""
    return f"{{ {', '.join(map(str, collapse_addresses(map(IPv4Network, networks))))} }}"


def reopened(openings: Iterable[Opening]) -> str:
    """The transaction that has the chain `opened` let in these and nobody else."""
    added = "".join(f"add rule ip evernat opened {opened(each)}\n" for each in openings)
    return f"flush chain ip evernat opened\n{added}"


def opened(rule: Opening) -> str:
    """The line that lets in."""
    head = f"ip saddr {blocks(rule.sources)}"
    if rule.protocol == "-1":
        return f"{head} accept"
    if rule.protocol in ("tcp", "udp"):
        return f"{head} {rule.protocol} dport {rule.first}-{rule.last} accept"
    if rule.protocol == "icmp":
        kind = "meta l4proto icmp" if rule.first < 0 else f"icmp type {rule.first}"
        code = "" if rule.first < 0 or rule.last < 0 else f" icmp code {rule.last}"
        return f"{head} {kind}{code} accept"
    return f"{head} ip protocol {rule.protocol} accept"


def _without(block: IPv4Network, allowed: IPv4Network) -> Iterable[IPv4Network]:
    """What is left of a block."""
    if block.subnet_of(allowed):
        return []
    return block.address_exclude(allowed) if allowed.subnet_of(block) else [block]
