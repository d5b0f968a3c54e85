"""Rules of security groups: descriptions are kept, a call does all of what it says or nothing."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.model import StructureShape

from tests.lab_cloud.support import Lab, refused


def ssh(*ranges: dict[str, str], **more: Any) -> dict[str, Any]:
    """TCP 22 from these."""
    return {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": list(ranges), **more}


@pytest.fixture
def other(lab: Lab) -> str:
    return str(lab.ec2.create_security_group(GroupName="o", Description="o", VpcId=lab.vpc)["GroupId"])


def listed(lab: Lab, **more: Any) -> list[dict[str, Any]]:
    """The group's ingress rules as DescribeSecurityGroupRules shows them."""
    wanted = more or {"Filters": [{"Name": "group-id", "Values": [lab.group]}]}
    found = lab.ec2.describe_security_group_rules(**wanted)["SecurityGroupRules"]
    return [rule for rule in found if not rule["IsEgress"]]


def described(lab: Lab) -> dict[str, str | None]:
    """Descriptions by CIDR or group."""
    return {
        rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule["ReferencedGroupInfo"]["GroupId"]: rule.get(
            "Description"
        )
        for rule in listed(lab)
    }


def opened(lab: Lab, other: str) -> list[dict[str, Any]]:
    """A CIDR, an IPv6 one and a group with descriptions, two CIDRs without; as the call answers them."""
    answer = lab.ec2.authorize_security_group_ingress(
        GroupId=lab.group,
        IpPermissions=[
            ssh(
                {"CidrIp": "10.0.0.0/8", "Description": "evernat"},
                {"CidrIp": "192.0.2.0/24"},
                Ipv6Ranges=[{"CidrIpv6": "2001:db8::/32", "Description": "six"}],
                UserIdGroupPairs=[{"GroupId": other, "Description": "the others"}],
            ),
            {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "172.16.0.0/12"}]},
        ],
    )
    return list(answer["SecurityGroupRules"])


def test_descriptions_are_kept(lab: Lab, other: str) -> None:
    """In the answer of the call, by DescribeSecurityGroupRules and DescribeSecurityGroups, of every kind of source."""
    answer = opened(lab, other)
    assert sorted(answer, key=str) == sorted(listed(lab), key=str)
    assert described(lab) == {
        "10.0.0.0/8": "evernat",
        "192.0.2.0/24": None,
        "2001:db8::/32": "six",
        other: "the others",
        "172.16.0.0/12": None,
    }
    (group,) = lab.ec2.describe_security_groups(GroupIds=[lab.group])["SecurityGroups"]
    tcp = next(p for p in group["IpPermissions"] if p["IpProtocol"] == "tcp")
    assert tcp["IpRanges"] == [{"CidrIp": "10.0.0.0/8", "Description": "evernat"}, {"CidrIp": "192.0.2.0/24"}]
    assert tcp["UserIdGroupPairs"][0]["Description"] == "the others"


def test_a_rule_has_all_fields_of_the_model(lab: Lab, other: str) -> None:
    """Those that botocore knows, and the ones that AWS always gives; -1 for the ports of all protocols."""
    opened(lab, other)
    known = botocore.session.get_session().get_service_model("ec2").shape_for("SecurityGroupRule")
    assert isinstance(known, StructureShape)
    always = {
        "SecurityGroupRuleId",
        "GroupId",
        "GroupOwnerId",
        "IsEgress",
        "IpProtocol",
        "FromPort",
        "ToPort",
        "Tags",
    }
    for rule in listed(lab):
        assert always <= rule.keys() <= known.members.keys()
        assert rule["SecurityGroupRuleArn"].endswith(f"security-group-rule/{rule['SecurityGroupRuleId']}")
    every = next(rule for rule in listed(lab) if rule["IpProtocol"] == "-1")
    assert (every["FromPort"], every["ToPort"]) == (-1, -1)


