"""All machines of a lab, brought in line with the World."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evernat.lab.computer import stall
from evernat.lab.computer.box import Box, place_for_files, remove_tree
from evernat.lab.computer.guest import kernel
from evernat.lab.computer.host import HostMachine
from evernat.lab.computer.machine import How, Machine
from evernat.lab.computer.skeleton import Skeleton
from evernat.lab.computer.small import SmallMachine
from evernat.lab.profile import Profile
from evernat.lab.world import Instance, World

AGENT_UNIT = "evernat-agent.service"

_GOING = ("shutting-down", "stopping")
_LAST_WAIT = 5.0


@dataclass
class Slot:
    """An instance's machine at present. `boots` is the World's count it was started for."""

    machine: Machine
    boots: int
    going: bool = False
    """It was told to end, one way or the other."""


class Computers:
    """Starts and stops machines as the World says. The two methods that follow it are called one at a time."""

    def __init__(
        self,
        directory: Path,
        netns: Callable[[str], int],
        on_exit: Callable[[str, How], None],
        profile: Profile,
        log: Callable[[str], None] = print,
        host_command: Callable[[str], list[str]] = lambda name: ["sleep", "infinity"],
        system: Callable[[str], str] = lambda image_id: "al2023",
    ) -> None:
        """`directory` is made here and removed by `close`. `netns` is asked after the World's instance is wired.

        `on_exit` is called from a machine's own thread when the instance went down by itself. `host_command` is what
        an instance with a `host` name runs instead of booting. `system` says which of `skeleton.SYSTEMS` an image has.
        """
        self._netns, self._on_exit, self._profile, self._log = netns, on_exit, profile, log
        self._host_command = host_command
        self._system = system
        self._directory = directory
        self._boxes = directory / "boxes"
        self._consoles = directory / "consoles"
        for each in (self._boxes, self._consoles):
            each.mkdir(parents=True)
        self._mounted = place_for_files(self._boxes)
        self._skeletons: dict[str, Skeleton] = {}
        self._skeleton("al2023")
        self._slots: dict[str, Slot] = {}
        self._files: dict[str, Box] = {}
        self._lock = threading.Lock()
        self._closed = False

    def stop_gone(self, world: World) -> None:
        """End the machines that this World has not, or not any more in this boot. Does not wait for them.

        An instance that runs but has no power had its plug pulled; everything else goes down in order.
        """
        instances = {each.id: each for each in world.instances}
        with self._lock:
            for instance_id, slot in list(self._slots.items()):
                self._stop_if_gone(slot, instances.get(instance_id))
                if instance_id not in instances:
                    self._forget(instance_id, slot)

    def start_new(self, world: World) -> None:
        """Power on the machines that this World has and which do not run. Does not wait for them."""
        with self._lock:
            if self._closed:
                return
            for instance in world.instances:
                slot = self._slots.get(instance.id)
                if not instance.powered or instance.state != "running":
                    continue
                if slot is None or slot.going:
                    machine = self._build(instance, world.region, slot.machine if slot else None)
                    self._slots[instance.id] = Slot(machine, instance.boots)
                    machine.start()

    def pid(self, instance_id: str) -> int | None:
        """Process 1 of an instance, for nsenter; None for one that does not run (yet), and for hosts of the lab."""
        slot = self._slots.get(instance_id)
        return slot.machine.pid if slot else None

    def kill_unit(self, instance_id: str, unit: str = AGENT_UNIT) -> None:
        """Kill a unit's main process; an instance that does not run is left alone."""
        slot = self._slots.get(instance_id)
        if slot:
            slot.machine.kill_unit(unit)

    def stall(self, instance_id: str, seconds: float) -> None:
        """Stop all programs of an instance for a while; one that does not run is left alone."""
        first = self.pid(instance_id)
        if first is not None:
            stall.stall(first, seconds)

    def console(self, instance_id: str) -> Path:
        """What the instance wrote to its console, over all its boots. It stays after its end, until `close`."""
        return self._consoles / f"{instance_id}.log"

    def console_text(self, instance_id: str) -> bytes:
        """The same as it was written; nothing of an instance that never ran."""
        path = self.console(instance_id)
        return path.read_bytes() if path.exists() else b""

    def close(self) -> None:
        """Pull all plugs, wait for the end, remove all files."""
        with self._lock:
            self._closed = True
            machines = [slot.machine for slot in self._slots.values()]
            for machine in machines:
                machine.power_off()
        for machine in machines:
            machine.wait(_LAST_WAIT)
        for box in self._boxes.iterdir():
            remove_tree(box)
        if self._mounted:
            kernel.unmount(str(self._boxes))
        remove_tree(self._directory)

    def _skeleton(self, system: str) -> Skeleton:
        if system not in self._skeletons:
            directory = self._directory / f"image-{system}"
            self._skeletons[system] = Skeleton(directory, self._profile.package_install, system)
        return self._skeletons[system]

    def _stop_if_gone(self, slot: Slot, instance: Instance | None) -> None:
        if instance is not None and instance.state == "running" and not instance.powered:
            slot.going = True
            slot.machine.power_off()
            return
        stays = instance is not None and instance.powered and instance.boots == slot.boots
        if not slot.going and not (stays and instance is not None and instance.state not in _GOING):
            slot.going = True
            slot.machine.shut_down()

    def _forget(self, instance_id: str, slot: Slot) -> None:
        del self._slots[instance_id]
        box = self._files.pop(instance_id, None)

        def remove() -> None:
            slot.machine.wait()
            if box is not None:
                box.remove()

        threading.Thread(target=remove, name=f"remove-{instance_id}", daemon=True).start()

    def _build(self, instance: Instance, region: str, before: Machine | None) -> Machine:
        netns = os.dup(self._netns(instance.id))
        console = self.console(instance.id)
        if instance.host:
            return HostMachine(self._host_command(instance.host), netns, console, self._log, before)
        skeleton = self._skeleton(self._system(instance.image_id))
        if instance.id not in self._files:
            hostname = f"ip-{instance.private_address.replace('.', '-')}.{region}.compute.internal"
            self._files[instance.id] = Box(self._boxes, skeleton, instance.id, hostname)

        def ended(how: How) -> None:
            self._on_exit(instance.id, how)

        return SmallMachine(
            self._files[instance.id],
            skeleton,
            netns,
            self._profile.boot,
            console,
            ended,
            self._log,
            before,
        )
