"""What reaches the node itself, and what clients reach through it: both tables, on real packets."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from evernat.agent import rules, ruleset
from evernat.agent.cluster_model import Gateway, Rules
from evernat.agent.effects.nft import Nft
from evernat.agent.kernel.firewall import DEFAULT, METADATA, Firewall, Opening, Site, transit
from evernat.agent.model import Gateway as Interface
from evernat.lab.checks import until
from tests.agent.packets import CLIENT, LINK, NODE, OTHER, OUTSIDE, PLACE, Net

pytestmark = pytest.mark.packets

CLIENTS = ("172.18.64.10/32",)
SITE = Site(("172.18.128.0/24",), ("172.18.0.0/16", "10.9.0.0/16"))
HOME = Gateway("home", "eipalloc-1", "a", "b", {"a": 0, "b": 1}, (), CLIENTS)
MEMBER = OTHER
PORT = 4817
INSIDE, FURTHER = "10.9.0.1", "10.9.1.1"

Render = Callable[..., str]


def pair(settings: Firewall = DEFAULT, openings: tuple[Opening, ...] = ()) -> str:
    open_ = Rules(frozenset({"home"}), members=frozenset({MEMBER}))
    return rules.table([HOME], {"home": NODE}, open_, PORT, LINK, False, NODE, SITE, settings, openings)


def single(settings: Firewall = DEFAULT, openings: tuple[Opening, ...] = ()) -> str:
    interface = Interface(LINK, NODE, "172.18.128.0/24")
    return ruleset.table(interface, CLIENTS, frozenset(), False, SITE, settings, openings)


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    for address in (METADATA, INSIDE, FURTHER):
        made.run("outside", f"ip addr add {address}/32 dev eth0")
    yield made
    made.close()


@pytest.fixture(params=[pair, single])
def render(request: pytest.FixtureRequest) -> Any:
    return request.param


class Heard:
    """A UDP socket on the node that notes who sent what."""

    def __init__(self, net: Net, port: int) -> None:
        self.socket = net.socket("node", socket.SOCK_DGRAM, 0.5)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.bind(("", port))

    def next(self) -> str:
        try:
            return str(self.socket.recvfrom(100)[1][0])
        except TimeoutError:
            return ""


def send(net: Net, place: str, source: str, port: int, *, own: int = 0, to: str = NODE) -> None:
    """A datagram, from whatever address."""
    header = struct.pack("!4H", own or 40000, port, 12, 0)
    with net.namespaces.socket(net.places[place], socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        fixed = struct.pack("!2B3H2BH", 0x45, 0, 32, 0, 0, 64, socket.IPPROTO_UDP, 0)
        raw.sendto(fixed + socket.inet_aton(source) + socket.inet_aton(to) + header + b"evil", (to, 0))


@pytest.mark.parametrize("source", [CLIENT, OUTSIDE, "172.18.128.7", "127.0.0.1", NODE])
@pytest.mark.parametrize("port", [9999, 68, 123])
def test_a_forged_source_reaches_no_port(net: Net, render: Render, source: str, port: int) -> None:
    """From outside no datagram reaches a port of the node, whoever it says it is from."""
    net.load(render())
    heard = Heard(net, port)
    send(net, "outside", source, port, own=67)
    assert heard.next() == ""


def test_a_client_reaches_ping_and_no_port(net: Net, render: Render) -> None:
    """A client may ping the node; its ports are shut to it, open ones too."""
    net.load(render())
    heard = Heard(net, 9999)
    send(net, "client", CLIENT, 9999)
    assert heard.next() == ""
    with net.server("node", 22):
        assert net.call("client", NODE, 22, timeout=0.4) == "TimeoutError"
    assert " 0% packet loss" in net.run("client", f"ping -c1 -W1 {NODE}")
    assert "100% packet loss" in net.run("outside", f"ping -c1 -W1 {NODE}", check=False)


def test_a_flood_of_pings_is_bounded(net: Net, render: Render) -> None:
    """Of a thousand pings at once a fraction is answered."""
    net.load(render())
    said = net.run("client", f"ping -c1000 -q -l1000 -W1 -i0.001 {NODE}", check=False)
    received = int(said.split("transmitted, ")[1].split()[0])
    assert 100 <= received < 400, said


def test_dhcp_comes_from_the_router(net: Net, render: Render) -> None:
    """A DHCP answer is taken from the subnet's router and from nobody else, a neighbour or member neither."""
    net.load(render())
    heard = Heard(net, 68)
    for place, source in (("outside", OUTSIDE), ("other", MEMBER), ("client", CLIENT)):
        send(net, place, source, 68, own=67)
        assert heard.next() == ""
    send(net, "router", "172.18.128.1", 68, own=67)
    assert heard.next() == "172.18.128.1"


