"""A ring: each zone's gateway outlives its node on the next zone's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from evernat.lab import checks
from evernat.lab.checks import until
from evernat.lab.probing import watching

from .cluster import Cluster, deployed, kept, out_under

pytestmark = pytest.mark.timeout(120)

NEXT = {"a": "b", "b": "c", "c": "a"}


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with deployed("ring", 3, tmp_path_factory.mktemp("ring")) as made:
        yield made


def by_home(ring: Cluster) -> dict[str, dict[str, Any]]:
    """The gateways by the slot they belong to."""
    return {str(g["home_slot"]): g for g in ring.gateways().values()}


def test_deployed(ring: Cluster) -> None:
    """Each zone has a gateway at home with an address of its own, and the next zone stands by."""
    # A neighbour serves for a node that boots late, and gives the gateway back when that was ready for half a minute.
    assert until(lambda: all(g["holder_slot"] == slot for slot, g in by_home(ring).items()), 60), by_home(
        ring
    )
    ring.whole()
    found = by_home(ring)
    assert {slot: g["standby_slot"] for slot, g in found.items()} == NEXT
    assert len({g["public_address"] for g in found.values()}) == 3
    for slot, gateway in found.items():
        results = checks.everything(ring.lab, f"client-{slot}", str(gateway["public_address"]))
        assert all(r.ok for r in results), results


def test_zone_lost(ring: Cluster) -> None:
    """A zone's clients go on through the neighbour under their own address, and the neighbour's notice nothing."""
    found = by_home(ring)
    with ring.load() as load:
        with watching(ring.lab, "client-a") as seen, watching(ring.lab, "client-b") as neighbour:
            ring.lab.kill(found["a"]["holder"], "power")
            assert until(lambda: by_home(ring)["a"]["holder_slot"] == "b", 10)
            kept(load)
            time.sleep(2)  # TCP repeats what was lost
        assert seen.stream_alive
        assert neighbour.longest_gap < 1.0
        for slot in ("a", "b"):
            assert out_under(ring, f"client-{slot}", str(found[slot]["public_address"]))


def per_gateway(ring: Cluster, since: float) -> Counter[str]:
    """How often each gateway's address moved since a time."""
    return Counter(c["params"]["AllocationId"] for c in ring.associations(since))


def all_out(ring: Cluster) -> None:
    """Each zone's clients are out under their own gateway's address."""
    for slot, gateway in by_home(ring).items():
        assert out_under(ring, f"client-{slot}", str(gateway["public_address"]))


def at_slot(ring: Cluster, slot: str) -> str:
    """The node of a slot that serves a gateway or stands by for one."""
    nodes = {n["id"]: n["slot"] for n in ring.lab.status()["nodes"] if n["id"] in ring.alive()}
    return str(next(node for node, there in nodes.items() if there == slot))


def test_node_terminated(ring: Cluster) -> None:
    """A node that held two gateways, or one and stood by for another, leaves both alive; a new one comes."""
    ring.whole()
    begun, node = time.time(), by_home(ring)["a"]["holder"]
    with ring.load() as load:
        ring.lab.kill(node, "terminate")
        assert until(lambda: all(g["holder"] not in (None, node) for g in by_home(ring).values()), 10)
        # Counted now: half a minute later some go home.
        assert set(per_gateway(ring, begun).values()) == {1}
        kept(load)
        all_out(ring)
        ring.whole()
        kept(load)
    assert all(moves <= 2 for moves in per_gateway(ring, begun).values())


def test_partition(ring: Cluster) -> None:
    """A node that hears no other: each gateway moves once at most, has one holder, and serves its clients."""
    ring.whole()
    begun, node = time.time(), at_slot(ring, "b")
    with ring.load() as load:
        ring.lab.kill(node, "partition")
        try:
            time.sleep(3)
            for name, gateway in ring.gateways().items():
                assert [n for n in ring.alive() if ring.role(n, name) == "holding"] == [gateway["holder"]]
            assert all(moves <= 1 for moves in per_gateway(ring, begun).values())
            all_out(ring)
        finally:
            ring.lab.mend(node)
        ring.whole()
        assert all(moves <= 1 for moves in per_gateway(ring, begun).values())
        kept(load)


def test_node_without_the_api(ring: Cluster) -> None:
    """It keeps forwarding for the gateways it has, and nobody takes them."""
    found = ring.whole()
    begun, node = time.time(), at_slot(ring, "b")
    with watching(ring.lab, "client-a") as seen, watching(ring.lab, "client-b") as neighbour:
        ring.lab.kill(node, "api")
        try:
            time.sleep(3)
        finally:
            ring.lab.mend(node)
    assert seen.stream_alive
    assert neighbour.stream_alive
    assert ring.associations(begun) == []
    assert {n: g["holder"] for n, g in ring.whole().items()} == {n: g["holder"] for n, g in found.items()}


@pytest.mark.parametrize("how", ["interrupt", "stop"])
def test_given_away_first(ring: Cluster, how: str) -> None:
    """On a spot notice or a stop a node gives its gateways away, and nothing is lost."""
    found = ring.whole()
    begun, node = time.time(), by_home(ring)["c"]["holder"]
    held = [name for name, gateway in found.items() if gateway["holder"] == node]
    with ring.load(("client-b", "client-c")) as load:
        if how == "stop":
            ring.lab.exec(node, ["systemctl", "stop", "evernat-agent"], inside=True)
        else:
            ring.warn(node, how)
        for name in held:
            ring.handed(node, name)
        kept(load)
        if how == "stop":
            ring.lab.exec(node, ["systemctl", "start", "evernat-agent"], inside=True)
        else:
            assert until(lambda: node not in ring.alive(), 40)
        ring.whole()
        kept(load)
    assert all(moves <= 2 for moves in per_gateway(ring, begun).values())
    all_out(ring)


def test_rolling_upgrade(ring: Cluster) -> None:
    """`deploy` of a changed template replaces all nodes one by one, and no connection is lost."""
    before = set(ring.alive())
    toml = ring.directory / "evernat.toml"
    with ring.load() as load:
        toml.write_text('instance_types = ["t4g.small"]\n' + toml.read_text())
        ring.evernat("deploy", "--yes")
        ring.whole()
        kept(load)
    assert not before & set(ring.alive())
    all_out(ring)
