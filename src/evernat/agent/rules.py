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

from . import contract
from .cluster_model import Gateway, Rules
from .kernel import check, firewall
from .kernel.firewall import Firewall, Opening, Site, blocks

TABLE = """\
table ip evernat
delete table ip evernat
table ip evernat {
  %(flowtable)s
  %(young)s
  set alive { type ether_type; flags timeout, dynamic; elements = { ip timeout %(lasting)s }; }
  chain renew {
    type filter hook output priority filter;
    oifname "lo" ip daddr %(renew)s udp dport %(port)s meta skuid 0 %(update)s drop
  }
  chain early {
    type filter hook prerouting priority raw;
    %(unheard)s
    %(early)s
  }
  chain own {
    type filter hook output priority raw;
    %(own)s
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
    %(clamp)s
    %(offload)s
    ct state established,related accept
    ct status dnat accept
    %(check)s
    %(transit)s
    %(opened)s
  }
  chain opened {
    %(openings)s
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    %(replies)s
    %(beats)s
    %(admitted)s
    jump opened
  }
}
"""

LASTING = "200ms"  # four heartbeats; less than what makes a peer call this node dead
UPDATE = "update @alive { meta protocol timeout " + LASTING + " }"
DEAD = "meta protocol != @alive"  # every packet of this table is of the same protocol, so this asks for the element

Lines = dict[str, list[str]]


def table(
    gateways: Sequence[Gateway],
    addresses: Mapping[str, str],
    rules: Rules,
    port: int,
    link: str,
    flowtable: bool,
    primary: str = "",
    site: Site = firewall.NOWHERE,
    settings: Firewall = firewall.DEFAULT,
    openings: Iterable[Opening] = (),
) -> str:
    """The whole table, for one transaction.

    `addresses`: gateway -> the private address that stands for it here. `primary`: the node's own private address, to
    which the check of its own way is translated; empty: the one that the kernel chooses. `openings`: besides the
    user's settings, what may reach the node itself.
    """
    clients = [block for g in gateways for block in g.clients]
    fast = flowtable and link
    texts: Lines = {
        "flowtable": [firewall.FLOWTABLE % link] if fast else [],
        "offload": [firewall.OFFLOAD] if fast else [],
        "young": [firewall.YOUNG % settings.idle_timeout],
        "replies": firewall.REPLIES,
        "early": firewall.early(rules.members, port),
        "own": firewall.own(rules.members, port),
        "clamp": [firewall.CLAMP],
        "check": [check.ACCEPT],
        "transit": firewall.transit(clients, site, settings),
        "beats": _beats(gateways, rules, port),
        "admitted": firewall.admitted(clients, site, settings),
        "openings": [firewall.opened(each) for each in openings],
        "snat": [check.translated(contract.OWN, primary)],
        **{name: [] for name in ("unheard", "dnat", "opened", "closed")},
    }
    for index, gateway in enumerate(gateways):
        if addresses[gateway.name]:
            texts["snat"].append(check.translated(contract.client(index), addresses[gateway.name]))
        _gateway(texts, gateway, addresses[gateway.name], rules)
    lines = {name: "\n    ".join(each) for name, each in texts.items()}
    switch = {"renew": contract.RENEW, "port": port, "lasting": LASTING, "update": UPDATE}
    return TABLE % {**lines, **switch}


def _gateway(texts: Lines, gateway: Gateway, address: str, rules: Rules) -> None:
    """Add what one gateway's clients and forwards need."""
    name, clients = gateway.name, blocks(gateway.clients)
    source = f"ip saddr {clients}"
    if address and (name in rules.contested or name not in rules.open):
        texts["unheard"].append(f"ip daddr {address} tcp flags rst drop")
    if address and name in rules.guarded:
        texts["unheard"].append(f"ip daddr {address} {DEAD} tcp flags rst drop")
        texts["closed"] += _shut(clients, f"{DEAD} ")
    if name not in rules.open or name in rules.held:
        texts["closed"] += _shut(clients)
    if name not in rules.open:
        return
    texts["snat"].append(f"{source} snat to {address}")
    texts["opened"].append(f"{source} meta l4proto tcp ct state invalid reject with tcp reset")
    if name not in rules.ending:
        texts["opened"].append(f"{source} {firewall.SILENT} reject with tcp reset")
        texts["opened"].append(f"{source} ct state new accept")
        texts["dnat"] += _forwards(gateway, address, dict(rules.targets))


def _shut(clients: str, when: str = "") -> list[str]:
    """Let these clients out no more. What answers them passes, but must not bring a flow back into the flowtable."""
    return [f"ip saddr {clients} {when}drop", f"ip daddr {clients} {when}ct state established,related accept"]


def _forwards(gateway: Gateway, address: str, targets: Mapping[str, str]) -> Iterable[str]:
    """A gateway's port forwards; one whose target is not known has none."""
    for f in gateway.forwards:
        target = targets.get(f.target, "") if f.dynamic else f.target
        head = f"ip daddr {address} ip saddr {blocks(f.sources)} {f.protocol} dport"
        first, last = f.ports
        if not target:
            continue
        if f.target_port == first:
            yield f"{head} {first}-{last} dnat to {target}"
        else:  # nft cannot shift a range
            shift = f.target_port - first
            yield from (f"{head} {port} dnat to {target}:{port + shift}" for port in range(first, last + 1))


def _beats(gateways: Sequence[Gateway], rules: Rules, port: int) -> list[str]:
    """Who may use the members' port."""
    sync = f"meta l4proto {{ tcp, udp }} th dport {port}"
    # A client's forgery is counted by the agent, but a flood of them must not crowd out the heartbeats.
    few = [f"ip saddr {blocks(g.clients)} udp dport {port} limit rate 20/second accept" for g in gateways]
    return [
        *([f"ip saddr {blocks(rules.members)} {sync} accept"] if rules.members else []),
        *few,
        f"{sync} drop",
    ]
