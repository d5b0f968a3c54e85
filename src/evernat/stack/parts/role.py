"""The node's role and instance profile: Session Manager, and exactly what the agent calls."""

from __future__ import annotations

import json
from typing import Any

from evernat.bundle import SESSION_MANAGER
from evernat.stack import names
from evernat.stack.context import Context, tag_changes
from evernat.stack.environment import ssm_policy
from evernat.stack.found import Found, Role
from evernat.stack.names import tag_list
from evernat.stack.steps import Call, Change, Step
from evernat.stack.values import AgentPolicy, ClusterPolicy, Json, Ref

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
GONE = ("NoSuchEntity",)
MANAGED = ":iam::aws:policy/AmazonSSMManagedInstanceCore"
"""How the ARN of AWS's own policy for Session Manager ends in every partition."""


def trust(partition: str) -> dict[str, Any]:
    """Who may take the role: EC2, under the name it has in the partition (IAM user guide, service principals)."""
    service = "ec2.amazonaws.com.cn" if partition == "aws-cn" else "ec2.amazonaws.com"
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def agent_permissions(context: Context) -> AgentPolicy | ClusterPolicy:
    """The inline policy; it names the interface or the addresses, so it exists after them."""
    identity = context.environment.identity
    if context.gateway.by_address:
        made = context.layout
        return ClusterPolicy(
            {
                "partition": identity.partition,
                "region": identity.region,
                "account": identity.account,
                "stack": context.gateway.name,
                "group_names": [context.name_in(slot) for slot in made.slots],
                "gateways": [shape.name for shape in made.gateways],
                "addresses": [Ref(f"address {shape.name}") for shape in made.gateways],
                "tables": [table for shape in made.gateways for table in shape.tables],
                "key_parameter": names.key_parameter(context.gateway.name),
            }
        )
    return AgentPolicy(
        {
            "partition": identity.partition,
            "region": identity.region,
            "account": identity.account,
            "stack": context.gateway.name,
            "group_name": context.name,
            "interface_id": Ref("interface"),
        }
    )


def steps(context: Context) -> list[Step]:
    """Create or correct role, policies and profile."""
    role = context.found.role
    if role is None:
        changes, calls = _session_manager(context, ())
        calls = [_create(context), *calls, _put(context)]
        changes.append(Change("policy", "", names.AGENT_POLICY))
        made = [Step("create", "role", context.role, tuple(calls), tuple(changes))]
    else:
        made = _corrected(context, role)
    return made + _profile(context)


def removal(found: Found) -> list[Step]:
    """Delete profile and role with all that is attached to them, by whomever: a role in use cannot be deleted."""
    removed: list[Step] = []
    if found.profile and found.profile.tags.get(names.STACK_TAG) == found.stack:
        name = {"InstanceProfileName": found.profile.name}
        calls = [
            Call("iam", "remove_role_from_instance_profile", {**name, "RoleName": role}, done=GONE)
            for role in found.profile.roles
        ]
        calls.append(Call("iam", "delete_instance_profile", name, done=GONE))
        removed.append(Step("delete", "instance-profile", found.profile.name, tuple(calls)))
    if found.role and found.role.tags.get(names.STACK_TAG) == found.stack:
        role = {"RoleName": found.role.name}
        calls = [
            *(
                Call("iam", "detach_role_policy", {**role, "PolicyArn": arn}, done=GONE)
                for arn in found.role.attached
            ),
            *(
                Call("iam", "delete_role_policy", {**role, "PolicyName": name}, done=GONE)
                for name in found.role.inline
            ),
            Call("iam", "delete_role", role, done=GONE),
        ]
        removed.append(Step("delete", "role", found.role.name, tuple(calls)))
    return removed


