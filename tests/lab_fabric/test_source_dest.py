"""The source/destination check of each interface."""

from __future__ import annotations

import pytest

from evernat.lab.addresses import INTERNET_HOST
from tests.lab_fabric.support import (
    CLIENT,
    CLIENT_B,
    ELASTIC,
    NODE,
    Net,
    default_to,
    eni,
    silent,
    with_eni,
    world,
)

pytestmark = pytest.mark.packets

node = eni("node", NODE, "i-node", public=ELASTIC, checked=False)
client = eni("client", CLIENT, "i-client")
client_b = eni("client-b", CLIENT_B, "i-client-b")
before = world(node, client, client_b, a=[default_to(node)])


def test_a_checked_node_cannot_forward(net: Net) -> None:
    """With the check on nothing is delivered to the node but what is for itself; off again, it forwards."""
    net.fabric.apply(with_eni(before, node.id, source_dest_check=True))
    net.translate("i-node", NODE)
    assert net.mute("i-client", INTERNET_HOST)
    assert net.dropped("not_owner") == 1
    assert net.pings("i-client", NODE)
    net.fabric.apply(before)
    assert net.pings("i-client", INTERNET_HOST)


def test_a_checked_interface_cannot_send_as_another(net: Net) -> None:
    """A packet with somebody else's source address is dropped where it enters, unless the check is off."""
    net.fabric.apply(before)
    receiver = net.udp("i-client-b", port=9)
    for instance, arrives in (("i-client", False), ("i-node", True)):
        net.run(instance, "ip addr add 172.18.99.99/32 dev lo")
        net.udp(instance, "172.18.99.99").sendto(b"1", (CLIENT_B, 9))
        if arrives:
            assert receiver.recvfrom(9)[1][0] == "172.18.99.99"
        else:
            assert silent(receiver)
    assert net.dropped("spoofed") == 1


def test_the_check_is_each_interfaces_own(net: Net) -> None:
    """An interface without the check does not lend this to another interface of the same instance."""
    second = eni("second", "172.18.128.9", "i-node", index=1)
    net.fabric.apply(world(node, second, client, a=[default_to(second)]))
    net.translate("i-node", NODE)
    assert net.mute("i-client", INTERNET_HOST)
    assert net.dropped("not_owner") == 1
