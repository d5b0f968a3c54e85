"""A ring: each zone's gateway outlives its node on the next zone's, and goes home again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from evernat.lab import checks
from evernat.lab.checks import until
from evernat.lab.load import Host, Load, server
from evernat.lab.probing import watching

from .cluster import AHEAD, MANY, Cluster, deployed, kept, out_under

pytestmark = [pytest.mark.timeout(300), AHEAD]

TAKEOVER, HANDOVER = 1.5, 0.4
NEXT = {"a": "b", "b": "c", "c": "a"}
HOME_AGAIN = 60.0
"""A home node takes its gateway back when it has been ready for 30 s."""


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with deployed("ring", 3, tmp_path_factory.mktemp("ring")) as made:
        yield made


def at_home(ring: Cluster, seconds: float = HOME_AGAIN) -> dict[str, dict[str, Any]]:
    """Wait until every gateway is whole and on its home node; the gateways by slot."""

    def home() -> dict[str, dict[str, Any]] | None:
        found = ring.whole()
        return found if all(g["holder_slot"] == g["home_slot"] for g in found.values()) else None

    found = until(home, seconds, 1.0)
    assert found, ring.gateways()
    return {str(g["home_slot"]): g for g in dict(found).values()}


def test_deployed(ring: Cluster) -> None:
    """Each zone has a gateway of its own, with its own address, held at home; the next zone stands by."""
    found = at_home(ring)
    assert {slot: g["standby_slot"] for slot, g in found.items()} == NEXT
    assert len({g["public_address"] for g in found.values()}) == 3
    for slot, gateway in found.items():
        results = checks.everything(ring.lab, f"client-{slot}", str(gateway["public_address"]))
        assert all(r.ok for r in results), results


def test_zone_lost(ring: Cluster) -> None:
    """A zone's node loses power: its gateway goes on at its neighbour, the neighbours' clients notice nothing.

    When the node has been replaced the gateway goes home, and no connection is lost on the way there and back.
    """
    found = at_home(ring)
    victim = found["a"]
    with ring.load() as load:
        with (
            watching(ring.lab, "client-a") as seen,
            watching(ring.lab, "client-b") as neighbour,
            watching(ring.lab, "client-c") as other,
        ):
            ring.lab.kill(victim["holder"], "power")
            name = str(victim["name"])
            assert until(lambda: ring.gateways()[name]["holder_slot"] == "b", 10)
            kept(load)
        assert seen.longest_gap < TAKEOVER
        assert max(neighbour.longest_gap, other.longest_gap) < 0.2
        assert out_under(ring, "client-a", str(victim["public_address"]))
        assert out_under(ring, "client-b", str(found["b"]["public_address"]))
        with watching(ring.lab, "client-a") as back:
            after = at_home(ring)
        assert back.longest_gap < HANDOVER
        assert after["a"]["public_address"] == victim["public_address"]
        assert after["a"]["holder"] != victim["holder"]
        kept(load)


def test_guest_keeps_both_apart(ring: Cluster) -> None:
    """A node that holds two gateways sends each one's clients out under that gateway's own address."""
    found = at_home(ring)
    name = str(found["b"]["name"])
    ring.evernat("failover", name)
    try:
        assert ring.gateways()[name]["holder_slot"] == "c"
        for slot in ("b", "c"):
            for _ in range(5):
                assert out_under(ring, f"client-{slot}", str(found[slot]["public_address"]))
    finally:
        at_home(ring)


def test_two_zones_lost(ring: Cluster) -> None:
    """Two of three nodes at once: what can be taken is taken, the rest comes back with the new nodes."""
    found = at_home(ring)
    for slot in ("a", "b"):
        ring.lab.kill(found[slot]["holder"], "power")
    with watching(ring.lab, "client-c") as seen:
        # b's gateway has its standby on c; a's had it on b and has to wait for a new node.
        name = str(found["b"]["name"])
        assert until(lambda: ring.gateways()[name]["holder_slot"] == "c", 10)
        assert until(lambda: out_under(ring, "client-b", str(found["b"]["public_address"])), 5)
        assert until(lambda: out_under(ring, "client-a", str(found["a"]["public_address"])), 40)
    assert seen.longest_gap < 0.2
    after = at_home(ring)
    assert {s: g["public_address"] for s, g in after.items()} == {
        s: g["public_address"] for s, g in found.items()
    }


def test_all_lost(ring: Cluster) -> None:
    """All nodes at once: every gateway is back at home with its address."""
    found = at_home(ring)
    for gateway in found.values():
        ring.lab.kill(gateway["holder"], "power")
    after = at_home(ring, 90)
    assert {s: g["public_address"] for s, g in after.items()} == {
        s: g["public_address"] for s, g in found.items()
    }


def test_partitioned_node(ring: Cluster) -> None:
    """A node nobody hears: each gateway changes its owner once at most, and has one holder all the while."""
    found = at_home(ring)
    node = str(found["b"]["holder"])
    begun = time.time()
    ring.lab.kill(node, "partition")
    time.sleep(5)
    by_address: dict[str, int] = {}
    for call in ring.associations(begun):
        allocation = str(call["params"]["AllocationId"])
        by_address[allocation] = by_address.get(allocation, 0) + 1
    assert all(count <= 1 for count in by_address.values()), by_address
    for slot, gateway in found.items():
        holding = [n for n in ring.alive() if ring.role(n, str(gateway["name"])) == "holding"]
        assert len(holding) == 1, (slot, holding)
        assert out_under(ring, f"client-{slot}", str(gateway["public_address"]))
    ring.lab.mend(node)
    at_home(ring)


def test_rolling_upgrade(ring: Cluster) -> None:
    """`deploy` of a changed template replaces all nodes one after the other, and no client of any zone notices."""
    before = at_home(ring)
    toml = ring.directory / "evernat.toml"
    toml.write_text('tags = {colour = "green"}\n' + toml.read_text())
    hosts = [Host(f"client-{slot}", MANY) for slot in NEXT]
    with server(ring.lab), Load(ring.lab, hosts, 0.25) as load:
        ring.evernat("deploy", "--yes")
        kept(load)
    after = at_home(ring)
    assert not {g["holder"] for g in before.values()} & {g["holder"] for g in after.values()}