def test_transit_is_dropped(net: Net, render: Render) -> None:
    """Clients reach neither link-local addresses nor the VPC's through the node, but what is allowed by name."""
    net.load(render())
    with net.server("outside", 80):
        assert net.call("client", PLACE, 80) == NODE
        for address in (METADATA, INSIDE, FURTHER):
            assert net.call("client", address, 80, timeout=0.3) == "TimeoutError"
        net.load(render(Firewall(allow_transit=("10.9.0.0/24",))))
        assert net.call("client", INSIDE, 80) == NODE
        for address in (METADATA, FURTHER):
            assert net.call("client", address, 80, timeout=0.3) == "TimeoutError"


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        ((), "{ 10.0.0.0/8, 169.254.0.0/16 }"),
        (("10.0.0.0/9",), "{ 10.128.0.0/9, 169.254.0.0/16 }"),
        (("10.0.0.0/7", "192.0.2.0/24"), "{ 169.254.0.0/16 }"),
        (("0.0.0.0/0",), ""),
    ],
)
def test_what_is_left_of_transit(allowed: tuple[str, ...], left: str) -> None:
    """Allowed blocks, smaller or larger than the forbidden ones, are taken out of these."""
    lines = transit(["192.168.0.0/24"], Site(inside=("10.0.0.0/8",)), Firewall(allow_transit=allowed))
    assert lines == ([f"ip saddr {{ 192.168.0.0/24 }} ip daddr {left} counter drop"] if left else [])


def test_segments_fit_the_internet(net: Net, render: Render) -> None:
    """Both ends of a connection are told 1,460 bytes at most, and what is less stays."""
    for place in ("client", "outside", "node"):
        net.run(place, f"ip link set {LINK if place == 'node' else 'eth0'} mtu 9001")
    for device in ("client", "outside", "node"):
        net.run("router", f"ip link set {device} mtu 9001")
    net.load(render())
    listener = net.socket("outside")
    listener.bind((PLACE, 80))
    listener.listen()
    for wanted, most in ((0, 1460), (1000, 1000)):
        with net.socket("client") as made:
            if wanted:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, wanted)
            made.connect((PLACE, 80))
            accepted = listener.accept()[0]
            ends = [s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) for s in (made, accepted)]
            assert [most - 12 <= end <= most for end in ends] == [True, True], ends
            accepted.close()


def test_what_the_user_opens(net: Net, render: Render) -> None:
    """Settings and found rules open ports of the node to their sources, and a key pair port 22 to clients."""
    settings = Firewall(
        node_ingress=(Opening("tcp", 2222, 2223, (f"{OUTSIDE}/32", OUTSIDE + "/32")),), ssh=True
    )
    net.load(
        render(
            settings, (Opening("udp", 51820, 51820, ("0.0.0.0/0",)), Opening("icmp", 8, -1, ("0.0.0.0/0",)))
        )
    )
    with net.server("node", 2223), net.server("node", 22):
        assert net.call("outside", NODE, 2223) == OUTSIDE
        assert net.call("client", NODE, 2223, timeout=0.3) == "TimeoutError"
        assert net.call("client", NODE, 22) == CLIENT
        assert net.call("outside", NODE, 22, timeout=0.3) == "TimeoutError"
    heard = Heard(net, 51820)
    send(net, "outside", OUTSIDE, 51820)
    assert heard.next() == OUTSIDE
    assert " 0% packet loss" in net.run("outside", f"ping -c1 -W1 {NODE}")


@pytest.mark.parametrize(
    "rule",
    [
        Opening("-1", -1, -1, ("192.0.2.0/24",)),
        Opening("tcp", 0, 65535, ("192.0.2.0/24",)),
        Opening("icmp", -1, -1, ("192.0.2.0/24",)),
        Opening("icmp", 3, 4, ("192.0.2.0/24",)),
        Opening("50", -1, -1, ("192.0.2.0/24", "192.0.2.0/25")),
    ],
)
def test_the_kernel_takes_every_kind_of_opening(net: Net, render: Render, rule: Opening) -> None:
    """All protocols, all ports, ICMP by type and code, and protocols by number."""
    net.load(render(DEFAULT, (rule,)))


