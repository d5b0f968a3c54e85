"""What one client may take of what all share, as a table of its own: connections and fragments. Pure.

Of its own, since loading a table forgets what it has counted, and the other one is loaded whenever a gateway changes.

The kernel counts connections by a list that it walks for each new one (at most once in a tick): 0.2 µs an entry, so
with 60,000 connections of a client open each new one of them costs 300 µs. So only one flow in `sample` is counted, by
a hash of its addresses and ports, against a limit that is smaller by as much: never more than 512 entries. That is
exact to a few per cent, and costs a new flow 1 µs. Who is over the limit is refused for a second without being counted:
the kernel takes refused flows off its list more slowly than a flood brings them.

An address has 64,512 ports for each port of a destination, and the kernel gives up finding a free one after 240 tries
at four places. So no client gets more than a quarter of those.

All clients together get nine tenths of the table, shared among the gateways that the node may have to serve. The rest
is for the node's own: its calls, heartbeats, checks, and the copying of connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..contract import LINK
from ..sysctls import FRAGMENT_TIME, TIME_WAIT
from .firewall import Firewall, blocks

COUNTED = 256
"""A sample counts at least so many (when the limit is that high), and fewer than twice as many."""
PLACE = 16_384
"""Connections of one client to one port of one address, at most."""
FRAME = 2304
"""Bytes of memory that a fragment of a packet of 1,500 bytes takes."""

TABLE = """\
table ip evernat-limits
delete table ip evernat-limits
table ip evernat-limits {
  set clients { type ipv4_addr; flags interval; elements = %(clients)s; }
  set fragmenting { type ipv4_addr; size 65535; flags dynamic, timeout; timeout 10s; }
  counter fragments { }
  chain fragments {
    type filter hook prerouting priority -450;
    ip frag-off & 0x3fff == 0 accept
    ip saddr @clients update @fragmenting { ip saddr limit rate over %(fragments)s } counter name fragments drop
    ip saddr != @clients limit rate over %(fragments)s counter name fragments drop
  }
%(counted)s}
"""

COUNT = """\
  set opened { type ipv4_addr; size 65535; flags dynamic; }
  set visited { type ipv4_addr . ipv4_addr . inet_service; size 65535; flags dynamic; }
  set served { type ipv4_addr; size 65535; flags dynamic; }
  set pace { type ipv4_addr; size 65535; flags dynamic, timeout; timeout 1m; }
  set refused { type ipv4_addr; size 65535; flags dynamic, timeout; }
  set crowded { type ipv4_addr . ipv4_addr . inet_service; size 65535; flags dynamic, timeout; }
  set busy { type ipv4_addr; size 65535; flags dynamic, timeout; }
  set full { type ether_type; size 2; flags dynamic, timeout; }
  counter client_connections { }
  counter forwarded_connections { }
  counter all_connections { }
  chain forward {
    type filter hook forward priority filter + 1;
    ct state != new accept
    iifname "%(link)s" accept
    meta protocol @full counter name all_connections drop
    ct status dnat goto inward
    ip saddr @clients goto outward
  }
  chain outward {
    ip saddr @refused %(refuse)s
    ip saddr . ip daddr . th dport @crowded %(refuse)s
    meta l4proto tcp update @pace { ip saddr limit rate over %(pace)s } %(refuse)s
    %(sample_place)s
    add @visited { %(place)s ct count over %(at_place)s } add @crowded { %(place)s timeout 1s } %(refuse)s
    %(sample_each)s
    add @opened { ip saddr ct count over %(each)s } add @refused { ip saddr timeout 1s } %(refuse)s
    goto together
  }
  chain inward {
    ip daddr @busy %(shut)s
    %(sample_place)s
    %(sample_each)s
    add @served { ip daddr ct count over %(each)s } add @busy { ip daddr timeout 1s } %(shut)s
    goto together
  }
  chain together {
    %(sample_all)s
    ct count over %(all)s add @full { meta protocol timeout 1s } counter name all_connections drop
  }
"""


def of(
    clients: Sequence[str], gateways: int, settings: Firewall, room: tuple[int, int]
) -> Callable[[bool], str]:
    """What renders the table by whether the kernel can count. `room`: entries, and bytes for fragments."""
    each = settings.client_connections
    return lambda count: table(clients, room[0], gateways, each, room[1], count=count)


def table(
    clients: Iterable[str], entries: int, gateways: int, each: int, memory: int, *, count: bool = True
) -> str:
    """The whole table, for one transaction.

    `entries`: those of the connection table; `gateways` that the node may have to serve; `each`: entries of one
    client, 0 for a quarter of them; `memory`: bytes for fragments; `count`: the kernel can count connections.
    """
    total = max(entries * 9 // 10 // max(gateways, 1), 1)
    each = min(each or max(entries // 4, 1), total)
    counted = {
        "link": LINK,
        "refuse": "counter name client_connections drop",
        "shut": "counter name forwarded_connections drop",
        "place": "ip saddr . ip daddr . th dport",
        **_counted({"at_place": min(PLACE, each), "each": each, "all": total}),
        # Entries of connections that are over are not counted, and stay for a while: this bounds them.
        "pace": _rate(max(each // (2 * TIME_WAIT), 1), each),
    }
    # Who sends only parts of packets takes three eighths of the memory.
    fragments = max(memory // FRAME // FRAGMENT_TIME // 4, 1)
    return TABLE % {
        "clients": blocks(clients),
        "fragments": _rate(fragments, fragments),
        "counted": COUNT % counted if count else "",
    }


def _counted(bounds: dict[str, int]) -> dict[str, str]:
    """For each limit, from small to large, the line that lets go of what its sample leaves out, and what it counts to.

    Each sample is one of the sample before.
    """
    found, before = {}, 1
    for name, bound in bounds.items():
        sample = 1 << max((bound // COUNTED).bit_length() - 1, 0)
        flow = f"jhash ip saddr . ip daddr . th sport . th dport mod {sample // before} != 0 accept"
        found[f"sample_{name.rpartition('_')[2]}"] = flow if sample > before else ""
        found[name] = str(max(bound // sample, 1))
        before = sample
    return found


def _rate(rate: int, burst: int) -> str:
    return f"{rate}/second burst {burst} packets"
