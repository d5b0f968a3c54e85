"""The role of a node whose gateways are addresses: judged by the lab's evaluator of IAM policies."""

from __future__ import annotations

import pytest

from evernat.bundle import cluster_policy, parameters
from evernat.lab.cloud.iam import Resource, evaluate

EC2 = "arn:aws:ec2:us-west-2:123456789012"
SSM = "arn:aws:ssm:us-west-2:123456789012:parameter"
GROUP = "arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:1:autoScalingGroupName"
STACK = {"aws:ResourceTag/evernat:stack": "main"}
LED = {**STACK, "aws:ResourceTag/evernat:gateway": "main-a"}
OTHER = {"aws:ResourceTag/evernat:stack": "other"}
POLICY = cluster_policy(
    "aws",
    "us-west-2",
    "123456789012",
    "main",
    group_names=["evernat-main-a", "evernat-main-b"],
    gateways=["main-a", "main-b"],
    addresses=["eipalloc-1", "eipalloc-2"],
    tables=["rtb-1"],
    key_parameter="/evernat/main/key",
)


def allowed(action: str, *resources: Resource, region: str = "us-west-2") -> bool:
    return evaluate([POLICY], action, resources, {"aws:RequestedRegion": region}).allowed


def test_an_address_is_moved_between_members_only() -> None:
    """Address and interface must both be the stack's, for taking and for giving away."""
    address, interface = (
        Resource(f"{EC2}:elastic-ip/eipalloc-1", STACK),
        Resource(f"{EC2}:network-interface/eni-1", STACK),
    )
    for action in ("ec2:AssociateAddress", "ec2:DisassociateAddress"):
        assert allowed(action, address, interface)
        assert not allowed(action, Resource(f"{EC2}:elastic-ip/eipalloc-9", STACK), interface)
        assert not allowed(action, Resource(address.arn, OTHER), interface)
        assert not allowed(action, address, Resource(interface.arn, OTHER))


def test_a_table_is_led_while_it_is_lent() -> None:
    """Without the gateway's tag a table may not be led, named or not: destroy relies on it."""
    for action in ("ec2:CreateRoute", "ec2:ReplaceRoute"):
        assert allowed(action, Resource(f"{EC2}:route-table/rtb-1", LED))
        assert not allowed(action, Resource(f"{EC2}:route-table/rtb-1", STACK))
        assert not allowed(action, Resource(f"{EC2}:route-table/rtb-2", LED))


@pytest.mark.parametrize(
    ("action", "arn", "other"),
    [
        ("ssm:GetParameters", f"{SSM}/evernat/main/key", f"{SSM}/evernat/other/key"),
        ("ssm:GetParameters", f"{SSM}/evernat/main/agent/x/0", f"{SSM}/evernat/main-a/agent/x/0"),
        ("ssm:GetParameters", f"{SSM}/evernat/main/report/replacement", f"{SSM}/evernat/main/report/main-a"),
        ("ssm:PutParameter", f"{SSM}/evernat/main/report/main-a", f"{SSM}/evernat/other/report/main-a"),
        ("autoscaling:CompleteLifecycleAction", f"{GROUP}/evernat-main-b", f"{GROUP}/evernat-main-c"),
        ("autoscaling:SetInstanceHealth", f"{GROUP}/evernat-main-b", f"{GROUP}/evernat-main-c"),
    ],
)
def test_named_one_by_one(action: str, arn: str, other: str) -> None:
    """Key, files and groups are the stack's own and no others."""
    assert allowed(action, Resource(arn, STACK))
    assert not allowed(action, Resource(other, STACK))


def test_parameters_are_only_read() -> None:
    """A node reads what its settings name, by that one call, and neither other parameters nor changes those."""
    named = [Resource(f"{SSM}{name}") for name in ("/evernat/main/key", *parameters("main"))]
    for each in named:
        assert allowed("ssm:GetParameters", each)
        for what in ("GetParameter", "GetParametersByPath", "PutParameter", "DeleteParameter"):
            assert not allowed(f"ssm:{what}", each)
    for name in ("/evernat/main/other", "/evernat/main", "/evernat/main/agents/x", "/key"):
        assert not allowed("ssm:GetParameters", Resource(f"{SSM}{name}"))


def test_reports() -> None:
    """A node writes the stack's reports: of gateways, of itself, of a replacement; and no other parameter."""
    for name in ("main-a", "main-b", "node-a", "replacement"):
        report = Resource(f"{SSM}/evernat/main/report/{name}")
        assert allowed("ssm:PutParameter", report)
        assert not allowed("ssm:DeleteParameter", report)
    for name in (
        "main/reports/main-a",
        "main/report",
        "main/key",
        "other/report/main-a",
        "main-a/report/main-a",
    ):
        assert not allowed("ssm:PutParameter", Resource(f"{SSM}/evernat/{name}"))


def test_reading_is_bound_to_the_region() -> None:
    """What only looks is allowed on everything, in one region."""
    for what in ("Addresses", "Instances", "NetworkInterfaces", "RouteTables"):
        assert allowed(f"ec2:Describe{what}")
        assert not allowed(f"ec2:Describe{what}", region="eu-central-1")


def test_nothing_else() -> None:
    """No wildcard in any action, no tags, no other services; without tables nothing about routes."""
    actions = [action for statement in POLICY["Statement"] for action in statement["Action"]]
    assert len(actions) == len(set(actions)) == 14
    assert not [a for a in actions if "*" in a or "Tag" in a]
    bare = cluster_policy(
        "aws-cn",
        "cn-north-1",
        "1",
        "x",
        group_names=["g"],
        gateways=["x"],
        addresses=["a"],
        tables=[],
        key_parameter="/k",
    )
    assert "Route" not in str([s["Action"] for s in bare["Statement"] if s["Sid"] != "Look"])
    assert "arn:aws-cn:ssm:cn-north-1:1:parameter/k" in str(bare)
