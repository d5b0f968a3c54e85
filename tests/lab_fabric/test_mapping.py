"""One-to-one mapping of private and public addresses, outside and inside ICMP errors."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest

from evernat.lab.addresses import INTERNET_HOST
from tests.lab_fabric.support import (
    AUTO,
    CLIENT,
    ELASTIC,
    ELASTIC_2,
    NODE,
    NODE_2,
    SHORT,
    Net,
    default_to,
    eni,
    with_eni,
    world,
)

pytestmark = pytest.mark.packets

_IP_RECVERR, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO, _MSG_ERRQUEUE = 11, 10, 2, 0x2000

node = eni("node", NODE, "i-node", public=ELASTIC, checked=False)
other = eni("other", NODE_2, "i-other", public=AUTO, checked=False)
client = eni("client", CLIENT, "i-client")


def test_public_address_both_ways(net: Net) -> None:
    """The internet sees the public address, and reaches the instance by it."""
    net.fabric.apply(world(node))
    server = net.tcp_server("internet", 80, INTERNET_HOST)
    connection = net.tcp("i-node", INTERNET_HOST, 80)
    assert server.accept()[1][0] == ELASTIC
    connection.close()
    assert net.pings("internet", ELASTIC)


def test_without_a_public_address_nothing_leaves(net: Net) -> None:
    """The internet gateway drops packets of an interface that has none, and counts them."""
    net.fabric.apply(world(eni("node", NODE, "i-node")))
    assert net.mute("i-node", INTERNET_HOST)
    assert net.dropped("no_public_address") == 1


def test_each_private_address_has_a_public_one_of_its_own(net: Net) -> None:
    """Of two private addresses of an interface the second loses its public one: what leaves with it is dropped and
    counted, it does not leave with the first one's."""
    two = replace(node, addresses=(NODE, NODE_2), public=((NODE, AUTO), (NODE_2, ELASTIC)))
    net.fabric.apply(world(two))
    net.run(
        "i-node",
        f"ip address replace {NODE_2}/32 dev $(ip -o route get {INTERNET_HOST} | sed 's/.*dev //;s/ .*//')",
    )
    server = net.tcp_server("internet", 80, INTERNET_HOST)

    def seen(source: str) -> str:
        made = net.open("i-node", socket.SOCK_STREAM, (source, 0))
        made.connect((INTERNET_HOST, 80))
        return str(server.accept()[1][0])

    assert (seen(NODE), seen(NODE_2)) == (AUTO, ELASTIC)
    net.fabric.apply(world(replace(two, public=((NODE, AUTO),))))
    before = net.dropped("no_public_address")
    lost = net.open("i-node", socket.SOCK_STREAM, (NODE_2, 0), wait=SHORT)
    with pytest.raises(TimeoutError):
        lost.connect((INTERNET_HOST, 80))
    assert net.dropped("no_public_address") > before
    assert seen(NODE) == AUTO


def test_an_unmapped_public_address_leads_nowhere(net: Net) -> None:
    """Packets to an address of the pool that nobody has are dropped and counted."""
    net.fabric.apply(world(node))
    assert net.mute("internet", ELASTIC_2)
    assert net.dropped("unknown_public_address") == 1


def test_a_moved_address_takes_running_flows_along(net: Net) -> None:
    """The gateway remembers no flow: after a move the answers arrive at the new interface, and the old one is mute."""
    before = world(node, other)
    net.fabric.apply(before)
    server, at_node, at_other = (
        net.udp("internet", INTERNET_HOST, 9),
        net.udp("i-node", port=5000),
        net.udp("i-other", port=5000),
    )
    at_node.sendto(b"1", (INTERNET_HOST, 9))
    peer = server.recvfrom(9)[1]
    server.sendto(b"2", peer)
    assert at_node.recvfrom(9)[0] == b"2"

    moved = with_eni(with_eni(before, node.id, public=()), other.id, public=((NODE_2, ELASTIC),))
    net.fabric.apply(moved)
    server.sendto(b"3", peer)
    assert at_other.recvfrom(9)[0] == b"3"
    at_node.sendto(b"4", (INTERNET_HOST, 9))
    at_other.sendto(b"5", (INTERNET_HOST, 9))
    assert server.recvfrom(9) == (b"5", (ELASTIC, 5000))


def test_two_interfaces_swap_their_addresses(net: Net) -> None:
    """One change may give each of two interfaces the other's address."""
    before = world(node, other)
    net.fabric.apply(before)
    swapped = with_eni(
        with_eni(before, node.id, public=((NODE, AUTO),)), other.id, public=((NODE_2, ELASTIC),)
    )
    net.fabric.apply(swapped)
    server, sender = net.udp("internet", INTERNET_HOST, 9), net.udp("i-node")
    sender.sendto(b"1", (INTERNET_HOST, 9))
    assert server.recvfrom(9)[1][0] == AUTO


