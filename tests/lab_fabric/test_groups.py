"""Security groups: what they let through, and what they remember."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.fabric import groups
from evernat.lab.world import Rule, SecurityGroup, World
from tests.lab_fabric.support import (
    AUTO,
    CLIENT,
    CLIENT_B,
    ELASTIC,
    EVERYTHING,
    NODE,
    NODE_2,
    OPEN,
    SHORT,
    Net,
    default_to,
    eni,
    silent,
    world,
)

pytestmark = pytest.mark.packets

ANY = ("0.0.0.0/0",)
VPC = ("172.18.0.0/16",)


def tcp(low: int, high: int = 0, cidrs: tuple[str, ...] = ANY) -> Rule:
    """TCP ports."""
    return Rule("tcp", low, high or low, cidrs)


def guarded(ingress: tuple[Rule, ...] = (), egress: tuple[Rule, ...] = (), *more: SecurityGroup) -> World:
    """A node with the group `sg-1` of these rules, and another with one that is open."""
    guarded_node = eni("node", NODE, "i-node", public=ELASTIC, groups=("sg-1",))
    other = eni("other", NODE_2, "i-other", public=AUTO)
    return world(guarded_node, other, groups=(SecurityGroup("sg-1", ingress, egress), OPEN, *more))


def test_what_no_rule_allows_is_dropped(net: Net) -> None:
    """A group without rules lets nothing in and nothing out."""
    net.fabric.apply(guarded())
    net.tcp_server("i-node", 80)
    net.tcp_server("i-other", 80)
    assert net.blocked("i-other", NODE, 80)
    assert net.blocked("i-node", NODE_2, 80)
    assert net.dropped("group_ingress") >= 1
    assert net.dropped("group_egress") >= 1


def test_answers_to_an_allowed_flow_pass(net: Net) -> None:
    """Outwards allowed, answers come in without a rule for them, and the other way round: TCP, UDP, ICMP."""
    net.tcp_server("internet", 80, INTERNET_HOST)
    outside = net.udp("internet", INTERNET_HOST, 9)
    net.fabric.apply(guarded(egress=(EVERYTHING,)))
    inside = net.udp("i-node", port=9)
    assert net.connects("i-node", INTERNET_HOST, 80)
    assert net.pings("i-node", INTERNET_HOST)
    inside.sendto(b"1", (INTERNET_HOST, 9))
    outside.sendto(b"2", outside.recvfrom(9)[1])
    assert inside.recv(9) == b"2"

    net.fabric.apply(guarded(ingress=(EVERYTHING,)))
    net.tcp_server("i-node", 81)
    assert net.connects("internet", ELASTIC, 81)
    assert net.pings("internet", ELASTIC)


def test_port_range_and_source(net: Net) -> None:
    """Only the ports from the lowest to the highest, and only from the networks named."""
    net.fabric.apply(guarded(ingress=(tcp(80, 82, VPC), tcp(90, cidrs=(f"{INTERNET_HOST}/32",)))))
    for port in (79, 80, 82, 83, 90):
        net.tcp_server("i-node", port)
    assert [port for port in (79, 80, 82, 83, 90) if net.connects("i-other", NODE, port, SHORT)] == [80, 82]
    assert [port for port in (80, 90) if net.connects("internet", ELASTIC, port, SHORT)] == [90]


def test_tcp_rule_does_not_let_udp_pass(net: Net) -> None:
    """A group whose egress is TCP only blocks DNS, NTP and QUIC."""
    net.fabric.apply(guarded(egress=(tcp(0, 65535),)))
    net.tcp_server("internet", 80, INTERNET_HOST)
    outside = net.udp("internet", INTERNET_HOST, 9)
    assert net.connects("i-node", INTERNET_HOST, 80)
    net.udp("i-node").sendto(b"1", (INTERNET_HOST, 9))
    assert silent(outside)
    assert net.dropped("group_egress") == 1


def test_icmp_by_type(net: Net) -> None:
    """A rule for echo requests lets those in and their answers out, and other types it does not."""
    net.fabric.apply(guarded(ingress=(Rule("icmp", 8, -1, ANY),)))
    assert net.pings("i-other", NODE)
    net.fabric.apply(guarded(ingress=(Rule("icmp", 13, -1, ANY),)))
    assert net.mute("internet", ELASTIC)


def test_a_protocol_by_number(net: Net) -> None:
    """Protocols without ports pass by their number; they are not TCP, UDP or ICMP and need rules both ways."""
    net.fabric.apply(guarded(ingress=(Rule("50", -1, -1, ANY),)))
    node, other = net.raw("i-node", 50), net.raw("i-other", 50)
    other.sendto(b"esp", (NODE, 0))
    assert node.recv(99)[20:] == b"esp"
    node.sendto(b"esp", (NODE_2, 0))
    assert silent(other)


def test_rules_of_several_groups_add_up(net: Net) -> None:
    """An interface in two groups is reached by what either allows."""
    second = SecurityGroup("sg-2", (tcp(81),), ())
    both = guarded((tcp(80),), (), second)
    enis = (replace(both.enis[0], groups=("sg-2", "sg-1")), *both.enis[1:])
    net.fabric.apply(replace(both, enis=enis))
    for port in (80, 81, 82):
        net.tcp_server("i-node", port)
    assert [port for port in (80, 81, 82) if net.connects("i-other", NODE, port, SHORT)] == [80, 81]


def test_a_rule_may_name_a_group(net: Net) -> None:
    """Then the private addresses of that group's interfaces match, as they are now."""
    rules = (Rule("tcp", 80, 80, groups=("sg-friends",)),)
    friends = SecurityGroup("sg-friends", (EVERYTHING,), (EVERYTHING,))
    before = guarded(rules, (), friends)
    net.fabric.apply(before)
    net.tcp_server("i-node", 80)
    assert net.blocked("i-other", NODE, 80)
    enis = (before.enis[0], replace(before.enis[1], groups=("sg-friends",)))
    net.fabric.apply(replace(before, enis=enis))
    assert net.connects("i-other", NODE, 80)
    net.fabric.apply(before)
    assert net.blocked("i-other", NODE, 80)


