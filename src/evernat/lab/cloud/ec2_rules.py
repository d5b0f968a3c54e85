"""Rules of security groups. moto keeps them; it loses descriptions, does things by halves and knows few filters.

Sources: EC2 API reference, AuthorizeSecurityGroupIngress, RevokeSecurityGroupIngress, DescribeSecurityGroupRules,
UpdateSecurityGroupRuleDescriptionsIngress, ModifySecurityGroupRules, IpRange; Amazon VPC quotas.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from moto.ec2.models.security_groups import SecurityGroupRule

from evernat.lab.cloud import ec2_tags
from evernat.lab.cloud.errors import AwsError, missing
from evernat.lab.cloud.filters import apply, page, select
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.state import Region

RULES_PER_GROUP = 60
"""Inbound or outbound rules per security group (Amazon VPC quotas)."""

FILTERS = {"group-id": "GroupId", "security-group-rule-id": "SecurityGroupRuleId"}

_ALLOWED = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}")

Peer = tuple[str, str]
"""What a rule is about: the kind (a key of `_LISTS`) and the CIDR, group id or prefix list id."""

_LISTS = {
    "CidrIp": "IpRanges",
    "CidrIpv6": "Ipv6Ranges",
    "GroupId": "UserIdGroupPairs",
    "PrefixListId": "PrefixListIds",
}
"""The field of a peer, and the list of a permission that it stands in."""


def _rules(region: Region, params: Params, egress: bool) -> list[SecurityGroupRule]:
    """The group's list itself."""
    if not params.get("GroupId"):
        raise missing("groupId")
    group = region.security_group(params["GroupId"])
    found: list[SecurityGroupRule] = group.egress_rules if egress else group.ingress_rules
    return found


def _permissions(params: Params) -> list[dict[str, Any]]:
    """What a call names, the short form (one protocol, one CIDR) put into the long one."""
    if params.get("IpPermissions"):
        return list(params["IpPermissions"])
    if not params.get("CidrIp"):
        return []
    short = {key: value for key, value in params.items() if key in ("IpProtocol", "FromPort", "ToPort")}
    return [{**short, "IpRanges": [{"CidrIp": params["CidrIp"]}]}]


def _asked(region: Region, params: Params, egress: bool) -> Iterator[SecurityGroupRule]:
    """The rules a call names, of which moto has none yet."""
    for permission in _permissions(params):
        for field, many in _LISTS.items():
            for one in permission.get(many) or []:
                peer = _peer(region, field, one.get(field, ""))
                yield _rule(region, params["GroupId"], permission, peer, one.get("Description"), egress)


def _peer(region: Region, field: str, value: str) -> Peer:
    if field in ("CidrIp", "CidrIpv6"):
        try:
            return field, str(ipaddress.ip_network(value, strict=False))
        except ValueError:
            raise AwsError("InvalidParameterValue", f"CIDR block {value} is malformed") from None
    if field == "GroupId":
        region.security_group(value)
    return field, value


def _rule(
    region: Region, group_id: str, ports: dict[str, Any], peer: Peer, description: str | None, egress: bool
) -> SecurityGroupRule:
    if not ports.get("IpProtocol"):
        raise missing("ipProtocol")
    if str(ports["IpProtocol"]) in ("tcp", "udp", "6", "17") and None in (
        ports.get("FromPort"),
        ports.get("ToPort"),
    ):
        raise AwsError(
            "InvalidParameterValue",
            "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.",
        )
    _check_description(description)
    field, value = peer
    about = {field: value} | ({"Description": description} if description else {})
    return SecurityGroupRule(
        region.ec2,
        str(ports["IpProtocol"]),
        group_id,
        ports.get("FromPort", -1),
        ports.get("ToPort", -1),
        about if field in ("CidrIp", "CidrIpv6") else None,
        {**about, "UserId": region.account} if field == "GroupId" else None,
        about if field == "PrefixListId" else None,
        is_egress=egress,
    )


def _check_description(text: str | None) -> None:
    if text is not None and not _ALLOWED.fullmatch(text):
        raise AwsError(
            "InvalidParameterValue",
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:"
            "  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
        )