def test_a_description_is_no_part_of_a_rule(lab: Lab, other: str) -> None:
    """The same rule with another description is a duplicate; to revoke it no description, or a wrong one, will do."""
    opened(lab, other)
    for source in (
        ssh({"CidrIp": "10.0.0.0/8", "Description": "mine"}),
        ssh(UserIdGroupPairs=[{"GroupId": other}]),
        ssh({"CidrIp": "10.1.2.3/8"}),
    ):
        with refused("InvalidPermission.Duplicate"):
            lab.ec2.authorize_security_group_ingress(GroupId=lab.group, IpPermissions=[source])
    gone = lab.ec2.revoke_security_group_ingress(
        GroupId=lab.group,
        IpPermissions=[
            ssh({"CidrIp": "10.0.0.0/8"}, UserIdGroupPairs=[{"GroupId": other, "Description": "somebody"}]),
        ],
    )["RevokedSecurityGroupRules"]
    assert [(r.get("CidrIpv4"), r.get("ReferencedGroupId"), r["Description"]) for r in gone] == [
        ("10.0.0.0/8", None, "evernat"),
        (None, other, "the others"),
    ]
    assert described(lab).keys() == {"192.0.2.0/24", "2001:db8::/32", "172.16.0.0/12"}


def test_all_or_nothing(lab: Lab, other: str) -> None:
    """One rule that cannot be added or removed keeps the others of the call from it, in any permission of it."""
    opened(lab, other)
    before = described(lab)
    new, old = ssh({"CidrIp": "10.9.0.0/16"}), ssh({"CidrIp": "192.0.2.0/24"})
    with refused("InvalidPermission.Duplicate"):
        lab.ec2.authorize_security_group_ingress(GroupId=lab.group, IpPermissions=[new, old])
    with refused("InvalidParameterValue"):
        lab.ec2.authorize_security_group_ingress(GroupId=lab.group, IpPermissions=[new, new])
    with refused("InvalidPermission.NotFound"):
        lab.ec2.revoke_security_group_ingress(GroupId=lab.group, IpPermissions=[old, new])
    rule = listed(lab)[0]["SecurityGroupRuleId"]
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        lab.ec2.revoke_security_group_ingress(
            GroupId=lab.group, SecurityGroupRuleIds=[rule, "sgr-00000000000000000"]
        )
    assert described(lab) == before
    lab.ec2.revoke_security_group_ingress(GroupId=lab.group, SecurityGroupRuleIds=[rule])
    assert len(described(lab)) == len(before) - 1


def test_changing_descriptions(lab: Lab, other: str) -> None:
    """By what makes up a rule, or by its id; an empty one takes it away, an unknown rule changes nothing."""
    opened(lab, other)
    lab.ec2.update_security_group_rule_descriptions_ingress(
        GroupId=lab.group,
        IpPermissions=[
            ssh(
                {"CidrIp": "192.0.2.0/24", "Description": "office"},
                {"CidrIp": "10.0.0.0/8"},
                UserIdGroupPairs=[{"GroupId": other, "Description": "friends"}],
            )
        ],
    )
    assert described(lab) == {
        "10.0.0.0/8": None,
        "192.0.2.0/24": "office",
        "2001:db8::/32": "six",
        other: "friends",
        "172.16.0.0/12": None,
    }
    every = next(rule for rule in listed(lab) if rule["IpProtocol"] == "-1")
    by_id = {"SecurityGroupRuleId": every["SecurityGroupRuleId"], "Description": "all"}
    lab.ec2.update_security_group_rule_descriptions_ingress(
        GroupId=lab.group, SecurityGroupRuleDescriptions=[by_id]
    )
    assert described(lab)["172.16.0.0/12"] == "all"
    with refused("InvalidPermission.NotFound"):
        lab.ec2.update_security_group_rule_descriptions_egress(
            GroupId=lab.group, IpPermissions=[ssh({"CidrIp": "192.0.2.0/24", "Description": "x"})]
        )


