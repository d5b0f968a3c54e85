"""The node's role: what the agent calls, bound as tightly as AWS can."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType
from typing import Any

import pytest

from evernat.agent.effects import address, api, ec2, openings, replacement, store
from evernat.bundle import agent_policy, cluster_policy

POLICY = agent_policy("aws", "us-west-2", "123456789012", "main", "evernat-main", "eni-1")


def actions(statement: dict[str, Any]) -> list[str]:
    found = statement["Action"]
    return [found] if isinstance(found, str) else list(found)


CLUSTER = cluster_policy(
    "aws",
    "us-west-2",
    "123456789012",
    "main",
    group_names=["evernat-main-a"],
    gateways=["main"],
    addresses=["eipalloc-1"],
    tables=["rtb-1"],
    key_parameter="/evernat/main/key",
)
VERBS = (
    "Put",
    "Describe",
    "Attach",
    "Detach",
    "Complete",
    "Get",
    "Associate",
    "Disassociate",
    "Replace",
    "Create",
    "Modify",
    "Set",
)


@pytest.mark.parametrize(
    ("modules", "policy"),
    [
        ([api, store, ec2, replacement, openings], POLICY),
        ([api, store, address, replacement, openings], CLUSTER),
    ],
    ids=["eni", "address"],
)
def test_what_is_called_is_allowed_and_nothing_else(
    modules: list[ModuleType], policy: dict[str, Any]
) -> None:
    """The actions of the policy are those in the agent's own source."""
    strings = {
        node.value
        for module in modules
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    allowed = [action.split(":")[1] for statement in policy["Statement"] for action in actions(statement)]
    called = {s for s in strings if s.isalpha() and s.startswith(VERBS)}
    assert sorted(allowed) == sorted(called - {"Describe", "AttachmentId"})


def test_what_changes_something_is_bound() -> None:
    """Every mutating action has resources and asks for the stack's tag; reading is bound to the region."""
    for statement in POLICY["Statement"]:
        if all(action.startswith("ssm:") for action in actions(statement)):  # no tags: each is named
            assert all(":parameter/evernat/main/" in name for name in statement["Resource"])
            continue
        condition = statement["Condition"]["StringEquals"]
        if all("Describe" in action for action in actions(statement)):
            assert condition == {"aws:RequestedRegion": "us-west-2"}
        else:
            assert condition == {"aws:ResourceTag/evernat:stack": "main"}
            assert statement["Resource"] != "*"


def test_arns() -> None:
    """Partition, region, account, interface and group are in the resources."""
    china = agent_policy("aws-cn", "cn-north-1", "123456789012", "main", "evernat-main", "eni-1")
    _, move, check, read, report, answer = china["Statement"]
    interface = "arn:aws-cn:ec2:cn-north-1:123456789012:network-interface/eni-1"
    assert move["Resource"][0] == interface
    assert check["Resource"] == [interface]
    assert answer["Resource"][0].endswith(":autoScalingGroup:*:autoScalingGroupName/evernat-main")
    start = "arn:aws-cn:ssm:cn-north-1:123456789012:parameter/evernat/main/"
    assert read["Resource"] == [f"{start}agent/*", f"{start}report/replacement"]
    assert report["Resource"] == [f"{start}report/*"]
