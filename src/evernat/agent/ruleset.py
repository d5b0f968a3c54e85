"""The nftables text: one table of our own, pure.

Which flows nobody knows, and get a TCP reset: those of a client for which conntrack has no entry and can make none.
It makes one for a packet in the middle of a stream (`nf_conntrack_tcp_loose`), and while the table is young that is
meant (`firewall.YOUNG`): the source port is kept, so after the node was replaced the far end still knows the flow, or
resets it itself. For the rest (a FIN, an answer to a SYN never seen) the client would retransmit into the void for
minutes. `nf_conntrack_tcp_be_liberal` keeps packets outside the window from counting as invalid, so a live flow is
never reset. The mark takes the reset, whose source address is the far end's, out by the gateway's interface
(`routing`): the other one's source check would eat it. From outside nothing is answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, collapse_addresses

from . import contract
from .common import Forward, Targets
from .kernel import check, firewall
from .kernel.firewall import Firewall, Opening, Site
from .model import Element, Elements, Gateway

MARK = "0xe4"

TABLE = """\
table ip evernat
delete table ip evernat
table ip evernat {
  set clients { type ipv4_addr; flags interval; elements = { %(clients)s } }
  map move { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; flags interval; }
  map keep { type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval; }
  %(flowtable)s
  %(young)s
  chain early {
    type filter hook prerouting priority raw;
    %(early)s
  }
  chain own {
    type filter hook output priority raw;
    %(own)s
  }
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ip daddr %(address)s dnat ip to ip saddr . ip protocol . th dport map @move
    ip daddr %(address)s dnat to ip saddr . ip protocol . th dport map @keep
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "%(link)s" ip saddr @clients snat to %(address)s
    %(check)s
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname != "%(link)s" oifname != "%(link)s" accept
    %(clamp)s
    %(offload)s
    ct state established,related accept
    ct status dnat accept
    %(check_accept)s
    iifname != "%(link)s" drop
    ip saddr != @clients drop
    %(transit)s
    meta l4proto tcp ct state invalid meta mark set %(mark)s reject with tcp reset
    %(silent)s meta mark set %(mark)s reject with tcp reset
    oifname "%(link)s" ct state new accept
  }
  chain opened {
    %(openings)s
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    %(replies)s
    %(admitted)s
    jump opened
  }
}
"""


def table(
    gateway: Gateway,
    clients: Sequence[str],
    elements: Elements,
    flowtable: bool,
    site: Site = firewall.NOWHERE,
    settings: Firewall = firewall.DEFAULT,
    openings: Iterable[Opening] = (),
) -> str:
    """The whole table, for one transaction.

    `flowtable`: let established flows bypass it. `openings`: besides the user's settings, what may reach the node.
    """
    checks = (contract.client(0), gateway.address), (contract.OWN, "")
    texts = {
        "flowtable": [firewall.FLOWTABLE % gateway.link] if flowtable else [],
        "offload": [firewall.OFFLOAD] if flowtable else [],
        "young": [firewall.YOUNG % settings.idle_timeout],
        "replies": firewall.REPLIES,
        "early": firewall.early((), 0),
        "own": firewall.own((), 0),
        "clamp": [firewall.CLAMP],
        "check": [check.translated(*each) for each in checks],
        "check_accept": [check.ACCEPT],
        "transit": firewall.transit(clients, site, settings),
        "admitted": firewall.admitted(clients, site, settings),
        "openings": [firewall.opened(each) for each in openings],
    }
    lines = {name: "\n    ".join(each) for name, each in texts.items()}
    lines["silent"] = firewall.SILENT
    plain = {"clients": ", ".join(_collapse(clients)), "address": gateway.address, "link": gateway.link}
    return TABLE % {**lines, **plain, "mark": MARK} + update(frozenset(), elements)


def elements(forwards: Iterable[Forward], targets: Targets) -> Elements:
    """The port forwards as map elements; one whose target is not in `targets` has none, and so is closed."""
    return frozenset(
        element
        for forward in forwards
        for address in [targets.get(forward.target, "") if forward.dynamic else forward.target]
        if address
        for element in _forward(forward, address)
    )


def update(old: Elements, new: Elements) -> str:
    """The transaction that turns the elements `old` into `new` and touches no other."""
    gone = [f"delete element ip evernat {e.map} {{ {e.key} }}\n" for e in sorted(old - new)]
    come = [f"add element ip evernat {e.map} {{ {e.key} : {e.value} }}\n" for e in sorted(new - old)]
    return "".join(gone + come)


def _forward(forward: Forward, address: str) -> Iterable[Element]:
    """One element when the port stays; else one per port, since nft cannot shift a range."""
    first, last = forward.ports
    for source in _collapse(forward.sources):
        if forward.target_port == first:
            ports = f"{first}-{last}" if last > first else f"{first}"
            yield Element("keep", f"{source} . {forward.protocol} . {ports}", address)
            continue
        for port in range(first, last + 1):
            to = forward.target_port + port - first
            yield Element("move", f"{source} . {forward.protocol} . {port}", f"{address} . {to}")


def _collapse(blocks: Iterable[str]) -> list[str]:
    """The same addresses in blocks that do not overlap: nft takes no others."""
    return [str(block) for block in collapse_addresses(map(IPv4Network, blocks))]
