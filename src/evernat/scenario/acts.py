"""What a simulated node's loop does about the actions decided on, with their consequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from evernat.agent.cluster_model import (
    Action,
    Complete,
    Drain,
    Leave,
    Point,
    Prepare,
    Probe,
    Release,
    Replace,
    Route,
    Take,
    Uncheck,
)
from evernat.agent.machine import fitness, view
from evernat.scenario.air import DELAY
from evernat.scenario.cloud import BUSY, Association, Refused, Unanswered
from evernat.scenario.looks import TRIES, doubt
from evernat.scenario.reads import record, take

if TYPE_CHECKING:
    from evernat.scenario.node import Node

DRAIN = 0.02
"""Seconds until the standby has the last change."""

LOAD = 0.02
"""Seconds the kernel's rules take to be loaded."""

AGAIN = 0.5
"""Seconds until what failed may be tried again."""

ONCE = 900.0
"""Seconds between two replacements in a stack."""

STOP_LIMIT = 20.0
"""Seconds systemd gives the agent to leave."""


def act(node: Node, action: Action) -> None:
    """Do it; while it is under way, and a moment after it failed, it is busy."""
    ACTS[type(action)](node, action)


class Write:
    """A call that changes something."""

    __slots__ = ("action", "call", "done", "effect", "node", "process", "text", "tries")

    def __init__(
        self,
        node: Node,
        action: Action,
        effect: Callable[[float], Any],
        done: Callable[[Any], None],
        text: str = "",
        call: str = "",
    ):
        self.node, self.action, self.effect, self.done, self.text = node, action, effect, done, text
        self.call, self.process, self.tries = call or action.verb, node.process, TRIES

    def begin(self) -> None:
        """Ask; until the answer is there, and a moment after it failed, the action is busy."""
        if self.text:
            self.node.world.say(f"{self.node.slot} asks AWS: {self.text}")
        _busy(self.node, self.action, True)
        self._ask()

    def _ask(self) -> None:
        if self.node.process == self.process:
            self.node.world.call(self.node, self.call, self.effect, self._answer)

    def _answer(self, result: Any) -> None:
        world = self.node.world
        if self.node.process != self.process:
            return
        self.tries -= 1
        if result == BUSY and self.tries:
            world.later(world.jitter(0.3), self._ask)
        elif isinstance(result, (Refused, Unanswered)):
            what = result.code if isinstance(result, Refused) else "no answer"
            if self.text:
                world.say(f"{self.node.slot} is told: {self.text}: {what}")
            world.later(AGAIN, self._free)
        else:
            self.done(result)
            self._free()

    def _free(self) -> None:
        if self.node.process == self.process:
            _busy(self.node, self.action, False)
            self.node.soon()


def _busy(node: Node, action: Action, busy: bool) -> None:
    now = node.seen.busy
    node.seen = node.seen._replace(busy=now | {action} if busy else now - {action})


def _probe(node: Node, action: Probe) -> None:
    world, there = node.world, node.world.nodes.get(action.instance)

    def answer() -> None:
        ear = world.ears[node.id, action.instance]
        if there and there.speaks and ear.up and world.random.random() >= ear.loss:
            ear.take(there.said, world.now)
            node.wake()

    if there and there is not node and world.talk(node, there):
        world.later(2 * DELAY, answer)


def _prepare(node: Node, action: Prepare) -> None:
    """Load the rules; that takes a moment, and one program after the other does it."""
    world, process = node.world, node.process
    _busy(node, action, True)

    def load() -> None:
        if not node.powered:
            return
        if node.kernel is None:
            world.stir("faults", "egress")
        if world.watcher:
            world.watcher.loaded(world, node, action.rules)
        node.load(action.rules)
        if node.process == process:
            _busy(node, action, False)
            node.seen = node.seen._replace(loaded=action.rules)
            node.forget("faults")
            node.wake()

    node.loading = max(node.loading, world.now) + world.jitter(LOAD)
    world.later(node.loading - world.now, load)


