"""The security group: everything in from the private networks, forwarded ports from their sources, everything out.

Where gateways change nodes everything may come in, too. A security group remembers the flows of an interface unless its
rules allow everything both ways (EC2 user guide, untracked connections), and no document says what a group that
remembers does to a flow that arrives mid-stream at another interface. The untracked form surely lets it through. What
keeps strangers out is the node's own nftables: members, private networks, replies and declared port forwards.

Our rules carry a description, MARK. All others are the user's: they are never revoked, and the node lets in what they
let in (`agent.kernel.ingress`). A version before this one marked none, and revoked what it did not know. So a rule
without a description that is one we want becomes ours; and while the first become ours, rules without a description
that let all protocols of a network in are taken for our own of yesterday, and revoked. Others stay: they may be the
user's. Nothing that goes out is revoked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from evernat.agent.contract import MARK
from evernat.stack import names
from evernat.stack.context import Context, retag
from evernat.stack.found import RULE_FIELDS, Found, Rule
from evernat.stack.spec import Gateway
from evernat.stack.steps import Call, Change, Step
from evernat.stack.values import Ref

SELF = "the group itself"
"""Stands for the group's own id as a source, which is not known before it exists."""
ALL = Rule("-1", -1, -1, "0.0.0.0/0")
ALL_OUT = frozenset([ALL])
MEMBERS = frozenset(Rule(p, names.PORT, names.PORT, SELF, "group") for p in ("tcp", "udp"))
"""Heartbeat and flow sync. Part of "everything", and there for the day somebody narrows that."""


def ingress(gateway: Gateway) -> frozenset[Rule]:
    """What may come in. Private networks: every protocol, so UDP and ICMP too; not TCP alone."""
    if gateway.by_address:
        return frozenset([ALL]) | MEMBERS
    inside = {Rule("-1", -1, -1, cidr) for cidr in gateway.private_subnets_cidr_blocks}
    forwarded = {Rule(f.protocol, *f.ports, source) for f in gateway.port_forward for source in f.sources}
    opened = {Rule(o.protocol, *o.range, source) for o in gateway.node_ingress for source in o.sources}
    return frozenset(inside | forwarded | opened)


def steps(context: Context) -> list[Step]:
    """Create the group, or bring our rules and its tags in line."""
    wanted = ingress(context.gateway)
    group = context.security_group
    if group is None:
        return [_create(context, wanted)]
    have = frozenset(replace(r, source=SELF) if r.source == group.id else r for r in group.ingress)
    adopted, revoked = _adopted(have, wanted), _revoked(have, wanted)
    changes = (
        *_changes("in", revoked, wanted - have),
        *(Change("in", describe(rule), f"{describe(rule)} (as ours)") for rule in sorted(adopted)),
        *_changes("out", frozenset(), ALL_OUT - group.egress),
    )
    calls = tuple(
        _rules_call(operation, rules, done)
        for operation, rules, done in (
            # Open what is missing before closing what is too much: nothing wanted is ever shut.
            ("authorize_security_group_ingress", wanted - have, ("InvalidPermission.Duplicate",)),
            ("update_security_group_rule_descriptions_ingress", adopted, ("InvalidPermission.NotFound",)),
            ("revoke_security_group_ingress", revoked, ("InvalidPermission.NotFound",)),
            ("authorize_security_group_egress", ALL_OUT - group.egress, ("InvalidPermission.Duplicate",)),
        )
        if rules
    )
    rules = [Step("change", "security-group", f"{group.id} rules", calls, changes)] if calls else []
    return rules + retag("security-group", group.id, group.tags, context.tags("security-group"))


def _adopted(have: frozenset[Rule], wanted: frozenset[Rule]) -> frozenset[Rule]:
    """What we want, is there, and has no description."""
    return frozenset(rule for rule in have if rule in wanted and not rule.description)


def _revoked(have: frozenset[Rule], wanted: frozenset[Rule]) -> frozenset[Rule]:
    """What is ours and no longer wanted."""
    ours = {rule for rule in have if rule.description == MARK}
    former = set() if ours or not _adopted(have, wanted) else {r for r in have if _of_a_former_version(r)}
    return frozenset((ours | former) - wanted)


def _of_a_former_version(rule: Rule) -> bool:
    return rule.protocol == "-1" and rule.kind == "cidr" and not rule.description


def removal(found: Found) -> list[Step]:
    """Delete the stack's groups; an interface that is on its way out may hold one for a while."""
    return [
        Step(
            "delete",
            "security-group",
            group.id,
            (
                Call(
                    "ec2",
                    "delete_security_group",
                    {"GroupId": group.id},
                    done=("InvalidGroup.NotFound",),
                    patient=("DependencyViolation",),
                ),
            ),
        )
        for group in found.security_groups
        if group.tags.get(names.STACK_TAG) == found.stack
    ]


def describe(rule: Rule) -> str:
    """A rule for people."""
    protocol = "everything" if rule.protocol == "-1" else rule.protocol
    ports = (
        ""
        if rule.protocol == "-1"
        else f" {rule.first}"
        if rule.first == rule.last
        else f" {rule.first}-{rule.last}"
    )
    return f"{protocol}{ports} {rule.source}"


def _create(context: Context, wanted: frozenset[Rule]) -> Step:
    create = Call(
        "ec2",
        "create_security_group",
        {
            "GroupName": context.name,
            "Description": f"evernat gateway {context.gateway.name}",
            "VpcId": context.gateway.vpc_id,
            "TagSpecifications": context.specification("security-group", "security-group"),
        },
        yields=(("security-group", "GroupId"),),
    )
    opened = _rules_call("authorize_security_group_ingress", wanted, ("InvalidPermission.Duplicate",))
    return Step(
        "create", "security-group", context.name, (create, opened), _changes("in", frozenset(), wanted)
    )


def _changes(direction: str, gone: frozenset[Rule], new: frozenset[Rule]) -> tuple[Change, ...]:
    opened = [Change(direction, "", describe(rule)) for rule in sorted(new)]
    closed = [Change(direction, describe(rule), "") for rule in sorted(gone)]
    return (*opened, *closed)


def _rules_call(operation: str, rules: Iterable[Rule], done: tuple[str, ...]) -> Call:
    params = {"GroupId": Ref("security-group"), "IpPermissions": _permissions(rules)}
    return Call("ec2", operation, params, done=done)


def _permissions(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    grouped: dict[tuple[str, int, int], list[Rule]] = defaultdict(list)
    for rule in sorted(rules):
        grouped[rule.protocol, rule.first, rule.last].append(rule)
    permissions = []
    for (protocol, first, last), members in grouped.items():
        permission: dict[str, Any] = {"IpProtocol": protocol}
        if protocol != "-1":
            permission |= {"FromPort": first, "ToPort": last}
        for rule in members:
            field, key = RULE_FIELDS[rule.kind]
            source = Ref("security-group") if rule.source == SELF else rule.source
            permission.setdefault(field, []).append({key: source, "Description": MARK})
        permissions.append(permission)
    return permissions
