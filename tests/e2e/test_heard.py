"""A pair whose nodes do not hear each other, or hear what is not true: nothing changes that did not have to."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from evernat.lab.checks import until
from evernat.lab.probing import watching

from .cluster import Cluster, deployed, kept, out_under

pytestmark = pytest.mark.timeout(120)

UNBROKEN = 1.0
"""Seconds of the longest gap that still counts as no outage on a busy machine; `make bench` measures speed."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with deployed("pair", 2, tmp_path_factory.mktemp("heard")) as made:
        yield made


def gateway(pair: Cluster) -> dict[str, Any]:
    """The pair's gateway once it is whole."""
    return pair.whole()["main"]


def refused(pair: Cluster, node: str) -> dict[str, int]:
    """How many messages a node's agent did not take, by reason."""
    return dict(pair.agent(node)["refused"])


def private(pair: Cluster, node: str) -> str:
    """A node's own address."""
    return str(next(n["private_address"] for n in pair.lab.status()["nodes"] if n["id"] == node))


def test_partition(pair: Cluster) -> None:
    """Nodes that do not hear each other change the owner once at most, and never both hold."""
    node = gateway(pair)["standby"]
    begun = time.time()
    with pair.load(("client-a",)) as load:
        pair.lab.kill(node, "partition")
        try:
            time.sleep(3)
            found = pair.gateways()["main"]
            assert [n for n in pair.alive() if pair.role(n, "main") == "holding"] == [found["holder"]]
            assert out_under(pair, "client-a", pair.public)
        finally:
            pair.lab.mend(node)
        gateway(pair)
        assert len(pair.associations(begun)) <= 1
        kept(load)


def test_holder_without_the_api(pair: Cluster) -> None:
    """It keeps forwarding, and nobody takes over."""
    before = gateway(pair)
    begun = time.time()
    with watching(pair.lab, "client-a") as seen:
        pair.lab.kill(before["holder"], "api")
        try:
            time.sleep(3)
        finally:
            pair.lab.mend(before["holder"])
    assert seen.longest_gap < UNBROKEN
    assert seen.stream_alive
    assert pair.associations(begun) == []
    assert gateway(pair)["holder"] == before["holder"]


def test_stalled_standby(pair: Cluster) -> None:
    """A standby whose programs stood still does not take over when they go on."""
    before = gateway(pair)
    begun = time.time()
    with watching(pair.lab, "client-a") as seen:
        pair.lab.stall(before["standby"], 2.0)
        time.sleep(3)
    assert seen.longest_gap < UNBROKEN
    assert pair.associations(begun) == []
    assert gateway(pair)["holder"] == before["holder"]


def test_stopped_machine(pair: Cluster) -> None:
    """A standby to which nothing came while it stood still takes the silence for its own."""
    before = gateway(pair)
    begun = time.time()
    pair.lab.stall(before["standby"], 1.5)
    pair.lab.kill(before["standby"], "partition")
    time.sleep(1.8)  # it is awake again, and has heard nothing yet
    pair.lab.mend(before["standby"])
    time.sleep(2.0)
    assert pair.associations(begun) == []
    assert gateway(pair)["holder"] == before["holder"]


FORGE = """
import os, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(200):
    s.sendto(os.urandom(n), (sys.argv[1], 4817))
    time.sleep(0.001)
"""


def test_forged_messages(pair: Cluster) -> None:
    """Noise from a node's own address is counted, and changes nothing."""
    before = gateway(pair)
    begun = time.time()
    was = refused(pair, before["standby"])
    with watching(pair.lab, "client-a") as seen:
        forged = pair.lab.exec(
            before["holder"], [sys.executable, "-c", FORGE, private(pair, before["standby"])]
        )
        assert forged.returncode == 0, forged.stderr
        time.sleep(1)
    assert until(lambda: refused(pair, before["standby"])["forged"] >= was["forged"] + 150, 5), was
    assert seen.longest_gap < UNBROKEN
    assert pair.associations(begun) == []
    assert gateway(pair)["holder"] == before["holder"]


NOISE = """
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(200):
    s.sendto(os.urandom(n), (sys.argv[1], 4817))
t = socket.socket()
t.settimeout(0.5)
try:
    t.connect((sys.argv[1], 4817))
    print("connected")
except OSError:
    print("refused")
"""


def test_strangers(pair: Cluster) -> None:
    """A client's noise on the nodes' own port is counted, a flood of it cut down to a trickle."""
    node = gateway(pair)["standby"]
    was = refused(pair, node)["forged"]
    shown = pair.lab.exec("client-a", [sys.executable, "-c", NOISE, private(pair, node)])
    assert shown.stdout.strip() == "refused", shown.stderr
    time.sleep(0.5)
    assert 1 <= refused(pair, node)["forged"] - was <= 40


CAPTURE = """
import json, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))  # all: outgoing ones too
s.settimeout(5)
kept = []
while len(kept) < 10:
    packet, where = s.recvfrom(65535)
    if where[2] == socket.PACKET_OUTGOING and packet[9] == 17 and packet[22:24] == (4817).to_bytes(2, "big"):
        kept.append(packet[28:].hex())
print(json.dumps(kept))
"""
"""Heartbeats as they leave a node."""

