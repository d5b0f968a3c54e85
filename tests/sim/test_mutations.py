"""The simulation notices when a safeguard is taken out of the agent's decisions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from evernat.agent import elect
from evernat.agent.cluster_model import Drain, Release, Role, Rules, Take
from evernat.agent.machine import fitness, packets, view
from evernat.scenario import parse, play, reads
from evernat.scenario.cloud import Association, Cloud
from evernat.scenario.layout import Layout
from evernat.scenario.steady import rested
from tests.sim.schedule import schedule

Patch = Callable[[pytest.MonkeyPatch], None]


def no_watching(patch: pytest.MonkeyPatch) -> None:
    """A node acts right after a stall or a jump of its clock."""
    step = elect.step
    patch.setattr(
        elect, "step", lambda state, seen, now: step(state, seen._replace(awake=state.begun - 1), now)
    )


def no_readiness(patch: pytest.MonkeyPatch) -> None:
    """A node that could not forward calls itself ready."""
    patch.setattr(elect, "_trouble", lambda state, seen: "")


def no_copies(patch: pytest.MonkeyPatch) -> None:
    """A standby does not wait for the connections."""
    patch.setattr(elect, "_complete", lambda gate, seen, now: "whatever")


def copies_last(patch: pytest.MonkeyPatch) -> None:
    """A standby stays one when it does not copy connections any more."""
    patch.setattr(elect, "_copied", lambda gate, seen, now: gate)


def no_proof_of_death(patch: pytest.MonkeyPatch) -> None:
    """One missed heartbeat makes a dead peer."""
    patch.setattr(elect, "DEAD", 0.04)


def no_compare_and_swap(patch: pytest.MonkeyPatch) -> None:
    """The address is taken at once, AllowReassociation=true, instead of ending the association that was seen."""
    asks = elect._asks

    def grab(gate: Any, record: Any, seen: Any, now: float) -> Any:
        return [Take(gate.config.name)] if gate.role is Role.CLAIMING else asks(gate, record, seen, now)

    def move(self: Cloud, gateway: str, interface: str, place: int, now: float) -> Any:
        made = Association(f"eipassoc-{now}", interface, "i-" + interface.removeprefix("eni-"), place)
        self.owners[gateway].set(made, now)
        self.moves += 1
        return made.id

    patch.setattr(elect, "_asks", grab)
    patch.setattr(Cloud, "associate", move)


def no_first_half(patch: pytest.MonkeyPatch) -> None:
    """The old association is not ended."""
    asks = elect._asks

    def stay(gate: Any, record: Any, seen: Any, now: float) -> Any:
        return [action for action in asks(gate, record, seen, now) if not isinstance(action, Release)]

    patch.setattr(elect, "_asks", stay)


def no_stopping(patch: pytest.MonkeyPatch) -> None:
    """A holder does not mind who has the address by AWS's record."""
    serving = elect._serving

    def stubborn(state: Any, gate: Any, seen: Any, now: float) -> Any:
        change = serving(state, gate, seen, now)
        return None if change and change[0] is Role.SYNCING else change

    for role in (Role.TAKING, Role.HOLDING, Role.HANDING):
        patch.setitem(elect._RULES, role, stubborn)


def unknown_is_absent(patch: pytest.MonkeyPatch) -> None:
    """An instance that AWS does not list yet, or any more, is gone, and a silent one that was never heard too."""
    patch.setattr(elect, "UNLISTED", -1e9)
    patch.setattr(elect, "silence", lambda gate, seen, now: 1e9)


def giving_up_without_the_api(patch: pytest.MonkeyPatch) -> None:
    """A holder that has not seen the record for a while stops."""
    holding = elect._holding

    def shy(state: Any, gate: Any, seen: Any, now: float) -> Any:
        old = gate.record is not None and now - gate.record.at > 2.5
        return (Role.SYNCING, "cut off") if old else holding(state, gate, seen, now)

    patch.setitem(elect._KEEPING, Role.HOLDING, shy)


