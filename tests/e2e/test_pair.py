"""A pair: whatever happens to a node, connections stay open, the address stays, and the pair is whole again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from evernat.lab import checks
from evernat.lab.checks import until
from evernat.lab.probing import watching

from .cluster import Cluster, deployed, kept, out_under

pytestmark = pytest.mark.timeout(120)

UNBROKEN = 1.0
"""Seconds of the longest gap that still counts as no outage on a busy machine; `make bench` measures speed."""
CALM = 2.0
"""Seconds in which TCP repeats what was lost, so that a stream shows that it lives."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with deployed("pair", 2, tmp_path_factory.mktemp("pair")) as made:
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


def test_deployed(pair: Cluster) -> None:
    """Slot a holds, b stands by, and clients of every zone are out under the one address."""
    found = gateway(pair)
    assert (found["holder_slot"], found["standby_slot"]) == ("a", "b")
    for host in ("client-b", "client-c"):
        assert out_under(pair, host, pair.public)
    results = checks.everything(pair.lab, "client-a", pair.public)
    assert all(r.ok for r in results), results


def test_power_off(pair: Cluster) -> None:
    """All connections outlive two holders in a row, under the same address."""
    with pair.load() as load:
        for _ in range(2):
            before = gateway(pair)
            with watching(pair.lab, "client-a") as seen:
                pair.lab.kill(before["holder"], "power")
                kept(load)
                time.sleep(CALM)
            assert seen.stream_alive
            after = gateway(pair)
            assert (after["holder"], after["public_address"]) == (before["standby"], pair.public)


def test_failover(pair: Cluster) -> None:
    """The operator's handover loses nothing, and stays where it was put."""
    before = gateway(pair)
    with pair.load() as load:
        with watching(pair.lab, "client-a") as seen:
            done = pair.evernat("failover", "main")
        kept(load)
    assert done["to"]["instance"] == before["standby"]
    assert seen.stream_alive
    assert gateway(pair)["holder"] == before["standby"]


def test_report(pair: Cluster) -> None:
    """`status` knows from the holder why it has the gateway, who stands by for it, and that the copies are whole."""
    before = gateway(pair)
    pair.evernat("failover", "main")

    def told() -> dict[str, Any] | None:
        report = gateway(pair)["report"]
        return dict(report) if report and (report["sync"] or {}).get("synced") else None

    report = until(told, 15)
    assert report, pair.gateways()
    assert report["standby"] == [before["holder"]]
    assert report["why"] == f"offered by {before['holder']}"
    assert report["taken"] <= report["since"]
    assert not report["stale"]
    calls = [c for c in pair.lab.call("calls") if c["action"] == "PutParameter" and c["principal"] != "user"]
    assert not [c for c in calls if c["error"]]


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


RAW = """
import json, os, socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))  # all: outgoing ones too
s.settimeout(5)
kept = []
while len(kept) < 20:
    packet, where = s.recvfrom(65535)
    if where[2] == socket.PACKET_OUTGOING and packet[9] == 17 and packet[22:24] == (4817).to_bytes(2, "big"):
        kept.append(packet[28:])
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for message in [*kept, *reversed(kept), *(m[:-1] for m in kept), *(m[:20] for m in kept)]:
    r.sendto(message, (sys.argv[1], 4817))
print(len(kept))
"""


def test_replayed_messages(pair: Cluster) -> None:
    """A node's true messages, sent again, backwards and cut short, are counted, and change nothing."""
    before = gateway(pair)
    begun = time.time()
    was = refused(pair, before["standby"])
    shown = pair.lab.exec(before["holder"], [sys.executable, "-c", RAW, private(pair, before["standby"])])
    assert json.loads(shown.stdout) == 20, shown.stderr

    def counted() -> bool:
        now = refused(pair, before["standby"])
        return now["replayed"] >= was["replayed"] + 30 and now["forged"] >= was["forged"] + 30

    assert until(counted, 5), (was, refused(pair, before["standby"]))
    assert pair.associations(begun) == []
    assert gateway(pair)["holder"] == before["holder"]


def test_terminated(pair: Cluster) -> None:
    """A terminated holder is no worse than a power-off."""
    before = gateway(pair)
    with pair.load(("client-b",)) as load:
        pair.lab.kill(before["holder"], "terminate")
        assert until(lambda: gateway(pair)["holder"] not in (None, "", before["holder"]), 30)
        assert gateway(pair)["public_address"] == pair.public
        kept(load)


def test_rolling_upgrade(pair: Cluster) -> None:
    """`deploy` of a changed template replaces both nodes, and no connection is lost."""
    before = gateway(pair)
    toml = pair.directory / "evernat.toml"
    with pair.load() as load:
        toml.write_text('instance_types = ["t4g.small"]\n' + toml.read_text())
        pair.evernat("deploy", "--yes")
        after = gateway(pair)
        kept(load)
    assert after["public_address"] == pair.public
    assert not {after["holder"], after["standby"]} & {before["holder"], before["standby"]}


def test_both_die(pair: Cluster) -> None:
    """New nodes agree on one holder of the same address."""
    before = gateway(pair)
    for node in (before["holder"], before["standby"]):
        pair.lab.kill(node, "power")
    after = pair.whole(60)["main"]
    assert after["public_address"] == pair.public
    assert not {after["holder"], after["standby"]} & {before["holder"], before["standby"]}
    assert until(lambda: out_under(pair, "client-c", pair.public), 10)
