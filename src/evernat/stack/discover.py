"""Looking for what a stack has made: everything by its tags or its deterministic name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.errors import ApiError
from evernat.stack.found import (
    RULE_FIELDS,
    Address,
    Found,
    Group,
    InstanceProfile,
    Interface,
    Member,
    Role,
    RouteTable,
    Rule,
    SecurityGroup,
    Template,
    TemplateVersion,
)
from evernat.stack.instances import discover_nodes
from evernat.stack.names import tag_map
from evernat.stack.targets import shown


def discover(api: Api, stack: str, addresses: list[Address] | None = None, vpc_id: str = "") -> Found:
    """All that belongs to the stack.

    `addresses` saves a call when all of the account's are known already.
    """
    name = names.resource_name(stack)
    seen = api.gather(
        groups=lambda: _security_groups(api, name),
        interfaces=lambda: discover_interfaces(api, stack),
        addresses=lambda: all_addresses(api) if addresses is None else addresses,
        role=lambda: _role(api, names.role_name(stack, api.region)),
        profile=lambda: _profile(api, names.role_name(stack, api.region)),
        templates=lambda: _templates(api, stack),
        listed=lambda: discover_groups(api, stack, hooks=True),
        parameters=lambda: _parameters(api, f"/evernat/{stack}"),
        nodes=lambda: discover_nodes(api, stack),
        tables=lambda: _tables(api, stack, vpc_id),
    )
    interfaces: list[Interface] = seen["interfaces"]
    tables: dict[str, RouteTable] = seen["tables"]
    if not vpc_id:
        # Without a spec (destroy) a table may have lost its tag; those that lead to our interfaces are in their VPC.
        groups: list[SecurityGroup] = seen["groups"]
        own = {g.vpc_id for g in groups if g.tags.get(names.STACK_TAG) == stack}
        for vpc in {i.vpc_id for i in interfaces} | own:
            tables |= route_tables(api, [{"Name": "vpc-id", "Values": [vpc]}])
    texts: dict[str, str] = seen["parameters"]
    tagged = [a for a in seen["addresses"] if a.tags.get(names.STACK_TAG) == stack]
    return Found(
        stack=stack,
        security_groups=tuple(seen["groups"]),
        interfaces=tuple(interfaces),
        addresses=tuple(a for a in tagged if a.tags.get(names.PART_TAG) != names.BORROWED),
        borrowed=tuple(a for a in tagged if a.tags.get(names.PART_TAG) == names.BORROWED),
        role=seen["role"],
        profile=seen["profile"],
        templates=seen["templates"],
        groups=seen["listed"],
        parameters=tuple(sorted(texts)),
        reports=_reports(stack, texts),
        nodes=tuple(seen["nodes"]),
        route_tables=tuple(tables[key] for key in sorted(tables)),
    )


def _tables(api: Api, stack: str, vpc_id: str) -> dict[str, RouteTable]:
    return route_tables(api, [{"Name": "vpc-id", "Values": [vpc_id]}] if vpc_id else names.by_tag(stack))


def route_tables(api: Api, filters: list[dict[str, Any]]) -> dict[str, RouteTable]:
    """Route tables by id."""
    raw = api.pages("ec2", "describe_route_tables", "RouteTables", Filters=filters)
    return {t["RouteTableId"]: _route_table(t) for t in raw}


def _route_table(raw: dict[str, Any]) -> RouteTable:
    associations = raw.get("Associations") or []
    leading = [shown(r) for r in raw.get("Routes") or [] if r.get("DestinationCidrBlock") == "0.0.0.0/0"]
    return RouteTable(
        id=raw["RouteTableId"],
        vpc_id=raw["VpcId"],
        tags=tag_map(raw.get("Tags")),
        subnets=tuple(a["SubnetId"] for a in associations if a.get("SubnetId")),
        main=any(a.get("Main") for a in associations),
        # A static route takes precedence over a propagated one (VPC user guide, route priority).
        default=min(leading, key=lambda target: target.propagated, default=None),
    )


def _security_groups(api: Api, name: str) -> list[SecurityGroup]:
    return security_groups(api, [{"Name": "group-name", "Values": [name]}])


def security_groups(api: Api, filters: list[dict[str, Any]]) -> list[SecurityGroup]:
    """Security groups with their rules."""
    raw = api.pages("ec2", "describe_security_groups", "SecurityGroups", Filters=filters)
    return [
        SecurityGroup(
            id=g["GroupId"],
            vpc_id=g.get("VpcId") or "",
            tags=tag_map(g.get("Tags")),
            ingress=frozenset(_rules(g.get("IpPermissions") or [])),
            egress=frozenset(_rules(g.get("IpPermissionsEgress") or [])),
        )
        for g in sorted(raw, key=lambda g: str(g["GroupId"]))
    ]


def _rules(permissions: Iterable[dict[str, Any]]) -> Iterable[Rule]:
    for p in permissions:
        protocol = str(p["IpProtocol"])
        ports = (-1, -1) if protocol == "-1" else (int(p.get("FromPort", -1)), int(p.get("ToPort", -1)))
        for kind, (field, key) in RULE_FIELDS.items():
            for r in p.get(field) or []:
                yield Rule(protocol, *ports, r[key], kind, r.get("Description", ""))


def discover_interfaces(api: Api, stack: str) -> list[Interface]:
    """The stack's persistent interfaces. Its nodes' own interfaces carry the stack's tag too, but play another part."""
    raw = api.pages("ec2", "describe_network_interfaces", "NetworkInterfaces", Filters=names.by_tag(stack))
    found = [_interface(i) for i in sorted(raw, key=lambda i: str(i["NetworkInterfaceId"]))]
    return [i for i in found if i.tags.get(names.PART_TAG) != "node"]


