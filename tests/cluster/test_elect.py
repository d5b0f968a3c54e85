"""The decisions of a cluster node: observations in, roles and actions out."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from evernat.agent import elect
from evernat.agent.cluster_model import (
    OWN,
    Action,
    Beat,
    Complete,
    Config,
    Drain,
    Gate,
    Gateway,
    Leave,
    Member,
    Point,
    Prepare,
    Probe,
    Record,
    Release,
    Role,
    Route,
    Rules,
    Seen,
    State,
    Take,
    Uncheck,
)
from evernat.agent.machine import packets
from evernat.agent.values import Egress

NOW = 100_000.0
PUBLIC = "203.0.113.7"
GATEWAY = Gateway("main", "eipalloc-1", "a", "b", {"a": 1, "b": 1}, ("rtb-1", "rtb-2"), ("10.0.0.0/16",))
CLOSED, OPEN = Rules(), Rules(frozenset({"main"}))
MINE = Record("as-me", "i-me", "eni-me", PUBLIC, "", NOW)
THEIRS = Record("as-1", "i-other", "eni-other", PUBLIC, "", NOW)
NOBODYS = Record("", "", "", PUBLIC, "", NOW)


def config(slot: str = "b", *gateways: Gateway) -> Config:
    return Config(
        "main", "address", slot, ("a", "b"), gateways or (GATEWAY,), "g", "h", "/k", (), 4817, None, "1"
    )


def at(role: Role, record: Record | None = THEIRS, slot: str = "b", **more: Any) -> State:
    """A node that has been in a role for ten seconds."""
    begun = elect.begin(config(slot), NOW - 100)._replace(passed=NOW - 90)
    gate = begun.gates["main"]._replace(role=role, record=record, since=NOW - 10, changed=NOW - 60, **more)
    return begun._replace(gates={"main": gate})


def seen(record: Record = THEIRS, **more: Any) -> Seen:
    """What a node in working order sees."""
    addresses = ("172.18.144.20", "172.18.144.21")
    base = Seen("i-me", "eni-me", addresses, NOW - 100, (), False, loaded=CLOSED, hook="answered")
    base = base._replace(
        egress={OWN: Egress(NOW - 1)}, routes={t: Route(False, NOW - 60) for t in GATEWAY.tables}
    )
    return base._replace(records={"main": record})._replace(**more)


def heard(ago: float = 0.02, **more: Any) -> dict[str, Beat]:
    """The other's last word: it holds the gateway by its record."""
    return {"i-other": Beat("i-other", "a", NOW - ago, {"main": "as-1"})._replace(**more)}


def step(state: State, observed: Seen, now: float = NOW) -> tuple[Gate, list[Action]]:
    after, actions = elect.step(state, observed, now)
    return after.gates["main"], actions


def test_every_role_has_a_way_out_and_in() -> None:
    """The table names every role, and every role can be reached from STARTING."""
    assert set(elect.ALLOWED) == set(Role)
    reached, todo = {Role.STARTING}, [Role.STARTING]
    while todo:
        for role in elect.ALLOWED[todo.pop()] - reached:
            reached.add(role)
            todo.append(role)
    assert reached == set(Role)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(Role, Role)))
def test_what_is_not_in_the_table_raises(old: Role, new: Role) -> None:
    """A role that may not follow raises."""
    gate = Gate(GATEWAY, role=old)
    if new in elect.ALLOWED[old]:
        assert elect.become(gate, new, "test", NOW).role is new
    else:
        with pytest.raises(elect.IllegalTransitionError):
            elect.become(gate, new, "test", NOW)


def test_only_a_standby_claims_what_another_has() -> None:
    """Of the roles that do not serve, only STANDBY leads to CLAIMING."""
    waiting = {Role.STARTING, Role.SYNCING, Role.STANDBY}
    assert [role for role in waiting if Role.CLAIMING in elect.ALLOWED[role]] == [Role.STANDBY]


