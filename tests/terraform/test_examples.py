"""The examples: each is formatted, valid and can be planned, with the oldest provider supported and a newest one."""

from __future__ import annotations

import subprocess

import pytest

from tests.terraform.conftest import Starter
from tests.terraform.tool import MODULE, PROVIDERS

EXAMPLES = sorted(path.name for path in (MODULE / "examples").iterdir())
FORMER = {
    "aws_autoscaling_group.this",
    "aws_iam_instance_profile.this",
    "aws_iam_role.this",
    "aws_iam_role_policy.agent",
    "aws_iam_role_policy.session_manager",
    "aws_launch_template.this",
    "aws_network_interface.this",
    "aws_route.this",
    "aws_security_group.this",
    "aws_security_group_rule.egress",
    "aws_security_group_rule.ingress_any",
}
"""What the article's module makes; an inline policy instead of AWS's for Session Manager."""
OWN = {"aws_ssm_parameter.agent", "aws_ssm_parameter.report", "terraform_data.stack"}
"""What its node runs and reports, and the name of both."""


def test_format(terraform: Starter) -> None:
    """Everything is as terraform fmt writes it."""
    command = ["terraform", "fmt", "-check", "-recursive", "-diff", str(MODULE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("schema", PROVIDERS)
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_can_be_planned(terraform: Starter, example: str, schema: str) -> None:
    """It is valid, and its plan only creates."""
    started = terraform(schema, f"terraform/examples/{example}")
    assert "valid" in started("validate")
    if schema == "registry":
        return  # the real provider plans with an account only
    plan = started.plan()
    assert {a for change in plan["resource_changes"] for a in change["change"]["actions"]} <= {
        "create",
        "read",
    }
    assert set(plan["configuration"]["root_module"]["outputs"])
    own = [
        c
        for c in plan["resource_changes"]
        if c.get("module_address") == "module.nat" and c["mode"] == "managed"
    ]
    if example in ("article", "port-forward"):
        forwards = {"aws_security_group_rule.forward"} if example == "port-forward" else set()
        assert {f"{c['type']}.{c['name']}" for c in own} == FORMER | OWN | forwards
        assert sum(c["type"] == "aws_route" for c in own) == 3


def test_every_example_is_explained() -> None:
    """Each has a README."""
    assert EXAMPLES == ["article", "complete", "pair", "port-forward", "ring"]
    for example in EXAMPLES:
        assert (MODULE / "examples" / example / "README.md").read_text(encoding="utf-8").startswith("# ")
