"""A provider that stands in for `hashicorp/aws` where no registry is reachable.

It serves a reduced schema over Terraform's plugin protocol 6, so the real terraform validates, plans, tests, and even
applies: what AWS would make up is made up here, the same for the same input. It knows no limits, allowed values or
conflicts of AWS. `python -m tests.terraform.standin.provider SCHEMA.json` is what Terraform starts.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgpack
import tf.provider
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc
from tf.runner import run_provider

from tests.terraform.standin.schema import Node, walk, wire

ACCOUNT, PARTITION, REGION = "123456789012", "aws", "us-west-2"
UNKNOWN = msgpack.ExtType(0, b"")
PREFIX = {
    "aws_eip": "eipalloc",
    "aws_eip_association": "eipassoc",
    "aws_instance": "i",
    "aws_internet_gateway": "igw",
    "aws_launch_template": "lt",
    "aws_network_interface": "eni",
    "aws_route": "r",
    "aws_route_table": "rtb",
    "aws_route_table_association": "rtbassoc",
    "aws_security_group": "sg",
    "aws_security_group_rule": "sgrule",
    "aws_subnet": "subnet",
    "aws_vpc": "vpc",
}
NAMED = {"aws_autoscaling_group", "aws_iam_instance_profile", "aws_iam_role", "aws_ssm_parameter"}
"""Types whose id is their name."""
FORCES_NEW = {
    "aws_autoscaling_group": {"name", "name_prefix"},
    "aws_eip_association": {"allocation_id", "network_interface_id"},
    "aws_iam_instance_profile": {"name", "name_prefix"},
    "aws_iam_role": {"name", "name_prefix"},
    "aws_iam_role_policy": {"name", "name_prefix", "role"},
    "aws_iam_role_policy_attachment": {"policy_arn", "role"},
    "aws_launch_template": {"name", "name_prefix"},
    "aws_network_interface": {"subnet_id"},
    "aws_route": {"route_table_id", "destination_cidr_block"},
    "aws_security_group": {"name", "name_prefix", "description", "vpc_id"},
    "aws_security_group_rule": {
        "security_group_id",
        "type",
        "protocol",
        "from_port",
        "to_port",
        "cidr_blocks",
        "self",
    },
    "aws_ssm_parameter": {"name"},
}
"""Arguments that cannot be changed in place, by the provider's documentation ("Forces new resource")."""


