"""The calls about a gateway that is an interface."""

from __future__ import annotations

from ..model import Interface
from .api import text
from .store import Store
from .web import UnansweredError


class Cloud(Store):
    """Finds and moves the interface."""

    def interface(self, interface: str) -> Interface:
        """The interface by AWS's record, and the state of another instance that has it."""
        answer = self.call("ec2", "DescribeNetworkInterfaces", {"NetworkInterfaceId.1": interface})
        found = answer.find("networkInterfaceSet/item")
        if found is None:
            raise UnansweredError(f"DescribeNetworkInterfaces: {interface} is not in the answer")
        holder = text(found, "attachment/instanceId")
        return Interface(
            interface,
            text(found, "macAddress"),
            text(found, "privateIpAddress"),
            text(found, "association/publicIp"),
            text(found, "sourceDestCheck") != "false",
            text(found, "vpcId"),
            text(found, "attachment/attachmentId"),
            holder,
            self._state(holder) if holder not in ("", self._host.instance) else "",
        )

    def attach(self, interface: str) -> None:
        """Ask for the interface as this instance's second."""
        self.call(
            "ec2",
            "AttachNetworkInterface",
            {"NetworkInterfaceId": interface, "InstanceId": self._host.instance, "DeviceIndex": "1"},
        )

    def detach(self, attachment: str, force: bool) -> None:
        """Ask for the interface to be taken from another instance."""
        self.call("ec2", "DetachNetworkInterface", {"AttachmentId": attachment, "Force": str(force).lower()})

    def _state(self, instance: str) -> str:
        found = self.instances({"instance-id": [instance]})
        return text(found[0], "instanceState/name") if found else ""
