"""The agent as it travels, on real packets: boots, attaches, translates, heals. The cloud is a stub."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.world import Attachment
from tests.agent.stub import (
    ADDRESS,
    CLIENT,
    CLIENT_ADDRESS,
    GATEWAY,
    NODE,
    OTHER,
    PUBLIC,
    Lab,
    config,
    forward,
)

pytestmark = pytest.mark.packets


@pytest.fixture
def ready(lab: Lab) -> Lab:
    """The agent holds the gateway."""
    lab.start()
    lab.until(lambda: lab.cloud.hook == "CONTINUE")
    return lab


class Echo:
    """A TCP server that says who it is talking to, then echoes."""

    def __init__(self, lab: Lab, place: str, address: str, port: int) -> None:
        self.socket = lab.fabric.socket(place)
        self.socket.bind((address, port))
        self.socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, (caller, _) = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(one, caller), daemon=True).start()

    def _serve(self, one: socket.socket, caller: str) -> None:
        one.sendall(f"{caller}\n".encode())
        try:
            while data := one.recv(4096):
                one.sendall(data)
        except OSError:
            pass


@pytest.fixture
def internet(ready: Lab) -> Iterator[Echo]:
    """The internet host's echo on port 7."""
    echo = Echo(ready, "internet", INTERNET_HOST, 7)
    yield echo
    echo.socket.close()


def connect(lab: Lab, place: str, address: str, port: int) -> tuple[socket.socket, str]:
    """A TCP connection, and who the other side says we are."""
    made = lab.fabric.socket(place)
    made.settimeout(2)
    made.connect((address, port))
    return made, made.recv(100).decode().strip()


def test_tcp_udp_icmp(ready: Lab, internet: Echo) -> None:
    """A client reaches the internet by TCP, UDP and ICMP, and the internet sees the Elastic IP alone."""
    _, caller = connect(ready, CLIENT, INTERNET_HOST, 7)
    assert caller == PUBLIC
    outside = ready.fabric.socket("internet", socket.AF_INET, socket.SOCK_DGRAM)
    outside.bind((INTERNET_HOST, 7))
    outside.settimeout(2)
    inside = ready.fabric.socket(CLIENT, socket.AF_INET, socket.SOCK_DGRAM)
    inside.settimeout(2)
    inside.sendto(b"hello", (INTERNET_HOST, 7))
    data, caller_and_port = outside.recvfrom(100)
    assert caller_and_port[0] == PUBLIC
    assert caller_and_port[1] == inside.getsockname()[1], "the source port is kept"
    outside.sendto(data, caller_and_port)
    assert inside.recv(100) == b"hello"
    assert " 0% packet loss" in ready.run(CLIENT, f"ping -c1 -W1 {INTERNET_HOST}")


def test_the_gateway_is_a_hop(ready: Lab) -> None:
    """traceroute shows the gateway's address first, then the way, then the end."""
    hops = ready.run(CLIENT, f"traceroute -n -q1 -w1 {INTERNET_HOST}").splitlines()[1:]
    assert hops[0].split()[1] == ADDRESS
    assert hops[-1].split()[1] == INTERNET_HOST


def test_the_node_keeps_its_own_way(ready: Lab) -> None:
    """The agent's calls and the node's packets go out by the node's own address."""
    routes = ready.run(NODE, "ip route show default")
    assert routes.split()[4] == "ens5"
    assert ready.run(NODE, "curl -sm2 http://198.51.100.3/").strip() == "192.0.2.5"
    for switch in ("ip_forward", "conf/ens5/forwarding", "conf/ens6/forwarding"):
        assert ready.run(NODE, f"cat /proc/sys/net/ipv4/{switch}").strip() == "1"


def test_a_flow_nobody_knows_is_reset(ready: Lab, internet: Echo) -> None:
    """After the node forgot all flows, a client that closes gets a reset instead of silence."""
    made, _ = connect(ready, CLIENT, INTERNET_HOST, 7)
    ready.run(NODE, "conntrack -F")
    made.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        made.recv(100)


def test_a_flow_the_far_end_knows_goes_on(ready: Lab, internet: Echo) -> None:
    """After the node forgot all flows, a client that sends is understood: the source port is as before."""
    made, _ = connect(ready, CLIENT, INTERNET_HOST, 7)
    ready.run(NODE, "conntrack -F")
    made.sendall(b"still here")
    assert made.recv(100) == b"still here"


