"""A gateway as a call of the module in `terraform/`, and such a call as the fields of a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evernat.stack.layout import Layout
from evernat.stack.spec import Gateway, RootVolume
from evernat.terraform.hcl import Expression, written

SAME = (
    *("name", "topology", "identity", "node_address", "vpc_id", "public_subnet", "public_subnets"),
    *("private_subnets_cidr_blocks", "private_route_table_ids", "enabled", "image_id", "instance_types"),
    *("node_ingress", "allow_transit", "idle_timeout", "client_connections", "fast_path", "egress_check"),
    *("use_spot_instance", "key_name", "tags", "ssm_policy_arn", "user_data_write_files", "root_volume"),
)
"""Fields that the module calls by the same name and takes as they are."""

ALWAYS = {"instance_types", "name", "vpc_id", "private_subnets_cidr_blocks"}
"""Written out even when they have their default: the module has another, or none."""

MODULE_TYPES = ("t3.nano", "t3a.nano")
"""The module's default, which is that of the module it takes the place of."""


def module_call(gateway: Gateway, source: str, made: Layout | None = None) -> str:
    """The call. `made` is the layout of a ring: what each gateway serves has to be looked up."""
    lines = [(name, written(value)) for name, value in arguments(gateway, made).items()]
    width = max(len(name) for name, _ in lines)
    body = "".join(f"  {name:{width}} = {value}\n" for name, value in lines)
    return f'module "nat" {{\n  source = {written(source)}\n\n{body}}}\n'


def arguments(gateway: Gateway, made: Layout | None = None) -> dict[str, Any]:
    """The module's inputs for a gateway, without those that have the module's default."""
    plain = gateway.model_dump(mode="json")
    default = {
        name: field.get_default(call_default_factory=True) for name, field in Gateway.model_fields.items()
    }
    default["root_volume"] = RootVolume().model_dump()
    found = {n: plain[n] for n in SAME if n in ALWAYS or plain[n] != _plain(default[n])}
    if "public_subnets" in found:
        found.pop("public_subnet", None)  # filled in from the other
    if gateway.ssm_policy_arn == "none":
        found |= {"ssm_policy_arn": "", "session_manager": False}
    found |= dict(_address(gateway))
    if gateway.user_data_runcmd:
        found["user_data_runcmd"] = [_command(command) for command in gateway.user_data_runcmd]
    if gateway.port_forward:
        found["port_forwards"] = [
            f.model_dump(mode="json", exclude_defaults=True) for f in gateway.port_forward
        ]
    return found | (_slots(gateway, made) if gateway.topology == "ring" and made else {})


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _address(gateway: Gateway) -> Iterator[tuple[str, Any]]:
    if gateway.elastic_ip.startswith("eipalloc-"):
        yield "elastic_ip_allocation_ids", [gateway.elastic_ip]
    elif not gateway.by_address:
        yield "elastic_ip", gateway.elastic_ip


def _command(command: str | tuple[str, ...]) -> list[str]:
    """cloud-init runs a text with sh; the module takes lists."""
    return ["sh", "-c", command] if isinstance(command, str) else list(command)


def _slots(gateway: Gateway, made: Layout) -> dict[str, Any]:
    """Whose each table, block and forward of a ring is."""
    tables = {table: shape.home for shape in made.gateways for table in shape.tables}
    blocks = [(block, shape.home) for shape in made.gateways for block in shape.clients]
    forwards = [(forward, shape.home) for shape in made.gateways for forward in shape.forwards]
    found: dict[str, Any] = {
        "private_subnets_cidr_blocks": [block for block, _ in blocks],
        "private_subnet_slots": [home for _, home in blocks],
        "private_route_table_slots": [tables[table] for table in gateway.private_route_table_ids],
    }
    if forwards:
        found["port_forwards"] = [
            {**forward.model_dump(mode="json", exclude_defaults=True), "slot": home}
            for forward, home in forwards
        ]
    return found


@dataclass(frozen=True)
class Read:
    """What a call says: fields for the file, and the inputs that only Terraform can work out, as text."""

    fields: Mapping[str, Any]
    open: Mapping[str, str]


META = {"source", "version", "providers", "depends_on", "count", "for_each"}
"""Arguments of any call, which are no inputs."""
INDIRECT = {
    "elastic_ip_allocation_ids",
    "private_route_table_slots",
    "private_subnet_slots",
    "session_manager",
}
"""Inputs that say something about another field."""
NO_FIELD = ("permissions_boundary", "metadata_options", "cpu_credits", "ready_timeout")
"""Inputs of the module that `evernat.toml` has no field for."""


def read(call: Mapping[str, Any]) -> Read:
    """The fields of a gateway from the arguments of a call, of our module or of the one it takes the place of."""
    fields: dict[str, Any] = {}
    unknown: dict[str, str] = {}
    for name, value in call.items():
        if name in META:
            continue
        if _is_open(value) or name in NO_FIELD:
            unknown[name] = written(value)
        elif name == "port_forwards":
            fields["port_forward"] = [_forward(forward) for forward in value or []]
        elif name not in INDIRECT and value is not None:
            fields[name] = value
    fields.setdefault("instance_types", list(MODULE_TYPES))
    fields |= _indirect(call, fields)
    return Read({name: value for name, value in fields.items() if name not in unknown}, unknown)


def _indirect(call: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that the call says in other inputs, or by leaving them out."""
    found: dict[str, Any] = {}
    if call.get("session_manager") is False:
        found["ssm_policy_arn"] = "none"
    owned = call.get("elastic_ip_allocation_ids")
    if isinstance(owned, list) and owned and not _is_open(owned):
        found["elastic_ip"] = owned[0]
    elif fields.get("topology", "single") == "single" and fields.get("identity") != "address":
        found["elastic_ip"] = fields.get("elastic_ip", "none")  # the module makes none of itself
    tables, slots = call.get("private_route_table_ids"), call.get("private_route_table_slots")
    if slots and not _is_open([tables, slots]):
        found["table_slots"] = dict(zip(tables or [], slots, strict=False))
    return found


def _forward(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value not in (None, "")}


def _is_open(value: Any) -> bool:
    if isinstance(value, Expression):
        return True
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(map(_is_open, inner))
