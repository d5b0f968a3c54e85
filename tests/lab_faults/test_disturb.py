"""What breaks a node's forwarding from inside: each does so on real packets, in the way it is named after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from evernat.lab import disturbances
from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.checks import attempt, until
from evernat.lab.disturbances import Disturbance
from evernat.lab.errors import LabError

from .conftest import Cloud
from .test_verbs import verb

CLIENT = "client-a"
ROUTER = "172.18.128.1"


@dataclass
class Nat:
    """A node that translates client-a to a secondary address of its own, by nothing but the kernel."""

    cloud: Cloud
    node: str
    second: str
    public: str
    """Of `second`."""

    def run(self, command: str) -> str:
        """What a shell command says in the node's network namespace."""
        return str(self.cloud.lab.exec(self.node, ["sh", "-c", command]).stdout)

    def seen(self, timeout: float = 1.0) -> str:
        """The address that the internet sees of the client; empty when it does not get out."""
        found = attempt(self.cloud.lab, CLIENT, "tcp", INTERNET_HOST, 80, timeout=timeout)
        return str(found.get("address", ""))

    def begin(self) -> None:
        """Forward and translate."""
        self.run(
            "echo 1 > /proc/sys/net/ipv4/ip_forward; nft add table ip own; "
            "nft 'add chain ip own out { type nat hook postrouting priority srcnat; }'; "
            f"nft add rule ip own out ip saddr 172.18.64.0/20 snat to {self.second}"
        )


@pytest.fixture
def nat(cloud: Cloud) -> Iterator[Nat]:
    node = cloud.launch("public-a")
    interface = cloud.interface(node)["NetworkInterfaceId"]
    cloud.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface, SourceDestCheck={"Value": False}
    )
    added = cloud.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=interface, SecondaryPrivateIpAddressCount=1
    )
    second = added["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"]
    allocation, public = cloud.allocate()
    cloud.ec2.associate_address(
        AllocationId=allocation, NetworkInterfaceId=interface, PrivateIpAddress=second
    )
    table = cloud.network["private_route_table_ids"][0]
    way = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    cloud.ec2.create_route(**way, NetworkInterfaceId=interface)
    try:
        made = Nat(cloud, node, second, public)
        made.begin()
        assert until(lambda: made.seen() == public, 5)
        yield made
    finally:
        cloud.ec2.delete_route(**way)


STANDING: tuple[tuple[Disturbance, str], ...] = (
    ("forward-drop", "inet guard"),
    ("docker-forward", "ip filter"),
    ("firewalld-forward", "inet firewalld"),
)


@pytest.mark.parametrize(("how", "table"), STANDING)
def test_foreign_forward_chains(nat: Nat, how: Disturbance, table: str) -> None:
    """Somebody else's chain stops the clients and leaves the node's own packets alone, until it is mended."""
    nat.cloud.lab.disturb(nat.node, how)
    nat.cloud.lab.disturb(nat.node, how)  # twice is once
    assert nat.seen() == ""
    assert attempt(nat.cloud.lab, nat.node, "tcp", INTERNET_HOST, 80)["address"] != ""
    assert f"table {table}" in nat.run("nft list tables")
    assert nat.cloud.node(nat.node)["troubles"] == [f"foreign table {table}"]
    nat.cloud.lab.mend(nat.node)
    assert nat.run("nft list tables") == "table ip own\n"
    assert nat.seen() == nat.public
    assert nat.cloud.node(nat.node)["troubles"] == []