def test_silence_is_probed_then_believed() -> None:
    """A holder that is silent is probed first; only when that has no answer it is taken for dead."""
    gate, actions = step(at(Role.STANDBY), seen(beats=heard(0.29)))
    assert (gate.role, actions) == (Role.STANDBY, [])
    gate, actions = step(at(Role.STANDBY), seen(beats=heard(0.31)))
    assert (gate.role, actions) == (Role.STANDBY, [Probe("i-other")])
    gate, actions = step(at(Role.STANDBY), seen(beats=heard(0.46)))
    assert (gate.role, actions) == (Role.CLAIMING, [Release("main", "as-1")])
    assert "i-other is silent" in gate.cause


@pytest.mark.parametrize("role", [Role.STARTING, Role.SYNCING])
def test_who_is_not_ready_does_not_take(role: Role) -> None:
    """Without rules, or while connections are still coming, nothing is claimed."""
    faults = ("no nftables table",) if role is Role.STARTING else ()
    gate, actions = step(at(role), seen(beats=heard(0.9), faults=faults))
    assert gate.role is role
    assert not any(isinstance(a, Release | Take) for a in actions)


def test_trouble_ends_readiness() -> None:
    """A standby whose rules are gone starts over instead of claiming."""
    gate, actions = step(at(Role.STANDBY), seen(beats=heard(9), faults=("no nftables table",)))
    assert (gate.role, actions) == (Role.STARTING, [Prepare(CLOSED)])


def test_the_check_is_turned_off_apart_from_the_rules() -> None:
    """It takes a call to AWS, which may hang: rules are loaded meanwhile, and not again because of it."""
    checked = seen(checked=True)
    assert step(at(Role.STARTING), checked)[1] == [Uncheck()]
    assert step(at(Role.STARTING), checked._replace(loaded=None))[1] == [Prepare(CLOSED), Uncheck()]


def test_after_a_stall_only_watch() -> None:
    """After a stall the others' silence counts from its end, and nothing is claimed for WATCH seconds."""
    stalled = seen(beats=heard(9), awake=NOW - 0.9)
    assert step(at(Role.STANDBY), stalled)[0].role is Role.STANDBY
    assert step(at(Role.STANDBY), stalled, NOW + 0.2)[0].role is Role.CLAIMING


def test_a_stall_stops_a_claim() -> None:
    """A claim that has not released anything is dropped after a stall."""
    gate, actions = step(at(Role.CLAIMING, target="as-1"), seen(beats=heard(20), awake=NOW - 0.1))
    assert (gate.role, actions) == (Role.STANDBY, [])


def test_never_heard_never_taken() -> None:
    """A holder that was never heard as such is left alone while AWS calls it alive: one change per partition."""
    alive = {"i-other": Member("i-other", "a", "172.18.128.20", "running", "2026")}
    unheard = heard(99, holds={"main": "as-0"})
    for beats in ({}, unheard):
        loaded = Rules(members=frozenset({"172.18.128.20"}))
        gate, actions = step(at(Role.STANDBY), seen(beats=beats, members=alive, listed=NOW, loaded=loaded))
        assert (gate.role, actions) == (Role.STANDBY, [])


@pytest.mark.parametrize("state", ["shutting-down", "terminated", "stopping", "stopped"])
def test_gone_by_the_word_of_aws(state: str) -> None:
    """The gateway of an instance that AWS calls gone is claimed."""
    gone = {"i-other": Member("i-other", "a", "", state, "2026")}
    assert step(at(Role.STANDBY), seen(members=gone, listed=NOW))[0].role is Role.CLAIMING


def test_unknown_is_not_absent() -> None:
    """Without a list of instances nobody is gone; one not listed is gone only long after it appeared in the record."""
    assert step(at(Role.STANDBY), seen())[0].role is Role.STANDBY
    fresh = at(Role.STANDBY)._replace(
        gates={"main": at(Role.STANDBY).gates["main"]._replace(changed=NOW - 19)}
    )
    assert step(fresh, seen(listed=NOW))[0].role is Role.STANDBY
    assert step(at(Role.STANDBY), seen(listed=NOW))[0].role is Role.CLAIMING


