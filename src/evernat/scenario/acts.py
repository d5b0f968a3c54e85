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
    Route,
    Take,
)
from evernat.scenario.air import DELAY
from evernat.scenario.cloud import BUSY, Association, Refused, Unanswered
from evernat.scenario.looks import TRIES, keep

if TYPE_CHECKING:
    from evernat.scenario.node import Node

DRAIN = 0.02
"""Seconds until the standby has the last change."""

AGAIN = 0.5
"""Seconds until what failed may be tried again."""

STOP_LIMIT = 20.0
"""Seconds systemd gives the agent to leave."""


def act(node: Node, action: Action) -> None:
    """Do it; while it is under way, and a moment after it failed, it is busy."""
    ACTS[type(action)](node, action)


def _write(
    node: Node,
    action: Action,
    effect: Callable[[float], Any],
    done: Callable[[Any], None],
    text: str = "",
    call: str = "",
) -> None:
    """A call that changes something."""
    world, process = node.world, node.process
    if text:
        world.say(f"{node.slot} asks AWS: {text}")
    _busy(node, action, True)

    tries = TRIES

    def free() -> None:
        if node.process == process:
            _busy(node, action, False)
            node.soon()

    def ask() -> None:
        if node.process == process:
            world.call(node, call or action.verb, effect, answer)

    def answer(result: Any) -> None:
        nonlocal tries
        if node.process != process:
            return
        tries -= 1
        if result == BUSY and tries:
            world.later(world.jitter(0.3), ask)
        elif isinstance(result, (Refused, Unanswered)):
            what = result.code if isinstance(result, Refused) else "no answer"
            if text:
                world.say(f"{node.slot} is told: {text}: {what}")
            world.later(AGAIN, free)
        else:
            done(result)
            node.known.clear()
            free()

    ask()


def _busy(node: Node, action: Action, busy: bool) -> None:
    now = node.seen.busy
    node.seen = node.seen._replace(busy=now | {action} if busy else now - {action})


def _probe(node: Node, action: Probe) -> None:
    world, there = node.world, node.world.nodes.get(action.instance)

    def answer() -> None:
        ear = world.ears[node.id, action.instance]
        if there and there.speaks and ear.up and world.random.random() >= ear.loss:
            ear.content, ear.heard_at = there.beat, node.local
            node.wake()

    if there and there is not node and world.talk(node, there):
        world.later(2 * DELAY, answer)


def _prepare(node: Node, action: Prepare) -> None:
    """Load the rules; the first time, turn the source/destination check off too."""
    node.kernel = action.rules
    node.seen = node.seen._replace(loaded=action.rules)
    node.looked.pop("faults", None)

    def effect(_: float) -> None:
        node.checked = False

    def done(_: Any) -> None:
        node.unchecked = True

    if not node.unchecked:
        _write(node, action, effect, done, call="check")
    node.wake()


def _release(node: Node, action: Release) -> None:
    def effect(now: float) -> Any:
        result = node.world.cloud.disassociate(action.association, now)
        if result is None:
            node.world.say(f"aws {action.gateway}: nobody has it")
        return result

    def done(_: Any) -> None:
        keep(node, action.gateway, None, node.local)

    _write(node, action, effect, done, f"release {action.gateway} ({action.association})")


def _take(node: Node, action: Take) -> None:
    world = node.world
    index = next(g for g in node.config.gateways if g.name == action.gateway).places[node.slot]

    def effect(now: float) -> Any:
        result = world.cloud.associate(action.gateway, node.interface, index, now)
        if not isinstance(result, Refused):
            world.say(f"aws {action.gateway}: {node.id} has it")
        return result

    def done(association: str) -> None:
        keep(node, action.gateway, Association(association, node.interface, node.id, index), node.local)

    _write(node, action, effect, done, f"take {action.gateway}")


def _point(node: Node, action: Point) -> None:
    world = node.world

    def effect(now: float) -> Any:
        before = world.cloud.routes[action.table].now
        result = world.cloud.replace_route(action.table, node.interface, now)
        if result is None and before != node.interface:
            world.say(f"aws {action.table} leads to {node.id}")
        return result

    def done(_: Any) -> None:
        node.seen = node.seen._replace(routes={**node.seen.routes, action.table: Route(True, node.local)})

    _write(node, action, effect, done)


def _drain(node: Node, action: Drain) -> None:
    world, process = node.world, node.process
    _busy(node, action, True)

    def done() -> None:
        if node.process == process:
            _busy(node, action, False)
            follower = next(
                (n for n in world.nodes.values() if n.copies.get(action.gateway, ("",))[0] == node.id), None
            )
            if follower and follower.running and world.talk(node, follower) and world.now >= follower.lagging:
                node.seen = node.seen._replace(drained=node.seen.drained | {action.gateway})
            node.wake()

    world.later(DRAIN, done)


def _complete(node: Node, action: Complete) -> None:
    def effect(_: float) -> str:
        first, node.ready = not node.ready, True
        if first:
            node.world.hook(node, action.result)
        return "answered"

    def done(result: str) -> None:
        node.seen = node.seen._replace(hook=result)

    _write(node, action, effect, done)


def _leave(node: Node, action: Leave) -> None:
    node.world.say(f"{node.slot} leaves")
    node.kill()


ACTS: dict[type, Callable[[Node, Any], None]] = {
    Probe: _probe,
    Prepare: _prepare,
    Release: _release,
    Take: _take,
    Point: _point,
    Drain: _drain,
    Complete: _complete,
    Leave: _leave,
}
