"""What a node tells of its gateways, and when."""

from __future__ import annotations

import json
from typing import Any

from evernat.agent import cluster_report
from evernat.agent.cluster_model import Beat, Role, Seen, State
from evernat.agent.cluster_report import Told, due, report
from evernat.agent.contract import REPORT_EVERY as EVERY
from tests.cluster.test_elect import MINE, NOW, THEIRS, at, seen

SERVING = {"main": {"role": "serve", "synced": True, "lag_ms": 0.21, "entries": 1234}}
READY = Beat("i-b", "b", NOW, ready={"main": 5.0})


def holder(**more: Any) -> tuple[State, Seen]:
    """A node in slot a that took the gateway thirty seconds ago, with a standby."""
    state = at(Role.HOLDING, MINE, "a", taken=NOW - 30, why="i-old is silent for 0.46 s", **more)
    return state, seen(MINE, beats={"i-b": READY})


def again(state: State, now_seen: Seen, copies: cluster_report.Copies = SERVING, after: float = 1.0) -> bool:
    """Whether there is something to report a while after what `holder` told."""
    told = due(*holder(), SERVING, {}, NOW)
    return bool(due(state, now_seen, copies, told, NOW + after))


def test_what_is_told() -> None:
    """Since when, by whom it is backed, how the copying goes, when and why it was taken; as plain values."""
    told = report(*holder(), SERVING, NOW, 1_800_000_000.0)
    gateway = json.loads(json.dumps(told))["gateways"]["main"]
    assert told["at"] == "2027-01-15T08:00:00Z"
    assert (gateway["since"], gateway["taken"]) == ("2027-01-15T07:59:50Z", "2027-01-15T07:59:30Z")
    assert (gateway["holder"], gateway["standby"], gateway["sync"]) == ("i-me", ["i-b"], SERVING["main"])
    assert gateway["why"] == "i-old is silent for 0.46 s"


def test_only_the_holder_tells() -> None:
    """Who has it by AWS's record and by its proof, and nobody else: never on the way to it."""
    assert set(due(*holder(), SERVING, {}, NOW)) == {"main"}
    for role in set(Role) - {Role.HOLDING}:
        assert due(at(role, THEIRS, "a"), seen(), SERVING, {}, NOW) == {}


def test_nothing_new() -> None:
    """Figures alone are no news: they go with the next report, EVERY seconds after the last."""
    moved = {"main": {**SERVING["main"], "lag_ms": 9.0, "entries": 7}}
    beating = holder()[1]._replace(beats={"i-b": READY._replace(at=NOW + EVERY - 1)})
    assert not again(holder()[0], beating, moved, EVERY - 1)
    assert again(holder()[0], beating, moved, EVERY)


def test_news() -> None:
    """Held anew, another standby or none, or the copying changed: told at once."""
    state, there = holder()
    gate = state.gates["main"]
    assert again(state._replace(gates={"main": gate._replace(since=NOW)}), there)
    assert again(state, there._replace(beats={}))
    assert again(state, there._replace(beats={"i-c": READY._replace(instance="i-c")}))
    assert again(state, there, {"main": {**SERVING["main"], "synced": False}})
    assert again(state, there, {})


def test_what_failed_waits() -> None:
    """What was tried counts as told, whatever came of it."""
    assert due(*holder(), SERVING, {}, NOW)["main"].at == NOW
    assert due(*holder(), SERVING, {"main": Told()}, NOW) != {}
