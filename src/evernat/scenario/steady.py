"""The beginning of a scenario: nodes that have just been launched, or a stack that has come to rest."""

from __future__ import annotations

from functools import cache

from evernat.scenario.cloud import History
from evernat.scenario.looks import FACTS
from evernat.scenario.script import Script, Settings
from evernat.scenario.world import World

LIMIT = 120.0
"""Seconds a stack may take from nothing to rest."""

COPIED = (
    "powered", "running", "kernel", "checked", "unchecked", "ready", "process", "said", "state", "launched",
    "connection", "pulse",
)  # fmt: skip


def begin(world: World) -> None:
    """Fill the world as its settings say; script time 0 is now."""
    if world.settings.start == "steady":
        _copy(rested(world.settings.topology, world.settings.address), world)
    else:
        for slot in world.layout.slots:
            world.launch(slot)
    world.origin = world.now
    world.journal.clear()


@cache
def rested(topology: str, address: str) -> World:
    """A stack that booted and came to rest, once of each kind: what follows starts from copies of it."""
    world = World(Script(Settings(topology, "new", address=address), ()))
    begin(world)
    while not (world.settled() and not world.calls):
        if world.now > LIMIT:
            raise RuntimeError(f"{topology} did not come to rest in {LIMIT:.0f} s:\n{world.transcript()}")
        world.run(world.now + 0.1)
    return world


def _copy(old: World, new: World) -> None:
    new.now = old.now
    for name in ("owners", "routes", "wishes"):
        for key, history in getattr(old.cloud, name).items():
            getattr(new.cloud, name)[key] = History(history.now, old.now)
    new.cloud.associations = old.cloud.associations
    for slot in new.layout.slots:
        source, node = old.node(slot), new.launch(slot, boot=False)
        assert source is not None
        new.cloud.instances[node.id].times[0] = float("-inf")  # it was there before the scenario began
        for name in COPIED:
            setattr(node, name, getattr(source, name))
        node.seen = source.seen._replace(busy=frozenset())
        node.copies = dict(source.copies)
        node.fresh, node.shown = dict.fromkeys(FACTS, new.now), dict.fromkeys(FACTS, new.now)
        node.looked = {name: at - new.random.random() for name, at in source.looked.items()}
    for ear in new.ears:
        one, was = new.ears[ear], old.ears[ear]
        one.beats, one.saying = True, was.saying
        one.take(was.content, was.heard)
        one.last -= 2  # the last beat before now is still to be heard
    for node in new.nodes.values():
        node.wake()