@pytest.mark.parametrize("text", ["x" * 256, "tab\there", "Grüße", "a<b>", '"quoted"'])
def test_what_a_description_may_hold(lab: Lab, text: str) -> None:
    """At most 255 characters of a small set (EC2 API reference, IpRange)."""
    fine = "a-z A-Z 0-9 ._-:/()#,@[]+=&;{}!$*" + "x" * 200
    lab.ec2.authorize_security_group_ingress(
        GroupId=lab.group, IpPermissions=[ssh({"CidrIp": "10.0.0.0/8", "Description": fine})]
    )
    assert described(lab) == {"10.0.0.0/8": fine}
    with refused("InvalidParameterValue"):
        lab.ec2.authorize_security_group_ingress(
            GroupId=lab.group, IpPermissions=[ssh({"CidrIp": "11.0.0.0/8", "Description": text})]
        )
    with refused("InvalidParameterValue"):
        lab.ec2.update_security_group_rule_descriptions_ingress(
            GroupId=lab.group, IpPermissions=[ssh({"CidrIp": "10.0.0.0/8", "Description": text})]
        )
    assert described(lab) == {"10.0.0.0/8": fine}


def test_rules_are_found(lab: Lab, other: str) -> None:
    """By group, id and tag, page by page; a filter that nobody knows is refused."""
    opened(lab, other)
    ids = [rule["SecurityGroupRuleId"] for rule in listed(lab)]
    lab.ec2.create_tags(Resources=[ids[2]], Tags=[{"Key": "k", "Value": "v"}])
    assert [r["SecurityGroupRuleId"] for r in listed(lab, SecurityGroupRuleIds=ids[1:3])] == ids[1:3]
    tagged = listed(lab, Filters=[{"Name": "tag:k", "Values": ["v"]}])
    assert [(rule["SecurityGroupRuleId"], rule["Tags"]) for rule in tagged] == [
        (ids[2], [{"Key": "k", "Value": "v"}])
    ]
    pages = lab.ec2.get_paginator("describe_security_group_rules").paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["SecurityGroupRules"]) for page in pages] == [5, 3]
    with refused("InvalidParameterValue"):
        listed(lab, Filters=[{"Name": "colour", "Values": ["blue"]}])
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        listed(lab, SecurityGroupRuleIds=["sgr-00000000000000000"])


def test_modifying_a_rule(lab: Lab, other: str) -> None:
    """Ports, source and description are replaced, the kind of source cannot be; the fabric hears of it."""
    opened(lab, other)
    ids = {rule.get("CidrIpv4") or "group": rule["SecurityGroupRuleId"] for rule in listed(lab)}

    def modify(rule: str, **wanted: Any) -> None:
        update = {"SecurityGroupRuleId": rule, "SecurityGroupRule": {"IpProtocol": "udp", **wanted}}
        lab.ec2.modify_security_group_rules(GroupId=lab.group, SecurityGroupRules=[update])

    modify(ids["192.0.2.0/24"], FromPort=53, ToPort=53, CidrIpv4="198.51.100.7/32", Description="dns")
    modify(ids["group"], FromPort=1, ToPort=2, ReferencedGroupId=lab.group)
    changed = {rule["SecurityGroupRuleId"]: rule for rule in listed(lab)}
    assert changed[ids["192.0.2.0/24"]]["Description"] == "dns"
    assert changed[ids["group"]]["ReferencedGroupInfo"]["GroupId"] == lab.group
    world = next(group for group in lab.cloud.world().groups if group.id == lab.group)
    assert ("udp", 53, 53, ("198.51.100.7/32",)) in {
        (r.protocol, r.from_port, r.to_port, r.cidrs) for r in world.ingress
    }
    with refused("InvalidParameterValue"):
        modify(ids["group"], FromPort=1, ToPort=2, CidrIpv4="10.0.0.0/8")
    with refused("InvalidParameterValue"):
        modify(ids["192.0.2.0/24"], CidrIpv4="10.0.0.0/8")


def test_the_short_form(lab: Lab) -> None:
    """One protocol and one CIDR without a list; a CIDR is kept as a network."""
    short = {"GroupId": lab.group, "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIp": "10.1.2.3/8"}
    lab.ec2.authorize_security_group_ingress(**short)
    assert described(lab) == {"10.0.0.0/8": None}
    lab.ec2.revoke_security_group_ingress(**short)
    assert described(lab) == {}
    for wrong in (
        {},
        {"IpProtocol": "tcp", "CidrIp": "10.0.0.0/8"},
        {"IpProtocol": "-1", "CidrIp": "10.0.0.0/64"},
    ):
        with pytest.raises(lab.ec2.exceptions.ClientError):
            lab.ec2.authorize_security_group_ingress(GroupId=lab.group, **wrong)
