"""Looks in the background: how many may be under way."""

from __future__ import annotations

from typing import Any

import pytest

from evernat.agent import cluster, elect
from evernat.agent.cluster import AT_ONCE, MOST, Agent
from evernat.scenario import looks

NOW = 100.0


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One that asks for records all the time, and whose looks hang."""
    made: Any = object.__new__(Agent)
    made.state = made.seen = None
    made.times, made.running = {}, {}
    made._thread = lambda *_: True
    monkeypatch.setattr(elect, "looks", lambda *_: {"records": 0.05})
    return made


def test_looks_that_hang_do_not_count(agent: Any) -> None:
    """When an address moves all looks under way may hang until their timeout: a second later fresh ones begin."""
    for turn in range(10):
        agent._look(NOW + turn * 0.05, False)
    assert len(agent.running["records"]) == AT_ONCE
    agent._look(NOW + 1.01, False)
    assert len(agent.running["records"]) == AT_ONCE + 1
    for turn in range(1000):
        agent._look(NOW + 2 + turn * 0.05, False)
    assert len(agent.running["records"]) == MOST


def test_the_simulation_does_the_same() -> None:
    """Its nodes look as the agent does."""
    ours, theirs = vars(cluster), vars(looks)
    assert all(ours[name] == theirs[name] for name in ("AT_ONCE", "HANGS", "MOST"))
