"""A holder that looks alive and does not forward: repaired, or handed over, and no connection is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from evernat.lab.checks import until
from evernat.lab.probing import watching
from tests.broken import FOREIGN, REPAIRED

from .cluster import Cluster, deployed, kept, out_under

pytestmark = pytest.mark.timeout(180)

BACK = 15.0
"""Seconds within which clients are back when the standby has to take over."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with deployed("pair", 2, tmp_path_factory.mktemp("pair")) as made:
        yield made


def gateway(pair: Cluster) -> dict[str, Any]:
    """The pair's gateway once it is whole."""
    return pair.whole(60)["main"]


@pytest.mark.parametrize("how", REPAIRED)
def test_what_the_node_can_repair_it_repairs(pair: Cluster, how: str) -> None:
    """Rules, forwarding, addresses, routes: the gateway stays where it is, and connections go on."""
    before = gateway(pair)
    with pair.load(("client-b",)) as load:
        with watching(pair.lab, "client-a") as seen:
            pair.lab.disturb(before["holder"], how)  # type: ignore[arg-type]
            kept(load)
        assert seen.stream_alive
        kept(load)
    assert gateway(pair)["holder"] == before["holder"]
    print(f"{how}: longest gap {seen.longest_gap:.2f} s")


@pytest.mark.parametrize("how", FOREIGN)
def test_a_foreign_chain_is_named_and_the_gateway_handed_over(pair: Cluster, how: str) -> None:
    """What another program drops the node does not touch: the standby takes over, and the cause says whose it is."""
    before = gateway(pair)
    with pair.load(("client-b",)) as load:
        with watching(pair.lab, "client-a") as seen:
            pair.lab.disturb(before["holder"], how)  # type: ignore[arg-type]
            assert pair.handed(before["holder"], "main") == before["standby"]
            kept(load)
        assert seen.stream_alive
        assert FOREIGN[how] in pair.lab.call("console", node=before["holder"])
        assert pair.agent(before["holder"])["gateways"]["main"]["standby"] == []
        pair.lab.call("mend", node=before["holder"])
        gateway(pair)
        kept(load)
    print(f"{how}: longest gap {seen.longest_gap:.2f} s")


@pytest.mark.parametrize("what", ["internet", "places"])
def test_without_the_internet_it_is_handed_over(pair: Cluster, what: str) -> None:
    """The AWS API answers, but no client gets out: for the holder alone."""
    before = gateway(pair)
    pair.lab.separate(what, before["holder"])
    assert pair.handed(before["holder"], "main") == before["standby"]
    assert until(lambda: out_under(pair, "client-a", pair.public), BACK)
    pair.lab.call("clear_faults")
    gateway(pair)


def test_one_place_of_the_internet_is_enough(pair: Cluster) -> None:
    """That one place does not answer is that place's matter."""
    before = gateway(pair)
    pair.lab.separate("1.1.1.1")
    pair.lab.separate("checkip")
    seconds = {"n": 0}

    def checked_again() -> bool:
        told = pair.agent(before["holder"])["gateways"]["main"]
        seconds["n"] += told["egress"]["ok"] is True
        return seconds["n"] > 12

    assert until(checked_again, 60, 1.0)
    assert gateway(pair)["holder"] == before["holder"]
    pair.lab.call("clear_faults")


def test_when_nobody_gets_out_nothing_moves(pair: Cluster) -> None:
    """The internet is at fault: the gateway stays, and clients are back when it is."""
    before = gateway(pair)
    pair.lab.separate("internet")

    def failing(node: str) -> bool:
        told = pair.agent(node)
        return bool(told) and told["egress"]["hop"] == "beyond"

    assert until(lambda: failing(before["holder"]) and failing(before["standby"]), 30)
    assert pair.role(before["holder"], "main") == "holding"
    pair.lab.call("clear_faults")
    assert gateway(pair)["holder"] == before["holder"]
    assert until(lambda: out_under(pair, "client-a", pair.public), 10)


def test_the_source_check_is_turned_off_again(pair: Cluster) -> None:
    """Somebody turned it on: clients are back within seconds, here or at the standby."""
    before = gateway(pair)
    with pair.load(("client-b",)) as load:
        pair.lab.disturb(before["holder"], "check-on")
        assert until(lambda: out_under(pair, "client-a", pair.public), 2 * BACK)
        kept(load)
    gateway(pair)
