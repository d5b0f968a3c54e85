"""Route tables: where a packet goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.fabric import routing
from evernat.lab.world import NatGateway, Route
from tests.lab_fabric.support import (
    AUTO,
    CLIENT,
    CLIENT_B,
    ELASTIC,
    NODE,
    NODE_2,
    PUBLIC,
    Net,
    default_to,
    eni,
    world,
)

pytestmark = pytest.mark.packets

node = eni("node", NODE, "i-node", public=ELASTIC, checked=False)
other = eni("other", NODE_2, "i-other", public=AUTO, checked=False)
client = eni("client", CLIENT, "i-client")
client_b = eni("client-b", CLIENT_B, "i-client-b")


def test_instances_reach_each_other_within_a_subnet_and_across(net: Net) -> None:
    """`local` connects all addresses of the VPC."""
    net.fabric.apply(world(node, other, client, client_b))
    assert net.pings("i-node", NODE_2)
    assert net.pings("i-client", CLIENT_B)


def test_default_route_to_an_interface(net: Net) -> None:
    """A private client reaches the internet through the node that its route table names."""
    net.fabric.apply(world(node, client, a=[default_to(node)]))
    net.translate("i-node", NODE)
    assert net.pings("i-client", INTERNET_HOST)


def test_each_subnet_follows_its_own_table(net: Net) -> None:
    """The default route of one table is no use to a subnet with another, which has none: its packets are dropped."""
    net.fabric.apply(world(node, client, client_b, a=[default_to(node)]))
    net.translate("i-node", NODE)
    assert net.mute("i-client-b", INTERNET_HOST)
    assert net.dropped("no_route") == 1


def test_a_replaced_route_takes_effect(net: Net) -> None:
    """The next packet after the change goes to the other node."""
    net.fabric.apply(world(node, other, client, a=[default_to(node)]))
    net.translate("i-node", NODE)
    net.translate("i-other", NODE_2)
    server, sender = net.udp("internet", INTERNET_HOST, 9), net.udp("i-client")
    sender.sendto(b"1", (INTERNET_HOST, 9))
    assert server.recvfrom(9)[1][0] == ELASTIC
    net.fabric.apply(world(node, other, client, a=[default_to(other)]))
    sender.sendto(b"2", (INTERNET_HOST, 9))
    assert server.recvfrom(9)[1][0] == AUTO


def test_an_interface_that_is_not_plugged_in_is_a_black_hole(net: Net) -> None:
    """Nothing answers, not even an ICMP error, and it is counted."""
    loose = replace(node, attachment=None)
    net.fabric.apply(world(loose, client, a=[default_to(loose)]))
    assert "100% packet loss" in net.run("i-client", f"ping -n -c1 -W0.2 {INTERNET_HOST}")
    assert "errors" not in net.run("i-client", f"ping -n -c1 -W0.2 {INTERNET_HOST}")
    assert net.dropped("no_route") == 2


def test_longest_prefix_wins(net: Net) -> None:
    """A black hole for one address does not touch the default route, and a narrower route wins over `local`."""
    narrow = Route(f"{INTERNET_HOST}/32", "blackhole")
    inside = Route("172.18.80.1/20", "eni", node.id)
    net.fabric.apply(world(node, client, client_b, a=[default_to(node), narrow, inside]))
    net.translate("i-node", NODE)
    assert net.mute("i-client", INTERNET_HOST)
    assert net.pings("i-client", "198.51.100.2")
    server, sender = net.udp("i-client-b", port=9), net.udp("i-client")
    sender.sendto(b"1", (CLIENT_B, 9))
    assert server.recvfrom(9)[1][0] == NODE


def test_unused_addresses_of_the_vpc_swallow_packets(net: Net) -> None:
    """The router's own address and free ones answer ARP, as in a VPC, and nothing else."""
    net.fabric.apply(world(client))
    for address in ("172.18.64.1", "172.18.64.99"):
        assert net.mute("i-client", address)
        assert "lladdr" in net.run("i-client", f"ip neigh show {address}")
    assert net.dropped("no_such_address") == 2


def test_managed_nat_gateway(net: Net) -> None:
    """Clients go out through it with its public address, and nobody comes in."""
    managed = NatGateway("nat-0123456789abcdef0", PUBLIC, "172.18.128.50", ELASTIC)
    to_managed = Route("0.0.0.0/0", "nat", managed.id)
    net.fabric.apply(world(client, client_b, a=[to_managed], nat=(managed,)))
    server, sender = net.udp("internet", INTERNET_HOST, 9), net.udp("i-client")
    sender.sendto(b"1", (INTERNET_HOST, 9))
    assert server.recvfrom(9)[1][0] == ELASTIC
    assert net.mute("internet", ELASTIC)
    net.fabric.apply(world(client, client_b, a=[to_managed]))
    assert net.mute("i-client", INTERNET_HOST)


def test_router_and_internet_gateway_do_not_show_in_a_traceroute(net: Net) -> None:
    """The hops are the node, the provider and the host."""
    net.fabric.apply(world(node, client, a=[default_to(node)]))
    net.translate("i-node", NODE)
    said = net.run("i-client", f"traceroute -n -q1 -w0.5 -m5 {INTERNET_HOST}")
    assert [line.split()[1] for line in said.splitlines()[1:]] == [NODE, "198.51.100.129", INTERNET_HOST]


def test_jumbo_inside_and_1500_outside(net: Net) -> None:
    """9001 bytes pass within the VPC; towards the internet the gateway says that 1500 is the most."""
    net.fabric.apply(world(node, other))
    assert net.pings("i-node", NODE_2, f"-M do -s {9001 - 28}")
    assert net.pings("i-node", INTERNET_HOST, f"-M do -s {1500 - 28}")
    assert "mtu = 1500" in net.run("i-node", f"ping -n -c1 -W0.3 -M do -s {1501 - 28} {INTERNET_HOST}")


def test_nothing_to_do_is_no_change() -> None:
    """The same world and ports give no lines, and other routes only the lines for what differs."""
    before, after = (
        world(client, a=[Route("0.0.0.0/0", "blackhole")]),
        world(client, a=[Route("0.0.0.0/0", "igw")]),
    )
    old, new = routing.render(before, {}), routing.render(after, {})
    assert routing.changes(old, old) == []
    table = routing.table_number("rtb-a")
    assert routing.changes(old, new) == [f"route replace 0.0.0.0/0 table {table} via 198.51.100.129 dev igw0"]
