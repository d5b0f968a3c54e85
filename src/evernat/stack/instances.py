"""The stack's instances, as EC2 describes them."""

from __future__ import annotations

from typing import Any

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.found import Nic, Node
from evernat.stack.names import tag_map

LIVE = ["pending", "running", "shutting-down", "stopping", "stopped"]


def discover_nodes(api: Api, stack: str) -> list[Node]:
    """The stack's instances that are not terminated."""
    return _instances(api, stack, LIVE)


def ended_nodes(api: Api, stack: str) -> list[Node]:
    """The stack's instances that are on their way out or terminated: EC2 lists these for about an hour."""
    return _instances(api, stack, ["shutting-down", "terminated"])


def _instances(api: Api, stack: str, states: list[str]) -> list[Node]:
    filters = [*names.by_tag(stack), {"Name": "instance-state-name", "Values": states}]
    reservations = api.pages("ec2", "describe_instances", "Reservations", Filters=filters)
    return [_node(i) for r in reservations for i in r["Instances"]]


def _node(raw: dict[str, Any]) -> Node:
    nics = {n["NetworkInterfaceId"]: _nic(n) for n in raw.get("NetworkInterfaces") or []}
    return Node(
        id=raw["InstanceId"],
        state=raw["State"]["Name"],
        type=raw.get("InstanceType") or "",
        zone=(raw.get("Placement") or {}).get("AvailabilityZone") or "",
        spot=raw.get("InstanceLifecycle") == "spot",
        private_address=raw.get("PrivateIpAddress") or "",
        public_address=raw.get("PublicIpAddress") or "",
        launched=str(raw.get("LaunchTime") or ""),
        tags=tag_map(raw.get("Tags")),
        interfaces=tuple(nics),
        subnet=raw.get("SubnetId") or "",
        vpc_id=raw.get("VpcId") or "",
        nics=nics,
    )


def _nic(raw: dict[str, Any]) -> Nic:
    groups = tuple(sorted(g["GroupId"] for g in raw.get("Groups") or []))
    return Nic(bool(raw.get("SourceDestCheck", True)), groups)
