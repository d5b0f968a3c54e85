"""The kernel's addresses, policy routes and sysctls of a gateway that is an interface."""

from __future__ import annotations

from .. import routing
from ..model import Gateway
from . import kernel
from .process import run


def faults(gateway: Gateway) -> list[str]:
    """What differs from what the gateway needs."""
    return routing.faults(_shown(gateway), gateway) + kernel.faults(gateway.link)


def prepare(gateway: Gateway, idle: int = 3600) -> list[str]:
    """Put it right, forwarding last. Gives the conntrack settings that the kernel did not take.

    `idle`: seconds a TCP connection may be silent.
    """
    run("ip", "-4", "-batch", "-", text=routing.commands(_shown(gateway), gateway))
    return kernel.prepare(gateway.link, idle)


def _shown(gateway: Gateway) -> str:
    # An empty table is an error to `ip`, and what a missing device lacks is told by the comparison.
    return run("ip", "-4", "-force", "-batch", "-", text=routing.show(gateway), check=False)
