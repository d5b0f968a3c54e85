"""The addresses and routes of an instance's only interface."""

from __future__ import annotations

from ..kernel import primary
from ..kernel.primary import Uplink
from . import kernel
from .process import run


def faults(uplink: Uplink) -> list[str]:
    """What is missing or not set as it must be."""
    return primary.faults(_shown(uplink), uplink) + kernel.faults(uplink.link)


def prepare(uplink: Uplink, idle: int = 3600) -> list[str]:
    """Put it right, forwarding last. Gives the conntrack settings that the kernel did not take.

    `idle`: seconds a TCP connection may be silent.
    """
    commands = primary.commands(_shown(uplink), uplink)
    if commands:
        run("ip", "-4", "-batch", "-", text=commands)
    return kernel.prepare(uplink.link, idle)


def _shown(uplink: Uplink) -> str:
    # A missing device is an error to `ip`: what it lacks is told by the comparison.
    return run("ip", "-4", "-force", "-batch", "-", text=primary.show(uplink), check=False)
