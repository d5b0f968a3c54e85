"""The seam between an instance and how it boots; a kind with real systemd and cloud-init goes behind it too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

How = Literal["poweroff", "reboot"]
OnEnd = Callable[[How], None]
"""Told when a machine ended by its own will (or broke, which counts as `poweroff`), in a thread of its own."""


class Machine(Protocol):
    """One machine from one power-on to its end. Every method returns at once and may be called at any time."""

    @property
    def pid(self) -> int | None:
        """Process 1 of the machine as this process sees it, for entering its namespaces; None when there is none."""

    def start(self) -> None:
        """Power on. It waits by itself for the machine that had these files before."""

    def shut_down(self) -> None:
        """Press the power button: services are stopped as the operating system would, then it ends."""

    def power_off(self) -> None:
        """Pull the plug: everything in it is dead at once."""

    def kill_unit(self, unit: str) -> None:
        """Kill a service's main process."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; answers whether it has ended."""
