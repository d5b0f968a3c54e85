"""No packet of a client leaves with another address: what waits, what is guarded, and when the switch is renewed."""

from __future__ import annotations

from typing import Any

import pytest

from evernat.agent import elect
from evernat.agent.cluster_model import Beat, Member, Prepare, Record, Role
from evernat.agent.machine import packets
from evernat.agent.rules import LASTING
from evernat.scenario.node import PULSE

from .support import MINE, NOW, OPEN, holder, observed, standby


def rules(state: Any, seen: Any) -> Any:
    return packets.rules(state, seen, NOW)


@pytest.mark.parametrize(
    ("beats", "record_at", "held"),
    [
        (standby(), NOW, False),
        (standby(holds={"main": ""}), NOW, True),
        (standby(0.31), NOW, True),
        (standby(1.6), NOW, False),
        (standby(1.6), NOW - 1, True),
        (standby(4.9), NOW - 60, True),
        (standby(5.1), NOW - 60, False),
        (standby(0.31, draining=True), NOW, True),
        (standby(0.31, draining=True, leaving=True), NOW, False),
        ({}, NOW, False),
    ],
)
def test_a_shared_address_waits_while_another_may_take_it(
    beats: dict[str, Beat], record_at: float, held: bool
) -> None:
    """It does when a peer claims, and when one fell silent until a later poll confirms that it took nothing."""
    record = MINE._replace(at=record_at)
    seen = observed(beats=beats, records={"main": record})
    assert bool(rules(holder(0, record=record), seen).held) is held
    assert not rules(holder(1, record=record), seen).held, (
        "an address of its own leads nowhere without its Elastic IP"
    )


@pytest.mark.parametrize(
    ("awake", "record_at", "held"),
    [(0.2, 0.0, True), (0.4, 0.1, True), (1.7, 0.1, False), (5.1, 4.0, False)],
)
def test_who_was_silent_before_a_jump_of_the_clock_is_not_dead(
    awake: float, record_at: float, held: bool
) -> None:
    """It may be taking the address, until it is heard, a later poll shows that it did not, or it has been dead long."""
    record = MINE._replace(at=NOW - record_at)
    seen = observed(beats=standby(3600), awake=NOW - awake, records={"main": record})
    assert bool(rules(holder(0, record=record), seen).held) is held
    gone = Member("i-other", "b", "10.0.1.5", "terminated", "")
    assert not rules(holder(0, record=record), seen._replace(members={"i-other": gone})).held


@pytest.mark.parametrize("place", [0, 1])
def test_it_is_offered_when_nothing_can_leave_with_another_address(place: int) -> None:
    """A handover of a shared address waits for the kernel to hold the clients back."""
    handing = holder(place, role=Role.HANDING, since=NOW - 0.1, to="i-other")
    ending = OPEN._replace(ending=OPEN.open)
    drained = observed(drained=frozenset({"main"}), loaded=ending)
    assert bool(elect.speak(handing, drained, NOW).offers) is (place == 1)
    assert rules(handing, drained).held == (OPEN.open if place == 0 else frozenset())
    held = drained._replace(loaded=ending._replace(held=OPEN.open))
    assert elect.speak(handing, held, NOW).offers == {"main": "i-other"}


@pytest.mark.parametrize(("awake", "offered"), [(60.0, True), (1.1, True), (0.2, False)])
def test_a_jump_of_the_clock_does_not_drain(awake: float, offered: bool) -> None:
    """Without the kernel's answer it is offered after a second, in which this process must have run."""
    handing = holder(0, role=Role.HANDING, since=NOW - 60, to="i-other")
    seen = observed(loaded=OPEN, awake=NOW - awake)
    assert bool(elect.speak(handing, seen, NOW).offers) is offered


@pytest.mark.parametrize(("ago", "guarded"), [(0.02, True), (1.9, True), (2.1, False)])
def test_only_who_would_be_taken_over_is_guarded(ago: float, guarded: bool) -> None:
    """Without another node the kernel goes on forwarding while its agent restarts."""
    assert bool(rules(holder(), observed(beats=standby(ago))).guarded) is guarded
    assert not rules(holder(), observed(beats={})).guarded


@pytest.mark.parametrize(
    ("awake", "listed", "state", "guarded"),
    [
        (1.9, 0.0, "", True),
        (1.9, NOW - 1, "running", True),
        (1.9, NOW - 1, "terminated", False),
        (1.9, NOW - 1, "", False),
        (2.1, NOW - 1, "running", False),
    ],
)
def test_who_has_just_begun_could_not_hear_anybody_yet(
    awake: float, listed: float, state: str, guarded: bool
) -> None:
    """A node that AWS lists may be stuck, and take the gateway from who is stuck next."""
    members = {"i-other": Member("i-other", "b", "10.0.1.5", state, "")} if state else {}
    seen = observed(beats={}, awake=NOW - awake, listed=listed, members=members)
    assert bool(rules(holder(), seen).guarded) is guarded