SEND = """
import json, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for message in json.load(sys.stdin):
    s.sendto(bytes.fromhex(message), (sys.argv[1], 4817))
    time.sleep(0.08)  # a client may send so many; of more than that the node hears a part
"""


def captured(pair: Cluster, node: str) -> list[str]:
    """Ten true heartbeats of a node."""
    shown = pair.lab.exec(node, [sys.executable, "-c", CAPTURE])
    assert shown.returncode == 0, shown.stderr
    return [str(one) for one in json.loads(shown.stdout)]


def sent(pair: Cluster, host: str, address: str, messages: Sequence[str]) -> None:
    """Send messages from a host of the lab."""
    shown = pair.lab.exec(host, [sys.executable, "-c", SEND, address], input=json.dumps(messages))
    assert shown.returncode == 0, shown.stderr


def test_replayed_messages(pair: Cluster) -> None:
    """A node's true messages, from itself or a client, again, backwards, cut short or changed, are counted only."""
    before, begun = gateway(pair), time.time()
    node = before["standby"]
    for host in (before["holder"], "client-a"):
        true = captured(pair, before["holder"])
        wrong = [m[:-2] for m in true] + [m[:-1] + "01"[m[-1] == "0"] for m in true]
        was = refused(pair, node)
        sent(pair, host, private(pair, node), [*reversed(true), *wrong])
        wanted = {"replayed": was["replayed"] + 10, "forged": was["forged"] + 20}
        assert until(lambda: refused(pair, node) == wanted, 5), (host, was, refused(pair, node))  # noqa: B023
    assert pair.associations(begun) == []
    assert gateway(pair)["holder"] == before["holder"]


def test_messages_from_outside(pair: Cluster) -> None:
    """From the internet, or a client that claims to be a node, not even true messages reach a node."""
    before, begun = gateway(pair), time.time()
    true = captured(pair, before["holder"])
    nodes = {n["id"]: n for n in pair.lab.status()["nodes"] if n["id"] in pair.alive()}
    was = {node: refused(pair, node) for node in nodes}
    for node in nodes.values():
        for address in (*node["public_addresses"], node["private_address"]):
            sent(pair, "internet", address, true[:3])
    spoof = [private(pair, before["holder"]), private(pair, before["standby"])]
    shown = pair.lab.exec("client-a", [sys.executable, "-c", SPOOF, *spoof], input=json.dumps(true))
    assert shown.returncode == 0, shown.stderr
    time.sleep(1)
    assert {node: refused(pair, node) for node in nodes} == was
    assert pair.associations(begun) == []
    assert gateway(pair)["holder"] == before["holder"]


SPOOF = """
import json, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
source, target = map(socket.inet_aton, sys.argv[1:])
for message in map(bytes.fromhex, json.load(sys.stdin)):
    head = struct.pack("!BBHHHBBH4s4s", 69, 0, 28 + len(message), 0, 0, 64, 17, 0, source, target)
    s.sendto(head + struct.pack("!HHHH", 4817, 4817, 8 + len(message), 0) + message, (sys.argv[2], 0))
"""

SYNC = """
import os, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
s.settimeout(5)
kept = []
while len(kept) < 3:
    packet = s.recv(65535)
    start = 20 + (packet[32] >> 4) * 4
    end = int.from_bytes(packet[2:4], "big")
    if packet[9] == 6 and packet[20:22] == (4817).to_bytes(2, "big") and end > start:
        kept.append(packet[start:end])
noise = os.urandom(16)
short = [k[:-1] for k in kept]
tries = [[noise, *kept], [noise, *reversed(kept)], [noise, *short, b"."], [noise, b"\\0\\4", noise, noise]]
for parts in tries:
    t = socket.create_connection((sys.argv[1], 4817), 5)
    t.settimeout(5)
    try:
        t.sendall(b"".join(parts))
        while t.recv(4096):
            pass
    except ConnectionResetError:
        pass
print(len(tries))
"""
"""Frames of the sync as they reach a standby, said to the holder on connections of our own, until it hangs up."""


def test_replayed_flows(pair: Cluster) -> None:
    """What was said on one connection of the sync, said on another, is counted, and no flow comes or goes by it."""
    before, begun = gateway(pair), time.time()

    def sync(node: str) -> dict[str, Any]:
        return dict(pair.agent(node)["gateways"]["main"]["sync"])

    with pair.load(("client-a",)) as load:
        was = sync(before["holder"])["forged"]
        shown = pair.lab.exec(
            before["standby"], [sys.executable, "-c", SYNC, private(pair, before["holder"])]
        )
        assert shown.returncode == 0, shown.stderr
        assert until(lambda: sync(before["holder"])["forged"] == was + int(shown.stdout), 5), shown.stdout
        assert sync(before["holder"])["synced"]
        assert sync(before["standby"])["synced"]
        kept(load)
    assert pair.associations(begun) == []
    assert gateway(pair)["holder"] == before["holder"]
