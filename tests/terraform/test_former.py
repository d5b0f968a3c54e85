"""Coming from the article's module: `source` changes, and nothing that others rely on is destroyed."""

from __future__ import annotations

import re

from tests.terraform.conftest import Starter
from tests.terraform.tool import HERE

CONFIGURATION = """
module "nat" {
  source = "SOURCE"

  name                        = "main"
  vpc_id                      = "vpc-0a1b2c3d4e5f60718"
  public_subnet               = "subnet-0a1b2c3d4e5f60718"
  private_subnets_cidr_blocks = ["172.18.64.0/20", "172.18.80.0/20"]
  private_route_table_ids     = ["rtb-0a1b2c3d4e5f60718", "rtb-1a2b3c4d5e6f70819"]
}

resource "aws_eip" "nat" {
  network_interface = module.nat.eni_id
}

resource "aws_security_group_rule" "dnat_http" {
  security_group_id = module.nat.sg_id
  type              = "ingress"
  protocol          = "tcp"
  from_port         = 80
  to_port           = 80
  cidr_blocks       = ["0.0.0.0/0"]
}

resource "aws_iam_role_policy" "dnat_service" {
  role   = module.nat.iam_role_name
  policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}
"""
REPLACED = {
    "module.nat.aws_autoscaling_group.this",
    "module.nat.aws_iam_role_policy.eni",
    "module.nat.aws_iam_role_policy_attachment.ssm",
    "module.nat.aws_security_group_rule.egress",
}
"""What the README says is replaced, by the addresses it had."""

ADDED = {
    "module.nat.aws_iam_role_policy.session_manager",
    "module.nat.aws_ssm_parameter.agent",
    "module.nat.aws_ssm_parameter.report",
    "module.nat.terraform_data.stack",
}
"""What the README says is added, without keys."""


def test_the_switch(terraform: Starter) -> None:
    """Interface, security group, routes, role and what is the user's stay; nodes, policies, one rule are replaced."""
    started = terraform("5.99", main=CONFIGURATION.replace("SOURCE", str(HERE / "former")))
    before = started.apply()
    started.rewrite(main=CONFIGURATION.replace("SOURCE", "MODULE"))
    plan = started.plan()
    actions = {
        c.get("previous_address", c["address"]): c["change"]["actions"] for c in plan["resource_changes"]
    }
    gone = {address for address, verbs in actions.items() if "delete" in verbs}
    assert gone == REPLACED
    created = {re.sub(r"\[.*", "", a) for a, verbs in actions.items() if verbs == ["create"]}
    assert created == ADDED
    kept = [a for a in before if not a.startswith("module.nat") or "route" in a.split(".")[2]]
    assert {a: actions[a] for a in kept} == {a: ["no-op"] for a in kept}
    # The old node ends before the new one starts: both need the interface.
    assert actions["module.nat.aws_autoscaling_group.this"] == ["delete", "create"]
    after = started.apply()
    for address in ("aws_network_interface.this", "aws_security_group.this", "aws_iam_role.this"):
        assert after[f"module.nat.{address}"]["id"] == before[f"module.nat.{address}"]["id"]
    assert after["aws_eip.nat"] == before["aws_eip.nat"]
    assert [
        c for c in started.plan()["resource_changes"] if c["change"]["actions"] not in (["no-op"], ["read"])
    ] == []