def test_home_goes_first() -> None:
    """What nobody has is claimed by its home node at once, by the standby three seconds later."""
    vacant = seen(NOBODYS)
    assert step(at(Role.STANDBY, NOBODYS, "a"), vacant)[1] == [Take("main")]
    early = at(Role.STANDBY, NOBODYS)
    early = early._replace(gates={"main": early.gates["main"]._replace(changed=NOW - 2.9)})
    assert step(early, vacant)[1] == []
    assert step(early, vacant, NOW + 0.2)[1] == [Take("main")]


def test_who_has_the_connections_goes_before_home() -> None:
    """The node that copied them claims at once; a fresh one waits for one that has been ready for longer."""
    young = at(Role.STANDBY, NOBODYS)
    young = young._replace(gates={"main": young.gates["main"]._replace(changed=NOW)})
    assert step(young, seen(NOBODYS, synced=frozenset({"main"})))[1] == [Take("main")]
    fresh = at(Role.STANDBY, NOBODYS, "a")
    fresh = fresh._replace(gates={"main": fresh.gates["main"]._replace(since=NOW)})
    old = {"i-2": Beat("i-2", "b", NOW, ready={"main": 20.0})}
    assert step(fresh, seen(NOBODYS, beats=old))[1] == []
    assert step(fresh, seen(NOBODYS, beats=old, synced=frozenset({"main"})))[1] == [Take("main")]
    late = {"i-2": old["i-2"]._replace(at=NOW + 3.1)}
    assert step(fresh, seen(NOBODYS, beats=late), NOW + 3.1)[1] == [Take("main")]
    assert step(fresh, seen(NOBODYS, beats={"i-2": old["i-2"]._replace(ready={"main": 2.0})}))[1] == [
        Take("main")
    ]
    gone = seen(beats=old, members={"i-other": Member("i-other", "a", "1", "terminated", "")})
    assert step(fresh, gone)[0].role is Role.STANDBY


def test_a_slow_claim_is_left_alone() -> None:
    """What a peer is heard to claim is not claimed by a fresh node until the peer had time to finish."""
    fresh = at(Role.STANDBY, NOBODYS, "a")
    fresh = fresh._replace(gates={"main": fresh.gates["main"]._replace(changed=NOW - 10)})
    claimed = {"i-2": Beat("i-2", "b", NOW, holds={"main": ""})}
    assert step(fresh, seen(NOBODYS, beats=claimed))[1] == []
    assert step(fresh, seen(NOBODYS, beats=claimed, synced=frozenset({"main"})))[1] == [Take("main")]
    assert step(fresh, seen(NOBODYS))[1] == [Take("main")]
    late = {"i-2": claimed["i-2"]._replace(at=NOW + 6)}
    assert step(fresh, seen(NOBODYS, beats=late), NOW + 6)[1] == [Take("main")]


@pytest.mark.parametrize(
    ("place", "ago", "state", "word", "released"),
    [
        (0, 0.2, "shutting-down", {}, False),
        (0, 0.3, "shutting-down", {}, True),
        (0, 0.2, "terminated", {}, True),
        (1, 0.2, "shutting-down", {}, True),
        (0, 0.2, "shutting-down", {"main": "as-1"}, True),  # silent for longer than its kernel goes on
    ],
)
def test_a_holder_that_shuts_down_gets_time_to_stop(
    place: int, ago: float, state: str, word: dict[str, str], released: bool
) -> None:
    """It may have ended a moment ago, where it is not heard; it hears our claim, or its kernel stops by itself."""
    claiming = at(Role.CLAIMING, target="as-1")
    gate = claiming.gates["main"]
    config = gate.config._replace(places={"a": place, "b": place})
    claiming = claiming._replace(gates={"main": gate._replace(config=config, since=NOW - ago)})
    there = seen(beats=heard(3, holds=word), members={"i-other": Member("i-other", "a", "", state, "")})
    assert (Release("main", "as-1") in step(claiming, there)[1]) is released


def test_a_standby_says_whom_it_follows() -> None:
    """Until it hears that somebody else has the gateway, or is taking it."""
    waiting, there = at(Role.STANDBY), seen(beats=heard())
    assert elect.speak(waiting, there, NOW).follows == {"main": "as-1"}
    for held in ("as-2", ""):
        other = {"i-3": Beat("i-3", "a", NOW, {"main": held})}
        assert elect.speak(waiting, there._replace(beats={**there.beats, **other}), NOW).follows == {}
    assert elect.speak(at(Role.SYNCING), there, NOW).follows == {}