def test_metadata_needs_no_entry(net: Net, render: Render) -> None:
    """The node talks to the metadata service without an entry in the connection table, and that opens nothing."""
    net.load(render())
    with net.server("outside", 80), net.server("node", 22):
        assert net.call("node", METADATA, 80) == NODE
        assert METADATA not in net.run("node", "conntrack -L 2>/dev/null")
        with net.socket("outside", timeout=0.3) as made:
            made.bind((METADATA, 0))
            with pytest.raises(TimeoutError):
                made.connect((NODE, 22))
    with net.socket("outside", timeout=0.3) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the server's connections may linger
        made.bind((METADATA, 80))
        with pytest.raises(TimeoutError):
            made.connect((NODE, 22))


def test_heartbeats_need_no_entry(net: Net) -> None:
    """Heartbeats between members pass both ways without entries; a client's packets to that port are translated."""
    net.load(pair())
    heard = Heard(net, PORT)
    send(net, "other", MEMBER, PORT, own=PORT)
    assert heard.next() == MEMBER
    answer = net.socket("other", socket.SOCK_DGRAM)
    answer.bind(("", PORT))
    heard.socket.sendto(b"back", (MEMBER, PORT))
    assert answer.recv(10) == b"back"
    assert str(PORT) not in net.run("node", "conntrack -L 2>/dev/null")
    far = net.socket("outside", socket.SOCK_DGRAM)
    far.bind((PLACE, PORT))
    near = net.socket("client", socket.SOCK_DGRAM)
    near.bind((CLIENT, PORT))
    threading.Timer(0, near.sendto, (b"out", (PLACE, PORT))).start()
    assert far.recvfrom(10)[1][0] == NODE


def silent(net: Net, render: Render, seconds: int) -> socket.socket:
    """A client's connection to the outside through a node with this idle timeout."""
    net.run("node", f"sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established={seconds}")
    net.load(render(Firewall(idle_timeout=seconds)))
    made = net.socket("client")
    made.connect((PLACE, 80))
    made.recv(100)
    return made


def test_what_comes_after_the_idle_timeout_is_reset(net: Net, render: Render) -> None:
    """The entry of a silent connection goes; its client, which still thinks it is open, gets a reset at once."""
    with net.server("outside", 80), silent(net, render, 1) as made:
        assert until(lambda: "timeout 1s" not in net.run("node", "nft list set ip evernat young"), 10)
        assert until(lambda: PLACE not in net.run("node", "conntrack -L -p tcp 2>/dev/null"), 10)
        made.sendall(b"still there?")
        with pytest.raises(ConnectionResetError):
            made.recv(100)
        assert net.call("client", PLACE, 80) == NODE, "what begins anew does not notice"


def test_age_is_no_fault(net: Net, render: Render) -> None:
    """The listing that tells whether somebody changed the table is the same before and after it has aged."""
    nft = Nft()

    def faults() -> list[str]:
        return net.namespaces.run(net.places["node"], nft.faults)

    def load() -> None:
        nft.load(lambda fast: str(render(Firewall(idle_timeout=1))))

    here = net.places["node"]
    net.namespaces.run(here, load)
    assert faults() == []
    assert until(lambda: "timeout 1s" not in net.run("node", "nft list set ip evernat young"), 10)
    assert faults() == []
    net.run("node", "nft flush chain ip evernat forward")
    assert faults() == ["no nftables table"]


def test_what_is_older_than_the_table_goes_on(net: Net, render: Render) -> None:
    """While the table is young, a connection that the node does not know may have come from another node."""
    with net.server("outside", 80), silent(net, render, 600) as made:
        net.run("node", "conntrack -F 2>/dev/null")
        made.sendall(b"still there?")
        assert made.recv(100) == b"still there?"


def test_closed_leaves_the_flowtable_alone() -> None:
    """In a closed gateway what answers a client is let through before the line that would offload its flow."""
    text = rules.table([HOME], {"home": NODE}, Rules(), PORT, LINK, True)
    forward = text[text.index("chain forward") :]
    answer = forward.index("ip daddr { 172.18.64.10/32 } ct state established,related accept")
    assert forward.index("ip saddr { 172.18.64.10/32 } drop") < answer < forward.index("flow add @fast")
    open_ = rules.table([HOME], {"home": NODE}, Rules(frozenset({"home"})), PORT, LINK, True)
    assert "ip daddr { 172.18.64.10/32 } ct state established" not in open_


def test_only_what_lasts_is_offloaded(render: Render) -> None:
    """A flow goes to the flowtable when it is assured, not with its first answer."""
    interface = Interface(LINK, NODE, "172.18.128.0/24")
    for text in (
        rules.table([HOME], {"home": NODE}, Rules(frozenset({"home"})), PORT, LINK, True),
        ruleset.table(interface, CLIENTS, frozenset(), True),
    ):
        (line,) = [line.strip() for line in text.splitlines() if "flow add" in line]
        assert line.startswith("ct state established ct status assured ")
