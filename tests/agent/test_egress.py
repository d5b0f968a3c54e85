"""The agent's own client on real packets: what it reaches, what it says when it does not, what it costs."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from evernat.agent import contract
from evernat.lab.addresses import CHECKIP_HOST, INTERNET_HOST
from tests.agent.stub import NODE, Lab

pytestmark = pytest.mark.packets

PLACES = (f"{INTERNET_HOST}:443", f"{CHECKIP_HOST}:80")
NAT = """
table ip nat {
  chain post {
    type nat hook postrouting priority srcnat;
    ip saddr 169.254.82.0/24 oifname ens5 snat to 172.18.128.5
  }
}
"""
PROGRAM = f"""\
import json, sys, time
from evernat.agent.effects.egress import DIRECT, OWN_WAY, Client
from evernat.agent.effects.process import run
client = Client({PLACES}, "http://{CHECKIP_HOST}/", 2)
def check(way=0, timeout=1.0):
    sys.stdout.write(json.dumps(client.check(way, timeout)._asdict()) + "\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def node(lab: Lab) -> Lab:
    """A machine that forwards and translates what the agent's client sends, without an agent."""
    said = lab.run(NODE, f"echo 1 >/proc/sys/net/ipv4/ip_forward; nft -f - <<'E'\n{NAT}\nE")
    assert not said
    return lab


@pytest.fixture
def place(lab: Lab) -> Iterator[socket.socket]:
    """The first of PLACES takes connections, as the second always does."""
    made = lab.fabric.socket("internet")
    made.bind((INTERNET_HOST, 443))
    made.listen()
    yield made
    made.close()


def checks(node: Lab, program: str) -> list[dict[str, Any]]:
    """What the client found, check by check."""
    code = f"{sys.executable} -c {shlex.quote(PROGRAM + program)}"
    said = node.run(NODE, f"PYTHONPATH={os.pathsep.join(sys.path)} {code}").replace("Killed\n", "")
    assert "Traceback" not in said, said
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("way", ["0", "1", "OWN_WAY", "DIRECT"])
def test_every_way_out(node: Lab, place: socket.socket, way: str) -> None:
    """Each gateway's way, the own way and the node's own sockets reach the internet, which says whom it saw."""
    (found,) = checks(node, f"check({way})")
    assert (found["hop"], found["address"]) == ("", "192.0.2.5")


def test_packets_are_forwarded_and_translated(node: Lab, place: socket.socket) -> None:
    """A client's packets come in by the cable with the client's address and leave as the node's own."""
    node.run(NODE, "nft add table ip t; nft 'add chain ip t f {type filter hook forward priority 0;}'")
    for way in (contract.OWN, contract.client(1)):
        node.run(NODE, f"nft 'add rule ip t f iifname evernat0 ip saddr {way} counter'")
    checks(node, "check(1); check(OWN_WAY)")
    rules = node.run(NODE, "nft list chain ip t f").splitlines()
    assert not [rule for rule in rules if "counter packets 0 " in rule], rules
    assert sum("counter" in rule for rule in rules) == 2


def test_one_place_is_enough(node: Lab) -> None:
    """A place that refuses, or one that keeps silent, is no failure while another answers."""
    (refused,) = checks(node, "check()")
    assert refused["hop"] == ""
    node.run(NODE, f"nft insert rule ip nat post ip daddr {INTERNET_HOST} drop")
    (silent,) = checks(node, "check()")
    assert silent["hop"] == ""


def test_no_place_answers(node: Lab) -> None:
    """When all refuse or keep silent, the check fails in time and says which did what."""
    node.run(NODE, f"nft insert rule ip nat post ip daddr {CHECKIP_HOST} drop")
    (found,) = checks(node, "began = time.monotonic(); check(); assert time.monotonic() - began < 1.5")
    assert found["hop"] == "beyond"
    assert found["cause"] == f"{INTERNET_HOST}: Connection refused, {CHECKIP_HOST}: no answer"


def test_forward_chain_counts(node: Lab, place: socket.socket) -> None:
    """A forward policy of drop, which the node's own sockets never meet, fails the check (H3, F3)."""
    node.run(
        NODE, "nft 'add table ip f; add chain ip f f {type filter hook forward priority 0; policy drop;}'"
    )
    there, direct = checks(node, "check(); check(DIRECT)")
    assert (there["hop"], direct["hop"]) == ("beyond", "")


def test_no_address_service(node: Lab, place: socket.socket) -> None:
    """The service that tells addresses alone may fail: the check passes, within its time."""
    node.run(NODE, f"nft insert rule ip nat post ip daddr {CHECKIP_HOST} drop")
    (found,) = checks(node, "began = time.monotonic(); check(); assert time.monotonic() - began < 1.5")
    assert (found["hop"], found["address"]) == ("", "")


def test_asked_again_after_a_failure(node: Lab, place: socket.socket) -> None:
    """The public address is asked for once a minute, and anew after a check that failed."""
    node.run(NODE, "nft add table ip t; nft 'add chain ip t f {type filter hook forward priority 0;}'")
    node.run(NODE, f"nft add rule ip t f ip daddr {CHECKIP_HOST} tcp flags psh counter")
    program = (
        "for _ in range(3): check()\n"
        "run('nft', 'add', 'chain', 'ip', 't', 'f', '{ policy drop; }')\n"
        "check(0, 0.2)\n"
        "run('nft', 'add', 'chain', 'ip', 't', 'f', '{ policy accept; }')\n"
        "check()"
    )
    found = checks(node, program)
    assert [each["hop"] for each in found] == ["", "", "", "beyond", ""]
    assert "counter packets 2 " in node.run(NODE, "nft list chain ip t f")


@pytest.mark.parametrize(
    "harm", ["ip link del evernat0", "ip address flush dev evernat0", "ip link set evernat0 down"]
)
def test_the_cable_is_mended(node: Lab, place: socket.socket, harm: str) -> None:
    """A cable that somebody took or changed fails a check, is seen, and a new one works."""
    program = f"""
check()
run("sh", "-c", {harm!r})
check()
assert not client.whole()
client.close()
check()
assert client.whole()
"""
    assert [bool(each["hop"]) for each in checks(node, program)] == [False, True, False]


def test_no_cable_is_a_failing_check(node: Lab) -> None:
    """When the namespace cannot be made, the check says so; it works as soon as it can be made."""
    program = """
import os
path = os.environ["PATH"]
os.environ["PATH"] = "/nowhere"
check()
os.environ["PATH"] = path
check()
"""
    first, second = checks(node, program)
    assert first["hop"] == "check"
    assert first["cause"].startswith("no client of the agent's own: ")
    assert second["hop"] == ""


def test_a_killed_agent_leaves_nothing_in_the_way(node: Lab, place: socket.socket) -> None:
    """The namespace goes with the process; the next agent makes its own at once."""
    (first,) = checks(node, "check(); import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    (second,) = checks(node, "check()")
    assert (first["hop"], second["hop"]) == ("", "")
    node.until(lambda: "does not exist" in node.run(NODE, "ip link show evernat0"))


def test_cost(node: Lab, place: socket.socket) -> None:
    """A holder's and a standby's check, every 5 s each, take less than 0.2 % of a core."""
    program = """
check(); check(OWN_WAY)
before = time.process_time()
for _ in range(50): client.check(0); client.check(OWN_WAY)
print((time.process_time() - before) / 50 / 5)
"""
    share = checks(node, program)[-1]
    assert 0 < float(share) < 0.002  # type: ignore[arg-type]


def test_from_many_threads(node: Lab, place: socket.socket) -> None:
    """Checks at the same time make one namespace, and none of their threads stays in it."""
    program = """
import threading
threads = [threading.Thread(target=check, args=(n % 2, 3.0)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(run("ip", "-br", "link", "show", "type", "veth").split("evernat0")) == 2
check(DIRECT)
"""
    assert [each["hop"] for each in checks(node, program)] == [""] * 9