@pytest.mark.parametrize(("place", "claims"), [(0, False), (1, True)])
def test_a_silent_holder_that_had_not_heard_us_is_left_its_shared_address(place: int, claims: bool) -> None:
    """Nothing stops its kernel, so packets would leave with another address; until AWS says that it is gone."""
    gate = at(Role.STANDBY).gates["main"]
    fresh = at(Role.STANDBY)._replace(
        gates={"main": gate._replace(config=gate.config._replace(places={"a": place, "b": place}))}
    )
    there = seen(beats=heard(3, unguarded=frozenset({"main"})), synced=frozenset({"main"}))
    assert (step(fresh, there)[0].role is Role.CLAIMING) is claims
    gone = {"i-other": Member("i-other", "a", "172.18.128.20", "terminated", "")}
    assert step(fresh, there._replace(members=gone))[0].role is Role.CLAIMING


@pytest.mark.parametrize(("ago", "waits"), [(5.0, True), (100.0, False)])
def test_what_was_taken_to_be_given_away_is_not_taken_again_at_once(ago: float, waits: bool) -> None:
    """A node that is to go, and hears the other badly, would else take the gateway and hand it over for ever."""
    handing = at(Role.HANDING, MINE, taken=NOW - ago, to="i-other")
    given, _ = step(handing, seen(THEIRS._replace(association="as-2")))
    assert given.role is Role.SYNCING
    assert (given.until > NOW) is waits


def test_what_was_found_at_the_start_and_given_away_may_be_taken_again() -> None:
    """Also by a machine that has been up for less time than such a claim would count: it took nothing."""
    handing = at(Role.HANDING, MINE, to="i-other")
    early = handing.gates["main"]._replace(record=MINE._replace(at=35.0), since=39.0, changed=0.0)
    theirs = seen(THEIRS._replace(association="as-2", at=40.0), awake=0.0)
    given, _ = elect.step(handing._replace(gates={"main": early}), theirs, 40.0)
    assert (given.gates["main"].role, given.gates["main"].until) == (Role.SYNCING, 0.0)


def test_who_is_being_stopped_claims_nothing() -> None:
    """It says so: a holder need not fear that it takes the gateway when it falls silent."""
    leaving = at(Role.STANDBY)._replace(leaving=NOW - 0.1)
    gone = seen(beats=heard(20), synced=frozenset({"main"}), notice="stop")
    state, actions = elect.step(leaving, gone, NOW)
    assert state.gates["main"].role is Role.STANDBY
    assert actions == [Leave()]
    assert elect.speak(leaving, gone, NOW).leaving


def test_a_holder_in_doubt_keeps_resets_from_clients() -> None:
    """While a peer claims, or since it fell silent, a holder guards its clients, looks often, and stays open."""
    holding = at(Role.HOLDING, MINE)
    contested = OPEN._replace(contested=frozenset({"main"}))
    for beat, expected in (
        (Beat("i-2", "b", NOW, ready={"main": 9.0}), OPEN),
        (Beat("i-2", "b", NOW, holds={"main": ""}), contested),
        (Beat("i-2", "b", NOW - 0.4), contested),
        (Beat("i-2", "b", NOW - 6), OPEN),
        (Beat("i-2", "c", NOW - 0.4), OPEN),
    ):
        there = seen(MINE, beats={"i-2": beat})
        assert packets.rules(holding, there, NOW)._replace(guarded=frozenset()) == expected
        fast = elect.looks(holding, there, NOW)["records"] < 1
        assert fast is (expected == contested) is elect.moving(holding.gates["main"], there, NOW)
    claiming = at(Role.CLAIMING, target="as-1")
    assert elect.speak(claiming, seen(), NOW).holds == {"main": ""}