def _interface(raw: dict[str, Any]) -> Interface:
    attachment = raw.get("Attachment") or {}
    association = raw.get("Association") or {}
    if attachment.get("Status") == "detached":
        attachment = {}
    return Interface(
        id=raw["NetworkInterfaceId"],
        vpc_id=raw["VpcId"],
        subnet_id=raw["SubnetId"],
        tags=tag_map(raw.get("TagSet")),
        source_dest_check=bool(raw.get("SourceDestCheck", True)),
        groups=tuple(sorted(g["GroupId"] for g in raw.get("Groups") or [])),
        private_address=raw.get("PrivateIpAddress") or "",
        status=raw.get("Status") or "",
        attachment_id=attachment.get("AttachmentId") or "",
        instance_id=attachment.get("InstanceId") or "",
        association_id=association.get("AssociationId") or "",
        allocation_id=association.get("AllocationId") or "",
        public_address=association.get("PublicIp") or "",
    )


def all_addresses(api: Api) -> list[Address]:
    """Every Elastic IP of the account in the region."""
    raw = api.call("ec2", "describe_addresses").get("Addresses") or []
    return [
        Address(
            id=a["AllocationId"],
            public_address=a["PublicIp"],
            tags=tag_map(a.get("Tags")),
            association_id=a.get("AssociationId") or "",
            interface_id=a.get("NetworkInterfaceId") or "",
            instance_id=a.get("InstanceId") or "",
            private_address=a.get("PrivateIpAddress") or "",
        )
        for a in sorted(raw, key=lambda a: str(a.get("AllocationId")))
        if a.get("AllocationId")
    ]


