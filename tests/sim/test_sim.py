"""Random schedules: every invariant holds in all of them."""

from __future__ import annotations

import os

import pytest

from evernat.scenario import parse, play
from evernat.scenario.script import EVENTS
from tests.sim.__main__ import CHUNK, many, shortest
from tests.sim.schedule import schedule
from tests.sim.shrink import shrink

COUNT = int(os.environ.get("EVERNAT_SIM", "8000"))
"""Schedules played; `make sim N=...` plays any number."""


@pytest.mark.timeout(900)
def test_every_invariant_holds() -> None:
    """No random schedule of faults breaks an invariant; the first that does is shown, shrunk."""
    done = 0
    for outcome in many(1, COUNT, min(os.cpu_count() or 1, 2)):
        done += CHUNK
        if outcome.failed:
            seed, rule = outcome.failed[0]
            pytest.fail(f"seed {seed} breaks {rule}:\n{play(shortest(seed, rule)).text}")
    assert done >= COUNT


@pytest.mark.parametrize("seed", [1, 2, 3, 77])
def test_a_seed_is_a_transcript(seed: int) -> None:
    """The same seed gives the same transcript, and its text, read again, plays the same."""
    first = play(schedule(seed))
    assert play(schedule(seed)).text == first.text
    assert play(parse(first.text)).differences == []


def test_schedules_differ() -> None:
    """Seeds lead to different scenarios, which reach all kinds of events and topologies."""
    scripts = [schedule(seed) for seed in range(600)]
    assert len({tuple(map(str, script.events)) for script in scripts}) > 590
    assert {script.settings.topology for script in scripts} == {"single", "pair", "ring", "ring2"}
    assert len({event.what for script in scripts for event in script.events}) == len(EVENTS)


def test_shrinking_leaves_what_matters() -> None:
    """Of many events only the one that makes it fail is left, at a round time."""
    script = parse("topology pair\n\n> 0.700 wipe a\n> 1.234 stall b 0.6\n> 2.500 restart a\n> 9.000 end\n")
    small = shrink(script, lambda s: any(event.what == "stall" for event in s.events))
    assert [str(event) for event in small.events] == ["1.000 stall b 0.6", "4.500 end"]


def test_shrinking_leaves_the_mending() -> None:
    """Where rest is required, what ends the troubles stays: else another failure would be shown than the seed's."""
    script = parse("topology pair\nrest required\n\n> 1.000 cut a b\n> 2.000 mend-all\n> 9.000 end\n")
    small = shrink(script, lambda s: bool(s.settings.rest))
    assert [event.what for event in small.events] == ["mend-all", "end"]