def test_firewalld_keeps_what_is_established(nat: Nat) -> None:
    """New connections are refused with an ICMP error, established ones go on: no single packet tells."""
    talk = f"exec 3<>/dev/tcp/{INTERNET_HOST}/7; echo a >&3; head -1 <&3; read; echo b >&3; head -1 <&3"
    process = nat.cloud.lab.popen(
        CLIENT, ["timeout", "9", "bash", "-c", talk], stdin=-1, stdout=-1, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "a\n"
    nat.cloud.lab.disturb(nat.node, "firewalld-forward")
    assert "Packet filtered" in nat.cloud.lab.exec(CLIENT, ["ping", "-nc1", "-W1", INTERNET_HOST]).stdout
    assert nat.seen() == ""
    assert process.communicate("\n", timeout=10)[0] == "b\n"
    nat.cloud.lab.call("clear_faults")
    assert nat.seen() == nat.public


def test_docker_uses_the_names_of_iptables(nat: Nat) -> None:
    """`nft` shows a FORWARD chain with Docker's policy, and its chains."""
    nat.cloud.lab.disturb(nat.node, "docker-forward")
    shown = nat.run("nft list table ip filter")
    assert "type filter hook forward priority filter; policy drop;" in shown
    assert all(f"chain {name} {{" in shown for name in ("FORWARD", "DOCKER-USER", "DOCKER-FORWARD", "DOCKER"))


def test_somebody_elses_masquerade(nat: Nat) -> None:
    """Clients leave with the node's own address instead of the gateway's."""
    nat.cloud.lab.disturb(nat.node, "foreign-masquerade")
    own = nat.cloud.interface(nat.node)["Association"]["PublicIp"]
    assert nat.seen() == own != nat.public
    nat.cloud.lab.mend(nat.node)
    assert nat.seen() == nat.public


def test_flush(nat: Nat) -> None:
    """All tables are gone, foreign ones too, and status says so."""
    nat.cloud.lab.disturb(nat.node, "forward-drop")
    nat.cloud.lab.disturb(nat.node, "flush")
    assert nat.run("nft list ruleset") == ""
    assert nat.cloud.node(nat.node)["troubles"] == []
    assert nat.seen() == ""
    nat.begin()
    assert nat.seen() == nat.public
    nat.cloud.lab.mend(nat.node)


@pytest.mark.parametrize("how", ["forwarding-off", "link-forwarding-off"])
def test_forwarding_off(nat: Nat, how: Disturbance) -> None:
    """The one switch turns all interfaces' off; the other way each interface's own, which leaves the one on."""
    switches = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/ens5/forwarding"
    assert nat.run(switches) == "1\n1\n"
    nat.cloud.lab.disturb(nat.node, how)
    assert nat.run(switches) == ("0\n0\n" if how == "forwarding-off" else "1\n0\n")
    assert nat.seen() == ""
    nat.run("echo 1 > /proc/sys/net/ipv4/conf/ens5/forwarding")
    assert nat.seen() == nat.public


def test_check_on(nat: Nat) -> None:
    """AWS drops the clients' packets on their way to the node, on all its interfaces."""
    nat.cloud.lab.disturb(nat.node, "check-on")
    assert nat.cloud.interface(nat.node)["SourceDestCheck"] is True
    assert nat.seen() == ""
    nat.cloud.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=nat.cloud.interface(nat.node)["NetworkInterfaceId"],
        SourceDestCheck={"Value": False},
    )
    assert nat.seen() == nat.public


POLICY = (
    f"ip route add default via {ROUTER} dev ens5 table 9000; ip rule add pref 9000 from 172.18.64.0/20 lookup 9000;"
    "ip addr add {second}/32 dev ens5;"
    "ip link add dum0 type veth peer name dum1; ip link set dum0 up; ip addr add 10.0.0.1/24 dev dum0"
)
SHOW = "ip -4 rule; echo -; ip -4 route show table 9000 2>&1; echo -; ip -4 -o addr show scope global"


def policy(nat: Nat) -> tuple[list[str], str, list[str]]:
    """The node's rules (their numbers), its table 9000, and its addresses."""
    rules, table, addresses = nat.run(SHOW).split("-\n")
    return (
        [line.split(":")[0] for line in rules.splitlines()],
        table.strip(),
        [line.split()[3].split("/")[0] for line in addresses.splitlines()],
    )


