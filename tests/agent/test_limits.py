"""What one client may take of connections and fragments, on real packets."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evernat.agent import rules
from evernat.agent.cluster_model import Gateway, Rules
from evernat.agent.common import Forward
from evernat.agent.effects.nft import Nft
from evernat.agent.kernel import limits
from evernat.agent.kernel.foreign import dropping
from evernat.lab.checks import until
from tests.agent import handshakes
from tests.agent.packets import CLIENT, LINK, NODE, OTHER, OUTSIDE, Net

pytestmark = pytest.mark.packets

CLIENTS = ("172.18.64.0/24",)
FORWARD = Forward("tcp", (8000, 8000), OTHER, 8000, ("0.0.0.0/0",))
HOME = Gateway("home", "eipalloc-1", "a", "b", {"a": 0, "b": 1}, (), CLIENTS, (FORWARD,))
TABLE = rules.table([HOME], {"home": NODE}, Rules(frozenset({"home"})), 4817, LINK, False)
PROGRAM = [sys.executable, str(Path(handshakes.__file__))]
MEMORY = 16 << 20
PORTS = tuple(range(80, 88))


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    made.load(TABLE)
    with silent_server(made, "outside", *PORTS):
        yield made
    made.close()


@contextlib.contextmanager
def silent_server(net: Net, place: str, *ports: int) -> Iterator[None]:
    """Takes every connection, and says nothing."""
    command = [*PROGRAM, "serve", "0.0.0.0", *map(str, ports)]
    process = net.namespaces.spawn(net.places[place], command, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    try:
        yield
    finally:
        process.kill()
        process.wait()


def limit(net: Net, entries: int = 262_144, each: int = 0, memory: int = MEMORY, gateways: int = 1) -> None:
    net.load(limits.table(CLIENTS, entries, gateways, each, memory))


def handshakes_of(
    net: Net,
    place: str,
    count: int,
    address: str = OUTSIDE,
    ports: tuple[int, ...] = PORTS,
    first: int = 0,
) -> int:
    """How many of so many connections were made."""
    return int(net.run(place, " ".join(map(str, [*PROGRAM, "open", address, first, count, *ports]))))


def entries_of(net: Net, address: str) -> int:
    """Entries that a client has in the node's table."""
    return int(net.run("node", f"conntrack -L -s {address} 2>/dev/null | wc -l"))


def counter(net: Net, name: str) -> int:
    """Packets dropped."""
    found = json.loads(net.run("node", f"nft -j list counter ip evernat-limits {name}"))
    return int(found["nftables"][1]["counter"]["packets"])


def test_a_client_has_its_share(net: Net) -> None:
    """So many connections of a client and no more; another client notices nothing, and the counter tells."""
    limit(net, each=100)
    assert handshakes_of(net, "client", 150) == 100
    assert handshakes_of(net, "other", 90) == 90
    assert counter(net, "client_connections") > 0


def test_the_attack(net: Net) -> None:
    """Who finishes handshakes and forgets them gets a quarter of the table, within some per cent, and others all they
    ask for."""
    limit(net)
    done = handshakes_of(net, "client", 100_000)
    assert 0.75 * 65_536 < done < 1.25 * 65_536
    assert handshakes_of(net, "other", 1000) >= 990
    assert entries_of(net, CLIENT) < 1.25 * 65_536


def test_ports_are_left(net: Net) -> None:
    """Who fills the ports of one destination gets a quarter of them, and others still get there."""
    limit(net)
    done = handshakes_of(net, "client", 25_000, ports=(80,))
    assert 0.75 * limits.PLACE < done < 1.25 * limits.PLACE
    assert handshakes_of(net, "other", 1000, ports=(80,)) >= 990
    assert handshakes_of(net, "client", 100, ports=(81,)) == 100


def test_what_is_over_does_not_count(net: Net) -> None:
    """Connections that ended, and entries that are gone, make room at once, after a flood of refused ones too."""
    limit(net, each=50)
    with net.server("outside", 7):
        open_ = []
        for _ in range(50):
            made = net.socket("client")
            made.connect((OUTSIDE, 7))
            open_.append(made)
        assert net.call("client", OUTSIDE, 7, timeout=0.3) == "TimeoutError"
        for made in open_:
            made.close()
        assert until(lambda: net.call("client", OUTSIDE, 7) == NODE, 5)
    handshakes_of(net, "client", 2000)
    net.run("node", "conntrack -F 2>/dev/null")
    assert until(lambda: handshakes_of(net, "client", 1, first=3000) == 1, 5)