def test_nothing_comes_in_unasked(ready: Lab) -> None:
    """From outside neither the gateway nor the node's own address answers, not even with a refusal."""
    ready.cloud.change("eni-node", public=(("172.18.128.5", "192.0.2.5"),))
    for address in (PUBLIC, "192.0.2.5"):
        assert "100% packet loss" in ready.run("internet", f"ping -c1 -W1 {address}")
        made = ready.fabric.socket("internet")
        made.settimeout(0.5)
        with pytest.raises(TimeoutError):
            made.connect((address, 22))


def test_only_clients_are_translated(lab: Lab) -> None:
    """A host in the VPC that is no client of this gateway gets nowhere through it."""
    lab.start(config(clients=("172.18.96.0/20",)))
    lab.until(lab.holds)
    assert "100% packet loss" in lab.run(CLIENT, f"ping -c1 -W1 {INTERNET_HOST}")
    assert CLIENT_ADDRESS not in lab.run(NODE, "conntrack -L"), "and its packets are not sent on untranslated"


def test_port_forwards(lab: Lab) -> None:
    """Declared ports come in with their caller's address, also by a name that moves to another address."""
    lab.start(config(forwards=(forward(8080), forward(9000, "name:web", 80))))
    lab.until(lambda: len(lab.status().get("forwards", ())) == 2 and lab.status()["forwards"][1]["address"])
    web = Echo(lab, CLIENT, CLIENT_ADDRESS, 80)
    for port in (8080, 9000):
        made, caller = connect(lab, "internet", PUBLIC, port)
        assert caller == INTERNET_HOST
        made.close()
    web.socket.close()
    lab.cloud.change(instance=OTHER, tags=(("Name", "web"),), boots=2)
    lab.until(lambda: lab.status()["forwards"][1]["address"] == "172.18.128.6", 15)
    lab.until(lambda: "172.18.128.6 . 80" in lab.run(NODE, "nft list map ip evernat move"))


def test_sources_of_a_forward(lab: Lab) -> None:
    """A forward with allowed sources is closed to others."""
    closed = forward(8080)
    lab.start(config(forwards=(type(closed)("tcp", (8080, 8080), CLIENT_ADDRESS, 80, ("192.0.2.0/24",)),)))
    lab.until(lab.holds)
    Echo(lab, CLIENT, CLIENT_ADDRESS, 80)
    with pytest.raises(TimeoutError):
        connect(lab, "internet", PUBLIC, 8080)


def test_taken_from_the_dead(lab: Lab) -> None:
    """An interface that is stuck on a terminated instance is detached, then attached here."""
    lab.cloud.change(GATEWAY, attachment=Attachment(OTHER, 1))
    lab.cloud.change(instance=OTHER, state="terminated", powered=False)
    lab.cloud.refuse["DetachNetworkInterface"] = ["IncorrectState"]
    lab.start()
    lab.until(lab.holds, 15)
    assert [call["Force"] for call in lab.cloud.made("DetachNetworkInterface")] == ["false", "false"]


def test_not_from_the_living(lab: Lab) -> None:
    """While another instance lives and has the interface, nothing but looking is done."""
    lab.cloud.change(GATEWAY, attachment=Attachment(OTHER, 1))
    lab.start()
    lab.until(lambda: lab.status().get("role") == "waiting" and len(lab.cloud.made("DescribeInstances")) > 3)
    reading = {"DescribeNetworkInterfaces", "DescribeInstances", "DescribeSecurityGroupRules"}
    assert {call["Action"] for call in lab.cloud.calls} == reading


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_cut_connection(lab: Lab, cut: str) -> None:
    """An Attach whose answer is lost is looked into, not repeated blindly; a lost Describe is asked again."""
    lab.cloud.hang_up = {"AttachNetworkInterface": [cut], "DescribeNetworkInterfaces": [cut]}
    lab.start()
    lab.until(lab.holds)
    assert len(lab.cloud.made("AttachNetworkInterface")) == (2 if cut == "before" else 1)


def test_refusals(lab: Lab) -> None:
    """Throttled calls are repeated, a refused one is told with AWS's code, and both come right in the end."""
    lab.cloud.refuse = {
        "DescribeNetworkInterfaces": ["RequestLimitExceeded", "ExpiredToken"],
        "AttachNetworkInterface": ["UnauthorizedOperation"],
        "CompleteLifecycleAction": ["ValidationError"],
    }
    lab.start()
    lab.until(lambda: lab.cloud.hook == "CONTINUE")
    results = [
        line["result"] for line in lab.log() if line["event"] == "action" and line["action"] == "Attach"
    ]
    assert results == ["AttachNetworkInterface: UnauthorizedOperation: no", "ok"]


