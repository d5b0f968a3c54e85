"""A claim or handover in which the API or another node fails half-way: one change of owner, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from evernat.lab.checks import until

from .cluster import Cluster, deployed, kept, out_under

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with deployed("pair", 2, tmp_path_factory.mktemp("claims")) as made:
        yield made


def gateway(pair: Cluster) -> dict[str, Any]:
    """The pair's gateway once it is whole."""
    return pair.whole()["main"]


def converged(pair: Cluster, before: dict[str, Any], begun: float) -> None:
    """The standby has the gateway, under its address, whole again, and it moved once."""
    after = gateway(pair)
    assert (after["holder"], after["public_address"]) == (before["standby"], pair.public)
    assert len(pair.associations(begun)) == 1


TAKEOVERS: dict[str, list[dict[str, Any]]] = {
    "released, then cut off, then no answer": [
        {"action": "AssociateAddress", "kind": "drop-before", "times": 2},
        {"action": "AssociateAddress", "kind": "drop-after", "nth": 3},
    ],
    "released, no answer, then throttled": [
        {"action": "DisassociateAddress", "kind": "drop-after"},
        {"action": "ec2:*", "kind": "throttle", "times": 12, "nth": 2},
    ],
    "slow": [{"action": "ec2:*", "kind": "delay", "seconds": 1.0, "times": -1}],
}


@pytest.mark.parametrize("how", TAKEOVERS)
def test_takeover(pair: Cluster, how: str) -> None:
    """A takeover comes to its end whatever the API does to it, and every connection is kept."""
    before, begun = gateway(pair), time.time()
    with pair.load(("client-b",)) as load:
        for fault in TAKEOVERS[how]:
            pair.lab.call("fault", principal=before["standby"], **fault)
        try:
            pair.lab.kill(before["holder"], "power")
            kept(load)
        finally:
            pair.lab.call("clear_faults")
        converged(pair, before, begun)
        kept(load)


HANDOVERS: dict[str, list[dict[str, Any]]] = {
    "refused half-way, routes too": [
        {"action": "AssociateAddress", "kind": "InternalError", "times": 3},
        {"action": "ReplaceRoute", "kind": "throttle", "times": 9},
    ],
    "stale": [{"action": "DescribeAddresses", "kind": "stale", "times": -1}],
    "late": [{"action": "ec2:*", "kind": "late", "seconds": 2.0, "times": 12}],
}


@pytest.mark.parametrize("how", HANDOVERS)
def test_handover(pair: Cluster, how: str) -> None:
    """So does a handover."""
    before, begun = gateway(pair), time.time()
    with pair.load(("client-b",)) as load:
        for fault in HANDOVERS[how]:
            pair.lab.call("fault", principal=before["standby"], **fault)
        try:
            pair.failover("main")
            kept(load)
        finally:
            pair.lab.call("clear_faults")
        converged(pair, before, begun)
        kept(load)


def test_replaced_during_the_takeover(pair: Cluster) -> None:
    """The dead holder's replacement, which is up before the claim is through, does not disturb it."""
    before, begun = gateway(pair), time.time()
    with pair.load(("client-b",)) as load:
        pair.lab.call(
            "fault", action="AssociateAddress", kind="delay", seconds=5, principal=before["standby"]
        )
        pair.lab.kill(before["holder"], "power")
        fresh = until(lambda: set(pair.alive()) - {before["holder"], before["standby"]}, 10)
        assert until(lambda: pair.role(next(iter(fresh)), "main") == "standby", 10)
        assert not pair.associations(begun)
        converged(pair, before, begun)
        kept(load)


def test_taker_dies(pair: Cluster) -> None:
    """A standby that dies between the two calls of its claim leaves an address that the new nodes agree on."""
    before, begun = gateway(pair), time.time()
    pair.lab.call(
        "fault", action="AssociateAddress", kind="drop-before", times=-1, principal=before["standby"]
    )
    pair.lab.kill(before["holder"], "power")
    ec2 = pair.boto("ec2")
    assert until(lambda: "AssociationId" not in ec2.describe_addresses()["Addresses"][0], 10)
    pair.lab.kill(before["standby"], "power")
    pair.lab.call("clear_faults")
    after = gateway(pair)
    assert after["public_address"] == pair.public
    assert len(pair.associations(begun)) == 1
    assert until(lambda: out_under(pair, "client-c", pair.public), 10)


def test_standby_dies(pair: Cluster) -> None:
    """Nobody but its group notices: the holder stays, and soon has another standby."""
    before, begun = gateway(pair), time.time()
    with pair.load(("client-b",)) as load:
        pair.lab.kill(before["standby"], "power")
        kept(load)
        assert until(lambda: pair.gateways()["main"]["standby"] not in (None, before["standby"]), 30)
        after = gateway(pair)
        kept(load)
    assert (after["holder"], pair.associations(begun)) == (before["holder"], [])


def test_lossy_heartbeats(pair: Cluster) -> None:
    """A fifth of the packets between the nodes is lost: no change of owner; and one when the holder dies then."""
    before, begun = gateway(pair), time.time()
    with pair.load(("client-b",)) as load:
        for node in (before["holder"], before["standby"]):
            pair.lab.call("lose", node=node, parted=0.2)
        time.sleep(3)
        assert pair.associations(begun) == []
        pair.lab.kill(before["holder"], "power")
        kept(load)
        pair.lab.call("clear_faults")
        converged(pair, before, begun)