def test_a_secondary_address_has_its_own_public_one(net: Net) -> None:
    """Several private addresses of an interface map to several public ones."""
    second = "172.18.128.60"
    before = with_eni(
        world(node), node.id, addresses=(NODE, second), public=((NODE, ELASTIC), (second, ELASTIC_2))
    )
    net.fabric.apply(before)
    net.run("i-node", f"ip addr add {second}/32 dev ens5")
    server, sender = net.udp("internet", INTERNET_HOST, 9), net.udp("i-node", second)
    sender.sendto(b"1", (INTERNET_HOST, 9))
    assert server.recvfrom(9)[1][0] == ELASTIC_2
    assert net.pings("internet", ELASTIC_2)


def test_an_instance_reaches_another_by_its_public_address(net: Net) -> None:
    """Such packets leave by the gateway and come back, from public address to public address."""
    net.fabric.apply(world(node, other))
    server, sender = net.udp("i-other", port=9), net.udp("i-node")
    sender.sendto(b"1", (AUTO, 9))
    assert server.recvfrom(9)[1][0] == ELASTIC


def test_error_from_outside_is_understood_inside(net: Net) -> None:
    """A "packet too big" about a packet of the node quotes its private address, so its socket hears of it."""
    net.fabric.apply(world(node))
    net.fabric.set_path_mtu(1300)
    sender = net.udp("i-node")
    sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
    sender.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    sender.connect((INTERNET_HOST, 9))
    sender.send(bytes(1400))
    with pytest.raises(OSError, match="Message too long"):
        sender.recv(9)
    _, ancillary, _, _ = sender.recvmsg(2000, 200, _MSG_ERRQUEUE)
    number, origin, kind, code, _, info, _ = struct.unpack_from("=IBBBBII", ancillary[0][2])
    assert (number, origin, kind, code, info) == (90, 2, 3, 4, 1300)


def test_error_from_inside_is_understood_outside(net: Net) -> None:
    """A "port unreachable" of the node quotes its public address, so the sender's socket hears of it."""
    net.fabric.apply(world(node))
    sender = net.udp("internet", INTERNET_HOST)
    sender.connect((ELASTIC, 9))
    sender.send(b"1")
    with pytest.raises(ConnectionRefusedError):
        sender.recv(9)


@pytest.mark.parametrize(
    ("at", "to"), [("i-node", INTERNET_HOST), ("internet", ELASTIC)], ids=["coming-in", "going-out"]
)
def test_checksums_of_translated_errors_are_right(net: Net, at: str, to: str) -> None:
    """The ICMP message, the outer header and the header quoted inside each add up."""
    net.fabric.apply(world(node))
    raw = net.raw(at)
    net.udp(at).sendto(b"123", (to, 9))
    packet = raw.recv(2000)
    outer, message, quoted = packet[:20], packet[20:], packet[28:48]
    assert message[0] == 3
    # The kernel has verified and kept the outer header's checksum.
    assert [_sum(part) for part in (outer, message, quoted)] == [0xFFFF] * 3
    assert socket.inet_ntoa(quoted[16:20]) == to
    assert int.from_bytes(quoted[2:4], "big") == 31  # untouched: headers and three bytes


def test_upload_through_a_narrow_path(net: Net) -> None:
    """TCP of a client behind a node finds out that only 1300 bytes pass outside, although nobody told either end."""
    net.fabric.apply(world(node, client, a=[default_to(node)]))
    net.translate("i-node", NODE)
    net.fabric.set_path_mtu(1300)
    server = net.tcp_server("internet", 80, INTERNET_HOST)
    sender = net.tcp("i-client", INTERNET_HOST, 80)
    receiver, peer = server.accept()
    assert peer[0] == ELASTIC
    sender.settimeout(3)
    receiver.settimeout(3)
    assert _transfer(sender, receiver, 300_000) == 300_000
    assert _transfer(receiver, sender, 300_000) == 300_000
    assert "mtu 1300" in net.run("i-client", f"ip route get {INTERNET_HOST}")


def test_a_widened_path_carries_1500_again(net: Net) -> None:
    """The limit is a fault that can be taken back."""
    net.fabric.apply(world(node))
    net.fabric.set_path_mtu(1300)
    net.fabric.set_path_mtu(1500)
    assert net.pings("i-node", INTERNET_HOST, "-M do -s 1472")


def _transfer(sender: socket.socket, receiver: socket.socket, size: int) -> int:
    received = 0
    for _ in range(size // 10_000):
        sender.sendall(bytes(10_000))
        wanted = received + 10_000
        while received < wanted:
            received += len(receiver.recv(wanted - received))
    return received


def _sum(data: Sequence[int]) -> int:
    """The Internet checksum's sum: all ones for data that carries its right checksum."""
    raw = bytes(data) + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(raw) // 2}H", raw))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
