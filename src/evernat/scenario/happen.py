"""What each event of a scenario does to the world; `script.EVENTS` describes them."""

from __future__ import annotations

from collections.abc import Callable

from evernat.scenario import looks
from evernat.scenario.node import Node
from evernat.scenario.script import Event
from evernat.scenario.world import World

SPOT = 12.0
"""Seconds from an interruption notice to the end of the instance; AWS gives two minutes."""

HEARD = 0.8
"""Share of the kernel's notifications that reach the agent."""

SHUTDOWN = 3.0
"""Seconds a node that AWS terminates has to stop its units."""


def happen(world: World, event: Event) -> None:
    """Let the event happen now."""
    world.say(f"> {event.what} {' '.join(event.words)}".rstrip())
    world.happened += 1
    world.shaken = world.now
    world.listen()
    if event.what in STIRRING:
        world.stir(*looks.FACTS)
        if world.watcher:
            world.watcher.twice.clear()  # who was blind may see from now on
    DO[event.what](world, *event.words)


STIRRING = (
    *("jump", "api-off", "api-on", "fail", "slow", "stale", "failover", "wipe", "mend-all"),
    *("block", "unblock", "offline", "online", "blackout", "light"),
)
"""Events that change what looks show, or how long they take. What AWS does tells of itself."""


def _node(act: Callable[[World, Node], object]) -> Callable[[World, str], None]:
    """An event of one node; without the node, nothing happens."""

    def do(world: World, slot: str) -> None:
        node = world.node(slot)
        if node and node.powered:
            act(world, node)

    return do


def power_off(world: World, node: Node) -> None:
    """Its power fails; the Auto Scaling group notices later."""
    node.die()
    world.later(world.settings.heal, bury, world, node, True)


def bury(world: World, node: Node, replace: bool) -> None:
    """AWS ends a dead instance; the Auto Scaling group launches another."""
    node.die()
    if world.cloud.instances[node.id].now.state != "terminated":
        world.cloud.change(node.id, "terminated", world.now)
        world.say(f"aws {node.id} is terminated")
        others = [
            i for i in world.cloud.instances.values() if i.now.slot == node.slot and i.now.state == "running"
        ]
        instead = node.replaces if _stands_in(world, node) else None
        if replace and (instead or not others):
            world.launch(node.slot).replaces = instead
        world.wake()


def terminate(world: World, node: Node, replace: bool = True) -> None:
    """Units get SIGTERM, then the power goes."""
    if world.cloud.instances[node.id].now.state == "running":
        world.cloud.change(node.id, "shutting-down", world.now)
        node.stop()
        world.later(SHUTDOWN, bury, world, node, replace)


def _stop(world: World, node: Node) -> None:
    node.returns = node.running
    node.stop()


def _stall(world: World, slot: str, seconds: str) -> None:
    _node(lambda _, node: node.stall(float(seconds)))(world, slot)


def _jump(world: World, slot: str, seconds: str) -> None:
    _node(lambda _, node: node.jump(float(seconds)))(world, slot)


def _lag(world: World, slot: str, seconds: str) -> None:
    _node(lambda _, node: node.lag(float(seconds)))(world, slot)


def _api(up: bool) -> Callable[[World, Node], None]:
    def act(_: World, node: Node) -> None:
        node.api = up

    return act


def _fail(world: World, slot: str, action: str, how: str) -> None:
    _node(lambda _, node: node.faults.append((action, how)))(world, slot)


def _slow(world: World, seconds: str) -> None:
    world.slow = float(seconds)


def _stale(world: World, seconds: str) -> None:
    world.cloud.stale = float(seconds)


def _spot(world: World, node: Node) -> None:
    world.stir("notice")
    node.notice = "interrupt"
    world.later(SPOT, terminate, world, node)


def _rebalance(world: World, node: Node) -> None:
    if _replace(world, node):
        world.stir("notice")
        node.notice = "rebalance"


def _replace(world: World, old: Node) -> bool:
    """Launch before terminate, as the group's maintenance policy says."""
    if world.cloud.instances[old.id].now.state != "running" or old.replaced or _stands_in(world, old):
        return False
    old.replaced = True
    world.launch(old.slot).replaces = old
    return True


def _stands_in(world: World, node: Node) -> bool:
    """Whether the one it is to replace is still there."""
    return node.replaces is not None and world.cloud.instances[node.replaces.id].now.state == "running"


def _failover(world: World, gateway: str, slot: str) -> None:
    if gateway in world.cloud.wishes:
        world.cloud.wishes[gateway].set(f"{slot}:{world.random.randrange(1 << 16):04x}", world.now)


def _mend_all(world: World) -> None:
    for ear, speaker in list(world.paths):
        world.path(ear, speaker, True, 0.0)
    for node in world.nodes.values():
        node.api, node.faults, node.blocked, node.offline = True, [], False, False
    world.slow = world.cloud.stale = 0.0
    world.dark = False


def _wipe(world: World, node: Node) -> None:
    """The kernel tells whoever listens; if that is lost, polling finds it."""
    node.kernel, node.wiped = None, world.now
    if world.random.random() < HEARD:
        node.notified("faults", "egress")


def _blocked(blocked: bool) -> Callable[[World, Node], None]:
    def act(world: World, node: Node) -> None:
        node.blocked = blocked
        if world.random.random() < HEARD:
            node.notified("egress")

    return act


def _offline(offline: bool) -> Callable[[World, Node], None]:
    def act(world: World, node: Node) -> None:
        world.online()
        node.offline = offline

    return act


def _dark(dark: bool) -> Callable[[World], None]:
    def act(world: World) -> None:
        world.online()
        world.dark = dark

    return act


def _end(_: World) -> None:
    pass


DO: dict[str, Callable[..., None]] = {
    "power-off": _node(power_off),
    "terminate": _node(terminate),
    "restart": _node(lambda _, node: node.restart()),
    "stop": _node(_stop),
    "stall": _stall,
    "jump": _jump,
    "cut": lambda world, ear, speaker: world.path(ear, speaker, up=False),
    "mend": lambda world, ear, speaker: world.path(ear, speaker, up=True),
    "loss": lambda world, ear, speaker, share: world.path(ear, speaker, loss=float(share)),
    "api-off": _node(_api(False)),
    "api-on": _node(_api(True)),
    "fail": _fail,
    "slow": _slow,
    "stale": _stale,
    "spot": _node(_spot),
    "rebalance": _node(_rebalance),
    "roll": _node(_replace),
    "failover": _failover,
    "lag": _lag,
    "wipe": _node(_wipe),
    "block": _node(_blocked(True)),
    "unblock": _node(_blocked(False)),
    "offline": _node(_offline(True)),
    "online": _node(_offline(False)),
    "blackout": _dark(True),
    "light": _dark(False),
    "mend-all": _mend_all,
    "end": _end,
}