def _key(rule: SecurityGroupRule) -> tuple[Any, ...]:
    """What makes a rule the same as another: not its description."""
    about = [rule.ip_range.get("CidrIp"), rule.ip_range.get("CidrIpv6"), rule.source_group.get("GroupId")]
    ports = (-1, -1) if rule.ip_protocol == "-1" else (rule.from_port, rule.to_port)
    return (rule.ip_protocol, *ports, *about, rule.prefix_list_id)


def _words(rule: SecurityGroupRule) -> str:
    """A rule as AWS's errors name it."""
    peer = next(each for each in _key(rule)[3:] if each)
    protocol = "ALL" if rule.ip_protocol == "-1" else str(rule.ip_protocol).upper()
    ports = "" if rule.ip_protocol == "-1" else f"from port: {rule.from_port}, to port: {rule.to_port}, "
    return f'the specified rule "peer: {peer}, {protocol}, {ports}ALLOW"'


def describe(region: Region, rule: SecurityGroupRule) -> dict[str, Any]:
    """A rule as the API shows it."""
    every = rule.ip_protocol == "-1"
    group = rule.source_group.get("GroupId")
    return {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "GroupOwnerId": region.account,
        "IsEgress": rule.is_egress,
        "IpProtocol": rule.ip_protocol,
        "FromPort": -1 if every else rule.from_port,
        "ToPort": -1 if every else rule.to_port,
        "CidrIpv4": rule.ip_range.get("CidrIp"),
        "CidrIpv6": rule.ip_range.get("CidrIpv6"),
        "PrefixListId": rule.prefix_list_id,
        "ReferencedGroupInfo": {"GroupId": group, "UserId": region.account} if group else None,
        "Description": _about(rule).get("Description"),
        "Tags": region.tag_list(rule.id),
        "SecurityGroupRuleArn": f"arn:aws:ec2:{region.name}:{region.account}:security-group-rule/{rule.id}",
    }


def _about(rule: SecurityGroupRule) -> dict[str, str]:
    """Where moto keeps a rule's peer and description."""
    about: dict[str, str] = rule.source_group or rule.ip_range
    return about


def authorize(region: Region, params: Params, egress: bool) -> Params:
    """Adds all rules of a call, or none when one cannot be added. A description makes no other rule of one."""
    rules = _rules(region, params, egress)
    tags = ec2_tags.specified(params, "security-group-rule")
    new = list(_asked(region, params, egress))
    if not new:
        raise missing("ipPermissions")
    have, keys = {_key(rule) for rule in rules}, [_key(rule) for rule in new]
    if len(set(keys)) < len(keys):
        raise AwsError("InvalidParameterValue", "The same permission must not appear multiple times")
    for rule in new:
        if _key(rule) in have:
            raise AwsError("InvalidPermission.Duplicate", f"{_words(rule)} already exists")
    if len(have) + len(new) > RULES_PER_GROUP:
        raise AwsError(
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
        )
    rules += new
    for rule in new:
        region.tag(rule.id, tags)
    return {"Return": True, "SecurityGroupRules": [describe(region, rule) for rule in new]}


def _meant(region: Region, params: Params, egress: bool) -> list[SecurityGroupRule]:
    """The rules that a call names, by id or by all that makes them up; none may be missing."""
    rules = _rules(region, params, egress)
    ids = params.get("SecurityGroupRuleIds")
    if ids:
        by_id = {rule.id: rule for rule in rules}
        for rule_id in ids:
            if rule_id not in by_id:
                raise _no_such(rule_id)
        return [by_id[rule_id] for rule_id in ids]
    by_key = {_key(rule): rule for rule in rules}
    wanted = list(_asked(region, params, egress))
    if not wanted:
        raise missing("ipPermissions")
    if any(_key(rule) not in by_key for rule in wanted):
        raise AwsError(
            "InvalidPermission.NotFound", "The specified rule does not exist in this security group."
        )
    return [by_key[_key(rule)] for rule in wanted]


def _no_such(rule_id: str) -> AwsError:
    return AwsError(
        "InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{rule_id}' does not exist"
    )