def test_a_new_table_of_rules_forgets_nothing(net: Net) -> None:
    """Neither loading the gateway's rules nor another agent's start begins to count anew."""
    here = net.places["node"]

    def bound() -> str:
        return Nft().bound(lambda count: limits.table(CLIENTS, 262_144, 1, 60, MEMORY, count=count))

    assert net.namespaces.run(here, bound) == ""
    assert handshakes_of(net, "client", 100) == 60
    net.load(TABLE)
    assert net.namespaces.run(here, bound) == ""
    assert handshakes_of(net, "client", 10, first=1000) == 0


def test_all_together_leave_room(net: Net) -> None:
    """Clients get nine tenths of the table: what they ask beyond is refused, and the node's own connections are not."""
    limit(net, entries=4000, each=1_000_000)
    done = handshakes_of(net, "client", 6000)
    assert 0.8 * 3600 < done < 1.2 * 3600
    assert handshakes_of(net, "other", 200) < 100
    assert handshakes_of(net, "node", 100) == 100
    assert counter(net, "all_connections") > 0


def test_two_gateways_share(net: Net) -> None:
    """A node that may have to serve two gateways gives the clients of each half as much."""
    limit(net, entries=4000, each=1_000_000, gateways=2)
    assert 0.8 * 1800 < handshakes_of(net, "client", 4000) < 1.2 * 1800


def test_forwarded_connections_have_a_share(net: Net) -> None:
    """Strangers who open connections to a forwarded port take its target's share, and none of what the target opens."""
    limit(net, each=100)
    with silent_server(net, "other", 8000):
        assert handshakes_of(net, "outside", 150, NODE, (8000,)) == 100
    assert counter(net, "forwarded_connections") > 0
    assert handshakes_of(net, "other", 50) == 50


def test_ended_connections_have_a_pace(net: Net) -> None:
    """Who opens and closes for ever, and so never has many, cannot fill the table with what is over either."""
    limit(net, each=40)
    with net.server("outside", 7):
        done = sum(net.call("client", OUTSIDE, 7, timeout=0.2) == NODE for _ in range(60))
    assert 40 <= done < 60


def fragments(net: Net, place: str, source: str, count: int) -> None:
    """First parts of packets whose rest never comes."""
    target = NODE if place == "outside" else OUTSIDE
    with net.namespaces.socket(net.places[place], socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for number in range(count):
            fixed = struct.pack("!2B3H2BH", 0x45, 0, 1420, number, 0x2000, 64, socket.IPPROTO_UDP, 0)
            datagram = struct.pack("!4H", 5000, 7, 2800, 0) + bytes(1392)
            raw.sendto(fixed + socket.inet_aton(source) + socket.inet_aton(target) + datagram, (target, 0))


def large(net: Net, place: str, count: int) -> int:
    """How many of so many datagrams in two parts arrive outside."""
    far = net.socket("outside", socket.SOCK_DGRAM, 0.3)
    far.bind((OUTSIDE, 9))
    near = net.socket(place, socket.SOCK_DGRAM)
    done = 0
    with contextlib.suppress(TimeoutError):
        for _ in range(count):
            near.sendto(bytes(2000), (OUTSIDE, 9))
            done += len(far.recv(4000)) == 2000
    return done


@pytest.mark.parametrize(("place", "source"), [("client", CLIENT), ("outside", OUTSIDE)])
def test_one_floods_fragments(net: Net, place: str, source: str) -> None:
    """Parts of packets that never become whole, from a client or from outside, leave room for another client's."""
    memory = 256 << 10
    net.run(
        "node", f"sysctl -qw net.ipv4.ipfrag_low_thresh=1; sysctl -qw net.ipv4.ipfrag_high_thresh={memory}"
    )
    limit(net, memory=memory)
    assert large(net, "other", 3) == 3
    fragments(net, place, source, 1000)
    assert large(net, "other", 3) == 3
    assert counter(net, "fragments") > 800


def test_limits_are_nothing_foreign(net: Net) -> None:
    """Whoever looks for chains of others that stop what is forwarded does not find ours."""
    limit(net)
    assert dropping(net.run("node", "nft -j -t list ruleset")) == []


def test_the_sample_is_small_and_the_limit_kept() -> None:
    """Whatever the limit, at most 512 entries are counted by a walk, and the limit is meant within a few per cent."""
    for each in (1, 100, 511, 512, 513, 26_214, 65_536, 262_144, 1_000_000):
        text = limits.table(CLIENTS, 1 << 22, 1, each, MEMORY).split("chain inward")[0]
        sample = math.prod(int(part.split()[0]) for part in text.split(" mod ")[1:])
        *_, count = (int(part.split()[0]) for part in text.split("ct count over ")[1:])
        assert count <= 512
        assert 0.99 * each <= sample * count <= each