@pytest.mark.parametrize(
    ("ago", "loaded", "told", "goes_on"),
    [
        (0.02, True, None, False),
        (1.74, True, None, False),
        (1.76, True, None, True),  # it will soon, and who comes now must have heard so
        (0.02, False, None, True),
        (0.02, True, False, True),  # what the kernel is being told comes into force without us
        (0.02, False, True, True),
    ],
)
def test_it_says_when_packets_go_on_without_it(
    ago: float, loaded: bool, told: bool | None, goes_on: bool
) -> None:
    """By everything that may be in force when it falls silent, and somewhat before that is so."""
    there = {
        guarded: OPEN._replace(guarded=OPEN.open if guarded else frozenset()) for guarded in (True, False)
    }
    busy = frozenset() if told is None else frozenset({Prepare(there[told])})
    observation = observed(beats=standby(ago), loaded=there[loaded], busy=busy)
    assert elect.speak(holder(), observation, NOW).unguarded == (OPEN.open if goes_on else frozenset())


def test_who_shuts_down_is_given_as_long_as_its_kernel_goes_on() -> None:
    """The kernel's, the simulator's and the decisions' seconds are one."""
    lasting = float(LASTING.removesuffix("ms")) / 1000
    assert lasting == PULSE
    assert lasting < elect.SWITCH < lasting + 0.1


def test_after_a_stall_the_switch_waits_for_news() -> None:
    """The gateway may be another's by now: a poll, or those who could have taken it, must say that it is not."""
    able = {"i-other": Member("i-other", "a", "172.18.128.20", "running", "2026")}
    woken = observed(awake=NOW - 0.01, members=able)
    old = MINE._replace(at=NOW - 1)
    state = holder(record=old)
    silent = woken._replace(beats=standby(0.5), records={"main": old})
    assert not packets.renews(state, silent, NOW)
    assert packets.renews(holder(), silent, NOW), "a poll that began afterwards"
    heard = silent._replace(beats=standby(0.005))
    assert packets.renews(state, heard, NOW), "the other one speaks, and stands by"
    starting = heard._replace(beats=standby(0.005, ready={}))
    assert not packets.renews(state, starting, NOW), "one that was just started does not know what it has"
    assert not packets.renews(
        state, heard._replace(beats=standby(0.005, holds={"main": "as-2"}, follows={})), NOW
    )
    elsewhere = heard._replace(beats=standby(0.005, follows={"main": "as-2"}))
    assert not packets.renews(state, elsewhere, NOW), "it stands by for one that we never heard of"
    assert not packets.renews(state, silent._replace(beats={}), NOW), "nobody to ask"
    third = {**able, "i-3": Member("i-3", "a", "172.18.128.21", "running", "2026")}
    assert not packets.renews(state, heard._replace(members=third), NOW), "one that may have it says nothing"


def test_the_switch_is_of_this_process() -> None:
    """An agent that was started again renews nothing before it has told the kernel what it believes."""
    assert not packets.renews(holder(), observed(loaded=None), NOW)
    lost = holder(record=Record("as-2", "i-other", "eni-other", "203.0.113.7", "", NOW))
    assert not packets.renews(lost, observed(), NOW), "the kernel still lets out what is no longer ours"


def test_the_new_holders_word_is_believed() -> None:
    """A node without a way to the API learns from who took its gateway: that one names the association that is over."""
    taken = standby(ready={}, holds={"main": "as-2"}, ended={"main": "as-me"})
    gate = elect.step(holder(0), observed(beats=taken), NOW)[0].gates["main"]
    assert (gate.role, gate.cause) == (Role.SYNCING, "i-other has it")
    assert gate.record
    assert gate.record.instance == "i-other"


@pytest.mark.parametrize(
    "beat",
    [
        {"holds": {"main": "as-1"}},
        {"holds": {"main": "as-1"}, "ended": {"main": "as-0"}},
        {"holds": {"main": ""}, "ended": {"main": "as-me"}},
        {"holds": {}, "ended": {"main": "as-me"}},
    ],
)
def test_a_former_holders_word_is_not(beat: dict[str, Any]) -> None:
    """Who wakes up and says what was true before names no association of ours as over."""
    assert elect.step(holder(0), observed(beats=standby(**beat)), NOW)[0].gates["main"].role is Role.HOLDING


def test_an_older_poll_does_not_undo_the_word() -> None:
    """What the new holder said is newer than a poll that began before."""
    taken = standby(ready={}, holds={"main": "as-2"}, ended={"main": "as-me"})
    state = elect.step(holder(0), observed(beats=taken), NOW)[0]
    later = observed(beats=taken, records={"main": MINE._replace(at=NOW - 0.5)})
    assert elect.step(state, later, NOW + 0.1)[0].gates["main"].role is Role.SYNCING


def test_a_claim_says_what_is_over() -> None:
    """Who takes a gateway tells the association that it ended, or the last one that it knew of."""
    theirs = MINE._replace(association="as-1", instance="i-other", interface="eni-other")
    waiting = holder(role=Role.STANDBY, record=theirs)
    gone = standby(0.5, holds={"main": "as-1"})
    claiming, _ = elect.step(waiting, observed(beats=gone, records={"main": theirs}), NOW)
    assert claiming.gates["main"].ended == "as-1"
    taking, _ = elect.step(
        claiming, observed(beats=gone, records={"main": MINE._replace(at=NOW + 1)}), NOW + 1
    )
    assert elect.speak(taking, observed(), NOW + 1).ended == {"main": "as-1"}