def test_rules_routes_and_addresses(nat: Nat) -> None:
    """Each takes away what it names and nothing else."""
    nat.run(POLICY.format(second=nat.second))
    own = nat.cloud.node(nat.node)["private_address"]
    route = f"default via {ROUTER} dev ens5"
    before = (["0", "9000", "32766", "32767"], route, [own, nat.second, "10.0.0.1"])
    assert policy(nat) == before
    nat.cloud.lab.disturb(nat.node, "addresses-flush")
    assert policy(nat) == (before[0], route, [own])
    nat.cloud.lab.disturb(nat.node, "routes-flush")
    rules, table, addresses = policy(nat)
    assert (rules, addresses) == (before[0], [own])
    assert route not in table
    assert f"via {ROUTER}" in nat.run("ip -4 route show table main")
    nat.cloud.lab.disturb(nat.node, "rules-flush")
    assert policy(nat)[0] == ["0"]


def test_networkd(nat: Nat) -> None:
    """Foreign rules, addresses and the routes that need them are gone; the image's own are back, for each interface."""
    made = nat.cloud.ec2.create_network_interface(
        SubnetId=nat.cloud.subnet("public-a"), Groups=[nat.cloud.group()]
    )
    second = made["NetworkInterface"]
    attached = nat.cloud.ec2.attach_network_interface(
        NetworkInterfaceId=second["NetworkInterfaceId"], InstanceId=nat.node, DeviceIndex=1
    )
    try:
        own = nat.cloud.node(nat.node)["private_address"]
        assert until(lambda: policy(nat)[2] == [own, second["PrivateIpAddress"]], 5)
        image = nat.run("ip -4 rule; ip -4 route show table all")
        nat.run(POLICY.format(second=nat.second))
        nat.run(
            f"ip addr add 172.18.128.99/32 dev ens6; ip route add default via {ROUTER} dev ens6 table 9001"
        )
        nat.cloud.lab.disturb(nat.node, "networkd")
        assert policy(nat)[2] == [own, second["PrivateIpAddress"], "10.0.0.1"]
        shown = nat.run("ip link del dum0; ip -4 rule; ip -4 route show table all")
        assert sorted(shown.splitlines()) == sorted(image.splitlines())
        assert nat.seen() == nat.public
    finally:
        nat.cloud.ec2.detach_network_interface(AttachmentId=attached["AttachmentId"])
        nat.cloud.ec2.delete_network_interface(NetworkInterfaceId=second["NetworkInterfaceId"])


def test_a_reboot_ends_it(nat: Nat) -> None:
    """A new kernel knows nothing of a foreign table, and neither does status."""
    nat.cloud.lab.disturb(nat.node, "forward-drop")
    nat.cloud.lab.call("reboot", node=nat.node)
    assert until(lambda: nat.run("nft list tables") == "", 10)
    assert nat.cloud.node(nat.node)["troubles"] == []


def test_as_a_person_asks(nat: Nat) -> None:
    """`evernat lab disturb`, `mend`, and what cannot be done."""
    assert (
        verb(nat.cloud, "disturb", nat.node, "--how", "forward-drop").stdout == f"{nat.node}: forward-drop\n"
    )
    assert "foreign table inet guard" in verb(nat.cloud, "status").stdout
    assert verb(nat.cloud, "fault", "--clear").returncode == 0
    assert nat.seen() == nat.public
    with pytest.raises(LabError, match="'magic' is not known"):
        nat.cloud.lab.call("disturb", node=nat.node, how="magic")
    nat.cloud.lab.kill(nat.node, "power")
    with pytest.raises(LabError, match="powered off"):
        nat.cloud.lab.disturb(nat.node, "flush")


def test_each_has_a_test() -> None:
    """No way to disturb is left untried here."""
    tried = {
        *(how for how, _ in STANDING),
        *("foreign-masquerade", "flush", "forwarding-off", "link-forwarding-off", "check-on"),
        *("rules-flush", "routes-flush", "addresses-flush", "networkd"),
    }
    assert tried == set(disturbances.DISTURBANCES)