def test_the_lock_is_taken_in_two_steps() -> None:
    """A claim releases the generation it set out to end and no other, then takes what is nobody's, routes and all."""
    claiming = at(Role.CLAIMING, target="as-1")
    assert step(claiming, seen(beats=heard(20)))[1] == [Release("main", "as-1")]
    assert step(claiming, seen(NOBODYS, beats=heard(20)))[1] == [
        Take("main"),
        Point("rtb-1", ""),
        Point("rtb-2", ""),
    ]
    other = THEIRS._replace(association="as-2", instance="i-third", interface="eni-third")
    gate, actions = step(claiming, seen(other, beats=heard(20)))
    assert (gate.role, actions) == (Role.STANDBY, [])
    assert gate.until > NOW


def test_too_late_for_what_nobody_had_is_no_loss() -> None:
    """Who only asked for a free address does not back off: the one that got it may need a standby at once."""
    gate, actions = step(at(Role.CLAIMING, NOBODYS), seen(THEIRS))
    assert (gate.role, gate.cause, gate.until, actions) == (Role.STANDBY, "i-other was faster", 0.0, [])


def test_actions_about_one_gateway_differ() -> None:
    """A Take whose answer never comes keeps no Drain from beginning: what is under way is told by verb too."""
    assert len({Take("main"), Drain("main"), Complete("main"), Probe("main")}) == 4


def test_a_holder_that_is_back_keeps_it() -> None:
    """A claim ends when the holder is heard again before anything was released."""
    gate, actions = step(at(Role.CLAIMING, target="as-1"), seen(beats=heard(0.01)))
    assert (gate.role, gate.cause, actions) == (Role.STANDBY, "i-other is back", [])


def test_routes_follow_the_lock() -> None:
    """All tables are pointed here at once when the address is ours, and again if that was asked before."""
    gate, actions = step(at(Role.CLAIMING, target="as-1"), seen(MINE))
    assert gate.role is Role.TAKING
    assert actions == [Point("rtb-1", "as-me"), Point("rtb-2", "as-me")]


def test_nothing_leaves_before_the_proof() -> None:
    """A gateway that was taken opens when the internet sees its address, not when it sees another."""
    taking = at(Role.TAKING, MINE, taken=NOW - 11)
    assert (
        step(taking, seen(MINE, egress={"main": Egress(NOW, address="192.0.2.9")}))[0].role is Role.HOLDING
    )  # too late to wait
    young = taking._replace(gates={"main": taking.gates["main"]._replace(since=NOW - 1, taken=NOW - 2)})
    assert packets.rules(young, seen(MINE), NOW) == CLOSED
    for address, expected in (("192.0.2.9", Role.TAKING), ("", Role.TAKING), (PUBLIC, Role.HOLDING)):
        assert step(young, seen(MINE, egress={"main": Egress(NOW, address=address)}))[0].role is expected
    assert step(young, seen(MINE, egress={"main": Egress(NOW - 3, address=PUBLIC)}))[0].role is Role.TAKING


def test_found_at_the_start_it_stays_open() -> None:
    """An agent that starts on the holder opens nothing and closes nothing: its first rules let clients out."""
    gate, actions = step(at(Role.STARTING, None), seen(MINE, faults=("no nftables table",), loaded=None))
    assert gate.role is Role.STARTING
    assert actions == [Prepare(OPEN)]


def test_no_rules_before_the_record_is_known() -> None:
    """Until AWS's record is known, the table of an agent before us stays."""
    state = at(Role.STARTING, None)
    assert step(state, seen(faults=("no nftables table",), loaded=None)._replace(records={}))[1] == []


def test_another_owner_ends_holding_at_once() -> None:
    """Who holds and sees another one in the record stops, and does not claim for ever longer."""
    gate, _ = step(at(Role.HOLDING, MINE), seen(THEIRS, loaded=OPEN))
    assert (gate.role, gate.cause) == (Role.SYNCING, "i-other has it")
    first = gate.until - NOW
    again = at(Role.HOLDING, MINE, losses=gate.losses, until=gate.until)
    assert step(again, seen(THEIRS, loaded=OPEN))[0].until - NOW > first > 0


