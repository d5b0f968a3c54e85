"""What a node's role may do, from the policy itself, with the reason for each call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from evernat.bundle import agent_policy, cluster_policy
from evernat.stack import names

REASONS = {
    "ec2:DescribeInstances": "who the other nodes are, whether they run, and where port forwards lead",
    "ec2:DescribeNetworkInterfaces": "who has the gateway's interface; which addresses a node has",
    "ec2:DescribeAddresses": "who holds a gateway: AWS's record decides",
    "ec2:DescribeRouteTables": "where the route tables lead",
    "ec2:DescribeSecurityGroupRules": "what users let in by rules of their own: the node's firewall lets it in too",
    "ec2:AttachNetworkInterface": "take the gateway",
    "ec2:DetachNetworkInterface": "take the interface off a dead instance that AWS still shows it on",
    "ec2:AssociateAddress": "take a gateway",
    "ec2:DisassociateAddress": "end the association of a holder that is gone; of two that try, one succeeds",
    "ec2:ModifyNetworkInterfaceAttribute": "switch off the source/destination check of its own interface",
    "ec2:CreateRoute": "lead a route table that has no default route to the holder",
    "ec2:ReplaceRoute": "lead a route table to the holder",
    "ssm:GetParameters": "the members' key, the agent's files that user data has no room for, the last replacement",
    "ssm:PutParameter": "tell `evernat status` how a gateway does, and why a node gives up; note a replacement",
    "autoscaling:CompleteLifecycleAction": "say that NAT is proven, or give up",
    "autoscaling:SetInstanceHealth": "have this node replaced, when clients do not get out through it but others do",
}
"""Action -> why a node does it."""


def page(kind: str) -> str:
    """What may be called on what, and the document: `single` or `cluster` (pair, ring)."""
    policy = _single() if kind == "single" else _cluster()
    parts = [part for statement in policy["Statement"] for part in _statement(statement)]
    text = json.dumps(policy, indent=2)
    return "\n".join([*parts, "As a document:\n", f"```json\n{text}\n```", ""])


def _statement(statement: dict[str, Any]) -> Iterator[str]:
    yield f"**{statement['Sid']}**: on {_resources(statement)}{_condition(statement)}\n"
    for action in _list(statement["Action"]):
        yield f"- `{action}`: {REASONS[action]}"
    yield ""


def _single() -> dict[str, Any]:
    return agent_policy("aws", "REGION", "ACCOUNT", "main", names.resource_name("main"), "eni-0123")


def _cluster() -> dict[str, Any]:
    return cluster_policy(
        "aws",
        "REGION",
        "ACCOUNT",
        "main",
        group_names=[names.slot_name("main", slot) for slot in "ab"],
        gateways=["main"],
        addresses=["eipalloc-0123"],
        tables=["rtb-0123"],
        key_parameter=names.key_parameter("main"),
    )


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _resources(statement: dict[str, Any]) -> str:
    named = [resource.split(":", 5)[-1] for resource in _list(statement["Resource"])]
    return ", ".join("everything" if name == "*" else f"`{name}`" for name in named)


def _condition(statement: dict[str, Any]) -> str:
    wanted = statement.get("Condition", {}).get("StringEquals", {})
    said = [
        f"{key.removeprefix('aws:ResourceTag/').removeprefix('aws:')} is {' or '.join(_list(value))}"
        for key, value in wanted.items()
    ]
    return f", if {' and '.join(said)}".replace("RequestedRegion", "the region") if said else ""
