"""Asking the holder of a gateway to hand it over, and watching it happen through the API.

The wish is a tag on the gateway's Elastic IP, `<slot>:<nonce>`. The holder reads it, brings its standby up to date and
moves address and routes; nobody but the nodes ever touches those. The tag is taken away again when all is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.errors import NotReady, StackError
from evernat.stack.found import Node
from evernat.stack.serving import Scene, leads_to, look

PAUSE = 0.1
"""Seconds between two looks: the times of a handover are known this well."""

TOLD = 10.0
"""Seconds in which the holder surely told of a standby that it hears."""


@dataclass(frozen=True)
class Handover:
    """A handover as the API showed it. Times are seconds since it was asked for, known to about `PAUSE`."""

    gateway: str
    public_address: str
    source: Node
    target: Node
    address: float
    """When the address was first seen on the target."""
    routes: Mapping[str, float]
    """When each table was first seen to lead there."""
    gap: float
    """From the last look at which address and routes led to the source, to the first at which all led to the target.

    Packets feel less of it: nodes forward before and after; the API merely shows it late."""


def standing_by(api: Api, scene: Scene, gateway: str, slot: str, report: Callable[[str], None]) -> Scene:
    """A scene with a standby of the gateway in that slot. Raises StackError when there is none.

    The holder tells within seconds that it hears a new one: where AWS shows one in service, that is waited for.
    """
    end = api.clock.now() + TOLD
    while not ((standby := scene.standby(gateway)) and standby.slot == slot):
        if not scene.able(slot) or api.clock.now() > end:
            raise StackError(
                f"no node in slot {slot} is ready to take gateway {gateway}",
                "wait until  evernat status  shows the gateway ready",
            )
        report(f"the holder does not hear a standby in slot {slot} yet")
        api.clock.sleep(1.0)
        scene = look(api, scene.stack, reports=True)
    return scene


def hand_over(
    api: Api, scene: Scene, gateway: str, slot: str, *, timeout: float, report: Callable[[str], None]
) -> Handover:
    """Move a gateway to another slot and wait until address and routes are there. Raises NotReady, StackError."""
    address, source = scene.addresses[gateway], scene.holder(gateway)
    if source is None:
        raise NotReady(f"no node holds gateway {gateway}", "wait until evernat status shows it ready")
    wish = f"{slot}:{uuid4().hex[:8]}"
    begun = api.clock.now()
    set_wish(api, address.id, wish)
    try:
        return _watched(api, scene, gateway, slot, begun, timeout, report)
    finally:
        api.call(
            "ec2", "delete_tags", Resources=[address.id], Tags=[{"Key": names.HANDOVER_TAG, "Value": wish}]
        )


def set_wish(api: Api, allocation: str, wish: str) -> None:
    """Write the operator's wish where the holder looks for it."""
    tags = [{"Key": names.HANDOVER_TAG, "Value": wish}]
    api.call("ec2", "create_tags", Resources=[allocation], Tags=tags)


def target_of(scene: Scene, gateway: str, to: str | None = None) -> str:
    """The slot a gateway shall go to: `to` (a slot or an instance id) or the other one. Raises StackError."""
    holder, slots = scene.holder(gateway), scene.addresses[gateway].slots
    others = [slot for slot in slots if holder is None or slot != holder.slot]
    wanted = next((n.slot for n in scene.nodes if n.id == to), to) or next(iter(others), "")
    if wanted not in others:
        listed = ", ".join(others) or "none: nobody stands by for it"
        raise StackError(
            f"gateway {gateway} cannot go to {to or 'another node'}", f"slots it can go to: {listed}"
        )
    return wanted


def _watched(
    api: Api,
    scene: Scene,
    gateway: str,
    slot: str,
    begun: float,
    timeout: float,
    report: Callable[[str], None],
) -> Handover:
    source = scene.holder(gateway)
    assert source is not None, "asked before"
    whole, moved, routes, told = 0.0, 0.0, dict[str, float](), ""
    while True:
        asked = api.clock.now() - begun
        now = look(api, scene.stack)
        at = api.clock.now() - begun
        holder = now.holder(gateway)
        if holder and holder.id == source.id and all(leads_to(t, source) for t in now.tables_of(gateway)):
            whole = asked
        if holder and holder.slot == slot:
            moved = moved or at
            for table in now.tables_of(gateway):
                if leads_to(table, holder):
                    routes.setdefault(table.id, at)
            if not now.astray(gateway):
                public = now.addresses[gateway].public_address
                return Handover(gateway, public, source, holder, moved, routes, at - whole)
        missing = _missing(now, gateway, slot)
        if missing != told:
            told = missing
            report(missing)
        if at > timeout:
            raise NotReady(
                f"gateway {gateway} was not handed over within {timeout:.0f} s: {missing}",
                f"the log of {source.id} says why (journalctl -u evernat-agent); nothing was forced",
            )
        api.clock.sleep(PAUSE)


def _missing(now: Scene, gateway: str, slot: str) -> str:
    holder = now.holder(gateway)
    if holder is None:
        return "the address is between two nodes"
    if holder.slot != slot:
        return f"{holder.id} (slot {holder.slot}) still holds it"
    return f"{', '.join(t.id for t in now.astray(gateway))} still to follow"