def test_no_proof_no_hook(lab: Lab) -> None:
    """While the internet sees another address than the Elastic IP, the hook is not answered and the cause is told."""
    lab.cloud.checkip = "192.0.2.77"
    lab.start()
    lab.until(lambda: "the internet sees 192.0.2.77" in lab.status().get("cause", ""))
    assert lab.cloud.hook == "waiting"
    lab.cloud.checkip = ""
    lab.until(lambda: lab.cloud.hook == "CONTINUE")


def test_no_address_service(lab: Lab) -> None:
    """When the address service tells nothing, reaching the API from the gateway's address is proof enough."""
    lab.cloud.checkip = "no idea"
    lab.start()
    lab.until(lab.holds)


def test_without_public_address(lab: Lab) -> None:
    """A stack without an Elastic IP is ready, and says so."""
    lab.cloud.change(GATEWAY, public=())
    lab.start()
    lab.until(lab.holds)
    assert lab.status()["cause"] == "ready, without public address"


def test_nftables_is_installed_on_the_side(lab: Lab) -> None:
    """Without nft the package is installed while the interface is attached, again if that failed."""
    programs = lab.home / "bin"
    programs.mkdir()
    (programs / "ip").symlink_to("/usr/sbin/ip")
    dnf = programs / "dnf"
    dnf.write_text(
        "#!/bin/sh\n"
        f"[ -e {lab.home}/once ] || {{ touch {lab.home}/once; exit 1; }}\n"
        f'[ "$*" = "install -y nftables" ] && sleep 0.3 && ln -s /usr/sbin/nft {programs}/nft\n'
    )
    dnf.chmod(0o755)
    lab.start(path=f"{programs}:/usr/bin:/bin")
    lab.until(lambda: "installing nftables" in lab.status().get("cause", ""))
    assert lab.cloud.made("AttachNetworkInterface")
    lab.until(lab.holds)


def test_what_is_broken_is_put_back(ready: Lab, internet: Echo) -> None:
    """Rules, routes and sysctls that somebody took away are back within seconds."""
    ready.run(
        NODE, "nft flush ruleset; ip rule del priority 9000; echo 0 >/proc/sys/net/ipv4/conf/ens6/forwarding"
    )
    ready.until(lambda: sum(line.get("action") == "Prepare" for line in ready.log()) == 2, 15)
    ready.until(ready.holds)
    assert connect(ready, CLIENT, INTERNET_HOST, 7)[1] == PUBLIC


def test_the_agent_may_die(ready: Lab, internet: Echo) -> None:
    """Killed, the kernel goes on; started again, the open flow does not notice."""
    made, _ = connect(ready, CLIENT, INTERNET_HOST, 7)
    ready.stop()
    made.sendall(b"without agent")
    assert made.recv(100) == b"without agent"
    (ready.home / "status.json").unlink()
    ready.start()
    ready.until(ready.holds)
    made.sendall(b"with agent")
    assert made.recv(100) == b"with agent"
    assert len(ready.cloud.made("AttachNetworkInterface")) == 1


def test_no_secrets_in_the_log(ready: Lab) -> None:
    """Neither the log nor the status holds a credential; each line of the log is one JSON object with an event."""
    assert all("event" in line for line in ready.log())
    told = (ready.home / "log").read_text() + json.dumps(ready.status())
    assert "session-token" not in told
    assert "secret" not in told


def test_systemd_is_told(lab: Lab) -> None:
    """READY once, then a watchdog message with every look."""
    where = str(lab.home / "notify")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(where)
    manager.settimeout(5)
    lab.start(NOTIFY_SOCKET=where)
    assert manager.recv(100) == b"READY=1"
    assert manager.recv(100) == b"WATCHDOG=1"
    manager.close()


def test_status_verb(ready: Lab) -> None:
    """`status` prints what the agent knows, one line each or as JSON; 0 means that NAT is proven."""
    command = f"cd {ready.home}; export RUNTIME_DIRECTORY={ready.home}; /usr/bin/python3 -SEs -m agent status"
    said = ready.run(NODE, f"{command}; echo $?")
    assert f"cause            NAT proven as {PUBLIC}\n" in said
    assert said.endswith("\n0\n")
    # The node goes on: what it says may change between the two.
    ready.until(lambda: json.loads(ready.run(NODE, f"{command} --json")) == ready.status())
    ready.stop()
    (ready.home / "status.json").unlink()
    assert "no status" in ready.run(NODE, command)
