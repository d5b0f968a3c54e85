"""Interfaces that come and go, machines that start, restart and lose power."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from evernat.lab.addresses import INTERNET_HOST, METADATA
from evernat.lab.fabric import Fabric, FabricError
from evernat.lab.fabric.wiring import port_name, wire
from evernat.lab.world import Attachment
from tests.lab_fabric.support import (
    AUTO,
    CLIENT,
    ELASTIC,
    NODE,
    NODE_2,
    Net,
    change,
    default_to,
    eni,
    with_eni,
    world,
)

pytestmark = pytest.mark.packets

GATEWAY_ADDRESS = "172.18.128.9"
node = eni("node", NODE, "i-node", public=AUTO)
other = eni("other", NODE_2, "i-other")
loose = eni("gateway", GATEWAY_ADDRESS, public=ELASTIC, checked=False)
gateway = replace(loose, attachment=Attachment("i-node", 1))
client = eni("client", CLIENT, "i-client")


def test_a_started_machine_is_configured(net: Net) -> None:
    """The first interface is ens5 with its MAC, 9001 bytes, its address and a default route to the subnet's `.1`."""
    net.fabric.apply(world(node))
    link = net.run("i-node", "ip -o link show ens5")
    assert "mtu 9001" in link
    assert node.mac in link
    assert f"inet {NODE}/20 " in net.run("i-node", "ip -o -4 addr show ens5")
    assert "default via 172.18.128.1 dev ens5 proto dhcp src" in net.run("i-node", "ip route")
    assert "UNKNOWN" in net.run("i-node", "ip -br link show lo")


def test_an_attached_interface_appears_in_the_running_machine(net: Net) -> None:
    """It is ens6 with its own MAC and a table of its own for what is sent from its address; nothing else changes."""
    net.fabric.apply(world(node, other, loose))
    before = net.fabric.netns("i-node")
    main = net.run("i-node", "ip route show default")
    net.fabric.apply(world(node, other, gateway))
    assert net.fabric.netns("i-node") == before
    assert gateway.mac in net.run("i-node", "ip -o link show ens6")
    assert f"10001:\tfrom {GATEWAY_ADDRESS} lookup 10001" in net.run("i-node", "ip rule")
    assert "default via 172.18.128.1 dev ens6" in net.run("i-node", "ip route show table 10001")
    assert net.run("i-node", "ip route show default") == main

    server, sender = net.udp("internet", INTERNET_HOST, 9), net.udp("i-node", GATEWAY_ADDRESS)
    sender.sendto(b"1", (INTERNET_HOST, 9))
    assert server.recvfrom(9)[1][0] == ELASTIC


def test_a_detached_interface_goes(net: Net) -> None:
    """It disappears from the machine with its address, its rule and its routes; the first one stays as it was."""
    net.fabric.apply(world(node, gateway))
    net.fabric.apply(world(node, loose))
    assert "does not exist" in net.run("i-node", "ip link show ens6")
    assert "10001" not in net.run("i-node", "ip rule")
    assert net.pings("i-node", INTERNET_HOST)


def test_an_interface_moves_between_machines(net: Net) -> None:
    """Detached here and attached there in one change, it has the same MAC, address and routes to it."""
    to_gateway = [default_to(loose)]
    net.fabric.apply(world(node, other, gateway, client, a=to_gateway))
    net.fabric.apply(
        world(node, other, replace(gateway, attachment=Attachment("i-other", 1)), client, a=to_gateway)
    )
    assert "does not exist" in net.run("i-node", "ip link show ens6")
    assert gateway.mac in net.run("i-other", "ip -o link show ens6")
    receiver = net.udp("i-other", port=9)
    net.udp("i-client").sendto(b"1", (GATEWAY_ADDRESS, 9))
    assert receiver.recvfrom(9)[1][0] == CLIENT


def test_power_off_and_on(net: Net) -> None:
    """Without power there is no namespace and no answer; another boot begins with an empty one."""
    before = world(node, other)
    net.fabric.apply(before)
    net.run("i-node", "ip link add left type veth")
    net.fabric.apply(change(before, "i-node", powered=False))
    with pytest.raises(KeyError, match="i-node"):
        net.fabric.netns("i-node")
    assert net.mute("i-other", NODE)
    net.fabric.apply(change(before, "i-node", boots=2))
    assert net.pings("i-other", NODE)
    assert "left" not in net.run("i-node", "ip link")


def test_a_machine_that_boots_again_loses_its_network_memory(net: Net) -> None:
    """From one boot to the next everything is replaced at once."""
    before = world(node, gateway, other)
    net.fabric.apply(before)
    net.run("i-node", "ip link add left type veth")
    net.fabric.apply(change(before, "i-node", boots=2))
    assert "left" not in net.run("i-node", "ip link")
    assert gateway.mac in net.run("i-node", "ip -o link show ens6")
    assert net.pings("i-other", NODE)


def test_a_cut_network_carries_nothing_and_looks_whole(net: Net) -> None:
    """The machine's interface stays up, nothing passes in either direction, and mended it works as before."""
    before = world(node, other)
    net.fabric.apply(before)
    net.fabric.apply(change(before, "i-node", connected=False))
    assert "LOWER_UP" in net.run("i-node", "ip link show ens5")
    assert net.mute("i-node", INTERNET_HOST)
    assert net.mute("i-other", NODE)
    assert net.dropped("disconnected") == 2
    net.fabric.apply(before)
    assert net.pings("i-node", INTERNET_HOST)
    assert net.pings("i-other", NODE)


