"""What follows when clients do not get out through a node."""

from __future__ import annotations

from typing import Any

import pytest

from evernat.agent import elect
from evernat.agent.cluster_model import OWN, Complete, Point, Replace, Role, Route
from evernat.agent.machine import fitness
from evernat.agent.values import Egress

from .support import FAILED, MINE, NOW, PASSED, PUBLIC, TABLES, holder, observed, standby


def ways(gateway: Egress, own: Egress = PASSED) -> dict[str, Egress]:
    return {"main": gateway, OWN: own}


def role(state: Any, seen: Any) -> Role:
    return elect.step(state, seen, NOW)[0].gates["main"].role


def replaced(state: Any, seen: Any) -> bool:
    return any(isinstance(action, Replace) for action in elect.step(state, seen, NOW)[1])


@pytest.mark.parametrize("hop", ["own table", "foreign forward chain", "route", "address", "check", "beyond"])
def test_a_holder_whose_check_fails_gives_the_gateway_away(hop: str) -> None:
    """Whatever the hop: clients do not get out here, and would there."""
    failing = holder(failed=NOW - 5)
    gate = elect.step(failing, observed(egress=ways(FAILED._replace(hop=hop))), NOW)[0].gates["main"]
    assert (gate.role, gate.to) == (Role.HANDING, "i-other")
    assert hop in gate.cause


@pytest.mark.parametrize(
    ("beat", "why"),
    [
        ({"egress": -1.0}, "its own check fails"),
        ({"egress": 8.0}, "its own check passed before ours failed"),
        ({"egress": 0.1}, "ours has not failed since: the internet may be back"),
        ({"ready": {}}, "it is not ready"),
        ({"draining": True}, "it is going itself"),
    ],
)
def test_it_is_given_to_nobody_who_might_fail_too(beat: dict[str, Any], why: str) -> None:
    """A standby must have passed a check that began after the holder's failed; else the internet may be at fault."""
    failing = holder(failed=NOW - 5)
    assert role(failing, observed(egress=ways(FAILED), beats=standby(**beat))) is Role.HOLDING, why


def test_one_check_that_fails_is_none() -> None:
    """A packet may get lost: the last check must have begun FAIL seconds after the first that failed."""
    young = holder(failed=NOW - 0.5 - fitness.FAIL + 0.1)
    assert role(young, observed(egress=ways(FAILED))) is Role.HOLDING
    assert role(holder(failed=NOW - 5), observed(egress=ways(PASSED))) is Role.HOLDING


def test_what_never_worked_here_does_not_go_back_and_forth() -> None:
    """A gateway that no check of ours passed for stays a minute: the other node may have given it away for that."""
    new = holder(failed=NOW - 5, passed=0.0, since=NOW - 20, taken=NOW - 21)
    assert role(new, observed(egress=ways(FAILED))) is Role.HOLDING
    old = holder(failed=NOW - 55, passed=0.0, since=NOW - 60)
    assert role(old, observed(egress=ways(FAILED))) is Role.HANDING


def test_failing_checks_are_repeated_soon() -> None:
    """While one fails the way out is checked every second."""
    assert elect.looks(holder(), observed(), NOW)["egress"] == fitness.EVERY
    assert elect.looks(holder(failed=NOW - 1), observed(), NOW)["egress"] == fitness.AGAIN
    assert elect.looks(holder()._replace(failed=NOW - 1), observed(), NOW)["egress"] == fitness.AGAIN


def test_a_standby_that_does_not_get_out_is_not_ready() -> None:
    """What it says to its peers: a gateway must not come to it."""
    waiting = holder(role=Role.STANDBY, record=MINE._replace(interface="eni-other", instance="i-other"))
    assert elect.speak(waiting, observed(), NOW).ready
    for own in (FAILED, PASSED._replace(at=NOW - 16)):
        said = elect.speak(waiting, observed(egress={OWN: own}), NOW)
        assert (said.ready, said.egress) == ({}, -1.0)


