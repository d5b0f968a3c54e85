from __future__ import annotations

from typing import Any

import pytest

from evernat.lab.cloud.iam import Resource, UnknownElementError, evaluate, like

ENI = "arn:aws:ec2:us-west-2:1:network-interface/eni-1"
INSTANCE = "arn:aws:ec2:us-west-2:1:instance/i-1"


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def verdict(document: dict[str, Any], action: str, *resources: Resource, **context: Any) -> str:
    keys = {k.replace("__", ":").replace("_", "/"): v for k, v in context.items()}
    return evaluate([document], action, resources, keys).verdict


def test_nothing_is_allowed_by_itself() -> None:
    """Without an Allow there is the implicit deny."""
    assert verdict(policy(), "ec2:DescribeVpcs") == "implicitly denied"


def test_deny_beats_allow() -> None:
    """Whatever the order."""
    assert verdict(policy(allow("ec2:*"), deny("ec2:Describe*")), "ec2:DescribeVpcs") == "denied"
    assert verdict(policy(deny("ec2:Describe*"), allow("*")), "ec2:DescribeVpcs") == "denied"


def test_actions_ignore_case_and_know_wildcards() -> None:
    """`*` is any run, `?` one character, brackets are ordinary."""
    assert verdict(policy(allow("EC2:describe?pcs")), "ec2:DescribeVpcs") == "allowed"
    assert verdict(policy(allow(["iam:*", "ec2:Describe*"])), "ec2:DescribeVpcs") == "allowed"
    assert like("[ab]*", "[ab]c")
    assert not like("[ab]*", "ac")


def test_a_call_without_resource_needs_the_star() -> None:
    """Describe calls are evaluated against `*`; a policy for one ARN does not cover them."""
    assert verdict(policy(allow("ec2:*", ENI)), "ec2:DescribeVpcs") == "implicitly denied"
    assert verdict(policy(allow("ec2:*", "arn:aws:ec2:*")), "ec2:DescribeVpcs") == "implicitly denied"


def test_every_resource_must_be_allowed() -> None:
    """Attaching needs the interface and the instance; the decision names the one that fails."""
    document = policy(allow("ec2:AttachNetworkInterface", ENI))
    decision = evaluate([document], "ec2:AttachNetworkInterface", [Resource(ENI), Resource(INSTANCE)], {})
    assert (decision.verdict, decision.resource) == ("implicitly denied", INSTANCE)
    both = policy(allow("ec2:AttachNetworkInterface", [ENI, "arn:aws:ec2:*:*:instance/*"]))
    assert verdict(both, "ec2:AttachNetworkInterface", Resource(ENI), Resource(INSTANCE)) == "allowed"


def test_tag_conditions_look_at_the_resource() -> None:
    """`ec2:ResourceTag/...` comes from each resource; keys ignore case, values do not."""
    document = policy(allow("ec2:*", Condition={"StringEquals": {"EC2:resourcetag/evernat:stack": "main"}}))
    tagged = Resource(ENI, {"ec2:ResourceTag/evernat:stack": "main"})
    other = Resource(INSTANCE, {"ec2:ResourceTag/evernat:stack": "Main"})
    assert verdict(document, "ec2:AttachNetworkInterface", tagged) == "allowed"
    assert verdict(document, "ec2:AttachNetworkInterface", tagged, other) == "implicitly denied"
    assert verdict(document, "ec2:AttachNetworkInterface", Resource(ENI)) == "implicitly denied"


def test_which_statement_allowed_is_told() -> None:
    """So that a statement nobody used can be found."""
    document = policy(allow("ec2:Describe*"), allow("ec2:Attach*", ENI), allow("ec2:Attach*", INSTANCE))
    decision = evaluate([document], "ec2:AttachNetworkInterface", [Resource(ENI), Resource(INSTANCE)], {})
    assert decision.matched == ((0, 1, "ec2:Attach*"), (0, 2, "ec2:Attach*"))


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"k": ["a", "b"]}}, {"k": "b"}, True),
        ({"StringEquals": {"k": "a"}}, {}, False),
        ({"StringEqualsIfExists": {"k": "a"}}, {}, True),
        ({"StringNotEquals": {"k": "a"}}, {}, True),
        ({"StringNotEquals": {"k": ["a", "b"]}}, {"k": "b"}, False),
        ({"StringLike": {"k": "arn:*:role/x-?"}}, {"k": "arn:aws:role/x-1"}, True),
        ({"ArnLike": {"k": "arn:aws:ec2:*:*:instance/*"}}, {"k": INSTANCE}, True),
        ({"Null": {"k": "true"}}, {}, True),
        ({"Null": {"k": "true"}}, {"k": "x"}, False),
        ({"Bool": {"k": "true"}}, {"k": "true"}, True),
        ({"IpAddress": {"k": "203.0.113.0/24"}}, {"k": "203.0.113.7"}, True),
        ({"NotIpAddress": {"k": "203.0.113.0/24"}}, {"k": "203.0.113.7"}, False),
        ({"NumericLessThan": {"k": "10"}}, {"k": "9"}, True),
        ({"DateLessThan": {"k": "2026-01-02T00:00:00Z"}}, {"k": "2026-01-01T00:00:00Z"}, True),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ["a", "b"]}, True),
        ({"ForAllValues:StringEquals": {"k": ["a"]}}, {"k": ["a", "b"]}, False),
        ({"ForAnyValue:StringEquals": {"k": ["a"]}}, {"k": ["a", "b"]}, True),
        ({"StringEquals": {"k": "a", "l": "b"}}, {"k": "a", "l": "c"}, False),
        ({"StringEquals": {"k": "${l}"}}, {"k": "x", "l": "x"}, True),
        ({"StringEquals": {"k": "${l}"}}, {"k": "x"}, False),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, Any], holds: bool) -> None:
    """Each operator, with present and missing keys, as the user guide tells."""
    decision = evaluate([policy(allow("a:B", Condition=condition))], "a:B", [], context)
    assert decision.allowed is holds


def test_what_it_does_not_know_it_refuses_loudly() -> None:
    """An unknown operator or element is an error, never an answer."""
    with pytest.raises(UnknownElementError):
        verdict(policy(allow("a:B", Condition={"StringSortOf": {"k": "v"}})), "a:B")
    with pytest.raises(UnknownElementError):
        verdict(policy(allow("a:B", Resources="*")), "a:B")


def test_not_action_and_not_resource() -> None:
    """Everything but."""
    document = policy({"Effect": "Allow", "NotAction": "iam:*", "NotResource": INSTANCE})
    assert verdict(document, "ec2:Attach", Resource(ENI)) == "allowed"
    assert verdict(document, "iam:CreateRole", Resource(ENI)) == "implicitly denied"
    assert verdict(document, "ec2:Attach", Resource(INSTANCE)) == "implicitly denied"
