"""What a node's role lets through and what not, asked with a node's own credentials."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from evernat.lab.cloud.iam import evaluate
from evernat.stack import library
from evernat.stack.steps import Call
from tests.lab_cloud.support import refused
from tests.stack.cluster import Agents
from tests.stack.support import pair, ring
from tests.stack.world import REGION, World

ROLE = "evernat-main-us-west-2"
MANAGED = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
SECRETS = ("/prod/database/password", "/evernat/other/key", "/evernat/mainly/key", "plain")


def one(world: World, **fields: Any) -> Any:
    """A `single`, as `pair` and `ring` are made."""
    return world.gateway(**fields)


def own(world: World, service: str) -> Any:
    """A client with the credentials of one of the stack's nodes."""
    keys = world.cloud.credentials(world.made()["instances"][0])
    assert keys is not None
    session = boto3.Session(keys.access_key_id, keys.secret_access_key, keys.token, region_name=REGION)
    make: Any = session.client
    return make(service, endpoint_url=world.server.url)


def policies(world: World) -> list[dict[str, Any]]:
    """All inline policies of the role."""
    iam = world.client("iam")
    found = iam.list_role_policies(RoleName=ROLE)["PolicyNames"]
    return [iam.get_role_policy(RoleName=ROLE, PolicyName=name)["PolicyDocument"] for name in found]


def attached(world: World) -> list[str]:
    """ARNs of the policies attached to the role."""
    found = world.client("iam").list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"]
    return [policy["PolicyArn"] for policy in found]


def session_manager(world: World) -> bool:
    """Whether the role's own policies let the image's SSM agent register, and open both kinds of channels."""
    needed = ("ssm:UpdateInstanceInformation", *(
        f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")
    ))  # fmt: skip
    return all(evaluate(policies(world), action, [], {}).allowed for action in needed)


def hide(world: World) -> None:
    """Put the secrets of others into the account."""
    for name in SECRETS:
        world.client("ssm").put_parameter(Name=name, Value="secret", Type="SecureString")


@pytest.mark.parametrize("topology", [one, pair, ring])
def test_a_node_reads_no_parameter_of_others(world: World, topology: Callable[..., Any]) -> None:
    """Neither passwords nor other stacks' keys, one by one, in a batch, or by path; its own key it does."""
    if topology is not one:
        Agents(world)
    world.deploy(topology(world))
    hide(world)
    client = own(world, "ssm")
    for name in SECRETS:
        with refused("AccessDeniedException"):
            client.get_parameter(Name=name, WithDecryption=True)
        with refused("AccessDeniedException"):
            client.get_parameters(Names=[name], WithDecryption=True)
    for path in ("/", "/prod", "/evernat"):
        with refused("AccessDeniedException"):
            client.get_parameters_by_path(Path=path, Recursive=True, WithDecryption=True)
    if topology is not one:
        (key,) = client.get_parameters(Names=["/evernat/main/key"], WithDecryption=True)["Parameters"]
        assert key["Type"] == "SecureString"
    assert attached(world) == []
    assert session_manager(world)


def test_the_managed_policy_by_its_arn(world: World) -> None:
    """Who names AWS's own policy gets it, with all that it lets through, and nothing inline beside it."""
    world.deploy(world.gateway(ssm_policy_arn=MANAGED))
    hide(world)
    assert attached(world) == [MANAGED]
    assert len(policies(world)) == 1
    found = own(world, "ssm").get_parameter(Name=SECRETS[0], WithDecryption=True)
    assert found["Parameter"]["Value"] == "secret"
    assert library.plan(world.gateway(ssm_policy_arn=MANAGED), world.api()).changes == ()


def test_no_session_manager(world: World) -> None:
    """`none` is neither the managed policy nor an inline one."""
    world.deploy(world.gateway(ssm_policy_arn="none"))
    assert attached(world) == []
    assert not session_manager(world)
    assert library.plan(world.gateway(ssm_policy_arn="none"), world.api()).changes == ()


def test_a_role_of_an_earlier_version(world: World) -> None:
    """The managed policy that it attached is taken off once the inline one is there; what users attached stays."""
    iam = world.client("iam")
    world.deploy(world.gateway())
    iam.delete_role_policy(RoleName=ROLE, PolicyName="evernat-session-manager")
    mine = iam.create_policy(PolicyName="mine", PolicyDocument=json.dumps(policies(world)[0]))["Policy"][
        "Arn"
    ]
    for arn in (MANAGED, mine):
        iam.attach_role_policy(RoleName=ROLE, PolicyArn=arn)
    plan = library.plan(world.gateway(), world.api())
    (step,) = plan.changes
    assert [action.operation for action in step.actions if isinstance(action, Call)] == [
        "put_role_policy",
        "detach_role_policy",
    ]
    world.deploy(world.gateway())
    assert attached(world) == [mine]
    assert session_manager(world)
    assert library.plan(world.gateway(), world.api()).changes == ()
    iam.detach_role_policy(RoleName=ROLE, PolicyArn=mine)
    iam.delete_policy(PolicyArn=mine)
    world.destroy()
    world.gone()


@pytest.mark.parametrize(
    ("before", "after"), [("", MANAGED), (MANAGED, ""), ("", "none"), ("none", ""), (MANAGED, "none")]
)
def test_another_way(world: World, before: str, after: str) -> None:
    """From one way to another in one deploy, with nothing of the old way left; the next plan is empty."""
    world.deploy(world.gateway(ssm_policy_arn=before))
    world.deploy(world.gateway(ssm_policy_arn=after))
    assert attached(world) == [MANAGED] * (after == MANAGED)
    assert session_manager(world) == (after == "")
    assert library.plan(world.gateway(ssm_policy_arn=after), world.api()).changes == ()


def test_somebody_widened_it(world: World) -> None:
    """A changed text of the inline policy is put right."""
    world.deploy(world.gateway())
    wide = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}]}
    world.client("iam").put_role_policy(
        RoleName=ROLE, PolicyName="evernat-session-manager", PolicyDocument=json.dumps(wide)
    )
    world.deploy(world.gateway())
    assert wide not in policies(world)
    assert session_manager(world)