def _corrected(context: Context, role: Role) -> list[Step]:
    changes: list[Change] = []
    calls: list[Call] = []
    trusted = trust(context.environment.identity.partition)
    if role.trust != trusted:
        changes.append(
            Change("trust", json.dumps(role.trust, sort_keys=True), json.dumps(trusted, sort_keys=True))
        )
        params = {"RoleName": context.role, "PolicyDocument": Json(trusted)}
        calls.append(Call("iam", "update_assume_role_policy", params))
    differing, correcting = _session_manager(context, role.attached, role.session_policy)
    changes += differing
    calls += correcting
    wanted = context.resolved(agent_permissions(context))
    if wanted is None or json.loads(wanted) != role.agent_policy:
        changes.append(
            Change(
                "policy", names.AGENT_POLICY if role.agent_policy else "", f"{names.AGENT_POLICY} (new text)"
            )
        )
        calls.append(_put(context))
    tags = tag_changes(role.tags, context.tags("role"))
    if tags:
        changes += tags
        calls.append(
            Call("iam", "tag_role", {"RoleName": context.role, "Tags": tag_list(context.tags("role"))})
        )
    return [Step("change", "role", context.role, tuple(calls), tuple(changes))] if calls else []


def _session_manager(
    context: Context, attached: tuple[str, ...], inline: Any = None
) -> tuple[list[Change], list[Call]]:
    """How Session Manager gets in: by an inline policy, by one that the file names, or not at all.

    `attached` and `inline` are what the role has now. What lets in is put there before what did so is taken away.
    """
    arn = ssm_policy(context.gateway)
    wanted = None if context.gateway.ssm_policy_arn else SESSION_MANAGER
    role = {"RoleName": context.role}
    changes: list[Change] = []
    calls: list[Call] = []
    if arn and arn not in attached:
        changes.append(Change("policy", "", arn))
        calls.append(Call("iam", "attach_role_policy", {**role, "PolicyArn": arn}))
    if wanted and inline != wanted:
        changes.append(
            Change(
                "policy",
                names.SESSION_POLICY if inline else "",
                names.SESSION_POLICY + " (new text)" * bool(inline),
            )
        )
        put = {**role, "PolicyName": names.SESSION_POLICY, "PolicyDocument": Json(wanted)}
        calls.append(Call("iam", "put_role_policy", put))
    if inline and not wanted:
        changes.append(Change("policy", names.SESSION_POLICY, ""))
        gone = {**role, "PolicyName": names.SESSION_POLICY}
        calls.append(Call("iam", "delete_role_policy", gone, done=GONE))
    # Only AWS's own Session Manager policy, which earlier versions attached: users attach others to the role.
    for other in attached:
        if other != arn and other.endswith(MANAGED):
            changes.append(Change("policy", other, ""))
            calls.append(Call("iam", "detach_role_policy", {**role, "PolicyArn": other}, done=GONE))
    return changes, calls


def _create(context: Context) -> Call:
    params = {
        "RoleName": context.role,
        "AssumeRolePolicyDocument": Json(trust(context.environment.identity.partition)),
        "Description": f"evernat gateway {context.gateway.name}",
        "Tags": tag_list(context.tags("role")),
    }
    return Call("iam", "create_role", params)


def _put(context: Context) -> Call:
    params = {
        "RoleName": context.role,
        "PolicyName": names.AGENT_POLICY,
        "PolicyDocument": agent_permissions(context),
    }
    return Call("iam", "put_role_policy", params)


def _profile(context: Context) -> list[Step]:
    profile = context.found.profile
    name = {"InstanceProfileName": context.role}
    add = Call("iam", "add_role_to_instance_profile", {**name, "RoleName": context.role})
    tags = {"Tags": tag_list(context.tags("instance-profile"))}
    if profile is None:
        calls = (Call("iam", "create_instance_profile", {**name, **tags}), add)
        return [Step("create", "instance-profile", context.role, calls)]
    changes: list[Change] = []
    calls_needed: list[Call] = []
    if profile.roles != (context.role,):
        changes.append(Change("role", ", ".join(profile.roles) or "(none)", context.role))
        # A profile has room for one role.
        for other in profile.roles:
            removal = {**name, "RoleName": other}
            calls_needed.append(Call("iam", "remove_role_from_instance_profile", removal, done=GONE))
        calls_needed.append(add)
    retagged = tag_changes(profile.tags, context.tags("instance-profile"))
    if retagged:
        changes += retagged
        calls_needed.append(Call("iam", "tag_instance_profile", {**name, **tags}))
    if not calls_needed:
        return []
    return [Step("change", "instance-profile", context.role, tuple(calls_needed), tuple(changes))]
