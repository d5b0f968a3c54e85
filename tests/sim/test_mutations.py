"""The simulation notices when a safeguard is taken out of the agent's decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evernat.agent import elect
from evernat.agent.cluster_model import Release, Role, Take
from evernat.scenario import play
from evernat.scenario.cloud import Association, Cloud
from evernat.scenario.layout import Layout
from evernat.scenario.steady import rested
from tests.sim.schedule import schedule

Patch = Callable[[pytest.MonkeyPatch], None]


def no_watching(patch: pytest.MonkeyPatch) -> None:
    """A node acts right after a stall or a jump of its clock."""
    step = elect.step
    patch.setattr(elect, "step", lambda state, seen, now: step(state, seen._replace(awake=-1e9), now))


def no_readiness(patch: pytest.MonkeyPatch) -> None:
    """A node that could not forward calls itself ready."""
    patch.setattr(elect, "_trouble", lambda state, seen: "")


def no_copies(patch: pytest.MonkeyPatch) -> None:
    """A standby does not wait for the connections."""
    patch.setattr(elect, "_complete", lambda gate, seen, now: "whatever")


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
    patch.setattr(elect, "_silence", lambda gate, seen, now: 1e9)


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


@pytest.mark.parametrize(
    ("mutation", "rules"),
    [
        (no_watching, {"4 watching", "2 unknown"}),
        (no_readiness, {"1 ready"}),
        (no_copies, {"1 ready"}),
        (no_proof_of_death, {"2 unknown"}),
        (no_compare_and_swap, {"3 one holder"}),
        (no_first_half, {"5 converges"}),
        (no_stopping, {"3 one holder", "5 converges"}),
        (unknown_is_absent, {"2 unknown"}),
        (giving_up_without_the_api, {"6 cut off"}),
        (any_transition, {"7 transitions"}),
    ],
)
def test_taking_out_a_safeguard_breaks_a_rule(
    mutation: Patch, rules: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some schedule within a few hundred shows it, by one of the rules that safeguard stands for."""
    for topology in ("single", "pair", "ring", "ring2"):
        rested(topology)  # schedules start from stacks that whole agents brought to rest
    mutation(monkeypatch)
    broken = (play(schedule(seed)).broken for seed in range(1, 1500))
    found = next((one for one in broken if one), None)
    assert found is not None
    assert found.rule in rules, str(found)


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