def test_a_holder_without_api_keeps_forwarding() -> None:
    """A record that is an hour old and silent peers change nothing for who holds."""
    old = seen(MINE._replace(at=NOW - 3600), loaded=OPEN, beats=heard(3600), listed=NOW - 3600)
    old = old._replace(routes={t: Route(True, NOW - 3600) for t in GATEWAY.tables})
    gate, actions = step(at(Role.HOLDING, MINE), old)
    assert (gate.role, actions) == (Role.HOLDING, [])


def test_one_look_that_shows_nobody_may_be_old() -> None:
    """A holder claims again only when its address has been gone for a second."""
    gate, _ = step(at(Role.HOLDING, MINE), seen(NOBODYS, loaded=OPEN))
    assert gate.role is Role.HOLDING
    state = at(Role.HOLDING)._replace(gates={"main": gate})
    assert step(state, seen(NOBODYS, loaded=OPEN), NOW + 1.1)[0].role is Role.CLAIMING


def test_what_was_only_found_is_not_clung_to() -> None:
    """An agent that was started again a moment before another one took the gateway believes the first look."""
    found = at(Role.HOLDING, MINE)
    found = found._replace(gates={"main": found.gates["main"]._replace(since=NOW - 1, changed=NOW - 1)})
    assert step(found, seen(THEIRS, loaded=OPEN))[0].role is Role.SYNCING


@pytest.mark.parametrize(("ago", "believed"), [(4.9, False), (5.1, True)])
def test_what_was_given_away_does_not_come_back(ago: float, believed: bool) -> None:
    """After the other one ended the association, a look that still shows it is an old one."""
    handing = at(Role.HANDING, NOBODYS)
    handing = handing._replace(gates={"main": handing.gates["main"]._replace(changed=NOW - ago)})
    assert (step(handing, seen(MINE, loaded=OPEN))[0].record == MINE) is believed


def test_a_stale_look_after_a_claim_is_not_believed() -> None:
    """Just after a takeover a look that still shows the former owner does not end it."""
    fresh = at(Role.TAKING, MINE)
    fresh = fresh._replace(
        gates={"main": fresh.gates["main"]._replace(since=NOW - 1, changed=NOW - 1, taken=NOW - 1)}
    )
    gate, _ = step(fresh, seen(THEIRS))
    assert gate.role is Role.TAKING
    assert gate.record == MINE


def test_another_owner_is_believed_soon_after_a_claim() -> None:
    """What is held for five seconds was seen by looks; that the role changed a moment ago does not matter."""
    held = at(Role.HOLDING, MINE)
    held = held._replace(gates={"main": held.gates["main"]._replace(since=NOW - 1, changed=NOW - 5)})
    assert step(held, seen(THEIRS, loaded=OPEN))[0].role is Role.SYNCING


@pytest.mark.parametrize(("age", "role"), [(4.9, Role.STANDBY), (5.0, Role.TAKING)])
def test_a_standby_that_finds_the_address_here_looks_again(age: float, role: Role) -> None:
    """What it may just have given away is its own only by a look that began five seconds later."""
    state = at(Role.STANDBY, MINE._replace(at=NOW - 60))
    later = seen(MINE._replace(at=NOW - 60 + age))
    assert step(state, later)[0].role is role


@pytest.mark.parametrize("role", [Role.TAKING, Role.HOLDING, Role.HANDING])
def test_what_was_ended_does_not_come_back(role: Role) -> None:
    """A look that shows the association that we ended to take the gateway is an old one, however late it comes."""
    gate, _ = step(at(role, MINE, target="as-1", to="i-other"), seen(THEIRS, loaded=OPEN))
    assert gate.record == MINE


def test_what_was_ended_is_not_ended_again() -> None:
    """After a release, a look that shows the past leads to no second one; after five seconds it is believed."""
    claiming = at(Role.CLAIMING, NOBODYS, target="as-1")
    ended = claiming._replace(gates={"main": claiming.gates["main"]._replace(changed=NOW - 4)})
    gate, actions = step(ended, seen(THEIRS, beats=heard(20)))
    assert (gate.record, actions[0]) == (NOBODYS, Take("main"))
    gate, actions = step(claiming, seen(THEIRS, beats=heard(20)))
    assert (gate.record, actions) == (THEIRS, [Release("main", "as-1")])


