"""What happens to a stack that is there: changes, and its end."""

from __future__ import annotations

import re

import pytest

from tests.terraform.conftest import Starter
from tests.terraform.tool import Terraform, TerraformError

OTHERS = "This stack cannot become a ring or cease to be one"
CALL = """
module "nat" {
  source = "MODULE"

  name                        = "main"
  vpc_id                      = "vpc-0a1b2c3d4e5f60718"
  topology                    = "TOPOLOGY"
  public_subnets              = ["subnet-0a", "subnet-0b"]
  private_subnets_cidr_blocks = ["172.18.64.0/20", "172.18.80.0/20"]
  private_route_table_ids     = ["rtb-0a", "rtb-0b"]
  use_spot_instance           = SPOT
}
"""


def call(topology: str, spot: str = "true") -> str:
    return CALL.replace("TOPOLOGY", topology).replace("SPOT", spot)


@pytest.fixture(scope="module")
def pair(terraform: Starter) -> Terraform:
    """A pair that is there."""
    started = terraform("6.69", main=call("pair"))
    started.apply()
    return started


def changes(started: Terraform) -> dict[str, list[str]]:
    """Address below the module -> what the plan does to it."""
    planned = {c["address"]: c["change"]["actions"] for c in started.plan()["resource_changes"]}
    return {
        a.removeprefix("module.nat."): verbs
        for a, verbs in planned.items()
        if verbs not in (["no-op"], ["read"])
    }


def test_nothing_to_do(pair: Terraform) -> None:
    """A second plan is empty: the key is not made anew, and neither is the stack's name."""
    assert changes(pair) == {}


def test_a_ring_is_another_stack(pair: Terraform) -> None:
    """A pair does not become a ring: the plan fails and says what to do."""
    pair.rewrite(main=call("ring"))
    try:
        with pytest.raises(TerraformError, match=f"{OTHERS}.*another name, then remove this one"):
            pair.plan()
    finally:
        pair.rewrite(main=call("pair"))


def test_a_small_change(pair: Terraform) -> None:
    """On demand instead of spot changes the groups, and nothing else."""
    pair.rewrite(main=call("pair", spot="false"))
    assert changes(pair) == {f'aws_autoscaling_group.this["{slot}"]': ["update"] for slot in "ab"}


def test_groups_go_first(pair: Terraform) -> None:
    """Nodes could put routes and addresses back: they have ended before anything of theirs is taken away."""
    said = pair("destroy", "-input=false", "-auto-approve")
    ended = re.findall(r"module\.nat\.(\S+): Destruction complete", said)
    begun = [(m[1], m.start()) for m in re.finditer(r"module\.nat\.(\S+): Destroying\.\.\.", said)]
    last = max(
        said.index(f"{group}: Destruction complete") for group in ended if "autoscaling_group" in group
    )
    assert [address for address, at in begun if at < last and "autoscaling_group" not in address] == []
    assert pair.state() == {}


SINGLE = """
module "CALLED" {
  source = "MODULE"

  name                        = "main"
  vpc_id                      = "vpc-0a1b2c3d4e5f60718"
  public_subnet               = "subnet-0a"
  private_subnets_cidr_blocks = ["172.18.64.0/20"]
}
"""


def test_workspaces_may_share_a_name(terraform: Starter) -> None:
    """Two singles of one name: neither makes, reads or writes a parameter of the other's, nor touches its nodes."""
    started = terraform("6.69", main=SINGLE.replace("CALLED", "a") + SINGLE.replace("CALLED", "b"))
    state = started.apply()
    names = [v["name"] for address, v in state.items() if "aws_ssm_parameter" in address]
    assert len(names) > 10
    assert len(set(names)) == len(names)
    stacks = {state[f"module.{one}.aws_iam_role.this"]["tags"]["evernat:stack"]: one for one in "ab"}
    assert len(stacks) == 2
    for stack, one in stacks.items():
        policy = state[f"module.{one}.aws_iam_role_policy.agent"]["policy"]
        arns = re.findall(r':parameter(/[^"]+)', policy)
        assert arns
        assert all(arn.startswith(f"/evernat/{stack}/") for arn in arns)
        assert set(re.findall(r'"aws:ResourceTag/evernat:stack":"([^"]+)"', policy)) == {stack}