def test_stop_comes_before_the_world_says_so(net: Net) -> None:
    """After `stop` the machine is gone; a World without it is no error, and one with it starts it anew."""
    before = world(node, other, gateway)
    net.fabric.apply(before)
    net.fabric.stop("i-node")
    assert net.mute("i-other", NODE)
    net.fabric.apply(change(before, "i-node", powered=False))
    net.fabric.apply(before)
    assert net.pings("i-other", NODE)


def test_another_address_on_a_plugged_in_interface(net: Net) -> None:
    """A secondary address is reachable as soon as it is assigned, and moves without a plug being pulled."""
    second = "172.18.128.60"
    before = with_eni(world(node, other, client), node.id, addresses=(NODE, second))
    net.fabric.apply(before)
    index = net.run("i-node", "cat /sys/class/net/ens5/ifindex; ip -o link show ens5")
    for machine in ("i-node", "i-other"):
        net.run(machine, f"ip addr add {second}/32 dev ens5")
    at_node, at_other, sender = (
        net.udp("i-node", second, 9),
        net.udp("i-other", second, 9),
        net.udp("i-client"),
    )
    sender.sendto(b"1", (second, 9))
    assert at_node.recv(9) == b"1"
    moved = with_eni(with_eni(before, node.id, addresses=(NODE,)), other.id, addresses=(NODE_2, second))
    net.fabric.apply(moved)
    sender.sendto(b"2", (second, 9))
    assert at_other.recv(9) == b"2"
    assert index == net.run("i-node", "cat /sys/class/net/ens5/ifindex; ip -o link show ens5")


def test_applying_again_runs_nothing(net: Net) -> None:
    """The same World costs no program started."""
    before = world(node, other, gateway, client, a=[default_to(loose)])
    net.fabric.apply(before)
    busy = net.fabric.socket("router", socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    busy.bind((0, 0xFFFF))
    busy.setblocking(False)
    net.fabric.apply(before)
    with pytest.raises(BlockingIOError):
        busy.recv(9)
    busy.close()


def test_the_metadata_service_is_reached_whatever_the_groups_say(net: Net) -> None:
    """Security groups do not apply to it; it sees the instance's own address, and its answers live for the set hops."""
    before = change(world(eni("node", NODE, "i-node", groups=("sg-none",))), "i-node", metadata_hop_limit=1)
    net.fabric.apply(before)
    server = net.tcp_server("router", 80, METADATA)
    asking = net.tcp("i-node", METADATA, 80)
    answering, peer = server.accept()
    assert peer[0] == NODE
    capture = net.open("i-node", socket.SOCK_RAW, protocol=socket.IPPROTO_TCP)
    answering.send(b"1")
    assert capture.recv(99)[8] == 1
    net.fabric.apply(change(before, "i-node", metadata_hop_limit=3))
    asking.recv(9)
    answering.send(b"2")
    while (packet := capture.recv(99))[-1:] != b"2":
        pass
    assert packet[8] == 3
    answering.close()


def test_the_router_offers_nothing_else(net: Net) -> None:
    """Only the metadata service's port answers, at its address only."""
    net.fabric.apply(world(node))
    net.tcp_server("router", 22, METADATA)
    assert net.blocked("i-node", METADATA, 22)
    assert net.dropped("router") >= 1


def test_what_the_kernel_refuses_is_named_and_the_rest_is_done(net: Net) -> None:
    """The error has the line and the kernel's word; the rest is done, and the next World tries again."""
    multicast = replace(gateway, mac="01:00:00:00:00:01")
    with pytest.raises(FabricError, match=r"(?s)Cannot assign.*link add .*01:00:00:00:00:01"):
        net.fabric.apply(world(node, other, multicast))
    assert net.pings("i-node", NODE_2)
    net.fabric.apply(world(node, other, gateway))
    assert gateway.mac in net.run("i-node", "ip -o link show ens6")
    assert net.pings("i-other", GATEWAY_ADDRESS)


def test_port_names_fit() -> None:
    """Fifteen characters at most, different for different interfaces."""
    names = [port_name(f"eni-0123456789abc{end:04x}") for end in (1, 2)]
    assert max(map(len, names)) <= 15
    assert names[0] != names[1]


def test_what_is_not_plugged_in_has_no_port() -> None:
    """Neither a loose interface nor one of a machine without power."""
    off = change(world(node, loose, client), "i-client", powered=False)
    assert [port.machine for port in wire(off).values()] == [("i-node", 1)]


def test_close_leaves_nothing(namespaces_allowed: None) -> None:
    """No descriptor, no interface and no thread stays behind, with machines still plugged in."""

    def traces() -> tuple[int, int, set[str]]:
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        return descriptors, threading.active_count(), {name for _, name in socket.if_nameindex()}

    before = traces()
    fabric = Fabric()
    fabric.apply(world(node, other, gateway, client, a=[default_to(loose)]))
    fabric.close()
    assert traces() == before