def _role(api: Api, name: str) -> Role | None:
    try:
        raw = api.call("iam", "get_role", RoleName=name)["Role"]
    except ApiError as error:
        if error.code == "NoSuchEntity":
            return None
        raise
    inline = api.pages("iam", "list_role_policies", "PolicyNames", RoleName=name)
    attached = api.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
    ours = [policy for policy in (names.AGENT_POLICY, names.SESSION_POLICY) if policy in inline]
    texts = {
        policy: api.call("iam", "get_role_policy", RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in ours
    }
    return Role(
        name=name,
        tags=tag_map(raw.get("Tags")),
        trust=raw.get("AssumeRolePolicyDocument"),
        attached=tuple(p["PolicyArn"] for p in attached),
        inline=tuple(inline),
        agent_policy=texts.get(names.AGENT_POLICY),
        session_policy=texts.get(names.SESSION_POLICY),
    )


def _profile(api: Api, name: str) -> InstanceProfile | None:
    try:
        raw = api.call("iam", "get_instance_profile", InstanceProfileName=name)["InstanceProfile"]
    except ApiError as error:
        if error.code == "NoSuchEntity":
            return None
        raise
    return InstanceProfile(
        name, tag_map(raw.get("Tags")), tuple(r["RoleName"] for r in raw.get("Roles") or [])
    )


REPORT_PAGES = 4
"""Pages of reports that are read at most, of ten each: a stack has a dozen, and a node could write any number."""


def discover_reports(api: Api, stack: str) -> dict[str, str]:
    """What nodes reported, by the last part of its name: a gateway, or `node-SLOT`."""
    path = names.report_parameter(stack, "").rstrip("/")
    found = api.pages("ssm", "get_parameters_by_path", "Parameters", most=REPORT_PAGES, Path=path)
    return _reports(stack, {p["Name"]: p["Value"] for p in found})


def _reports(stack: str, parameters: Mapping[str, str]) -> dict[str, str]:
    start = names.report_parameter(stack, "")
    return {n.removeprefix(start): text for n, text in parameters.items() if n.startswith(start)}


def _parameters(api: Api, path: str) -> dict[str, str]:
    """Parameters below a path, by name. The key is not asked for in clear text: nobody but the nodes needs it."""
    found = api.pages("ssm", "get_parameters_by_path", "Parameters", Path=path, Recursive=True)
    return {p["Name"]: p["Value"] for p in found}


def _templates(api: Api, stack: str) -> dict[str, Template]:
    filters = [{"Name": "launch-template-name", "Values": names.group_names(stack)}]
    raw = api.pages("ec2", "describe_launch_templates", "LaunchTemplates", Filters=filters)
    wanted = [t for t in raw if _concerns(stack, t["LaunchTemplateName"], tag_map(t.get("Tags")))]
    return {t["LaunchTemplateName"]: _template(api, t) for t in wanted}


def _concerns(stack: str, name: str, tags: Mapping[str, str]) -> bool:
    """Whether a thing with one of the stack's names is its business: not when another stack has made it.

    `evernat-x-a` is the name of slot a of stack x, and also of a stack that is called x-a.
    """
    return name == names.resource_name(stack) or tags.get(names.STACK_TAG, stack) == stack


def _template(api: Api, raw: dict[str, Any]) -> Template:
    identifier = raw["LaunchTemplateId"]
    versions = api.pages(
        "ec2", "describe_launch_template_versions", "LaunchTemplateVersions", LaunchTemplateId=identifier
    )
    known = {
        int(v["VersionNumber"]): TemplateVersion(
            int(v["VersionNumber"]),
            v.get("LaunchTemplateData") or {},
            v.get("VersionDescription") or "",
            str(v.get("CreateTime") or ""),
        )
        for v in versions
    }
    return Template(identifier, tag_map(raw.get("Tags")), max(known), known)


def discover_groups(api: Api, stack: str, *, hooks: bool = False) -> dict[str, Group]:
    """The stack's Auto Scaling groups by name; with `hooks` also their hooks (unless they are being deleted)."""
    raw = api.pages(
        "autoscaling",
        "describe_auto_scaling_groups",
        "AutoScalingGroups",
        AutoScalingGroupNames=names.group_names(stack),
    )
    wanted = [g for g in raw if _concerns(stack, g["AutoScalingGroupName"], tag_map(g.get("Tags")))]
    return {g["AutoScalingGroupName"]: _group(api, g, hooks) for g in wanted}


def tagged_groups(api: Api, stack: str) -> dict[str, Group]:
    """The Auto Scaling groups that carry the stack's tag, whatever their names: Terraform gives others."""
    mine = [{"Name": f"tag:{names.STACK_TAG}", "Values": [stack]}]
    raw = api.pages("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", Filters=mine)
    return {g["AutoScalingGroupName"]: _group(api, g, False) for g in raw}


def _group(api: Api, raw: dict[str, Any], hooks: bool) -> Group:
    name = raw["AutoScalingGroupName"]
    described: list[dict[str, Any]] = []
    if hooks and not raw.get("Status"):
        answer = api.call("autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=name)
        described = answer.get("LifecycleHooks") or []
    return Group(
        name=name,
        tags=tag_map(raw.get("Tags")),
        subnets=tuple(s for s in (raw.get("VPCZoneIdentifier") or "").replace(" ", "").split(",") if s),
        status=raw.get("Status") or "",
        members=tuple(_member(m) for m in raw.get("Instances") or []),
        hooks={h["LifecycleHookName"]: h for h in described},
        raw=raw,
    )


def _member(raw: dict[str, Any]) -> Member:
    version = str((raw.get("LaunchTemplate") or {}).get("Version") or "")
    return Member(
        id=raw["InstanceId"],
        zone=raw.get("AvailabilityZone") or "",
        type=raw.get("InstanceType") or "",
        state=raw.get("LifecycleState") or "",
        health=raw.get("HealthStatus") or "",
        version=int(version) if version.isdecimal() else 0,
    )
