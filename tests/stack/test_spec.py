"""The file: what is refused before AWS is asked anything."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from evernat.stack.errors import BadInput, StackError
from evernat.stack.load import gateway_from, load
from evernat.stack.schema import schema
from evernat.stack.spec import port_range

GOOD: dict[str, Any] = {
    "name": "main",
    "vpc_id": "vpc-0a1b",
    "public_subnet": "subnet-0a1b",
    "private_subnets_cidr_blocks": ["172.18.64.0/20"],
}
FORWARD = {"protocol": "tcp", "port": 8080, "target": "172.18.64.10", "target_port": 80}


def test_little_is_required() -> None:
    """Name, VPC, public subnet and private networks suffice; the rest has the defaults of the documentation."""
    gateway = gateway_from(GOOD)
    assert gateway.instance_types == ("t4g.nano",)
    assert gateway.use_spot_instance
    assert gateway.elastic_ip == "create"
    assert gateway.root_volume.encrypted


@pytest.mark.parametrize("field", list(GOOD))
def test_missing(field: str) -> None:
    """A missing field is named."""
    with pytest.raises(BadInput) as caught:
        gateway_from({key: value for key, value in GOOD.items() if key != field})
    assert [p.field for p in caught.value.problems] == [field]
    assert "missing" in caught.value.cause


BAD: list[tuple[str, Any, str, str]] = [
    ("instance_type", ["t3.nano"], "instance_type", "did you mean instance_types?"),
    ("name", "Main", "name", "small letter"),
    ("name", "a" * 32, "name", "small letter"),
    ("vpc_id", "subnet-1", "vpc_id", "VPC"),
    ("private_subnets_cidr_blocks", [], "private_subnets_cidr_blocks", "networks"),
    ("private_subnets_cidr_blocks", [""], "private_subnets_cidr_blocks[0]", "networks"),
    ("private_subnets_cidr_blocks", ["172.18.64.1/20"], "private_subnets_cidr_blocks[0]", "networks"),
    ("private_subnets_cidr_blocks", ["fd00::/64"], "private_subnets_cidr_blocks[0]", "networks"),
    ("private_route_table_ids", [""], "private_route_table_ids[0]", "Route tables"),
    ("private_route_table_ids", ["rtb-1", "rtb-1"], "private_route_table_ids", "Route tables"),
    ("private_route_table_ids", "rtb-1", "private_route_table_ids", "Route tables"),
    ("instance_types", [], "instance_types", "architecture"),
    ("use_spot_instance", "yes", "use_spot_instance", "Spot"),
    ("tags", {"aws:x": "1"}, "tags", "Tags"),
    ("tags", {"evernat:stack": "other"}, "tags", "Tags"),
    ("elastic_ip", "198.51.100.1", "elastic_ip", "allocation id"),
    ("ssm_policy_arn", "AmazonSSM", "ssm_policy_arn", "Policy"),
    ("root_volume", {"size": 0}, "root_volume.size", "disk"),
    ("root_volume", {"bytes": 1}, "root_volume.bytes", "remove it"),
    ("topology", "star", "topology", "gateway"),
    ("user_data_write_files", [{"content": "x"}], "user_data_write_files", "write_files"),
    ("port_forward", [FORWARD | {"port": 0}], "port_forward[0].port", "passed on"),
    ("port_forward", [FORWARD | {"port": "9-8"}], "port_forward[0].port", "passed on"),
    ("port_forward", [FORWARD | {"target": "web"}], "port_forward[0].target", "passed on"),
    ("port_forward", [FORWARD | {"protocol": "icmp"}], "port_forward[0].protocol", "passed on"),
    ("port_forward", [FORWARD | {"sources": []}], "port_forward[0].sources", "passed on"),
    (
        "port_forward",
        [FORWARD, FORWARD | {"port": "8000-8100", "target_port": None}],
        "port_forward",
        "passed on",
    ),
    ("port_forward", [FORWARD | {"port": "1-65535", "target_port": 2}], "port_forward[0]", "passed on"),
]


@pytest.mark.parametrize(("field", "value", "told", "remedy"), BAD)
def test_bad(field: str, value: Any, told: str, remedy: str) -> None:
    """A wrong value gives one message with the field, the value and what to do."""
    with pytest.raises(BadInput) as caught:
        gateway_from({**GOOD, field: value})
    assert [p.field for p in caught.value.problems] == [told]
    assert remedy in caught.value.remedy


def test_forwards_that_overlap_name_each_other() -> None:
    """Overlapping forwards are told apart by their ports; the same port of TCP and UDP is no overlap."""
    with pytest.raises(BadInput, match="tcp 8000-8100 overlaps with tcp 8080"):
        gateway_from(
            {**GOOD, "port_forward": [FORWARD, {**FORWARD, "port": "8000-8100", "target_port": None}]}
        )
    both = gateway_from({**GOOD, "port_forward": [FORWARD, {**FORWARD, "protocol": "udp"}]})
    assert len(both.port_forward) == 2


def test_all_problems_at_once() -> None:
    """Every mistake is told in one go."""
    with pytest.raises(BadInput) as caught:
        gateway_from({**GOOD, "name": "X", "vpc_id": "y", "tgas": {}})
    assert len(caught.value.problems) == 3


def test_flags_win(tmp_path: Path) -> None:
    """A flag wins over the file; a flag that was not given does not."""
    file = tmp_path / "evernat.toml"
    file.write_text(
        'name = "main"\nvpc_id = "vpc-1"\npublic_subnet = "subnet-1"\nprivate_subnets_cidr_blocks = ["10.0.0.0/8"]\n'
    )
    gateway = load(file, {"name": "other", "elastic_ip": None})
    assert (gateway.name, gateway.elastic_ip) == ("other", "create")


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "there is no file"), ("name = ", "is not valid TOML"), ("\udc80", "cannot be read")],
)
def test_unreadable_file(tmp_path: Path, content: str | None, told: str) -> None:
    """A file that is missing, is not TOML or not UTF-8 is one message."""
    file = tmp_path / "evernat.toml"
    if content is not None:
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(StackError, match=told):
        load(file)


@pytest.mark.parametrize(("value", "ports"), [(80, (80, 80)), ("80", (80, 80)), ("80-90", (80, 90))])
def test_port_range(value: int | str, ports: tuple[int, int]) -> None:
    """A port or a range."""
    assert port_range(value) == ports


def test_node_configuration() -> None:
    """What the agent is told of a forward: both ends of the range, the target's port, the sources."""
    gateway = gateway_from(
        {**GOOD, "port_forward": [{"port": "8000-8010", "target": "name:web", "sources": ["192.0.2.0/24"]}]}
    )
    config = gateway.node_config("eni-1", None, "evernat-main", "evernat-ready", "0")
    expected = tomllib.loads(
        'protocol = "tcp"\nports = [8000, 8010]\ntarget = "name:web"\ntarget_port = 8000\nsources = ["192.0.2.0/24"]'
    )
    assert config["forwards"] == [expected]
    assert config["address"] is None


def test_published_schema() -> None:
    """The published JSON Schema is that of the code. (`python -m evernat.stack.schema > docs/evernat.schema.json`)"""
    published = Path(__file__).parents[2] / "docs" / "evernat.schema.json"
    assert published.read_text() == schema()


def test_every_field_is_described() -> None:
    """Each field says in the schema what it is."""
    properties = json.loads(schema())["properties"]
    assert [name for name, field in properties.items() if not field.get("description")] == []
