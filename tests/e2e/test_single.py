"""A single node whose gateway is an address, not an interface."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evernat.lab import checks
from evernat.lab.checks import until

from .cluster import Cluster, deployed, kept

pytestmark = pytest.mark.timeout(120)

FORWARDS = """
[[port_forward]]
protocol = "tcp"
port = 8080
target = "name:client-b"
target_port = 80
sources = ["198.51.100.0/24"]
"""


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with deployed(
        "single", 1, tmp_path_factory.mktemp("single"), more='identity = "address"', end=FORWARDS
    ) as made:
        yield made


def served(single: Cluster, after: str = "") -> str:
    """Wait until a node other than `after` holds the address and proves it from the inside and the outside."""
    single.ready(after=after)
    for host in ("client-a", "client-b", "client-c"):
        results = checks.everything(single.lab, host, single.public)
        assert all(r.ok for r in results), results
    assert until(lambda: checks.forward(single.lab, single.public, 8080, "client-b").ok, 15)
    return str(single.gateway()["holder"])


def test_one_address(single: Cluster) -> None:
    """The node has the gateway's address and no other one; clients are out under it, forwards come in by it."""
    holder = served(single)
    node = next(n for n in single.lab.status()["nodes"] if n["id"] == holder)
    assert node["public_addresses"] == [single.public]
    with single.load(("client-a",)) as load:
        kept(load)


def test_heals(single: Cluster) -> None:
    """A new node takes the same address."""
    old = served(single)
    single.lab.kill(old, "power")
    assert served(single, after=old) != old
