"""The nftables text of a cluster node: one table of our own, pure. See `ruleset` for what gets a reset, and why.

A gateway that is closed lets no client out, not even in an established flow: the address is elsewhere, or not yet
here, and the far end would reset a connection that comes from another one. One that is ending lets no connection
begin. The table is always loaded whole, since that empties the flowtable, which packets would else pass the rules by.

While another node may have the address, resets from outside go unheard: they answer packets that left here with
another address. The connection itself goes on elsewhere; a true reset comes again with the next packet. They are
dropped before conntrack sees them, or the copy of the connection would be closed too.

`alive` is a dead man's switch: its one element times out unless a datagram to RENEW, which only root can send, renews
it. When it is gone the clients of guarded gateways are not let out, and resets from outside go unheard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, collapse_addresses

from . import contract
from .cluster_model import Gateway, Rules
from .kernel import check

TABLE = """\
table ip evernat
delete table ip evernat
table ip evernat {
  %(flowtable)s
  set alive { type ether_type; flags timeout, dynamic; elements = { ip timeout %(lasting)s }; }
  chain renew {
    type filter hook output priority filter;
    oifname "lo" ip daddr %(renew)s udp dport %(port)s meta skuid 0 %(update)s drop
  }
  chain early {
    type filter hook prerouting priority raw;
    %(unheard)s
  }
  chain prerouting {
    type nat hook prerouting priority dstnat;
    %(dnat)s
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    %(snat)s
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    %(closed)s
    %(offload)s
    ct state established,related accept
    ct status dnat accept
    %(check)s
    %(opened)s
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state established,related accept
    %(beats)s
    %(clients)s
    udp sport 67 udp dport 68 accept
  }
}
"""

LASTING = "200ms"  # four heartbeats; less than what makes a peer call this node dead
UPDATE = "update @alive { meta protocol timeout " + LASTING + " }"
DEAD = "meta protocol != @alive"  # every packet of this table is of the same protocol, so this asks for the element

FLOWTABLE = 'flowtable fast { hook ingress priority filter; devices = { "%s" }; }'
BOTH = "{ tcp, udp }"
# No doubled braces here, as an f-string would have them: a parameter of SSM takes none (`bundle.beside`).


def table(
    gateways: Sequence[Gateway],
    addresses: Mapping[str, str],
    rules: Rules,
    port: int,
    link: str,
    flowtable: bool,
    primary: str = "",
) -> str:
    """The whole table, for one transaction.

    `addresses`: gateway -> the private address that stands for it here. `primary`: the node's own private address, to
    which the check of its own way is translated; empty: the one that the kernel chooses.
    """
    targets, unheard, dnat, snat, opened, closed, clients = dict(rules.targets), [], [], [], [], [], []
    for n, g in enumerate(gateways):
        if addresses[g.name]:
            snat.append(check.translated(contract.client(n), addresses[g.name]))
        source = f"ip saddr {_set(g.clients)}"
        clients.append(f"{source} accept")
        if addresses[g.name] and (g.name in rules.contested or g.name not in rules.open):
            unheard.append(f"ip daddr {addresses[g.name]} tcp flags rst drop")
        if addresses[g.name] and g.name in rules.guarded:
            unheard.append(f"ip daddr {addresses[g.name]} {DEAD} tcp flags rst drop")
            closed.append(f"{source} {DEAD} drop")
        if g.name not in rules.open or g.name in rules.held:
            closed.append(f"{source} drop")
        if g.name not in rules.open:
            continue
        snat.append(f"{source} snat to {addresses[g.name]}")
        opened.append(f"{source} meta l4proto tcp ct state invalid reject with tcp reset")
        if g.name in rules.ending:
            continue
        opened.append(f"{source} ct state new accept")
        for f in g.forwards:
            target = targets.get(f.target, "") if f.dynamic else f.target
            head = f"ip daddr {addresses[g.name]} ip saddr {_set(f.sources)} {f.protocol} dport"
            first, last = f.ports
            if not target:
                continue
            if f.target_port == first:
                dnat.append(f"{head} {first}-{last} dnat to {target}")
            else:  # nft cannot shift a range
                shift = f.target_port - first
                dnat += [f"{head} {port} dnat to {target}:{port + shift}" for port in range(first, last + 1)]
    sync = f"meta l4proto {BOTH} th dport {port}"
    # A client's forgery is counted by the agent, but a flood of them must not crowd out the heartbeats.
    few = [f"ip saddr {_set(g.clients)} udp dport {port} limit rate 20/second accept" for g in gateways]
    beats = [
        *([f"ip saddr {_set(rules.members)} {sync} accept"] if rules.members else []),
        *few,
        f"{sync} drop",
    ]
    texts = {
        "unheard": unheard,
        "check": [check.ACCEPT],
        "dnat": dnat,
        "snat": snat,
        "opened": opened,
        "closed": closed,
        "clients": clients,
        "beats": beats,
    }
    snat.append(check.translated(contract.OWN, primary))
    fast = flowtable and link
    return TABLE % {
        "renew": contract.RENEW,
        "port": port,
        "lasting": LASTING,
        "update": UPDATE,
        **{name: "\n    ".join(lines) for name, lines in texts.items()},
        "flowtable": FLOWTABLE % link if fast else "",
        "offload": f"ct state established meta l4proto {BOTH} flow add @fast" if fast else "",
    }


def _set(blocks: Iterable[str]) -> str:
    """The same addresses in blocks that do not overlap: nft takes no others."""
    inside = ", ".join(map(str, collapse_addresses(map(IPv4Network, blocks))))
    return "{ " + inside + " }"