def test_a_standby_that_never_got_out_does_not_pass_its_hook() -> None:
    """The launch hook of a standby is answered after its own way out has passed once."""
    record = MINE._replace(association="as-1", interface="eni-other", instance="i-other")
    waiting = holder(role=Role.STANDBY, record=record)
    seen = observed(records={"main": record}, hook="", egress={OWN: FAILED})
    assert not any(isinstance(a, Complete) for a in elect.step(waiting._replace(passed=0.0), seen, NOW)[1])
    assert Complete("CONTINUE") in elect.step(waiting, seen, NOW)[1]


@pytest.mark.parametrize("place", [0, 1])
def test_a_node_that_only_itself_can_blame_is_replaced(place: int) -> None:
    """After a minute without a way out for its clients, while its own way or a peer's is open."""
    late, young = (holder(place, failed=NOW - s)._replace(outdone=NOW - s) for s in (61, 59))
    nobody = standby(ready={}, egress=-1.0)
    assert replaced(late, observed(egress=ways(FAILED), beats=nobody))
    assert not replaced(young, observed(egress=ways(FAILED), beats=nobody))
    assert replaced(late, observed(egress=ways(FAILED, FAILED), beats=standby(ready={})))


def test_nobody_is_replaced_while_the_internet_is_at_fault() -> None:
    """When no node reaches it."""
    late = holder(failed=NOW - 600)._replace(failed=NOW - 600, outdone=NOW - 600)
    for beats in ({}, standby(ready={}, egress=-1.0), standby(9.0, ready={})):
        assert not replaced(late, observed(egress=ways(FAILED, FAILED), beats=beats))


def test_when_the_internet_is_back_nobody_is_replaced() -> None:
    """However long it was gone: a node must fail for a minute while others get out, not before."""
    dark = holder(failed=NOW - 600)._replace(failed=NOW - 600)
    seen = observed(egress=ways(FAILED, FAILED), beats=standby(ready={}))
    state, actions = elect.step(dark, seen, NOW)
    assert (state.outdone, [a for a in actions if isinstance(a, Replace)]) == (NOW, [])
    assert elect.step(state, observed(egress=ways(PASSED)), NOW + 1)[0].outdone == 0.0


def test_a_useless_standby_is_replaced() -> None:
    """Also one that holds nothing; but where its public address may be on its way, only after ten minutes."""
    record = MINE._replace(association="as-1", interface="eni-other", instance="i-other")
    for place, failed, expected in ((1, 61, True), (0, 61, False), (0, 601, True), (1, 59, False)):
        waiting = holder(place, role=Role.STANDBY, record=record)
        waiting = waiting._replace(failed=NOW - failed, outdone=NOW - failed)
        seen = observed(records={"main": record}, egress={OWN: FAILED})
        assert replaced(waiting, seen) is expected, (place, failed)


def test_asked_once_it_is_not_asked_again_at_once() -> None:
    """The answer, also a refusal, says when to ask again."""
    late = holder(failed=NOW - 61)._replace(outdone=NOW - 61)
    seen = observed(egress=ways(FAILED), beats=standby(ready={}))
    assert not replaced(late, seen._replace(replaced=NOW + 1))
    assert not replaced(late._replace(leaving=NOW - 1), seen)


@pytest.mark.parametrize(
    ("route", "way", "taken"),
    [
        (Route(False, NOW - 1, foreign=True), FAILED, False),
        (Route(False, NOW - 1, foreign=True), PASSED._replace(address=PUBLIC), True),
        (Route(False, NOW - 1, foreign=True), PASSED._replace(address="192.0.2.9"), False),
        (Route(False, NOW - 1), FAILED, True),
        (None, FAILED, False),
    ],
)
def test_a_route_to_what_works_is_taken_after_the_proof(
    route: Route | None, way: Egress, taken: bool
) -> None:
    """One that nobody serves, or a node of ours did, is taken at once: there clients wait for us."""
    routes = {table: route for table in TABLES if route}
    taking = holder(role=Role.TAKING, since=NOW - 1, taken=NOW - 2, changed=NOW - 1)
    actions = elect.step(taking, observed(routes=routes, egress={OWN: PASSED, "main": way}), NOW)[1]
    assert [a for a in actions if isinstance(a, Point)] == [Point(t, "as-me") for t in TABLES if taken]
