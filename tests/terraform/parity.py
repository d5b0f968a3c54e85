"""The same gateway from two sides, in one shape: what `evernat deploy` asks AWS for, and what the module has made.

A shape is part -> arguments, named as the AWS API names them. Parts that come in numbers carry a slot or a name.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from evernat.stack.names import AGENT_POLICY
from evernat.stack.steps import Call, Plan
from evernat.stack.values import AgentPolicy, ClusterPolicy, UserData, resolve
from tests.terraform.calls import calls

Shape = dict[str, dict[str, Any]]
State = Mapping[str, Mapping[str, Any]]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything inside."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def text_of(user_data: str) -> str:
    """The cloud-config inside."""
    return gzip.decompress(base64.b64decode(user_data)).decode()


def _tags(listed: Any) -> dict[str, str]:
    return {t["Key"]: t["Value"] for t in listed}


def _specified(params: Mapping[str, Any]) -> dict[str, str]:
    return _tags(params["TagSpecifications"][0]["Tags"])


def _statements(document: str) -> dict[str, Any]:
    """A policy by the names of its statements."""
    return {s["Sid"]: s for s in json.loads(document)["Statement"]}


# --- what evernat asks for ---


def of_plan(plan: Plan, known: Mapping[str, str], groups: Mapping[str, str]) -> Shape:
    """The calls of a first deploy. `known`: references -> ids; `groups`: names of groups -> those of the module."""
    # AWS makes a security group with a rule that lets everything out.
    made: Shape = {"security-group": {"Egress": ["-1 - 0.0.0.0/0"]}}
    for step in plan.steps:
        for call in step.actions:
            if isinstance(call, Call):
                params = resolve(_renamed(call.params, groups), {**known, "nonce": ""})
                part, arguments = CALLS[call.operation](params)
                made.setdefault(part, {}).update(arguments)
    return made


def _renamed(value: Any, groups: Mapping[str, str]) -> Any:
    """With the module's group names where others refer to them: in user data and policies."""
    if isinstance(value, UserData):
        return replace(value, config={**value.config, "group": groups[value.config["group"]]})
    if isinstance(value, AgentPolicy):
        return replace(
            value, arguments={**value.arguments, "group_name": groups[value.arguments["group_name"]]}
        )
    if isinstance(value, ClusterPolicy):
        renamed = [groups[name] for name in value.arguments["group_names"]]
        return replace(value, arguments={**value.arguments, "group_names": renamed})
    if isinstance(value, Mapping):
        return {key: _renamed(inner, groups) for key, inner in value.items()}
    return value


def _rules(params: dict[str, Any]) -> list[str]:
    return sorted(
        f"{p['IpProtocol']} {p.get('FromPort', '')}-{p.get('ToPort', '')} {source}"
        for p in params["IpPermissions"]
        for source in (
            *(f"{r['CidrIp']} {r.get('Description', '')}".strip() for r in p.get("IpRanges", [])),
            *(f"self {r.get('Description', '')}" for r in p.get("UserIdGroupPairs", [])),
        )
    )


def _template(p: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    data = dict(p["LaunchTemplateData"])
    tags = _specified(p)
    data["TagSpecifications"] = {s["ResourceType"]: _tags(s["Tags"]) for s in data["TagSpecifications"]}
    data["UserData"] = text_of(data["UserData"])
    own = {"LaunchTemplateName": p["LaunchTemplateName"], "VersionDescription": p["VersionDescription"]}
    return _slotted("template", tags), {**own, **data, "Tags": tags}


def _group(p: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    tags = _tags(p["Tags"])
    hooks = {h["LifecycleHookName"]: h for h in p["LifecycleHookSpecificationList"]}
    rest = {k: v for k, v in p.items() if k != "LifecycleHookSpecificationList"}
    propagated = any(t["PropagateAtLaunch"] for t in p["Tags"])
    return _slotted("group", tags), {**rest, "Tags": tags, "Hooks": hooks, "PropagateAtLaunch": propagated}


def _slotted(part: str, tags: Mapping[str, str]) -> str:
    return f"{part} {tags.get('evernat:slot', '')}".strip()


def _parameter(p: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"parameter {p['Name']}", {**p, "Tags": _tags(p["Tags"])}


def _address(p: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    tags = _specified(p)
    return f"address {tags.get('evernat:gateway', '')}".strip(), {"Domain": p["Domain"], "Tags": tags}


CALLS: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "create_security_group": lambda p: (
        "security-group",
        {**{k: p[k] for k in ("GroupName", "Description", "VpcId")}, "Tags": _specified(p)},
    ),
    "authorize_security_group_ingress": lambda p: ("security-group", {"Ingress": _rules(p)}),
    "authorize_security_group_egress": lambda p: ("security-group", {"Egress": _rules(p)}),
    "create_network_interface": lambda p: (
        "interface",
        {**{k: p[k] for k in ("SubnetId", "Groups", "Description")}, "Tags": _specified(p)},
    ),
    "modify_network_interface_attribute": lambda p: (
        "interface",
        {"SourceDestCheck": p["SourceDestCheck"]["Value"]},
    ),
    "allocate_address": _address,
    "associate_address": lambda p: ("association", p),
    "create_role": lambda p: (
        "role",
        {
            **p,
            "AssumeRolePolicyDocument": json.loads(p["AssumeRolePolicyDocument"]),
            "Tags": _tags(p["Tags"]),
        },
    ),
    "attach_role_policy": lambda p: ("role", {"PolicyArn": p["PolicyArn"]}),
    "put_role_policy": lambda p: (
        "policy" if p["PolicyName"] == AGENT_POLICY else "session policy",
        {"PolicyName": p["PolicyName"], **_statements(p["PolicyDocument"])},
    ),
    "create_instance_profile": lambda p: ("profile", {**p, "Tags": _tags(p["Tags"])}),
    "add_role_to_instance_profile": lambda p: ("profile", {"RoleName": p["RoleName"]}),
    "create_launch_template": _template,
    "create_auto_scaling_group": _group,
    "put_parameter": _parameter,
    "create_route": lambda p: (f"route {p['RouteTableId']}", p),
    "create_tags": lambda p: (f"route-table {p['Resources'][0]}", {"Tags": _tags(p["Tags"])}),
}


# --- what the module has made ---


def of_state(state: State) -> Shape:
    """The resources of an apply, as the calls that make them."""
    made: Shape = {}
    for address, values in state.items():
        kind = address.split(".")[-2]
        for _service, operation, params in calls(kind, values):
            part, arguments = CALLS[operation](params)
            here = made.setdefault(part, {})
            for key, value in arguments.items():
                here[key] = (
                    sorted(here[key] + value) if key in ("Ingress", "Egress") and key in here else value
                )
            if kind == "aws_autoscaling_group":
                here["InstanceRefresh"] = values["instance_refresh"]
    return made
