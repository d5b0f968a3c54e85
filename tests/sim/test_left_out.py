"""What the simulation leaves out to be fast would have shown nothing: rounds without a decision, looks without news."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from evernat.scenario import looks, play
from evernat.scenario.node import Node, gist
from evernat.scenario.reads import READS, take
from evernat.scenario.steady import rested
from tests.sim.schedule import schedule

SEEDS = range(1, 151)


@pytest.fixture(autouse=True)
def rest_of_whole_agents() -> None:
    """Schedules start from stacks that came to rest without any of this."""
    for topology, address in itertools.product(("single", "pair", "ring", "ring2"), ("own", "shared")):
        rested(topology, address)


def test_rounds_that_are_left_out_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Played all the same, every 50 ms, they change no role, ask for nothing and say nothing new."""
    promised: dict[Node, float] = {}
    extra = 0
    rest, decide, wake, soon, hear = looks.rest, Node._decide, Node.wake, Node.soon, Node.hear

    def promise(node: Node) -> float:
        promised[node] = node.world.now + rest(node) - 2 * looks.TURN
        return looks.TURN

    def told(node: Node, at: float = 0.0) -> None:
        promised[node] = min(promised.get(node, 0.0), at)

    def checked(node: Node) -> bool:
        nonlocal extra
        said = node.said
        until = promised.get(node, 0.0)
        left_out = node.world.now < until - 1e-6
        acted = decide(node)
        told = (node.id, node.state, node.seen)
        if left_out:
            extra += 1
            assert not acted, (*told, node.world.now, until)
            assert said
            assert node.said
            assert gist(said[0]) == gist(node.said[0])
        return acted

    def first(told_at: Any, method: Any) -> Any:
        return lambda node, *words: (told_at(node, *words), method(node, *words))[1]

    monkeypatch.setattr(looks, "rest", promise)
    monkeypatch.setattr(Node, "_decide", checked)
    for name, method in (("wake", wake), ("soon", soon), ("hear", hear)):
        monkeypatch.setattr(Node, name, first(told, method))
    for seed in SEEDS:
        promised.clear()
        assert play(schedule(seed)).broken is None
    assert extra > 100 * len(SEEDS)


def test_looks_that_are_left_out_show_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever a node decides, what it would have looked up meanwhile is what it knows."""
    decide = Node._decide
    extra = 0

    def checked(node: Node) -> bool:
        nonlocal extra
        for name in node.idle:
            if name in READS and node.shown.get(name, 0.0) > looks.changed(node, name):
                shown = READS[name](node, node.world.now - node.world.cloud.stale, node.local)
                seen, newest = node.seen, dict(node.newest)
                assert not take(node, shown, node.local), (node.id, name)
                node.seen, node.newest = seen, newest
                extra += 1
        return decide(node)

    monkeypatch.setattr(Node, "_decide", checked)
    for seed in SEEDS:
        assert play(schedule(seed)).broken is None
    assert extra > 10 * len(SEEDS)