def test_a_handover_ends_drains_offers() -> None:
    """The order of a handover: no connection begins, then those there are are drained, then it is offered.

    So nothing begins that the other does not know, and the gap is only as long as address and routes take to move.
    """
    ending = OPEN._replace(contested=OPEN.open, ending=OPEN.open, guarded=OPEN.open)
    ready = heard(ready={"main": 5.0}, holds={})
    wished = MINE._replace(handover="a:1")
    state, actions = elect.step(at(Role.HOLDING, MINE), seen(wished, loaded=OPEN, beats=ready), NOW)
    gate = state.gates["main"]
    assert (gate.role, gate.to, actions) == (Role.HANDING, "i-other", [Prepare(ending)])
    assert elect.speak(state, seen(wished, loaded=OPEN), NOW).offers == {}
    ended = seen(wished, loaded=ending, beats=ready)
    assert elect.step(state, ended, NOW)[1] == [Drain("main")]
    drained = ended._replace(drained=frozenset({"main"}))
    assert elect.speak(state, drained, NOW).offers == {"main": "i-other"}
    after, _ = elect.step(state, drained._replace(records={"main": THEIRS._replace(handover="a:1")}), NOW)
    assert (after.gates["main"].role, after.gates["main"].nonce) == (Role.SYNCING, "1")


def test_an_offer_is_taken() -> None:
    """The standby takes what is offered to it, even while it backs off; not what is offered to another."""
    for to, role in (("i-me", Role.CLAIMING), ("i-third", Role.STANDBY)):
        gate, _ = step(at(Role.STANDBY, until=NOW + 60), seen(beats=heard(offers={"main": to})))
        assert gate.role is role


def test_what_is_urgent_is_said_at_once() -> None:
    """A claim, an offer, and that packets go on without this process do not wait for the next heartbeat."""
    beat = Beat("i-me", "b", NOW, {"main": ""})
    assert not elect.urgent(beat, beat._replace(at=NOW - 1, egress=3.0))
    assert elect.urgent(beat, beat._replace(holds={}))
    assert elect.urgent(beat, beat._replace(offers={"main": "i-other"}))
    assert elect.urgent(beat, beat._replace(unguarded=frozenset({"main"})))


@pytest.mark.parametrize(("awake", "role"), [(60.0, Role.HOLDING), (0.2, Role.TAKING)])
def test_a_jump_of_the_clock_proves_nothing(awake: float, role: Role) -> None:
    """Clients are let out without a proof only after time in which the address could have moved."""
    taking = at(Role.TAKING, MINE)
    taking = taking._replace(gates={"main": taking.gates["main"]._replace(since=NOW - 60, taken=NOW - 60)})
    assert step(taking, seen(MINE, awake=NOW - awake))[0].role is role


def test_an_offer_that_nobody_takes_is_taken_back() -> None:
    """A handover that does not begin, or whose receiver falls silent, ends with the holder open again."""
    handing = at(Role.HANDING, MINE, to="i-other")
    gate, _ = step(handing, seen(MINE, beats=heard(0.01)))
    assert (gate.role, gate.until > NOW) == (Role.HOLDING, True)
    young = handing._replace(gates={"main": handing.gates["main"]._replace(since=NOW - 1)})
    assert step(young, seen(MINE, beats=heard(0.01)))[0].role is Role.HANDING
    assert step(young, seen(MINE, beats=heard(0.5)))[0].role is Role.HOLDING


@pytest.mark.parametrize(
    ("beat", "expected"),
    [
        ({"ready": {"main": 1.0}}, Role.HANDING),
        ({"ready": {}}, Role.HOLDING),
        ({"ready": {"main": 1.0}, "draining": True}, Role.HOLDING),
    ],
)
def test_a_notice_hands_over_to_who_is_ready_and_stays(beat: dict[str, Any], expected: Role) -> None:
    """A node that will be taken away gives what it holds to one that is ready and not going itself."""
    warned = seen(MINE, loaded=OPEN, beats=heard(holds={}, **beat), notice="the spot interruption")
    assert step(at(Role.HOLDING, MINE), warned)[0].role is expected