def any_transition(patch: pytest.MonkeyPatch) -> None:
    """A role that is not in the table."""
    patch.setitem(elect.ALLOWED, Role.STANDBY, {Role.STARTING, Role.TAKING})


def no_backoff(patch: pytest.MonkeyPatch) -> None:
    """Whoever lost a gateway claims it again at once."""
    patch.setattr(elect, "LONGEST", 0.0)


def no_exponent(patch: pytest.MonkeyPatch) -> None:
    """Whoever lost a gateway waits, but never longer."""
    patch.setattr(elect, "LONGEST", 2.0)


def old_looks_undo(patch: pytest.MonkeyPatch) -> None:
    """A look that shows the past is believed after one's own change."""
    patch.setattr(elect, "STALE", 0.0)
    patch.setattr(reads, "over", lambda node, owner: False)


def jumps_are_time(patch: pytest.MonkeyPatch) -> None:
    """The time to be of use is counted by a clock that jumps."""
    actions = elect._actions

    def since_begun(state: Any, seen: Any, now: float) -> Any:
        return actions(state, seen._replace(awake=state.begun), now)

    patch.setattr(elect, "_actions", since_begun)


def jumps_are_waiting(patch: pytest.MonkeyPatch) -> None:
    """What is waited for before the other node may have the gateway is over when the clock jumps."""
    patch.setattr(elect, "waited", lambda since, seen, now: now - since)


def actions_without_verbs(patch: pytest.MonkeyPatch) -> None:
    """One action about a gateway is like any other, so that one without an answer holds them all up."""
    for kind in (Take, Drain):
        patch.setattr(kind.__new__, "__defaults__", ("",))


def nothing_contested(patch: pytest.MonkeyPatch) -> None:
    """Who may be losing the address lets resets pass."""
    patch.setattr(packets, "contested", lambda gate, seen, now: False)


def clients_do_not_matter(patch: pytest.MonkeyPatch) -> None:
    """A holder whose clients do not get out keeps the gateway."""
    patch.setattr(fitness, "failing", lambda gate, seen: "")


def anybody_may_fail(patch: pytest.MonkeyPatch) -> None:
    """A node has itself replaced because it does not get out, whether anybody does or not."""
    patch.setattr(fitness, "_others_get_out", lambda state, seen, since, now: True)


def routes_before_proof(patch: pytest.MonkeyPatch) -> None:
    """A first start takes a route to what works as it takes any."""
    astray = elect._astray

    def ours(gate: Any, table: str, seen: Any) -> bool:
        routes = {name: route._replace(foreign=False) for name, route in seen.routes.items()}
        return astray(gate, table, seen._replace(routes=routes))

    patch.setattr(elect, "_astray", ours)


def no_switch(patch: pytest.MonkeyPatch) -> None:
    """The kernel goes on letting clients out when the agent is dead or stuck."""
    patch.setattr(packets, "_guarded", lambda gate, seen, now, within=0.0: False)


def no_looking_back(patch: pytest.MonkeyPatch) -> None:
    """An agent that wakes up lets clients out as before."""
    patch.setattr(packets, "_verified", lambda gate, seen, now: True)


def no_waiting(patch: pytest.MonkeyPatch) -> None:
    """Clients of a shared address are let out while another node may be taking it."""
    patch.setattr(packets, "holds_back", lambda state, gate, seen, now: False)


def who_goes_on_is_not_asked(patch: pytest.MonkeyPatch) -> None:
    """A silent holder is believed to have stopped its kernel, also when it had not heard the one that takes over."""
    stops = elect._stops
    patch.setattr(elect, "_stops", lambda gate, last: stops(gate, last._replace(unguarded=frozenset())))


def who_is_going_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """An address leaves a holder that shuts down at once, though its kernel may not have stopped yet."""
    patch.setattr(elect, "_going", lambda gate, record, seen, now: False)


def leaves_at_once(patch: pytest.MonkeyPatch) -> None:
    """A node that is stopped and hears nobody leaves before its kernel holds the clients back."""
    leaves = elect._leaves
    patch.setattr(
        elect,
        "_leaves",
        lambda state, seen, wanted, now: leaves(state, seen._replace(loaded=wanted), wanted, now),
    )


