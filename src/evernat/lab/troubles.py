"""What people name in a lab: nodes, places out of reach, and in words what was done on purpose. Pure."""

from __future__ import annotations

import ipaddress
import itertools

from evernat.lab.errors import LabError
from evernat.lab.world import Instance, Unreachable, World

FAR = ("api", "checkip", "places", "internet")
"""What may be out of reach by name, see `world.Unreachable`."""


def find(world: World, node: str) -> Instance:
    """The instance that is the host `node`, or whose id begins so. Raises LabError when there is not just one."""
    found = [i for i in world.instances if node and (i.host == node or i.id.startswith(node))]
    if len(found) != 1:
        known = ", ".join(i.host or i.id for i in world.instances) or "none"
        what = "is not unique" if found else "is not there"
        raise LabError(f"node {node!r} {what} (known: {known})", "evernat lab status  shows all")
    return found[0]


_WORDS = {
    "api": "no API",
    "checkip": "no checkip",
    "places": "no internet but checkip",
    "internet": "no internet",
}


def unreachable(world: World, what: str, instance: str, interface: str) -> Unreachable:
    """Checks what was asked for. `interface`: the beginning of an id, or its name on the instance (ens6); may be empty.

    Raises LabError for a place or an interface that is not there.
    """
    if what not in FAR and not _is_address(what):
        raise LabError(
            f"there is no place {what!r}", f"use one of {', '.join(FAR)}, or an address like 1.1.1.1"
        )
    if not interface:
        return Unreachable(what, instance)
    plugged = _interfaces(world, instance)
    found = [eni for eni, name in plugged.items() if interface == name or eni.startswith(interface)]
    if len(found) != 1:
        known = ", ".join(itertools.chain.from_iterable(plugged.items())) or "none"
        raise LabError(
            f"{instance or 'no node'} has no interface {interface!r} (known: {known})", "name the node too"
        )
    return Unreachable(what, instance, found[0])


def _is_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False


def _interfaces(world: World, instance: str) -> dict[str, str]:
    """Interface ids of an instance, each with its name on it."""
    return {
        eni.id: f"ens{5 + eni.attachment.device_index}"
        for eni in world.enis
        if eni.attachment and eni.attachment.instance_id == instance
    }


def of_instance(world: World, instance: Instance) -> list[str]:
    """What was done to an instance on purpose, in words."""
    said = {
        "without power": not instance.powered,
        "network cut": not instance.connected,
        **dict.fromkeys(_lost(world, instance.id), True),
        f"{instance.lossy / 10:g} % of packets lost": instance.lossy,
        f"{instance.parted / 10:g} % of packets to other nodes lost": instance.parted,
        "spot notice": instance.spot_action,
        "rebalance": instance.rebalance,
    }
    return [words for words, holds in said.items() if holds]


def of_all(world: World) -> list[str]:
    """What was done to everybody."""
    return _lost(world, "")


def _lost(world: World, instance: str) -> list[str]:
    names = _interfaces(world, instance)
    return [
        _WORDS.get(lost.what, f"no {lost.what}") + (f" by {names[lost.interface]}" if lost.interface else "")
        for lost in world.unreachable
        if lost.instance == instance and (not lost.interface or lost.interface in names)
    ]
