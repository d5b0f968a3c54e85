"""Names and tags of all a stack makes. They are deterministic, so that a cut-off run finds its own work again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

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
]

STACK_TAG = "evernat:stack"
PART_TAG = "evernat:part"
PREVIOUS_ROUTE_TAG = "evernat:previous-route"
"""On a route table: the target its default route had before, as `field=id` (for instance `nat-gateway-id=nat-0a1`)."""

HOOK = "evernat-ready"
"""The lifecycle hook that holds a new node back until it has proven that NAT works."""

AGENT_POLICY = "evernat-agent"
"""The role's inline policy."""


def resource_name(stack: str) -> str:
    """Name of security group, launch template and Auto Scaling group."""
    return f"evernat-{stack}"


def role_name(stack: str, region: str) -> str:
    """Name of role and instance profile. IAM has one namespace for all regions."""
    return f"evernat-{stack}-{region}"


def tags_for(stack: str, part: Part, user: Mapping[str, str]) -> dict[str, str]:
    """Tags of one part: the user's win over Name, never over evernat's own."""
    return {"Name": resource_name(stack), **user, STACK_TAG: stack, PART_TAG: part}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in AWS's list form, in a stable order."""
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def tag_map(tags: object) -> dict[str, str]:
    """AWS's list form as a dict."""
    return {t["Key"]: t["Value"] for t in tags} if isinstance(tags, list) else {}
