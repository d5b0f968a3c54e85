"""The file: what is refused before AWS is asked anything."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from evernat.stack.errors import BadInput, StackError
from evernat.stack.load import gateway_from, load, parse
from evernat.stack.schema import schema
from evernat.stack.spec import port_range
from evernat.text import UNPRINTABLE

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
    ("node_ingress", [{"port": 22}], "node_ingress[0].sources", "add node_ingress"),
    ("node_ingress", [{"port": 22, "sources": []}], "node_ingress[0].sources", "nodes themselves"),
    ("node_ingress", [{"sources": ["10.0.0.0/8"]}], "node_ingress[0]", "nodes themselves"),
    (
        "node_ingress",
        [{"protocol": "icmp", "port": 8, "sources": ["10.0.0.0/8"]}],
        "node_ingress[0]",
        "nodes themselves",
    ),
    ("allow_transit", ["10.0.0.1/8"], "allow_transit[0]", "VPC"),
    ("idle_timeout", 0, "idle_timeout", "silent"),
    ("idle_timeout", "1h", "idle_timeout", "silent"),
    ("client_connections", 0, "client_connections", "client"),
    ("fast_path", True, "fast_path", "flowtable"),
    ("egress_check", ["1.1.1.1:443"], "egress_check", "Places"),
    ("egress_check", ["1.1.1.1:443", "1.1.1.1:80"], "egress_check", "Places"),
    ("egress_check", ["1.1.1.1:443", "one.one:443"], "egress_check[1]", "Places"),
    ("egress_check", ["1.1.1.1", "8.8.8.8:443"], "egress_check[0]", "Places"),
    ("egress_check", ["1.1.1.1:443", "8.8.8.8:0"], "egress_check[1]", "Places"),
    ("egress_check", ["1.1.1.1:443", "8.8.8.8:1-2"], "egress_check[1]", "Places"),
    ("egress_check", ["1.1.1.1:443", "127.0.0.1:80"], "egress_check[1]", "Places"),
    ("tags", {"aws:x": "1"}, "tags", "Tags"),
    ("tags", {"evernat:stack": "other"}, "tags", "Tags"),
    ("elastic_ip", "198.51.100.1", "elastic_ip", "allocation id"),
    ("ssm_policy_arn", "AmazonSSM", "ssm_policy_arn", "Policy"),
    ("root_volume", {"size": 0}, "root_volume.size", "disk"),
    ("root_volume", {"bytes": 1}, "root_volume.bytes", "remove it"),
    ("topology", "star", "topology", "gateway"),
    ("user_data_write_files", [{"content": "x"}], "user_data_write_files", "write_files"),
    ("user_data_write_files", [{"path": 5}], "user_data_write_files", "write_files"),
    ("user_data_write_files", [{"path": "/a\nb"}], "user_data_write_files", "write_files"),
    ("tags", {"a": "b\x85c"}, "tags", "Tags"),
    ("tags", {"a\u2028": "b"}, "tags", "Tags"),
    ("tags", {"a": "\ud800"}, "tags", "Tags"),
    ("key_name", "a\x7f", "key_name", "SSH"),
    ("ssm_policy_arn", "arn:aws:iam::1:policy/a\x85", "ssm_policy_arn", "Policy"),
    ("port_forward", [FORWARD | {"target": "i-0a\x85- path: /x"}], "port_forward[0].target", "passed on"),
    ("port_forward", [FORWARD | {"target": "i-0a\n"}], "port_forward[0].target", "passed on"),
    ("port_forward", [FORWARD | {"target": "i-"}], "port_forward[0].target", "passed on"),
    ("port_forward", [FORWARD | {"target": "name:"}], "port_forward[0].target", "passed on"),
    ("port_forward", [FORWARD | {"target": "name:" + "x" * 257}], "port_forward[0].target", "passed on"),
    *(
        ("port_forward", [FORWARD | {"target": f"name:web{c}"}], "port_forward[0].target", "passed on")
        for c in UNPRINTABLE
    ),
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


DATES = [
    ("x = 2026-01-01", "user_data_write_files[0].x is a date"),
    ("x = 2026-01-01T00:00:00Z", "user_data_write_files[0].x is a datetime"),
    ("x = 07:32:00", "user_data_write_files[0].x is a time"),
    ("x = [[1, { y = 2026-01-01 }]]", "user_data_write_files[0].x[0][1].y is a date"),
    ("x = nan", "user_data_write_files[0].x is a number"),
    ("x = 0.5", "user_data_write_files[0].x is a number"),
    ("x = [[[[]]]]", "user_data_write_files[0].x[0][0][0] is nested deeper than 4 levels"),
    ('"a\\u0085" = 1', "user_data_write_files[0] has the key"),
    ("content = 2026-01-01", "user_data_write_files[0].content is a date"),
]


@pytest.mark.parametrize(("line", "cause"), DATES, ids=[line for line, _ in DATES])
def test_odd_types(line: str, cause: str) -> None:
    """TOML has types that user data has no form for: the message says where one is, and what to write instead."""
    text = f"[[user_data_write_files]]\npath = '/x'\n{line}\n"
    with pytest.raises(BadInput) as caught:
        gateway_from({**GOOD, **parse(text)})
    (problem,) = caught.value.problems
    assert problem.field == "user_data_write_files"
    assert problem.cause.startswith(cause)


def test_odd_commands() -> None:
    """A date among commands is refused as well."""
    for command in ("[2026-01-01]", '[["date", 2026-01-01]]', "[5]", "[[[]]]"):
        with pytest.raises(BadInput) as caught:
            gateway_from({**GOOD, **parse(f"user_data_runcmd = {command}")})
        assert all(p.field.startswith("user_data_runcmd") for p in caught.value.problems)


def test_halves_of_characters() -> None:
    """A surrogate comes in by the command line or from Python; it is refused wherever it stands."""
    half = "\ud800"
    odd: list[dict[str, Any]] = [
        {"user_data_runcmd": [half]},
        {"user_data_runcmd": [["x", half]]},
        {"user_data_write_files": [{"path": f"/{half}"}]},
        {"user_data_write_files": [{"path": "/x", "content": half}]},
        {"user_data_write_files": [{"path": "/x", "source": {half: 1}}]},
        {"port_forward": [FORWARD | {"target": f"name:{half}"}]},
        {"key_name": half},
        {"name": half},
    ]
    for fields in odd:
        with pytest.raises(BadInput):
            gateway_from({**GOOD, **fields})


def test_too_deep_for_a_parser() -> None:
    """Depth is no crash: not in the file, not in a value that Python made."""
    with pytest.raises(StackError, match="too deep"):
        parse("x = " + "[" * 100_000)
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    circle: dict[str, Any] = {"path": "/x"}
    circle["self"] = circle
    for entry in ({"path": "/x", "x": deep}, circle):
        with pytest.raises(BadInput, match="nested deeper"):
            gateway_from({**GOOD, "user_data_write_files": [entry]})


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({}, True),
        ({"identity": "address"}, True),
        ({"topology": "pair"}, True),
        ({"topology": "pair", "node_address": "shared"}, False),
        ({"topology": "ring"}, False),
        ({"topology": "ring", "node_address": "own"}, True),
    ],
)
def test_the_fast_path_needs_addresses_of_its_own(fields: dict[str, Any], taken: bool) -> None:
    """What bypasses the rules heeds no dead man's switch: so not where a node's own address would be seen."""
    several = {"public_subnets": ["subnet-0a", "subnet-0b"]} if "topology" in fields else {}
    given = {**GOOD, **fields, **several, "fast_path": "on"}
    if several:
        del given["public_subnet"]
    if taken:
        assert gateway_from(given).fast_path == "on"
    else:
        with pytest.raises(BadInput, match=r"fast_path.*own"):
            gateway_from(given)
