"""The agents of a pair or ring, played by API calls: who is ready takes what nobody has, and does what tags ask for."""

from __future__ import annotations

from typing import Any

from evernat.stack import names
from tests.stack.world import World


class Agents:
    """All nodes' agents at once. They act at every turn of the world's clock, as the real ones would act by themselves.

    `deaf`: instances whose agents do not act. `returns`: whether a ring's home takes its gateway back. `hasty`: whether
    a working route of somebody else's is taken without proof, as agents did once.
    """

    def __init__(self, world: World, stack: str = "main") -> None:
        self.world, self.stack = world, stack
        self.deaf: set[str] = set()
        self.works = self.returns = True
        self.hasty = False
        self.heard_after = 0
        """Turns until a holder hears its standby."""
        self.history: list[tuple[str, str]] = []
        self.members: dict[str, str] = {}
        self.nodes: dict[str, dict[str, Any]] = {}
        world.agent = self.turn  # type: ignore[method-assign]

    def turn(self) -> None:
        """Complete launch hooks, claim what is free, follow the operator's wishes, lead the routes."""
        if not self.works:
            return
        self._look()
        self._hooks()
        for address in self._addresses():
            self._gateway(address)

    def _look(self) -> None:
        self.members = {}
        groups = self.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        for group in groups:
            for member in group["Instances"]:
                self.members[member["InstanceId"]] = member["LifecycleState"]
        mine = [
            {"Name": f"tag:{names.STACK_TAG}", "Values": [self.stack]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
        found = self.world.client("ec2").describe_instances(Filters=mine)["Reservations"]
        self.nodes = {
            i["InstanceId"]: i for r in found for i in r["Instances"] if i["InstanceId"] not in self.deaf
        }

    def _hooks(self) -> None:
        for identifier, state in self.members.items():
            if state == "Pending:Wait" and identifier in self.nodes:
                self.world.client("ec2").modify_network_interface_attribute(
                    NetworkInterfaceId=self.nodes[identifier]["NetworkInterfaces"][0]["NetworkInterfaceId"],
                    SourceDestCheck={"Value": False},
                )
                self.world.client("autoscaling").complete_lifecycle_action(
                    AutoScalingGroupName=names.slot_name(self.stack, self._slot(identifier)),
                    LifecycleHookName=names.HOOK,
                    InstanceId=identifier,
                    LifecycleActionResult="CONTINUE",
                )
                self.members[identifier] = "InService"

    def _addresses(self) -> list[dict[str, Any]]:
        filters = [{"Name": f"tag:{names.STACK_TAG}", "Values": [self.stack]}]
        found = self.world.client("ec2").describe_addresses(Filters=filters)["Addresses"]
        return [a for a in found if names.GATEWAY_TAG in _tags(a)]

    def _gateway(self, address: dict[str, Any]) -> None:
        tags = _tags(address)
        slots = tags[names.SLOTS_TAG].split()
        able = {
            self._slot(i): i for i, state in self.members.items() if state == "InService" and i in self.nodes
        }
        holder = address.get("InstanceId")
        wish = tags.get(names.HANDOVER_TAG, "").partition(":")[0]
        order = [wish, *slots] if wish else slots
        target = next((able[s] for s in order if s in able), None)
        stays = holder in self.nodes and self.members.get(str(holder)) == "InService"
        if wish:
            stays = stays and target == holder
        elif stays and self.returns and len(self._addresses()) > 1:
            stays = self._slot(str(holder)) == slots[0] or slots[0] not in able
        if not stays and target and target != holder:
            self._take(address, target)
            holder = target
        if holder in self.nodes:
            self._lead(tags[names.GATEWAY_TAG], str(holder))
            others = {i for s, i in able.items() if s in slots and i != holder}
            self.heard_after -= bool(others)
            heard = tuple(sorted(others)) if self.heard_after < 0 else ()
            self.world.teller(self.stack).say(tags[names.GATEWAY_TAG], str(holder), heard)

    def _take(self, address: dict[str, Any], target: str) -> None:
        ec2 = self.world.client("ec2")
        if address.get("AssociationId"):
            ec2.disassociate_address(AssociationId=address["AssociationId"])
        interface = self.nodes[target]["NetworkInterfaces"][0]
        taken = {
            a["PrivateIpAddress"] for a in ec2.describe_addresses()["Addresses"] if a.get("PrivateIpAddress")
        }
        free = [
            a["PrivateIpAddress"]
            for a in interface["PrivateIpAddresses"]
            if a["PrivateIpAddress"] not in taken
        ]
        ec2.associate_address(
            AllocationId=address["AllocationId"],
            NetworkInterfaceId=interface["NetworkInterfaceId"],
            PrivateIpAddress=free[0],
            AllowReassociation=False,
        )
        self.history.append((_tags(address)[names.GATEWAY_TAG], self._slot(target)))

    def _lead(self, gateway: str, holder: str) -> None:
        ec2 = self.world.client("ec2")
        interface = self.nodes[holder]["NetworkInterfaces"][0]["NetworkInterfaceId"]
        filters = [{"Name": f"tag:{names.GATEWAY_TAG}", "Values": [gateway]}]
        for table in ec2.describe_route_tables(Filters=filters)["RouteTables"]:
            default = [r for r in table["Routes"] if r["DestinationCidrBlock"] == "0.0.0.0/0"]
            if any(r.get("NetworkInterfaceId") == interface for r in default):
                continue
            foreign = default and default[0]["State"] == "active" and not default[0].get("NetworkInterfaceId")
            if foreign and not self.hasty and not self.world.teller(self.stack).check(gateway)["ok"]:
                continue
            # One that a gateway propagates cannot be replaced.
            there = any(r["Origin"] == "CreateRoute" for r in default)
            change = ec2.replace_route if there else ec2.create_route
            change(
                RouteTableId=table["RouteTableId"],
                DestinationCidrBlock="0.0.0.0/0",
                NetworkInterfaceId=interface,
            )

    def _slot(self, identifier: str) -> str:
        return _tags(self.nodes[identifier]).get(names.SLOT_TAG, "") if identifier in self.nodes else ""

    # what tests ask

    def holders(self) -> dict[str, str]:
        """Gateway -> the instance that has its address."""
        return {_tags(a)[names.GATEWAY_TAG]: a.get("InstanceId", "") for a in self._addresses()}

    def public(self) -> dict[str, str]:
        """Gateway -> its public address."""
        return {_tags(a)[names.GATEWAY_TAG]: a["PublicIp"] for a in self._addresses()}

    def slots(self) -> dict[str, str]:
        """Gateway -> the slot that has its address."""
        self._look()
        return {gateway: self._slot(identifier) for gateway, identifier in self.holders().items()}


def _tags(thing: dict[str, Any]) -> dict[str, str]:
    return {t["Key"]: t["Value"] for t in thing.get("Tags") or []}
