"""Play a scenario."""

from __future__ import annotations

import difflib
from functools import partial
from typing import NamedTuple

from evernat.scenario.happen import happen, terminate
from evernat.scenario.invariants import BrokenError, Watcher
from evernat.scenario.script import Script, header
from evernat.scenario.steady import begin
from evernat.scenario.world import World


class Played(NamedTuple):
    """What came of it. `broken` names the invariant that did not hold, and how, or is None."""

    script: Script
    journal: tuple[tuple[float, str], ...]
    broken: BrokenError | None
    events: int

    @property
    def lines(self) -> list[str]:
        """The body of the transcript: events and decisions, and what was broken."""
        lines = [
            f"> {at:.3f} {text[2:]}" if text[:2] == "> " else f"  {at:.3f} {text}"
            for at, text in self.journal
        ]
        return [*lines, f"! {self.broken}"] if self.broken else lines

    @property
    def text(self) -> str:
        """The whole transcript, as it stands in a file."""
        return "\n".join([*header(self.script), *self.lines]) + "\n"

    @property
    def differences(self) -> list[str]:
        """What is not as the script expects, as a diff; nothing when it expects nothing."""
        expected = list(self.script.expected)
        came = [line for line in self.lines if not line.startswith(">")]
        if not expected or came == expected:
            return []
        return list(difflib.unified_diff(expected, came, "expected", "decided", lineterm="", n=2))


def _pass(world: World, script: Script) -> None:
    """Until the end; where rest is required, no longer than until it is there."""
    end = world.origin + script.end
    if script.settings.rest and len(script.events) > 1:
        world.run(world.origin + script.events[-2].at)
        while world.now < end and not world.settled():
            world.run(min(world.now + 0.5, end))
    else:
        world.run(end)


def play(script: Script) -> Played:
    """Let it happen, all invariants watched; the first that breaks ends it."""
    watcher = Watcher()
    world = World(script)
    broken = None
    try:
        begin(world)
        world.retire = partial(terminate, world)
        world.watcher = watcher
        for event in script.events[:-1]:
            world.later(event.at, happen, world, event)
        _pass(world, script)
        happen(world, script.events[-1])
        watcher.end(world)
    except BrokenError as error:
        broken = error.with_traceback(None)
    world.close()
    return Played(script, tuple(world.journal), broken, world.events)
