"""Names and tags of all a stack makes. They are deterministic, so that a cut-off run finds its own work again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from evernat.agent import contract

Part = Literal[
    "security-group",
    "interface",
    "address",
    "role",
    "instance-profile",
    "launch-template",
    "group",
    "launch-hook",
    "node",
    "route",
    "key",
    "code",
    "report",
]

STACK_TAG = "evernat:stack"
PART_TAG = "evernat:part"
SLOT_TAG = "evernat:slot"
"""On nodes, groups and templates of a stack whose nodes live in slots."""
GATEWAY_TAG = "evernat:gateway"
"""On an Elastic IP and on route tables: the gateway they belong to. A node may lead a table elsewhere only while it
carries this tag, so taking it off is how destroy makes the nodes let go of a route."""
SLOTS_TAG = "evernat:slots"
"""On a gateway's Elastic IP: the slots that can hold it, home first, separated by blanks."""
HANDOVER_TAG = "evernat:handover"
"""On a gateway's Elastic IP: the operator's wish to have it moved, `<slot>:<nonce>`. The holder reads it."""
BORROWED = "borrowed-address"
"""The part played by an Elastic IP that the user brought: it is handed back, never released."""
PREVIOUS_ROUTE_TAG = "evernat:previous-route"
"""On a route table: the target its default route had before, as `field=id` (for instance `nat-gateway-id=nat-0a1`)."""

HOOK = "evernat-ready"
"""The lifecycle hook that holds a new node back until it has proven that NAT works."""

AGENT_POLICY = "evernat-agent"
"""The role's inline policy for the agent."""

SESSION_POLICY = "evernat-session-manager"
"""The role's inline policy for Session Manager."""


def resource_name(stack: str) -> str:
    """Name of security group, launch template and Auto Scaling group."""
    return f"evernat-{stack}"


SLOTS = "abcdef"
"""Slots in order; no AWS region has more than six zones."""

PORT = 4817
"""Members of a stack talk to each other on this port, UDP and TCP."""


def slot_name(stack: str, slot: str) -> str:
    """Name of a slot's launch template and Auto Scaling group."""
    return f"{resource_name(stack)}-{slot}"


def group_names(stack: str) -> list[str]:
    """Every name that a launch template or Auto Scaling group of the stack can have."""
    return [resource_name(stack), *(slot_name(stack, slot) for slot in SLOTS)]


def key_parameter(stack: str) -> str:
    """The SSM parameter with the key by which members know each other's messages."""
    return f"/evernat/{stack}/key"


def report_parameter(stack: str, gateway: str) -> str:
    """The SSM parameter in which the holder of a gateway tells of it."""
    return contract.report(stack, gateway)


def boot_report(slot: str) -> str:
    """The last part of the name of the parameter in which a node says why it gives up."""
    return f"node-{slot}" if slot else "node"


REPLACEMENT_REPORT = "replacement"
"""Likewise of the one in which nodes note the last replacement that they asked for."""


def report_parameters(stack: str, gateways: Iterable[str], slots: Iterable[str]) -> list[str]:
    """All reports that nodes may write."""
    ends = [*gateways, *(boot_report(slot) for slot in ("", *slots)), REPLACEMENT_REPORT]
    return [report_parameter(stack, end) for end in dict.fromkeys(ends)]


def role_name(stack: str, region: str) -> str:
    """Name of role and instance profile. IAM has one namespace for all regions."""
    return f"evernat-{stack}-{region}"


def tags_for(stack: str, part: Part, user: Mapping[str, str]) -> dict[str, str]:
    """Tags of one part: the user's win over Name, never over evernat's own."""
    return {"Name": resource_name(stack), **user, STACK_TAG: stack, PART_TAG: part}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in AWS's list form, in a stable order."""
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def by_tag(stack: str) -> list[dict[str, Any]]:
    """The filter for EC2's things that carry the stack's tag."""
    return [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]


def tag_map(tags: object) -> dict[str, str]:
    """AWS's list form as a dict."""
    return {t["Key"]: t["Value"] for t in tags} if isinstance(tags, list) else {}