def revoke(region: Region, params: Params, egress: bool) -> Params:
    """Removes all rules of a call, or none when one is not there. The description need not be given."""
    meant = _meant(region, params, egress)
    rules = _rules(region, params, egress)
    kept = ("SecurityGroupRuleId", "GroupId", "IsEgress", "IpProtocol", "FromPort", "ToPort", "CidrIpv4", "CidrIpv6",
            "PrefixListId", "Description")  # fmt: skip
    shown = []
    for rule in meant:
        described = describe(region, rule)
        group = {"ReferencedGroupId": rule.source_group.get("GroupId")}
        shown.append({key: described[key] for key in kept} | group)
        rules[:] = [each for each in rules if each is not rule]
        region.untag(rule.id)
    return {"Return": True, "RevokedSecurityGroupRules": shown}


def update_descriptions(region: Region, params: Params, egress: bool) -> Params:
    """Replaces descriptions of rules named by id, or by all that makes them up; an empty one takes it away."""
    by_id = params.get("SecurityGroupRuleDescriptions") or []
    if by_id:
        ids = {**params, "SecurityGroupRuleIds": [each.get("SecurityGroupRuleId", "") for each in by_id]}
        meant, texts = _meant(region, ids, egress), [each.get("Description") for each in by_id]
    else:
        meant = _meant(region, params, egress)
        texts = [_about(rule).get("Description") for rule in _asked(region, params, egress)]
    for text in texts:
        _check_description(text)
    for rule, text in zip(meant, texts, strict=True):
        _about(rule).pop("Description", None)
        _about(rule).update({"Description": text} if text else {})
    return {"Return": True}


@handles("ec2", "ModifySecurityGroupRules")
def modify(region: Region, params: Params) -> Params:
    """Replaces what rules say. Their ids, tags and direction stay, and so does the kind of what they are about."""
    group = region.security_group(params.get("GroupId", ""))
    by_id = {rule.id: rule for rule in (*group.ingress_rules, *group.egress_rules)}
    changed: list[tuple[SecurityGroupRule, SecurityGroupRule]] = []
    for update in params.get("SecurityGroupRules") or []:
        old = by_id.get(update.get("SecurityGroupRuleId", ""))
        if old is None:
            raise _no_such(update.get("SecurityGroupRuleId", ""))
        changed.append((old, _replacement(region, old, update.get("SecurityGroupRule") or {})))
    for old, new in changed:
        for name in ("ip_protocol", "from_port", "to_port", "ip_range", "source_group", "prefix_list_id"):
            setattr(old, name, getattr(new, name))
    return {"Return": True}


def _replacement(region: Region, old: SecurityGroupRule, wanted: dict[str, Any]) -> SecurityGroupRule:
    names = {
        "CidrIpv4": "CidrIp",
        "CidrIpv6": "CidrIpv6",
        "ReferencedGroupId": "GroupId",
        "PrefixListId": "PrefixListId",
    }
    given = [(field, wanted[name]) for name, field in names.items() if wanted.get(name)]
    if len(given) != 1:
        raise AwsError(
            "InvalidParameterValue" if given else "MissingParameter",
            "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId",
        )
    new = _rule(
        region, old.group_id, wanted, _peer(region, *given[0]), wanted.get("Description"), old.is_egress
    )
    if [each is None for each in _key(new)[3:]] != [each is None for each in _key(old)[3:]]:
        raise AwsError("InvalidParameterValue", f"Invalid rule type for security group rule '{old.id}'.")
    return new


@handles("ec2", "DescribeSecurityGroupRules")
def describe_rules(region: Region, params: Params) -> Params:
    """Rules of all groups, those out among them; each is one peer."""
    groups = [group for by_id in region.ec2.groups.values() for group in by_id.values()]
    shown = [describe(region, rule) for g in groups for rule in (*g.ingress_rules, *g.egress_rules)]
    ids = params.get("SecurityGroupRuleIds")
    shown = select(
        shown, "SecurityGroupRuleId", ids, "InvalidSecurityGroupRuleId.NotFound", "security group rule"
    )
    return page(apply(shown, params.get("Filters"), FILTERS), params, "SecurityGroupRules")


for _direction, _egress in (("Ingress", False), ("Egress", True)):
    handles("ec2", f"AuthorizeSecurityGroup{_direction}")(partial(authorize, egress=_egress))
    handles("ec2", f"RevokeSecurityGroup{_direction}")(partial(revoke, egress=_egress))
    handles("ec2", f"UpdateSecurityGroupRuleDescriptions{_direction}")(
        partial(update_descriptions, egress=_egress)
    )
