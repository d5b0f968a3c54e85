"""The calls about gateways that are addresses."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from ..cluster_model import Config, Member, Record, Route
from .api import RefusedError, text
from .store import Store

ANYWHERE = "0.0.0.0/0"


class Cloud(Store):
    """Reads AWS's record of the stack, and moves addresses and routes."""

    def records(self, config: Config) -> dict[str, Record]:
        """Who has which gateway."""
        at, names = time.monotonic(), {g.address: g.name for g in config.mine()}
        answer = self.call("ec2", "DescribeAddresses", _list("AllocationId", names))
        return {
            names[text(item, "allocationId")]: Record(
                text(item, "associationId"),
                text(item, "instanceId"),
                text(item, "networkInterfaceId"),
                text(item, "publicIp"),
                text(item, "tagSet/item[key='evernat:handover']/value"),
                at,
            )
            for item in answer.findall("addressesSet/item")
        }

    def members(self, stack: str) -> dict[str, Member]:
        """The stack's instances, those that are gone too as long as AWS lists them."""
        return {
            text(item, "instanceId"): Member(
                text(item, "instanceId"),
                text(item, "tagSet/item[key='evernat:slot']/value"),
                text(item, "privateIpAddress"),
                text(item, "instanceState/name"),
                text(item, "launchTime"),
            )
            for item in self.instances({"tag:evernat:stack": [stack], "tag:evernat:part": ["node"]})
        }

    def routes(self, tables: Iterable[str], interface: str, members: Collection[str]) -> dict[str, Route]:
        """Where the tables' default routes point: to the interface, or to a live target of nobody in `members`."""
        at = time.monotonic()
        answer = self.call("ec2", "DescribeRouteTables", _list("RouteTableId", tables))
        found = {}
        for item in answer.findall("routeTableSet/item"):
            route = f"routeSet/item[destinationCidrBlock='{ANYWHERE}']/"
            here = text(item, f"{route}networkInterfaceId") == interface
            alive = text(item, f"{route}state") == "active"
            foreign = alive and not here and text(item, f"{route}instanceId") not in members
            found[text(item, "routeTableId")] = Route(here, at, foreign)
        return found

    def checked(self, interface: str) -> tuple[bool, str]:
        """Whether the source/destination check is on, and the VPC."""
        answer = self.call("ec2", "DescribeNetworkInterfaces", _list("NetworkInterfaceId", [interface]))
        item = "networkInterfaceSet/item/"
        return text(answer, f"{item}sourceDestCheck") != "false", text(answer, f"{item}vpcId")

    def release(self, association: str) -> None:
        """End the association. Refused when it is over already."""
        self.call("ec2", "DisassociateAddress", {"AssociationId": association})

    def take(self, allocation: str, interface: str, address: str) -> str:
        """Associate the address if it has no association; gives the new one's id."""
        asked = {
            "AllocationId": allocation,
            "NetworkInterfaceId": interface,
            "PrivateIpAddress": address,
            "AllowReassociation": "false",
        }
        return text(self.call("ec2", "AssociateAddress", asked), "associationId")

    def point(self, table: str, interface: str) -> None:
        """Lead the table's default route to the interface."""
        asked = {"RouteTableId": table, "DestinationCidrBlock": ANYWHERE, "NetworkInterfaceId": interface}
        try:
            self.call("ec2", "ReplaceRoute", asked)
        except RefusedError:  # there is none to replace; or if that was not why, this says so too
            self.call("ec2", "CreateRoute", asked)


def _list(name: str, values: Iterable[str]) -> dict[str, str]:
    return {f"{name}.{n}": value for n, value in enumerate(values, 1)}
