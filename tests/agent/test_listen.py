"""The listener hears what people and network daemons do to a machine, in a network namespace of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.packets

PROGRAM = """\
import json, select, subprocess, sys, time
from evernat.agent.effects.listen import Listener
def sh(command): subprocess.run(["sh", "-ec", command], check=True)
before, harm = json.loads(sys.argv[1])
sh(before)
listener = Listener()
sh("true")
assert not listener.drain()
began = time.monotonic()
sh(harm)
heard = bool(select.select([listener], [], [], 1.0)[0])
print(json.dumps([heard, listener.drain(), listener.drain()]))
"""
SETUP = """
ip link set lo up; ip link add ens6 type veth peer name far; ip link set ens6 up; ip link set far up
ip address add 172.18.128.50/20 dev ens6; ip route add default via 172.18.128.1; ip rule add priority 9000 lookup 9000
echo 1 >/proc/sys/net/ipv4/ip_forward
nft add table ip evernat; nft 'add set ip evernat s { type ipv4_addr; flags timeout; }'
nft add chain ip evernat c; nft add rule ip evernat c drop
"""


def heard(harm: str, setup: str = SETUP) -> list[bool]:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", PROGRAM, json.dumps([setup, harm])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[bool] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "harm",
    [
        "ip address del 172.18.128.50/20 dev ens6",
        "ip route del default",
        "ip rule del priority 9000",
        "ip rule flush",
        "echo 0 >/proc/sys/net/ipv4/ip_forward",
        "echo 0 >/proc/sys/net/ipv4/conf/ens6/forwarding",
        "echo 1 >/proc/sys/net/ipv4/conf/ens6/rp_filter",
        "ip link set ens6 down",
        "ip link del ens6",
        "nft flush ruleset",
        "nft flush chain ip evernat c",
        "nft delete rule ip evernat c handle 3",
        "nft 'add chain inet foreign forward { type filter hook forward priority 0; policy drop; }'",
    ],
)
def test_heard(harm: str) -> None:
    """Each of these makes it readable, and is a change, once."""
    if "inet" in harm:
        harm = f"nft add table inet foreign; {harm}"
    assert heard(harm) == [True, True, False]


def test_elements_are_no_change() -> None:
    """The elements of sets, which come and go with each heartbeat, are read and are no change."""
    assert heard("nft 'add element ip evernat s { 1.2.3.4 timeout 1s }'") == [True, False, False]


def test_a_flood_is_a_change() -> None:
    """More than the socket has room for is heard as a change, and ends."""
    many = "for n in $(seq 5000); do echo route add 10.$((n / 250)).$((n % 250)).0/24 dev ens6; done | ip -batch -"
    assert heard(many)[:2] == [True, True]
