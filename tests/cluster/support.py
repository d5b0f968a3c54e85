"""A node of a pair, and what it observes."""

from __future__ import annotations

from typing import Any

from evernat.agent import elect
from evernat.agent.cluster_model import OWN, Beat, Config, Gateway, Record, Role, Route, Rules, Seen, State
from evernat.agent.values import Egress

NOW = 100_000.0
PUBLIC = "203.0.113.7"
TABLES = ("rtb-1", "rtb-2")
MINE = Record("as-me", "i-me", "eni-me", PUBLIC, "", NOW)
OPEN = Rules(frozenset({"main"}), guarded=frozenset({"main"}))
PASSED, FAILED = Egress(NOW - 0.5), Egress(NOW - 0.5, "foreign forward chain", "ip filter FORWARD")


def gateway(place: int) -> Gateway:
    """Of a pair; `place` 0: its Elastic IP sits on the nodes' primary addresses."""
    return Gateway("main", "eipalloc-1", "a", "b", {"a": place, "b": place}, TABLES, ("10.0.0.0/16",))


def holder(place: int = 1, role: Role = Role.HOLDING, **more: Any) -> State:
    """A node in slot b that has had the gateway for a minute, and whose clients got out."""
    config = Config(
        "main", "address", "b", ("a", "b"), (gateway(place),), "g", "h", "/k", (), 4817, None, "1"
    )
    begun = elect.begin(config, NOW - 100)
    known = {
        "record": MINE,
        "since": NOW - 60,
        "changed": NOW - 60,
        "taken": NOW - 61,
        "passed": NOW - 5,
        **more,
    }
    gate = begun.gates["main"]._replace(role=role, **known)
    return begun._replace(gates={"main": gate}, passed=NOW - 5)


def standby(ago: float = 0.02, **more: Any) -> dict[str, Beat]:
    """The other node's last word: it could take the gateway, and its own way out was checked a second before."""
    known = {"ready": {"main": 60.0}, "egress": 1.0, "follows": {"main": MINE.association}, **more}
    return {"i-other": Beat("i-other", "a", NOW - ago, **known)}


def observed(**more: Any) -> Seen:
    """What a holder in working order observes."""
    base = Seen(
        "i-me", "eni-me", ("172.18.144.20", "172.18.144.21"), NOW - 100, (), False, OPEN, hook="answered"
    )
    routes = {table: Route(True, NOW - 1) for table in TABLES}
    egress = {OWN: PASSED, "main": PASSED._replace(address=PUBLIC)}
    return base._replace(records={"main": MINE}, routes=routes, egress=egress, beats=standby())._replace(
        **more
    )
