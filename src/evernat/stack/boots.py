"""Boots that came to nothing: what the node said before it gave up, and the last lines of its console.

A node that is not ready in time is thrown away, and its journal with it. What stays is the parameter
`/evernat/STACK/report/node-SLOT` that its agent wrote, and the console, which EC2 keeps for an hour after the end of
the instance (EC2 API reference, GetConsoleOutput).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.errors import ApiError
from evernat.stack.found import Node
from evernat.stack.instances import ended_nodes
from evernat.stack.reports import FailedBoot, aged, parsed, today
from evernat.stack.serving import Scene
from evernat.text import visible

LINES = 12
"""Lines of a console that are shown."""

WIDTH = 300
"""Characters of a line of it."""

LATELY = 7200.0
"""Seconds for which a failed boot is of interest."""


@dataclass(frozen=True)
class Boot:
    """A boot that led to no node in service. `at`, `role`, `cause` and `problems` are empty if it said nothing."""

    instance: str
    slot: str
    at: str = ""
    role: str = ""
    cause: str = ""
    problems: tuple[str, ...] = ()
    console: tuple[str, ...] = ()
    """The last lines, printable."""

    def lines(self) -> tuple[str, ...]:
        """All of it for people. What the node wrote may hold any character but in the console's lines."""
        slot = f" in slot {self.slot}" if self.slot else ""
        told = [f"gave up: {self.cause or 'no cause given'}" if self.at else "gave no cause", *self.problems]
        return (f"{self.instance}{slot} {'; '.join(told)}", *self.console)


def failed(api: Api, scene: Scene) -> tuple[Boot, ...]:
    """The last boot of each slot that has no node in service, with its console."""
    slots = [slot for slot in all_slots(scene) if not scene.able(slot)]
    if not slots:
        return ()
    ended = ended_nodes(api, scene.stack)
    found = [boot for slot in slots if (boot := _last(scene, slot, ended))]
    consoles = api.gather(**{b.instance: _reader(api, b.instance) for b in found})
    return tuple(replace(boot, console=consoles[boot.instance]) for boot in found)


def all_slots(scene: Scene) -> tuple[str, ...]:
    """The stack's slots by its gateways, in order."""
    return tuple(sorted({slot for name in scene.gateways for slot in scene.slots(name)}))


def said(scene: Scene, slot: str) -> Boot | None:
    """What the last node of a slot that gave up reported; None when none did lately."""
    told = parsed(scene.reports.get(names.boot_report(slot)), FailedBoot)
    if told is None or aged(told.at, today())[0] > LATELY:
        return None
    return Boot(told.instance, slot, told.at, told.role, told.cause, told.problems)


def _last(scene: Scene, slot: str, ended: list[Node]) -> Boot | None:
    """The youngest boot that has failed; one that is still trying when none has."""
    launched = {n.id: n.launched for n in (*scene.nodes, *ended) if n.slot == slot}
    trying = {n.id for n in scene.nodes if n.state in ("pending", "running")}
    told = said(scene, slot)
    if told:
        since = launched.pop(told.instance, "")
        later = {i: at for i, at in launched.items() if at > since and i not in trying}
        return Boot(max(later, key=lambda i: later[i]), slot) if later else told
    youngest = max(launched, key=lambda i: launched[i], default="")
    return Boot(youngest, slot) if youngest else None


def _reader(api: Api, instance: str) -> Callable[[], tuple[str, ...]]:
    return lambda: _console(api, instance)


def _console(api: Api, instance: str) -> tuple[str, ...]:
    """The last lines of an instance's console, escaped: whatever ran on it could write there."""
    try:
        text = _output(api, instance)
    except ApiError as error:
        return (f"(its console cannot be read: {error.code})",)
    lines = [line for line in text.splitlines() if line.strip()]
    return tuple(visible(line[:WIDTH]) for line in lines[-LINES:])


def _output(api: Api, instance: str) -> str:
    """What is there now; else what EC2 kept when the instance started or ended.

    Types that are not built on Nitro have no latest output, and an instance that ended may have none any more.
    """
    try:
        answer = api.call("ec2", "get_console_output", InstanceId=instance, Latest=True)
    except ApiError as error:
        if error.code not in ("UnsupportedOperation", "IncorrectInstanceState"):
            raise
        answer = {}
    if not answer.get("Output"):
        answer = api.call("ec2", "get_console_output", InstanceId=instance)
    return str(answer.get("Output") or "")