def silence_from_the_start(patch: pytest.MonkeyPatch) -> None:
    """An agent that has just begun takes it that nobody is there whom it has not heard."""
    guarded = packets._guarded

    def by_beats(gate: Any, seen: Any, now: float, within: float = packets.GUARD) -> bool:
        return guarded(gate, seen._replace(listed=1.0, members={}), now, within)

    patch.setattr(packets, "_guarded", by_beats)


def any_standby_will_do(patch: pytest.MonkeyPatch) -> None:
    """An agent that wakes up lets clients out again because the other one stands by, for whomever."""
    verified = packets._verified

    def believed(gate: Any, seen: Any, now: float) -> bool:
        beats = {
            i: b._replace(follows=dict.fromkeys(b.ready, gate.record.association))
            for i, b in seen.beats.items()
        }
        return verified(gate, seen._replace(beats=beats), now)

    patch.setattr(packets, "_verified", believed)


def _rules_with(patch: pytest.MonkeyPatch, change: Callable[[Rules], Rules]) -> None:
    rules = packets.rules
    patch.setattr(elect, "rules", lambda state, seen, now: change(rules(state, seen, now)))


def no_ending(patch: pytest.MonkeyPatch) -> None:
    """Connections begin in what is handed over."""
    _rules_with(patch, lambda rules: rules._replace(ending=frozenset()))


def closing_early(patch: pytest.MonkeyPatch) -> None:
    """What is handed over is closed before the address goes."""
    _rules_with(patch, lambda rules: rules._replace(open=rules.open - rules.ending))


def opening_early(patch: pytest.MonkeyPatch) -> None:
    """A gateway is opened before its address is here."""

    def opened(state: Any, seen: Any, now: float) -> Any:
        claimed = {name for name, gate in state.gates.items() if gate.role is Role.CLAIMING}
        rules = before(state, seen, now)
        return rules._replace(open=rules.open | claimed)

    before = packets.rules
    patch.setattr(elect, "rules", opened)


def another_address(patch: pytest.MonkeyPatch) -> None:
    """What belongs to a gateway leaves with the address of another one."""
    patch.setattr(view, "address", lambda state, gate, seen: seen.addresses[0])


