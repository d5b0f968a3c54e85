"""Secondary private addresses as the agent puts them on a node: on real packets, as AWS maps them to public ones."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import evernat
from evernat.lab.addresses import INTERNET_HOST
from tests.lab_fabric.support import AUTO, CLIENT, ELASTIC, ELASTIC_2, NODE, Net, eni, world

pytestmark = pytest.mark.packets

# Lower than the primary address, and higher: numbers must not matter.
FIRST, SECOND = "172.18.128.3", "172.18.143.9"
NEIGHBOUR = "172.18.128.77"

node = replace(
    eni("node", NODE, "i-node", checked=False),
    addresses=(NODE, FIRST, SECOND),
    public=((NODE, AUTO), (FIRST, ELASTIC), (SECOND, ELASTIC_2)),
)

PREPARE = """
import sys; sys.path.insert(0, {source!r})
from evernat.agent.effects import kernel, uplink
from evernat.agent.kernel.primary import Uplink
own = Uplink(kernel.device({mac!r}), {addresses!r}, {subnet!r})
uplink.prepare(own)
print(own.link, *uplink.faults(own))
"""


def prepared(net: Net) -> str:
    """Have the agent's code put the secondary addresses on the node's link; the link's name."""
    source = str(Path(evernat.__file__).parents[1])
    addresses = (NODE, FIRST, SECOND)
    code = PREPARE.format(source=source, mac=node.mac, addresses=addresses, subnet="172.18.128.0/20")
    said = net.run("i-node", f"{sys.executable} -c '{code.replace(chr(39), chr(34))}'").split()
    assert len(said) == 1, said
    return said[0]


def source(net: Net, target: str) -> str:
    """The address that the node's own packets to a target have."""
    words = net.run("i-node", f"ip -o route get {target}").split()
    return words[words.index("src") + 1]


def seen(net: Net, server: socket.socket, own: str = "") -> str:
    """The address that the internet sees a connection of the node's from; `own`: what it is bound to."""
    made = net.open("i-node", socket.SOCK_STREAM, (own, 0) if own else None)
    made.connect((INTERNET_HOST, 80))
    return str(server.accept()[1][0])


def same(net: Net) -> None:
    """The node's own traffic has the primary address, whoever it is for; each address has its public one."""
    assert {source(net, target) for target in (INTERNET_HOST, CLIENT, NEIGHBOUR)} == {NODE}
    server = net.tcp_server("internet", 80, INTERNET_HOST)
    assert [seen(net, server, own) for own in ("", NODE, FIRST, SECOND)] == [AUTO, AUTO, ELASTIC, ELASTIC_2]
    server.close()


def test_the_primary_address_stays_the_nodes_own(net: Net) -> None:
    """The agent's addresses are there beside it, put there again or not."""
    net.fabric.apply(world(node, eni("client", CLIENT, "i-client")))
    for _ in range(2):
        prepared(net)
        same(net)


def test_the_primary_address_comes_again(net: Net) -> None:
    """A lease that ends and comes again puts it behind the others; a default route without a source too."""
    net.fabric.apply(world(node, eni("client", CLIENT, "i-client")))
    link = prepared(net)
    router = net.run("i-node", "ip -o route show default").split()[2]
    net.run("i-node", f"ip address del {NODE}/20 dev {link}; ip address add {NODE}/20 brd + dev {link}")
    net.run("i-node", f"ip route replace default via {router} dev {link}")
    same(net)


def test_the_image_put_them_there_before(net: Net) -> None:
    """As some do, with the subnet's prefix, and before the lease came: the default route's source is the lease's."""
    net.fabric.apply(world(node, eni("client", CLIENT, "i-client")))
    link = net.run("i-node", "ip -o route show default").split()[4]
    router = net.run("i-node", "ip -o route show default").split()[2]
    net.run("i-node", f"ip address del {NODE}/20 dev {link}")
    for address in (FIRST, SECOND, NODE):
        net.run("i-node", f"ip address add {address}/20 brd + dev {link}")
    net.run("i-node", f"ip route replace default via {router} dev {link} proto dhcp src {NODE}")
    prepared(net)
    assert source(net, INTERNET_HOST) == NODE
    server = net.tcp_server("internet", 80, INTERNET_HOST)
    assert [seen(net, server, own) for own in ("", FIRST, SECOND)] == [AUTO, ELASTIC, ELASTIC_2]