def test_leaving() -> None:
    """A node that is stopped leaves when it has nothing, or nobody to give it to, or no more time."""
    stopped = seen(beats=heard(), notice="stop")
    assert Leave() in step(at(Role.STANDBY), stopped)[1]
    holding = at(Role.HOLDING, MINE)
    alone = seen(MINE, loaded=OPEN, notice="stop")
    assert Leave() in step(holding, alone)[1]
    assert Leave() not in step(holding, alone._replace(loaded=OPEN._replace(open=frozenset())))[1]
    waiting = alone._replace(beats=heard(holds={}))
    assert Leave() not in step(holding, waiting)[1]
    assert Leave() in step(holding._replace(leaving=NOW - 12.1), waiting)[1]


def test_no_fail_back_in_a_pair_but_in_a_ring() -> None:
    """A ring's home node gets its gateway back when it has been ready for 30 s; in a pair nobody has preference."""
    back = heard(ready={"main": 31.0}, holds={})
    assert step(at(Role.HOLDING, MINE), seen(MINE, loaded=OPEN, beats=back))[0].role is Role.HOLDING
    second = GATEWAY._replace(name="other", home="b", standby="a")
    ring = at(Role.HOLDING, MINE)
    ring = ring._replace(config=config("b", GATEWAY, second))
    gate, _ = step(ring, seen(MINE, loaded=OPEN, beats=back))
    assert (gate.role, gate.cause) == (Role.HANDING, "i-other is home")
    assert step(ring, seen(MINE, loaded=OPEN, beats=heard(ready={"main": 29.0})))[0].role is Role.HOLDING


def test_sync_or_time_makes_a_standby() -> None:
    """A node is a standby when it has all connections, when there are none to be had, or when 30 s were not enough."""
    syncing = at(Role.SYNCING)
    assert step(syncing, seen(beats=heard()))[0].role is Role.SYNCING
    assert step(syncing, seen(beats=heard(), synced=frozenset({"main"})))[0].role is Role.STANDBY
    assert step(syncing, seen(NOBODYS))[0].role is Role.STANDBY
    assert step(syncing, seen(beats=heard(1.1)))[0].role is Role.STANDBY
    assert step(syncing, seen(beats=heard(-20.5)), NOW + 20.5)[0].role is Role.STANDBY


def test_the_hook_is_answered_when_the_node_is_of_use() -> None:
    """CONTINUE when it stands by or serves what is proven, ABANDON after five minutes of neither."""
    asked = seen(beats=heard())._replace(hook="")
    assert Complete("CONTINUE") in step(at(Role.STANDBY), asked)[1]
    assert not any(isinstance(a, Complete) for a in step(at(Role.SYNCING), asked)[1])
    late = asked._replace(awake=NOW - 301)
    assert Complete("ABANDON") in step(at(Role.SYNCING), late)[1]


def test_a_jump_of_the_clock_is_no_reason_to_give_up() -> None:
    """The five minutes are counted from the last stall or jump: a clock that jumps ahead makes no node useless."""
    begun = at(Role.SYNCING)._replace(begun=NOW - 3600)
    assert step(begun, seen(beats=heard())._replace(hook="", awake=NOW - 2))[1] == []


def test_what_is_under_way_is_not_asked_again() -> None:
    """An action that is busy is left out."""
    busy = seen(NOBODYS, beats=heard(20), busy=frozenset({Take("main")}))
    assert step(at(Role.CLAIMING), busy)[1] == []


def test_a_route_that_went_elsewhere_is_led_back_if_the_address_is_ours() -> None:
    """A table that leads elsewhere is corrected only when the record was looked at after that."""
    away = {"rtb-1": Route(True, NOW), "rtb-2": Route(False, NOW + 1)}
    holding = at(Role.HOLDING, MINE, taken=NOW - 50)
    assert step(holding, seen(MINE, loaded=OPEN, routes=away))[1] == []
    confirmed = seen(MINE._replace(at=NOW + 2), loaded=OPEN, routes=away)
    assert step(holding, confirmed)[1] == [Point("rtb-2", "as-me")]
