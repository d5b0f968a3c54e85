"""What is out of reach: for everybody, an instance or one of its interfaces, each place alone, in both directions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evernat.lab.addresses import API_HOST, CHECKIP_HOST, INTERNET_HOST, PLACES
from evernat.lab.world import Unreachable, World
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
    world,
)

pytestmark = pytest.mark.packets

FIRST, SECOND = (address for address, _ in PLACES)
EVERYWHERE = (API_HOST, CHECKIP_HOST, INTERNET_HOST, FIRST, SECOND)
INSIDE = "172.18.128.50"


def two_nodes() -> World:
    """Two nodes with public addresses, the first with a second interface, and a client behind the second."""
    other = eni("other", NODE_2, "i-other", public=ELASTIC_2, checked=False)
    return world(
        eni("node", NODE, "i-node", public=AUTO, checked=False),
        eni("gateway", INSIDE, "i-node", index=1, public=ELASTIC, checked=False),
        other,
        eni("client", CLIENT, "i-client"),
        a=[default_to(other)],
    )


@pytest.fixture
def wide(net: Net) -> Net:
    """The two nodes; the second translates."""
    net.fabric.apply(two_nodes())
    net.translate("i-other", NODE_2)
    net.run(
        "i-node", f"ip route add default via 172.18.128.1 dev ens6 table 6; ip rule add from {INSIDE} table 6"
    )
    return net


def reached(net: Net, where: str, source: str = "") -> set[str]:
    """The places outside that answer an echo."""
    one = f"ping -n -c1 -W{SHORT} {'-I ' + source if source else ''} $a >/dev/null 2>&1 && echo $a"
    return set(net.run(where, f"for a in {' '.join(EVERYWHERE)}; do ({one}) & done; wait").split())


LEFT = {
    "api": {CHECKIP_HOST, INTERNET_HOST, FIRST, SECOND},
    "checkip": {API_HOST, INTERNET_HOST, FIRST, SECOND},
    "internet": {API_HOST},
    "places": {API_HOST, CHECKIP_HOST},
    FIRST: {API_HOST, CHECKIP_HOST, INTERNET_HOST, SECOND},
}


def test_all_is_there(wide: Net) -> None:
    """Each place outside has an address of its own and answers from it, and so it is on the second interface."""
    assert reached(wide, "i-node") == reached(wide, "i-node", INSIDE) == set(EVERYWHERE)
    assert reached(wide, "i-client") == set(EVERYWHERE)


@pytest.mark.parametrize("what", LEFT)
def test_for_one_node(wide: Net, what: str) -> None:
    """A node loses just that, on all its interfaces; other nodes, their clients and the VPC do not."""
    wide.fabric.apply(replace(two_nodes(), unreachable=(Unreachable(what, "i-node"),)))
    assert reached(wide, "i-node") == reached(wide, "i-node", INSIDE) == LEFT[what]
    assert reached(wide, "i-client") == set(EVERYWHERE)
    assert wide.pings("i-node", CLIENT)
    assert wide.pings("i-node", NODE_2)
    wide.fabric.apply(two_nodes())
    assert reached(wide, "i-node") == set(EVERYWHERE)


@pytest.mark.parametrize("what", LEFT)
def test_for_everybody(wide: Net, what: str) -> None:
    """All lose just that; what is inside of the VPC goes on."""
    wide.fabric.apply(replace(two_nodes(), unreachable=(Unreachable(what),)))
    assert reached(wide, "i-node") == reached(wide, "i-other") == reached(wide, "i-client") == LEFT[what]
    assert wide.pings("i-node", NODE_2)
    wide.fabric.apply(two_nodes())
    assert reached(wide, "i-client") == set(EVERYWHERE)


def test_for_one_interface(wide: Net) -> None:
    """The internet is gone for the second interface of a node, not for the first one."""
    wide.fabric.apply(replace(two_nodes(), unreachable=(Unreachable("internet", "i-node", "eni-gateway"),)))
    assert reached(wide, "i-node") == set(EVERYWHERE)
    assert reached(wide, "i-node", INSIDE) == {API_HOST}


def test_clients_behind_a_node(wide: Net) -> None:
    """They lose what their node loses, only beyond it: the node still hears them."""
    wide.fabric.apply(replace(two_nodes(), unreachable=(Unreachable("internet", "i-other"),)))
    chain = "'add chain ip t c { type filter hook prerouting priority raw; }'"
    wide.run("i-other", f"nft add table ip t; nft {chain}; nft add rule ip t c ip saddr {CLIENT} counter")
    assert reached(wide, "i-client") == {API_HOST}
    assert "packets 5 " in wide.run("i-other", "nft list table ip t")
    assert wide.dropped("no_internet") >= 4


@pytest.mark.parametrize(
    "lost", [Unreachable("internet", "i-node"), Unreachable("internet"), Unreachable(INTERNET_HOST)]
)
def test_from_outside(wide: Net, lost: Unreachable) -> None:
    """What begins outside is lost too, so neither side hears of it."""
    server = wide.udp("i-node", NODE, 9)
    sender = wide.udp("internet", INTERNET_HOST)
    sender.sendto(b"1", (AUTO, 9))
    assert server.recv(9) == b"1"
    wide.fabric.apply(replace(two_nodes(), unreachable=(lost,)))
    sender.sendto(b"2", (AUTO, 9))
    server.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        server.recv(9)
    assert wide.dropped("no_internet") == 1


def test_several_at_once(wide: Net) -> None:
    """Each is counted for itself; what is for an instance that is gone is for nobody."""
    lost = (Unreachable("api"), Unreachable("checkip", "i-node"), Unreachable("places", "i-gone"))
    wide.fabric.apply(replace(two_nodes(), unreachable=lost))
    assert reached(wide, "i-node") == {INTERNET_HOST, FIRST, SECOND}
    assert reached(wide, "i-other") == {CHECKIP_HOST, INTERNET_HOST, FIRST, SECOND}
    assert (wide.dropped("no_api"), wide.dropped("no_checkip"), wide.dropped("no_internet")) == (2, 1, 0)
