"""The observation that began last wins, for every fact."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from evernat.agent.cluster_model import Member, Record, Route, Seen
from evernat.agent.node.merge import merge
from evernat.agent.values import Egress

NOTHING = Seen("i-me", "eni-me", (), 0.0)


def record(at: float) -> Record:
    return Record(f"as-{at:.0f}", "", "", "", "", at)


FACTS: dict[str, Any] = {
    "members": lambda at: {"i": Member("i", "a", "", f"state {at}", "")},
    "listed": lambda at: at,
    "targets": lambda at: {"name:web": f"10.0.0.{at:.0f}"},
    "faults": lambda at: (f"fault {at}",),
    "checked": lambda at: at > 1,
    "notice": lambda at: f"notice {at}",
    "synced": lambda at: frozenset({str(at)}),
    "loaded": lambda at: None,
    "hook": lambda at: str(at),
    "records": lambda at: {"main": record(at)},
    "routes": lambda at: {"rtb-1": Route(True, at)},
    "egress": lambda at: {"main": Egress(at)},
}


@pytest.mark.parametrize("fact", FACTS)
def test_an_older_answer_that_comes_late_changes_nothing(fact: str) -> None:
    """In whatever order three answers come in, the one that was asked for last stays."""
    for order in itertools.permutations((1.0, 2.0, 3.0)):
        seen, newest = NOTHING, dict[str, float]()
        for at in order:
            seen = merge(seen, at, {fact: FACTS[fact](at)}, newest)
        assert getattr(seen, fact) == FACTS[fact](3.0), order


def test_members_and_when_they_were_listed_go_together() -> None:
    """D3: `listed` never goes back, and never stands beside members of another poll."""
    seen, newest = NOTHING, dict[str, float]()
    for at in (10.0, 5.0):
        seen = merge(seen, at, {"members": FACTS["members"](at), "listed": at}, newest)
    assert (seen.listed, seen.members) == (10.0, FACTS["members"](10.0))


@pytest.mark.parametrize("order", [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)])
def test_stop_is_never_lost(order: tuple[float, float]) -> None:
    """D4: SIGTERM and a spot notice in one batch, whichever comes first: the process is to end."""
    for first, second in itertools.permutations(("stop", "spot/instance-action")):
        newest: dict[str, float] = {}
        seen = merge(NOTHING, order[0], {"notice": first}, newest)
        seen = merge(seen, order[1], {"notice": second}, newest)
        assert seen.notice == "stop", (order, first)


def test_the_answer_to_a_write_is_newer_than_a_poll_under_way() -> None:
    """Key by key: one gateway's record of our own does not hold up the others'."""
    newest: dict[str, float] = {}
    seen = merge(NOTHING, 5.0, {"records": {"a": record(5.0)}}, newest)
    seen = merge(seen, 4.0, {"records": {"a": record(4.0), "b": record(4.0)}}, newest)
    assert seen.records == {"a": record(5.0), "b": record(4.0)}
