"""The verbs of the control socket that break a lab on purpose, and put it right again."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from evernat.lab import disturbances, troubles
from evernat.lab.cloud import Cloud
from evernat.lab.computer import Computers
from evernat.lab.control import Answer, Handler
from evernat.lab.errors import LabError
from evernat.lab.fabric import Fabric
from evernat.lab.world import Instance, Unreachable

_SCRIPT_TIME = 20.0
"""Seconds that a script on a node may take."""


class Breaking:
    """The methods named in `handlers` are verbs. Each logs what it does."""

    def __init__(
        self,
        cloud: Cloud,
        computers: Computers,
        fabric: Fabric,
        client: Callable[[str], Any],
        log: Callable[[str], None],
    ) -> None:
        """`client` makes a boto3 client of the lab's user."""
        self.cloud, self.computers, self.fabric, self.client, self._log = (
            cloud,
            computers,
            fabric,
            client,
            log,
        )
        self._standing: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        """What other programs did on a node and is still there, by instance and boot."""

    def handlers(self) -> dict[str, Handler]:
        """Verb -> method."""
        return {
            "kill": self.kill,
            "mend": self.mend,
            "disturb": self.disturb,
            "lose": self.lose,
            "separate": self.separate,
            "rejoin": self.rejoin,
            "stall": self.stall,
            "reboot": self.reboot,
            "fault": self.fault,
            "faults": self.faults,
            "clear_faults": self.clear_faults,
            "path_mtu": self.path_mtu,
            "spot": self.spot,
        }

    def _instance(self, node: str) -> Instance:
        return troubles.find(self.cloud.world(), node)

    def troubles(self, instance: Instance) -> list[str]:
        """What was done to an instance on purpose, in words."""
        said = troubles.of_instance(self.cloud.world(), instance)
        standing = self._standing.get((instance.id, instance.boots), [])
        return said + [disturbances.standing(how) for how in standing]

    def kill(self, node: str, how: str, interface: str = "") -> Answer:
        """Break a node. `interface` is for places out of its reach: only through that one."""
        if how in troubles.FAR:
            return self.separate(how, node, interface)
        if interface:
            raise LabError(
                f"--how {how} is for the whole node", f"--interface goes with {', '.join(troubles.FAR)}"
            )
        instance = self._instance(node)
        self._log(f"kill {instance.id} ({how})")
        ways: dict[str, Callable[[str], Any]] = {
            "power": self.cloud.pull_plug,
            "network": self.cloud.cut_network,
            "partition": lambda i: self.cloud.disturb(i, parted=1000),
            "agent": self.computers.kill_unit,
            "terminate": lambda i: self.client("ec2").terminate_instances(InstanceIds=[i]),
        }
        if how not in ways:
            raise LabError(f"--how {how!r} is not known", f"use one of {', '.join((*ways, *troubles.FAR))}")
        ways[how](instance.id)
        return Answer({"id": instance.id, "how": how})

    def separate(self, what: str, node: str = "", interface: str = "") -> Answer:
        """Put something outside out of reach, for a node or for everybody; see `troubles.unreachable`."""
        lost = self._unreachable(what, node, interface)
        self._log(f"unreachable: {lost}")
        self.cloud.separate(lost)
        return Answer({"id": lost.instance, "how": what})

    def rejoin(self, what: str, node: str = "", interface: str = "") -> Answer:
        """Undo one `separate`."""
        lost = self._unreachable(what, node, interface)
        self._log(f"reachable again: {lost}")
        self.cloud.rejoin(lost)
        return Answer({"id": lost.instance, "how": what})

    def _unreachable(self, what: str, node: str, interface: str) -> Unreachable:
        instance = self._instance(node).id if node else ""
        return troubles.unreachable(self.cloud.world(), what, instance, interface)

    def mend(self, node: str) -> Answer:
        """Give a node its whole network back, and take away what other programs made on it."""
        instance = self._instance(node)
        self._log(f"mend {instance.id}")
        self.cloud.mend_network(instance.id)
        self._tidy(instance)
        return Answer({"id": instance.id})

    def disturb(self, node: str, how: str) -> Answer:
        """Break a node's forwarding from inside, see `disturbances`."""
        instance = self._instance(node)
        if how not in disturbances.DISTURBANCES:
            known = ", ".join(disturbances.DISTURBANCES)
            raise LabError(f"--how {how!r} is not known", f"use one of {known}")
        if not instance.powered:
            raise LabError(f"{node} is powered off", "evernat lab status  shows who runs")
        self._log(f"disturb {instance.id} ({how})")
        if how == "check-on":
            self._check(instance.id)
        self._script(instance.id, disturbances.script(how))
        if how == "networkd":
            self.fabric.configure_again(instance.id)
        standing = self._standing[instance.id, instance.boots]
        if how == "flush":
            standing.clear()
        if disturbances.standing(how) and how not in standing:
            standing.append(how)
        return Answer({"id": instance.id, "how": how})

    def _check(self, instance_id: str) -> None:
        """Have AWS drop what is not from or for the instance's own addresses."""
        for eni in self.cloud.world().enis:
            if eni.attachment and eni.attachment.instance_id == instance_id:
                self.client("ec2").modify_network_interface_attribute(
                    NetworkInterfaceId=eni.id, SourceDestCheck={"Value": True}
                )

    def _script(self, instance_id: str, script: str) -> None:
        """Run it in a shell in the instance's network namespace; LabError with what it said if it failed."""
        process = self.fabric.spawn(
            instance_id, ["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = process.communicate(timeout=_SCRIPT_TIME)
        if process.returncode:
            raise LabError(f"{instance_id}: {said.decode().strip()}", f"it ran:  {script}")

    def lose(self, node: str, lossy: float | None = None, parted: float | None = None) -> Answer:
        """Lose a share (0 to 1) of a node's packets, or of those between it and other nodes."""
        instance = self._instance(node)
        self._log(f"lose {instance.id}: lossy {lossy}, parted {parted}")
        self.cloud.disturb(instance.id, lossy=_per_mille(lossy), parted=_per_mille(parted))
        return Answer({"id": instance.id})

    def _tidy(self, instance: Instance) -> None:
        for how in self._standing.pop((instance.id, instance.boots), []):
            self._script(instance.id, disturbances.undo(how))

    def stall(self, node: str, seconds: float) -> Answer:
        """Stop a node's programs for a while."""
        instance = self._instance(node)
        if self.computers.pid(instance.id) is None:
            raise LabError(
                f"{node} has no programs that could be stopped", "evernat lab status  shows who runs"
            )
        self._log(f"stall {instance.id} for {seconds} s")
        self.computers.stall(instance.id, seconds)
        return Answer({"id": instance.id})

    def reboot(self, node: str) -> Answer:
        """Reboot through the API."""
        instance = self._instance(node)
        self.client("ec2").reboot_instances(InstanceIds=[instance.id])
        return Answer({"id": instance.id})

    def fault(self, **fault: Any) -> Answer:
        """Add a fault to API calls: arguments of `Faults.add`; or `interface_release` seconds."""
        if "interface_release" in fault:
            self.cloud.faults.interface_release(float(fault["interface_release"]))
        else:
            self.cloud.faults.add(**fault)
        return Answer(None)

    def faults(self) -> Answer:
        """The faults of API calls that have not struck as often as they should."""
        kept = ("action", "kind", "code", "seconds", "times", "struck", "principal")
        found = [f for f in self.cloud.faults.listed if not f.spent]
        return Answer([{name: getattr(fault, name) for name in kept} for fault in found])

    def clear_faults(self) -> Answer:
        """Take all faults of the API and of the network away, and what other programs made on nodes."""
        self.cloud.faults.clear()
        self.fabric.set_path_mtu(1500)
        self.cloud.rejoin()
        for instance in self.cloud.world().instances:
            if not instance.connected or instance.lossy or instance.parted:
                self.cloud.mend_network(instance.id)
            if instance.powered:
                self._tidy(instance)
        return Answer(None)

    def path_mtu(self, mtu: int) -> Answer:
        """Narrow the path on the internet, in bytes."""
        self.fabric.set_path_mtu(mtu)
        return Answer(None)

    def spot(self, node: str, notice: str, seconds: float = 120.0) -> Answer:
        """Give a node a spot interruption notice (terminated after `seconds`) or a rebalance recommendation."""
        instance = self._instance(node)
        if notice not in ("interrupt", "rebalance"):
            raise LabError(f"--notice {notice!r} is not known", "use interrupt or rebalance")
        if not instance.spot:
            raise LabError(f"{instance.id} is not a spot instance", "set  use_spot = true  in evernat.toml")
        self._log(f"spot {instance.id}: {notice}")
        if notice == "interrupt":
            self.cloud.interrupt_spot(instance.id, seconds)
        else:
            self.cloud.recommend_rebalance(instance.id)
        return Answer({"id": instance.id})


def _per_mille(share: float | None) -> int | None:
    if share is not None and not 0 <= share <= 1:
        raise LabError(f"a share of packets is from 0 to 1, not {share}", "0.05 is five of a hundred packets")
    return None if share is None else round(share * 1000)