@pytest.mark.parametrize(
    ("mutation", "rules"),
    [
        (no_watching, {"4 watching", "2 unknown"}),
        (no_readiness, {"1 ready"}),
        (no_copies, {"1 ready"}),
        (copies_last, {"1 ready"}),
        (no_proof_of_death, {"2 unknown"}),
        (no_compare_and_swap, {"3 one holder"}),
        (no_first_half, {"5 converges"}),
        (no_stopping, {"3 one holder", "5 converges"}),
        (unknown_is_absent, {"2 unknown"}),
        (giving_up_without_the_api, {"6 cut off"}),
        (any_transition, {"7 transitions"}),
        (no_backoff, {"3 one holder"}),
        (old_looks_undo, {"3 one holder", "5 converges"}),
        (actions_without_verbs, {"8 packets"}),
        (nothing_contested, {"8 packets"}),
        (no_ending, {"8 packets"}),
        (closing_early, {"6 cut off"}),
        (opening_early, {"8 packets"}),
        (another_address, {"5 converges", "8 packets"}),
        (clients_do_not_matter, {"9 changes"}),
        (anybody_may_fail, {"10 replaced"}),
        (routes_before_proof, {"11 proof"}),
        (no_switch, {"8 packets"}),
        (no_looking_back, {"8 packets"}),
        (no_waiting, {"8 packets"}),
    ],
)
def test_taking_out_a_safeguard_breaks_a_rule(
    mutation: Patch, rules: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some schedule within a few hundred shows it, by one of the rules that safeguard stands for."""
    for topology, address in itertools.product(("single", "pair", "ring", "ring2"), ("own", "shared")):
        rested(topology, address)  # schedules start from stacks that whole agents brought to rest
    mutation(monkeypatch)
    broken = (play(schedule(seed)).broken for seed in range(1, 3000))
    found = next((one for one in broken if one), None)
    assert found is not None
    assert found.rule in rules, str(found)


LOSES_TWICE = """topology pair

> 1.000 stall a 1.5
> 6.000 stall b 1.5
> 9.500 stall a 1.5
> 12.500 power-off b
> 40.000 end
"""

JUMPS_AT_BOOT = """topology pair
start new

> 1.200 jump a 3600
> 40.000 end
"""

HEARD_TOO_LATE = """topology pair
start steady
seed {0}
api 0.004
address shared

> 1.000 spot a
> 2.750 stop a
> 5.{0:03} stall b 1.5
> 40.000 end
"""

RESTARTS_BESIDE_A_STALL = """topology pair
start steady
seed {0}
rest required
address shared

> 0.314 restart a
> 0.500 stall b 0.6
> 0.7{0:03} stall a 4.0
> 20.000 end
"""

STOPS_WHILE_UNHEARD = """topology ring2
start steady
seed {0}
address shared

> 0.800 stall a 0.1
> 1.014 cut a b
> 1.040 stop b
> 1.2{0:03} cut b a
> 5.000 end
"""

JUMPS_WHILE_IT_OFFERS = """topology ring2
start steady
seed {0}
api 0.004
address shared

> 0.402 terminate b
> 0.452 jump b 2.0
> 20.000 end
"""

ENDS_A_MOMENT_BEFORE = """topology pair
start steady
seed {0}
address shared

> 0.653 fail a check hang
> 1.591 restart a
> 3.988 cut b a
> 4.000 fail a egress before
> 4.{0:03} block a
> 5.000 roll a
> 20.000 end
"""

STANDS_BY_FOR_A_STRANGER = """topology pair
start steady
seed {0}
address shared

> 0.278 stall a 4.0
> 0.651 rebalance a
> 2.{0:03} cut a b
> 3.428 mend-all
> 40.000 end
"""


@pytest.mark.parametrize(
    ("mutation", "rule", "text"),
    [
        (no_exponent, "3 one holder", LOSES_TWICE),
        (jumps_are_time, "4 watching", JUMPS_AT_BOOT),
        (silence_from_the_start, "8 packets", RESTARTS_BESIDE_A_STALL),
        (leaves_at_once, "8 packets", STOPS_WHILE_UNHEARD),
        (jumps_are_waiting, "8 packets", JUMPS_WHILE_IT_OFFERS),
        (who_goes_on_is_not_asked, "8 packets", HEARD_TOO_LATE),
        (any_standby_will_do, "8 packets", STANDS_BY_FOR_A_STRANGER),
        (who_is_going_is_not_waited_for, "8 packets", ENDS_A_MOMENT_BEFORE),
    ],
)
def test_taking_out_a_safeguard_against_what_is_rare(
    mutation: Patch, rule: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schedules made for it show what random ones show seldom; with the safeguard nothing breaks."""
    schedules = [parse(each) for each in dict.fromkeys(text.format(number) for number in range(200))]
    assert [played.broken for played in map(play, schedules) if played.broken] == []
    mutation(monkeypatch)
    broken = next((played.broken for played in map(play, schedules) if played.broken), None)
    assert broken is not None
    assert broken.rule == rule, str(broken)


def test_an_association_is_a_lock() -> None:
    """Of two who end one association only the first succeeds; of two who take the address too."""
    cloud = Cloud(Layout.of("pair"), lambda instance: None)
    for slot in "ab":
        cloud.launch(slot, 0.0)
    made = cloud.associate("main", "eni-a1", 0, 1.0)
    assert cloud.owners["main"].now == Association(made, "eni-a1", "i-a1", 0)
    assert cloud.associate("main", "eni-b1", 0, 1.0).code == "Resource.AlreadyAssociated"
    assert cloud.disassociate(made, 2.0) is None
    assert cloud.disassociate(made, 2.0).code == "InvalidAssociationID.NotFound"
