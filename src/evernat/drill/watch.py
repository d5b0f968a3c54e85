"""One outage, made on purpose, as the API shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evernat.stack.api import Api
from evernat.stack.errors import NotReady, StackError
from evernat.stack.found import Node
from evernat.stack.handover import PAUSE
from evernat.stack.serving import Scene, leads_to, look

WAYS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "terminate": ("terminate_instances", {}),
    # Without the operating system's consent: nothing on the node gets to say goodbye.
    "stop": ("stop_instances", {"Force": True}),
    "reboot": ("reboot_instances", {}),
}
"""How a holder can be broken through the API alone: the call, and what it needs beside the instance."""


@dataclass(frozen=True)
class Outage:
    """What happened. Times are seconds since the holder was broken, known to about `handover.PAUSE`."""

    gateway: str
    public_address: str
    how: str
    source: Node
    target: Node
    wall: float
    """When it was broken: Unix time."""
    address: float
    """When the address was first seen on another node."""
    routes: Mapping[str, float]
    """When each table was first seen to lead there."""

    @property
    def whole(self) -> float:
        """When address and all routes were there."""
        return max([self.address, *self.routes.values()])


def by_api(api: Api, how: str) -> Callable[[str], None]:
    """What breaks an instance, through the API. Raises StackError for a way it does not know."""
    if how not in WAYS:
        raise StackError(f"--how {how!r} is not known", f"use one of {', '.join(WAYS)}")
    operation, extra = WAYS[how]

    def breaking(instance: str) -> None:
        api.call("ec2", operation, InstanceIds=[instance], **extra)

    return breaking


def ready(scene: Scene, gateway: str) -> tuple[Node, Node]:
    """Holder and standby of a gateway. Raises StackError where breaking the holder would be an accident, no drill."""
    holder, standby = scene.holder(gateway), scene.standby(gateway)
    if holder is None:
        raise StackError(f"no node holds gateway {gateway}", "wait until  evernat status  shows it ready")
    if standby is None:
        cause = f"nobody is ready to take gateway {gateway} from {holder.id}: this would be an outage, not a drill"
        raise StackError(cause, "wait until  evernat status  shows the gateway ready")
    if scene.astray(gateway):
        raise StackError(
            f"not all routes lead to gateway {gateway} yet", "wait until  evernat status  shows it ready"
        )
    return holder, standby


def watch(
    api: Api,
    scene: Scene,
    gateway: str,
    how: str,
    breaking: Callable[[str], None],
    *,
    timeout: float,
    report: Callable[[str], None] = lambda text: None,
) -> Outage:
    """Break the holder and follow the gateway until another node has address and routes. Raises NotReady."""
    source, _ = ready(scene, gateway)
    begun, wall = api.clock.now(), time.time()
    breaking(source.id)
    moved, routes, told = 0.0, dict[str, float](), ""
    while True:
        now = look(api, scene.stack)
        at = api.clock.now() - begun
        holder = now.holder(gateway)
        if holder and holder.id != source.id:
            moved = moved or at
            for table in now.tables_of(gateway):
                if leads_to(table, holder):
                    routes.setdefault(table.id, at)
            if not now.astray(gateway):
                public = now.addresses[gateway].public_address
                return Outage(gateway, public, how, source, holder, wall, moved, routes)
        missing = _missing(now, gateway, source)
        if missing != told:
            told = missing
            report(missing)
        if at > timeout:
            raise NotReady(
                f"nobody has taken gateway {gateway} over {timeout:.0f} s after {source.id} was broken: {missing}",
                "evernat status  and the log of the standby (journalctl -u evernat-agent) say more",
            )
        api.clock.sleep(PAUSE)


def _missing(now: Scene, gateway: str, source: Node) -> str:
    holder = now.holder(gateway)
    if holder is None:
        return "the address is between two nodes"
    if holder.id == source.id:
        return f"by AWS's record {source.id} still holds the address"
    return f"{', '.join(t.id for t in now.astray(gateway))} still to follow"
