"""Makes the small schemas here from full ones: `python -m tests.terraform.standin.reduce FULL.json > aws-X.YY.json`.

A full one has the names, types and flags of the arguments and blocks of the AWS provider of one version, as
`{"resource": {TYPE: NODE}, "data": {TYPE: NODE}, "provider": NODE}`; a NODE has `attributes` and `blocks`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RESOURCES = (
    "aws_autoscaling_group",
    "aws_eip",
    "aws_eip_association",
    "aws_iam_instance_profile",
    "aws_iam_role",
    "aws_iam_role_policy",
    "aws_iam_role_policy_attachment",
    "aws_instance",
    "aws_internet_gateway",
    "aws_launch_template",
    "aws_network_interface",
    "aws_route",
    "aws_route_table",
    "aws_route_table_association",
    "aws_security_group",
    "aws_security_group_rule",
    "aws_ssm_parameter",
    "aws_subnet",
    "aws_vpc",
)
DATA = ("aws_caller_identity", "aws_partition", "aws_region", "aws_ssm_parameter", "aws_subnet")
PROVIDER = (
    *("access_key", "region", "secret_key"),
    *("skip_credentials_validation", "skip_metadata_api_check", "skip_region_validation"),
)
SERVICES = ("autoscaling", "ec2", "iam", "ssm", "sts")
LEFT_OUT = {"instance_requirements", "timeouts"}
"""Blocks that are large and that nothing here uses."""


def _flags(kind: Any, flags: str) -> dict[str, Any]:
    words = {"R": "required", "O": "optional", "C": "computed", "S": "sensitive"}
    return {"type": kind, **{words[flag]: True for flag in flags}}


ADDED = {
    # Not in the full schemas at hand: written from the provider's documentation.
    "aws_ssm_parameter": {
        "attributes": {
            "allowed_pattern": _flags("string", "O"),
            "arn": _flags("string", "C"),
            "data_type": _flags("string", "OC"),
            "description": _flags("string", "O"),
            "id": _flags("string", "OC"),
            "insecure_value": _flags("string", "OC"),
            "key_id": _flags("string", "OC"),
            "name": _flags("string", "R"),
            "overwrite": _flags("bool", "O"),
            "tags": _flags(["map", "string"], "O"),
            "tags_all": _flags(["map", "string"], "OC"),
            "tier": _flags("string", "OC"),
            "type": _flags("string", "R"),
            "value": _flags("string", "OCS"),
            "version": _flags("number", "C"),
        }
    }
}


def reduced(full: dict[str, Any]) -> dict[str, Any]:
    """Only what the module, its examples and their tests use."""
    resources = {**full["resource"], **ADDED}
    return {
        "provider": {
            "attributes": {name: full["provider"]["attributes"][name] for name in PROVIDER},
            "blocks": {"endpoints": _only(full["provider"]["blocks"]["endpoints"], SERVICES)},
        },
        "resource": {name: _without(resources[name]) for name in RESOURCES},
        "data": {name: _without(full["data"][name]) for name in DATA},
    }


def _only(node: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {**node, "attributes": {name: node["attributes"][name] for name in names}}


def _without(node: dict[str, Any]) -> dict[str, Any]:
    blocks = {name: block for name, block in node.get("blocks", {}).items() if name not in LEFT_OUT}
    kept: dict[str, Any] = {**node, "blocks": {name: _without(block) for name, block in blocks.items()}}
    return kept if blocks else {key: value for key, value in kept.items() if key != "blocks"}


def dumped(schema: dict[str, Any]) -> str:
    """One line for each type."""
    sections = []
    for section, types in schema.items():
        lines = [
            f"  {json.dumps(name)}: {json.dumps(node, sort_keys=True, separators=(',', ':'))}"
            for name, node in types.items()
        ]
        sections.append(f"{json.dumps(section)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{" + ",\n".join(sections) + "}\n"


if __name__ == "__main__":
    sys.stdout.write(dumped(reduced(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