class StandIn(rpc.ProviderServicer):  # type: ignore[misc]
    """What Terraform asks a provider."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.zones: dict[str, str] = json.loads(os.environ.get("STANDIN_ZONES", "{}"))

    def GetMetadata(self, request: Any, context: Any) -> Any:
        can = pb.ServerCapabilities(get_provider_schema_optional=True)
        return pb.GetMetadata.Response(server_capabilities=can)

    def GetProviderSchema(self, request: Any, context: Any) -> Any:
        return pb.GetProviderSchema.Response(
            provider=wire(self.schema["provider"]),
            provider_meta=pb.Schema(block=pb.Schema.Block()),
            resource_schemas={name: wire(node) for name, node in self.schema["resource"].items()},
            data_source_schemas={name: wire(node) for name, node in self.schema["data"].items()},
        )

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:
        return pb.ConfigureProvider.Response()

    def StopProvider(self, request: Any, context: Any) -> Any:
        return pb.StopProvider.Response()

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:
        return pb.UpgradeResourceState.Response(upgraded_state=_encode(json.loads(request.raw_state.json)))

    def ReadResource(self, request: Any, context: Any) -> Any:
        self._remember(request.type_name, _decode(request.current_state))
        return pb.ReadResource.Response(new_state=request.current_state)

    def PlanResourceChange(self, request: Any, context: Any) -> Any:
        proposed, prior = _decode(request.proposed_new_state), _decode(request.prior_state)
        if proposed is None:
            return pb.PlanResourceChange.Response(planned_state=_encode(None))
        node = self.schema["resource"][request.type_name]
        if prior is None:
            planned = walk(node, proposed, lambda _k, a, v: UNKNOWN if a.get("computed") and v is None else v)
            return pb.PlanResourceChange.Response(planned_state=_encode(planned))
        if request.type_name == "aws_launch_template" and proposed != prior:
            proposed["latest_version"] = UNKNOWN
        forcing = [k for k in FORCES_NEW.get(request.type_name, ()) if proposed.get(k) != prior.get(k)]
        paths = [pb.AttributePath(steps=[pb.AttributePath.Step(attribute_name=k)]) for k in forcing]
        return pb.PlanResourceChange.Response(planned_state=_encode(proposed), requires_replace=paths)

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:
        planned, prior = _decode(request.planned_state), _decode(request.prior_state)
        try:
            made = planned and self.made(request.type_name, planned, prior)
            if planned is None:
                self.gone(request.type_name, prior)
        except Exception as error:
            return pb.ApplyResourceChange.Response(new_state=_encode(prior), diagnostics=[_diagnosis(error)])
        self._remember(request.type_name, made)
        return pb.ApplyResourceChange.Response(new_state=_encode(made))

    def ReadDataSource(self, request: Any, context: Any) -> Any:
        asked = _decode(request.config)
        known = {
            "aws_caller_identity": {"account_id": ACCOUNT, "id": ACCOUNT},
            "aws_partition": {"partition": PARTITION, "dns_suffix": "amazonaws.com"},
            "aws_region": {"id": REGION, "name": REGION, "region": REGION},
            "aws_ssm_parameter": {"value": "ami-0f1e2d3c4b5a69788"},
            "aws_subnet": {"availability_zone": self.zones.get(str(asked.get("id")), f"{REGION}a")},
        }[request.type_name]
        node = self.schema["data"][request.type_name]
        state = walk(node, {**asked, **{k: v for k, v in known.items() if k in node["attributes"]}}, _settled)
        return pb.ReadDataSource.Response(state=_encode(state))

    def _remember(self, kind: str, state: Any) -> None:
        if kind == "aws_subnet" and state:
            self.zones[state["id"]] = state["availability_zone"]

    def gone(self, kind: str, prior: dict[str, Any]) -> None:
        """Delete it. Nothing to do for what was made up."""

    def made(self, kind: str, planned: dict[str, Any], prior: Any) -> Any:
        """As AWS would have made it."""
        seed = json.dumps([kind, walk(self.schema["resource"][kind], planned, _settled)], sort_keys=True)
        digest = hashlib.sha256(seed.encode()).hexdigest()
        name = planned.get("name")
        if isinstance(name, msgpack.ExtType):
            prefix = planned.get("name_prefix")
            start = prefix if isinstance(prefix, str) else "terraform-"
            name = f"{start}{int(digest, 16) % 10**26:026}"
        identifier = name if kind in NAMED else f"{PREFIX.get(kind, 'x')}-{digest[:17]}"
        version = prior["latest_version"] + 1 if prior and "latest_version" in prior else 1
        address = f"172.18.{128 + int(digest[:2], 16) % 16}.{int(digest[2:4], 16)}"
        own = {
            "id": identifier,
            "name": name,
            "allocation_id": identifier,
            "arn": f"arn:{PARTITION}:standin:{REGION}:{ACCOUNT}:{kind}/{identifier}",
            "latest_version": version,
            "private_ip": address,
            "private_ips": [address],
            "public_ip": f"203.0.113.{int(digest[4:6], 16)}",
        }
        return walk(
            self.schema["resource"][kind],
            planned,
            lambda k, a, v: own.get(k, _settled(k, a, v)) if isinstance(v, msgpack.ExtType) else v,
        )


def _settled(_name: str, attribute: Node, value: Any) -> Any:
    """Something of the right type for what is unknown."""
    if not isinstance(value, msgpack.ExtType):
        return value
    kind = attribute["type"]
    if isinstance(kind, str):
        return {"number": 0, "bool": False}.get(kind, "")
    return {} if kind[0] == "map" else []


def _diagnosis(error: Exception) -> Any:
    return pb.Diagnostic(severity=pb.Diagnostic.ERROR, summary=f"{type(error).__name__}: {error}")


def _decode(value: Any) -> Any:
    if value.msgpack:
        return msgpack.unpackb(value.msgpack, raw=False, strict_map_key=False)
    return json.loads(value.json or b"null")


def _encode(value: Any) -> Any:
    return pb.DynamicValue(msgpack=msgpack.packb(value))


class _Provider:
    def full_name(self) -> str:
        return "hashicorp/aws"


def serve(made: StandIn) -> None:
    """Be the provider that Terraform started."""
    tf.provider.ProviderServicer = lambda _provider: made
    run_provider(_Provider(), ["standin"])


if __name__ == "__main__":
    serve(StandIn(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
