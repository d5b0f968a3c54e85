"""Parameter Store as a deployment and its nodes use it."""

from __future__ import annotations

from typing import Any

from tests.lab_cloud.support import Lab, refused
from tests.lab_cloud.test_roles import STACK, node, role

KEY = "/evernat/main/key"
SECRET = "5ec4e7" * 10


def ssm(lab: Lab) -> Any:
    return lab.server.client("ssm")


def test_a_secure_string_is_shown_decrypted_only_on_demand(lab: Lab) -> None:
    """Without WithDecryption the value is opaque, whichever call asks."""
    ssm(lab).put_parameter(Name=KEY, Value=SECRET, Type="SecureString")
    for found in (
        ssm(lab).get_parameter(Name=KEY)["Parameter"],
        ssm(lab).get_parameters(Names=[KEY])["Parameters"][0],
        ssm(lab).get_parameters_by_path(Path="/evernat", Recursive=True)["Parameters"][0],
    ):
        assert found["Type"] == "SecureString"
        assert SECRET not in found["Value"]
    assert ssm(lab).get_parameter(Name=KEY, WithDecryption=True)["Parameter"]["Value"] == SECRET
    many = ssm(lab).get_parameters(Names=[KEY, "/no"], WithDecryption=True)
    assert [p["Value"] for p in many["Parameters"]] == [SECRET]
    assert many["InvalidParameters"] == ["/no"]


def test_a_parameter_is_put_once_unless_overwritten(lab: Lab) -> None:
    """A second put is ParameterAlreadyExists; overwritten it has a new version; deleted it is not found."""
    client = ssm(lab)
    client.put_parameter(Name=KEY, Value="one", Type="SecureString", Tags=STACK)
    with refused("ParameterAlreadyExists"):
        client.put_parameter(Name=KEY, Value="two", Type="SecureString")
    client.put_parameter(Name=KEY, Value="two", Overwrite=True)
    found = client.get_parameter(Name=KEY, WithDecryption=True)["Parameter"]
    assert (found["Value"], found["Version"], found["Type"]) == ("two", 2, "SecureString")
    assert client.list_tags_for_resource(ResourceType="Parameter", ResourceId=KEY)["TagList"] == STACK
    client.delete_parameter(Name=KEY)
    for call in (client.get_parameter, client.delete_parameter):
        with refused("ParameterNotFound"):
            call(Name=KEY)


def test_what_parameter_store_refuses(lab: Lab) -> None:
    """A key that is not there, a value that is too long or has braces for another one, a reserved name."""
    client = ssm(lab)
    with refused("InvalidKeyId"):
        client.put_parameter(Name=KEY, Value="x", Type="SecureString", KeyId="alias/mine")
    with refused("ValidationException"):
        client.put_parameter(Name=KEY, Value="x" * 4097, Type="String")
    with refused("ValidationException"):
        client.put_parameter(Name=KEY, Value="tcp {{ 80 }}", Type="String")
    with refused("AccessDeniedException"):
        client.put_parameter(Name="/aws/x/y", Value="x", Type="String")


def test_one_call_reads_ten(lab: Lab) -> None:
    """An eleventh name is refused, whether or not the parameters exist."""
    client, names = ssm(lab), [f"/evernat/main/agent/{n}" for n in range(11)]
    for name in names:
        client.put_parameter(Name=name, Value=name, Type="String")
    found = client.get_parameters(Names=names[:10])["Parameters"]
    assert [p["Value"] for p in found] == names[:10]
    with refused("ValidationException"):
        client.get_parameters(Names=names)


def test_a_listing_has_pages_of_ten(lab: Lab) -> None:
    """GetParametersByPath gives ten unless asked for fewer; its token leads to the rest."""
    client, names = ssm(lab), [f"/evernat/main/agent/{n:02}" for n in range(11)]
    for name in names:
        client.put_parameter(Name=name, Value=name, Type="String")
    first = client.get_parameters_by_path(Path="/evernat/main/agent")
    assert [p["Name"] for p in first["Parameters"]] == names[:10]
    last = client.get_parameters_by_path(Path="/evernat/main/agent", NextToken=first["NextToken"])
    assert [p["Name"] for p in last["Parameters"]] == names[10:]
    assert "NextToken" not in last
    few = client.get_parameters_by_path(Path="/evernat/main", Recursive=True, MaxResults=3)
    assert [p["Name"] for p in few["Parameters"]] == names[:3]


def test_a_role_reads_the_parameter_its_policy_names(lab: Lab) -> None:
    """By ARN: the key of another stack is AccessDeniedException, and nobody needs a permission of KMS."""
    arn = f"arn:aws:ssm:us-west-2:123456789012:parameter{KEY}"
    role(lab, {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": arn})
    _, client = node(lab, "ssm")
    for name in (KEY, "/evernat/other/key"):
        ssm(lab).put_parameter(Name=name, Value=SECRET, Type="SecureString")
    assert client.get_parameter(Name=KEY, WithDecryption=True)["Parameter"]["Value"] == SECRET
    with refused("AccessDeniedException"):
        client.get_parameter(Name="/evernat/other/key", WithDecryption=True)
    with refused("AccessDeniedException"):
        client.put_parameter(Name=KEY, Value="x", Type="SecureString", Overwrite=True)


def test_a_parameter_is_authorized_by_its_tags_too(lab: Lab) -> None:
    """`aws:ResourceTag` is what the parameter is tagged with."""
    role(
        lab,
        {
            "Effect": "Allow",
            "Action": "ssm:GetParameter",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceTag/evernat:stack": "main"}},
        },
    )
    _, client = node(lab, "ssm")
    ssm(lab).put_parameter(Name=KEY, Value=SECRET, Type="SecureString", Tags=STACK)
    ssm(lab).put_parameter(Name="/other", Value=SECRET, Type="SecureString")
    client.get_parameter(Name=KEY)
    with refused("AccessDeniedException"):
        client.get_parameter(Name="/other")


def test_the_call_log_keeps_no_secret(lab: Lab) -> None:
    """The value of a SecureString is not in the record of the call that put it."""
    ssm(lab).put_parameter(Name=KEY, Value=SECRET, Type="SecureString")
    (call,) = [c for c in lab.cloud.calls if c.action == "PutParameter"]
    assert call.params["Name"] == KEY
    assert SECRET not in str(call)