def _uncheck(node: Node, action: Uncheck) -> None:
    def effect(_: float) -> None:
        node.checked = False

    def done(_: Any) -> None:
        node.world.stir("check")
        node.unchecked = True
        node.seen = node.seen._replace(checked=False)
        node.forget("check")

    Write(node, action, effect, done, call="check").begin()


def _release(node: Node, action: Release) -> None:
    def effect(now: float) -> Any:
        result = node.world.cloud.disassociate(action.association, now)
        if result is None:
            node.world.say(f"aws {action.gateway}: nobody has it")
        return result

    def done(_: Any) -> None:
        node.ended[action.association] = node.world.now
        take(node, record(node, action.gateway, None, node.local), node.local)
        doubt(node, "records")

    Write(node, action, effect, done, f"release {action.gateway} ({action.association})").begin()


def _take(node: Node, action: Take) -> None:
    world = node.world
    assert node.state is not None
    index = node.addresses.index(view.address(node.state, node.state.gates[action.gateway], node.seen))

    def effect(now: float) -> Any:
        result = world.cloud.associate(action.gateway, node.interface, index, now)
        if not isinstance(result, Refused):
            world.say(f"aws {action.gateway}: {node.id} has it")
        return result

    def done(association: str) -> None:
        made = Association(association, node.interface, node.id, index)
        take(node, record(node, action.gateway, made, node.local), node.local)
        doubt(node, "records")

    Write(node, action, effect, done, f"take {action.gateway}").begin()


def _point(node: Node, action: Point) -> None:
    world = node.world

    def effect(now: float) -> Any:
        before = world.cloud.routes[action.table].now
        result = world.cloud.replace_route(action.table, node.interface, now)
        if result is None and before != node.interface:
            if world.watcher:
                world.watcher.routed(world, node, action.table, before)
            world.say(f"aws {action.table} leads to {node.id}")
        return result

    def done(_: Any) -> None:
        node.seen = node.seen._replace(routes={**node.seen.routes, action.table: Route(True, node.local)})
        doubt(node, "routes")

    Write(node, action, effect, done).begin()


def _drain(node: Node, action: Drain) -> None:
    world, process = node.world, node.process
    _busy(node, action, True)

    def done() -> None:
        if node.process == process:
            _busy(node, action, False)
            assert node.state is not None
            follower = world.nodes.get(node.state.gates[action.gateway].to)
            if follower and world.follows(follower, node, action.gateway):
                node.seen = node.seen._replace(drained=node.seen.drained | {action.gateway})
            node.wake()

    world.later(DRAIN, done)


def _replace(node: Node, action: Replace) -> None:
    """SetInstanceHealth, at most once in ONCE seconds for the whole stack: a parameter remembers the last time."""
    world = node.world

    def effect(now: float) -> Any:
        if now - world.replaced < ONCE:
            return None
        world.replaced = now
        world.say(f"aws {node.id} is unhealthy")
        if world.watcher:
            world.watcher.replaces(world, node)
        world.later(world.settings.heal, world.retire, node, True)
        return None

    def done(_: Any) -> None:
        node.seen = node.seen._replace(replaced=node.local + fitness.USELESS)

    Write(node, action, effect, done, f"replace me ({action.cause})").begin()


def _complete(node: Node, action: Complete) -> None:
    def effect(_: float) -> str:
        first, node.ready = not node.ready, True
        if first:
            node.world.hook(node, action.result)
        return "answered"

    def done(result: str) -> None:
        node.seen = node.seen._replace(hook=result)

    Write(node, action, effect, done).begin()


def _leave(node: Node, action: Leave) -> None:
    node.world.say(f"{node.slot} leaves")
    node.kill()


ACTS: dict[type, Callable[[Node, Any], None]] = {
    Probe: _probe,
    Prepare: _prepare,
    Uncheck: _uncheck,
    Release: _release,
    Take: _take,
    Point: _point,
    Drain: _drain,
    Replace: _replace,
    Complete: _complete,
    Leave: _leave,
}
