"""A ring: each zone's gateway outlives its node on the next zone's."""

from __future__ import annotations

import time
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
    ring.whole()
    found = by_home(ring)
    assert {slot: g["holder_slot"] for slot, g in found.items()} == {slot: slot for slot in NEXT}
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