def test_a_tracked_flow_survives_its_rule(net: Net) -> None:
    """Once established it goes on when the rule is gone; new flows do not begin."""
    net.fabric.apply(guarded(ingress=(tcp(80, cidrs=VPC),)))
    server = net.tcp_server("i-node", 80)
    sender = net.tcp("i-other", NODE, 80)
    receiver, _ = server.accept()
    net.fabric.apply(guarded())
    assert _talks(sender, receiver)
    assert _talks(receiver, sender)
    assert net.blocked("i-other", NODE, 80)


def test_an_untracked_flow_ends_with_its_rule(net: Net) -> None:
    """Allowed from everywhere and everything back, it is not remembered."""
    open_both_ways = guarded((tcp(80),), (EVERYTHING,))
    net.fabric.apply(open_both_ways)
    server = net.tcp_server("i-node", 80)
    sender = net.tcp("i-other", NODE, 80)
    receiver, _ = server.accept()
    assert _talks(sender, receiver)
    net.fabric.apply(guarded((), (EVERYTHING,)))
    sender.sendall(b"x")
    assert silent(receiver)


def test_errors_about_allowed_flows_pass(net: Net) -> None:
    """A "port unreachable" comes in without a rule when it is about a flow that went out, and not about any other."""
    net.fabric.apply(guarded(egress=(Rule("udp", 9, 9, ANY),)))
    sender = net.udp("i-node")
    sender.connect((INTERNET_HOST, 9))
    sender.send(b"1")
    with pytest.raises(ConnectionRefusedError):
        sender.recv(9)
    assert net.dropped("group_ingress") == 0
    raw = net.raw("i-other")
    made_up = bytes(
        [69, 0, 0, 32, 0, 0, 64, 0, 64, 17, 0, 0, *map(int, f"{NODE}.{NODE_2}".split(".")), 0, 9, 0, 9]
    )
    raw.sendto(bytes([3, 3, 0xFF, 0xFF, 0, 0, 0, 0]) + made_up + bytes(4), (NODE, 0))
    assert net.blocked("i-other", NODE, 80)
    assert net.dropped("group_ingress") >= 2


def test_errors_from_inside_pass_too(net: Net) -> None:
    """A node may say that a forwarded packet's time is up, with no rule but the one that let the packet in."""
    node = eni("node", NODE, "i-node", public=ELASTIC, checked=False, groups=("sg-1",))
    client = eni("client", CLIENT, "i-client", groups=("sg-2",))
    only_in = SecurityGroup("sg-1", (Rule("udp", 0, 65535, VPC),), ())
    only_out = SecurityGroup("sg-2", (), (Rule("udp", 0, 65535, ANY),))
    net.fabric.apply(world(node, client, a=[default_to(node)], groups=(only_in, only_out)))
    net.translate("i-node", NODE)
    said = net.run("i-client", f"traceroute -n -q1 -w0.3 -m1 {INTERNET_HOST}")
    assert said.splitlines()[1].split()[1] == NODE


def test_fragments_pass_with_their_first(net: Net) -> None:
    """A datagram larger than the path is allowed or not as a whole."""
    client_b = eni("client-b", CLIENT_B, "i-client-b")
    group = SecurityGroup("sg-1", (Rule("udp", 9, 9, VPC),), ())
    node = eni("node", NODE, "i-node", groups=("sg-1",))
    net.fabric.apply(world(node, client_b, groups=(group, OPEN)))
    receiver, sender = net.udp("i-node", port=9), net.udp("i-client-b")
    sender.sendto(bytes(20_000), (NODE, 9))
    assert len(receiver.recv(30_000)) == 20_000


def test_a_plugged_in_again_interface_knows_no_old_flows(net: Net) -> None:
    """What was remembered belonged to the interface where it was."""
    before = guarded(ingress=(tcp(80, cidrs=VPC),))
    moving = eni("moving", "172.18.128.9", "i-node", index=1, groups=("sg-2",))
    listening = SecurityGroup("sg-2", (Rule("udp", 9, 9, VPC),), ())
    start = replace(before, enis=(*before.enis, moving), groups=(*before.groups, listening))
    net.fabric.apply(start)
    sender = net.udp("i-other", port=9)
    sender.sendto(b"1", ("172.18.128.9", 9))
    net.fabric.apply(replace(start, enis=before.enis))
    net.fabric.apply(replace(start, groups=(*before.groups, replace(listening, ingress=()))))
    net.udp("i-node", "172.18.128.9", 9).sendto(b"2", (NODE_2, 9))
    assert silent(sender)


def test_overlapping_networks_in_one_rule(net: Net) -> None:
    """AWS takes them; so does the fabric."""
    net.fabric.apply(guarded(ingress=(tcp(80, cidrs=("172.18.0.0/16", "172.18.128.0/20", f"{NODE_2}/32")),)))
    net.tcp_server("i-node", 80)
    assert net.connects("i-other", NODE, 80)


def test_interfaces_with_the_same_groups_share_chains() -> None:
    """The order of the groups does not matter to the chain's name."""
    assert groups.chain_name("in", ("sg-1", "sg-2")) == groups.chain_name("in", ("sg-2", "sg-1"))


def _talks(sender: socket.socket, receiver: socket.socket) -> bool:
    sender.sendall(b"x")
    return receiver.recv(1) == b"x"
