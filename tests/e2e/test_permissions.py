"""The node's role is held against the calls that really came: nothing allowed is unused, nothing changes at large."""

from __future__ import annotations

from typing import Any

import pytest

from evernat.lab.checks import until
from evernat.lab.cloud.iam import Resource, evaluate
from evernat.stack.names import AGENT_POLICY, SESSION_POLICY

from .conftest import Deployed

READING = ("ec2:Describe", "autoscaling:Describe", "ec2:Get", "ssm:Get")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def policy(deployed: Deployed) -> dict[str, Any]:
    """The inline policy of the agent, as IAM stores it. Beside it stands Session Manager's."""
    iam = deployed.boto("iam")
    role = next(r["RoleName"] for r in iam.list_roles()["Roles"] if r["RoleName"].startswith("evernat-"))
    assert set(iam.list_role_policies(RoleName=role)["PolicyNames"]) == {AGENT_POLICY, SESSION_POLICY}
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    return dict(iam.get_role_policy(RoleName=role, PolicyName=AGENT_POLICY)["PolicyDocument"])


@pytest.fixture(scope="module")
def calls(deployed: Deployed) -> list[dict[str, Any]]:
    """All calls of nodes: a launch, port forwards by tag, and a replacement that has to unplug a stuck interface.

    Before that somebody turned the source/destination check on.
    """
    old = deployed.ready()["holder"]
    deployed.lab.disturb(old, "check-on")
    deployed.ready()
    deployed.lab.call("fault", interface_release=60)
    deployed.lab.kill(old, "terminate")
    deployed.ready(after=old)
    deployed.lab.call("clear_faults")

    def found() -> list[dict[str, Any]]:
        return [c for c in deployed.lab.call("calls") if c["principal"] != "user"]

    return list(until(lambda: any(c["action"] == "CompleteLifecycleAction" for c in found()) and found(), 20))


def test_no_allowed_action_is_unused(policy: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    """Every action of the policy was called by a node, and every call of a node was allowed by it.

    But for SetInstanceHealth: `test_single_way_out` has a node that is of no use.
    """
    allowed = {action for s in policy["Statement"] for action in _listed(s["Action"])}
    called = {f"{c['service']}:{c['action']}" for c in calls}
    assert allowed - {"autoscaling:SetInstanceHealth"} == called
    assert not [c for c in calls if c["error"] in ("UnauthorizedOperation", "AccessDenied")]


def test_every_changing_action_is_bound(policy: dict[str, Any]) -> None:
    """No statement that lets the node change something is for all resources: each asks for the stack's tag.

    Parameters are named, below the stack's own path.
    """
    for statement in policy["Statement"]:
        if all(a.startswith(READING) for a in _listed(statement["Action"])):
            continue
        assert "*" not in _listed(statement["Resource"])
        if _listed(statement["Action"]) == ["ssm:PutParameter"]:
            assert all(":parameter/evernat/main/report/" in name for name in _listed(statement["Resource"]))
            continue
        assert statement["Condition"]["StringEquals"]["aws:ResourceTag/evernat:stack"] == "main"


def test_the_same_call_on_a_stranger_is_denied(policy: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    """Each changing call that came is allowed as it came, and denied on resources of others."""
    changing = [c for c in calls if not f"{c['service']}:{c['action']}".startswith(READING)]
    assert {c["action"] for c in changing} == {
        "AttachNetworkInterface",
        "DetachNetworkInterface",
        "ModifyNetworkInterfaceAttribute",
        "CompleteLifecycleAction",
        "PutParameter",
    }
    for call in changing:
        name = f"{call['service']}:{call['action']}"
        resources = [Resource(r["arn"], r["context"]) for r in call["resources"]]
        assert evaluate([policy], name, resources, call["context"]).allowed
        strangers = [Resource(r.arn.replace("/evernat/main/", "/evernat/other/"), {}) for r in resources]
        assert not evaluate([policy], name, strangers, call["context"]).allowed
