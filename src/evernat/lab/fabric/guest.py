"""What a machine's own network stack is given: as DHCP and amazon-ec2-net-utils would on Amazon Linux 2023. Pure.

The first interface gets its primary address and the default route. Each further one gets its address and a table of its
own for packets from that address (rule and table 10000 + device index). Secondary addresses are left to the machine.
"""

from __future__ import annotations

from collections.abc import Iterable

from evernat.lab.fabric.layout import VPC_MTU
from evernat.lab.fabric.wiring import Port

SETTINGS = {
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    # Fresh namespaces inherit the machine's; these are systemd's defaults, which Amazon Linux ships.
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "2",
    "ipv4/conf/all/forwarding": "0",
    "ipv4/conf/default/forwarding": "0",
    "ipv4/ip_forward": "0",
    "ipv4/conf/default/promote_secondaries": "1",
    "ipv4/ping_group_range": "0 0",
}

_ROUTE_METRIC = 512  # systemd-networkd's for DHCP
_POLICY = 10000


def cable(port: Port, machine: int) -> list[str]:
    """Lines for the router: the new cable of `port` into the namespace with descriptor `machine`, switched on."""
    return [
        f"link add {port.name} mtu {VPC_MTU} type veth"
        f" peer name {port.guest} mtu {VPC_MTU} address {port.mac} netns /proc/self/fd/{machine}",
        # A proxied ARP answer is otherwise held back for up to 0.8 s.
        f"ntable change name arp_cache dev {port.name} proxy_delay 0",
        f"link set {port.name} up",
    ]


def unplug(ports: Iterable[Port]) -> list[str]:
    """Lines for the router: pull all these cables, at the price of one (the kernel waits once for each removal)."""
    names = [port.name for port in ports]
    if not names:
        return []
    return [*(f"link set {name} group {_TRASH}" for name in names), f"link del group {_TRASH}"]


_TRASH = 99


def configure(port: Port) -> list[str]:
    """Lines for the machine: a new interface's address, routes and rule."""
    address = port.addresses[0]
    metric = _ROUTE_METRIC + port.index
    lines = [
        "link set lo up",
        f"link set {port.guest} up",
        # An agent may have put it there already.
        f"addr replace {address}/{port.prefix_length} brd + dev {port.guest} metric {metric}",
    ]
    if port.index == 0:
        lines.append(
            f"route add default via {port.gateway} dev {port.guest} proto dhcp src {address} metric {metric}"
        )
        return lines
    table = _POLICY + port.index
    lines += [
        f"route add default via {port.gateway} dev {port.guest} proto dhcp src {address} table {table}",
        f"route add {port.subnet_cidr} dev {port.guest} proto dhcp scope link src {address} table {table}",
        f"rule add {_rule(port)}",
    ]
    return lines


def forget(port: Port) -> list[str]:
    """Lines for the machine after an interface was pulled out: what the kernel does not remove by itself."""
    return [f"rule del {_rule(port)}"] if port.index else []


def _rule(port: Port) -> str:
    number = _POLICY + port.index
    return f"pref {number} from {port.addresses[0]} lookup {number}"
