"""What the lab's hosts serve, asked over the fabric."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from evernat.lab import services
from evernat.lab.addresses import API_HOST, INTERNET_HOST
from tests.lab_fabric.support import CLIENT, ELASTIC, NODE, Net, eni, world

pytestmark = pytest.mark.packets


class Caller(HTTPConnection):
    """An HTTP client inside an instance."""

    def __init__(self, net: Net, where: str, address: str) -> None:
        super().__init__(address)
        self._net, self._where = net, where

    def connect(self) -> None:
        """As HTTPConnection, but from where the caller is."""
        self.sock = self._net.tcp(self._where, self.host, 80)

    def ask(self, method: str, path: str = "/", body: Any = None, **headers: str) -> str:
        """The body of the answer."""
        self.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return self.getresponse().read().decode()


@contextlib.contextmanager
def _serving(net: Net, where: str, role: services.Role, name: str) -> Iterator[subprocess.Popen[bytes]]:
    with net.fabric.spawn(where, services.command(role, name), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.terminate()


@pytest.fixture
def internet(net: Net) -> Iterator[Net]:
    """A node with an Elastic IP, and the internet host serving."""
    net.fabric.apply(world(eni("node", NODE, "i-node", public=ELASTIC), eni("client", CLIENT, "i-client")))
    with _serving(net, "internet", "internet", "internet"):
        yield net


def test_the_internet_host_tells_the_callers_address(internet: Net) -> None:
    """As text `ADDRESS PORT`, or as JSON when asked for, on one connection."""
    caller = Caller(internet, "i-node", INTERNET_HOST)
    address, port = caller.ask("GET").split()
    assert address == ELASTIC
    assert json.loads(caller.ask("GET", accept="application/json")) == {
        "name": "internet",
        "address": ELASTIC,
        "port": int(port),
    }


def test_an_upload_is_counted(internet: Net) -> None:
    """Whether its length is told beforehand, or it comes in chunks."""
    caller = Caller(internet, "i-node", INTERNET_HOST)
    assert caller.ask("POST", "/", bytes(100_000)) == "100000\n"
    assert caller.ask("PUT", "/any/where", iter([bytes(1000), bytes(234)])) == "1234\n"
    assert caller.ask("POST", "/", bytes(5), Expect="100-continue") == "5\n"
    assert len(caller.ask("GET", "/bytes/70000")) == 70_000


def test_unknown_paths_and_methods_are_refused(internet: Net) -> None:
    """With HTTP's own words, and the connection stays usable."""
    caller = Caller(internet, "i-node", INTERNET_HOST)
    assert caller.ask("GET", "/nowhere") == "not found\n"
    assert caller.ask("PATCH") == "method not allowed\n"
    assert caller.ask("GET").startswith(ELASTIC)


def test_echo_and_push(internet: Net) -> None:
    """TCP and UDP come back; the push comes unasked, in order."""
    tcp, udp = internet.tcp("i-node", INTERNET_HOST, services.ECHO), internet.udp("i-node")
    tcp.sendall(b"tcp")
    udp.sendto(b"udp", (INTERNET_HOST, services.ECHO))
    assert (tcp.recv(9), udp.recv(9)) == (b"tcp", b"udp")
    push = internet.tcp("i-node", INTERNET_HOST, services.PUSH).makefile("rb")
    assert [push.readline() for _ in range(3)] == [b"0\n", b"1\n", b"2\n"]


def test_whoever_sends_is_seen(internet: Net) -> None:
    """Every source address with its protocols, whether or not anything listened; forgotten when told so."""
    caller = Caller(internet, "internet", "127.0.0.1")
    assert json.loads(caller.ask("DELETE", "/seen")) == {}
    internet.pings("i-node", INTERNET_HOST)
    internet.udp("i-node").sendto(b"1", (INTERNET_HOST, 9999))
    internet.connects("i-node", INTERNET_HOST, services.IPERF)
    internet.pings("i-node", API_HOST)
    seen = json.loads(caller.ask("GET", "/seen"))
    assert list(seen) == [ELASTIC]
    assert seen[ELASTIC].keys() == {"icmp", "udp", "tcp"}
    assert seen[ELASTIC]["icmp"] == 1


def test_a_client_host_tells_its_name(internet: Net) -> None:
    """`NAME ADDRESS PORT`, and it echoes by TCP and UDP; it knows nothing of /seen."""
    with _serving(internet, "i-client", "client", "client-a") as process:
        caller = Caller(internet, "i-node", CLIENT)
        assert caller.ask("GET").split()[:2] == ["client-a", NODE]
        assert caller.ask("GET", "/seen") == "not found\n"
        udp = internet.udp("i-node")
        udp.sendto(b"udp", (CLIENT, services.ECHO))
        assert udp.recv(9) == b"udp"
    assert process.returncode == 0


def test_the_api_has_port_80_of_its_own_address(internet: Net) -> None:
    """The internet host leaves the other address of its namespace free."""
    internet.tcp_server("internet", 80, API_HOST)
    assert internet.connects("i-node", API_HOST, 80)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_iperf_goes_with_the_program(net: Net, how: signal.Signals) -> None:
    """However it ends."""
    with _serving(net, "internet", "internet", "internet") as process:
        assert _listening(net, wanted=True)
        process.send_signal(how)
        process.wait(5)
    assert _listening(net, wanted=False)


def _listening(net: Net, *, wanted: bool) -> bool:
    """Whether iperf3's port comes to be open, or comes to be closed."""
    for _ in range(100):
        if (str(services.IPERF) in net.run("internet", "ss -Hltn")) == wanted:
            return True
        time.sleep(0.02)
    return False
