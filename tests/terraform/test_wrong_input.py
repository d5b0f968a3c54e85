"""A wrong input of each kind gives our message at plan time, and the message says what to do."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

import pytest

from tests.terraform.conftest import Starter
from tests.terraform.test_changes import OTHERS
from tests.terraform.tool import MODULE, SCHEMAS, TerraformError

RIGHT: dict[str, Any] = {
    "name": "main",
    "vpc_id": "vpc-0a1b2c3d4e5f60718",
    "public_subnet": "subnet-0a1b2c3d4e5f60718",
    "private_subnets_cidr_blocks": ["172.18.64.0/20", "172.18.80.0/20"],
    "private_route_table_ids": ["rtb-0a", "rtb-0b"],
}
TWO = ["subnet-0a", "subnet-0b"]

VALUES: list[tuple[str, Any, str]] = [
    ("name", "-main", "use up to 38 letters"),
    ("name", "a" * 39, "use up to 38 letters"),
    ("vpc_id", "main", "give the ID of a VPC"),
    ("public_subnet", "main", "give the ID of a subnet"),
    ("private_subnets_cidr_blocks", [], "list the CIDR block"),
    ("private_subnets_cidr_blocks", ["172.18.64.1/20"], "in prefix form"),
    ("private_subnets_cidr_blocks", ["2001:db8::/32"], "in prefix form"),
    ("private_subnets_cidr_blocks", ["everybody"], "in prefix form"),
    ("private_subnets_cidr_blocks", ["10.0.0.0/8", "10.0.0.0/8"], "listed twice"),
    ("private_route_table_ids", [""], "give IDs of route tables"),
    ("image_id", "amazon-linux", "give the ID of an AMI"),
    ("instance_types", [], "list 1 to 40 types"),
    ("instance_types", ["nano"], "list 1 to 40 types"),
    ("instance_types", ["t3.nano", "t4g.nano"], "keep types of one architecture"),
    ("tags", {"evernat:stack": "x"}, "rename the tag"),
    ("tags", {"Name": "x" * 257}, "each value up to 256"),
    ("tags", {"Name": "a\u2028b"}, "one has a character that does not print"),
    ("key_name", "a\u0085b", "does not print"),
    ("user_data_write_files", [{"content": "x"}], "each entry needs a path"),
    ("user_data_write_files", [{"path": "/a\u007f"}], "a path has a character that does not print"),
    ("user_data_write_files", [{"path": "/a", "b\u0085": 1}], "a key has a character that does not print"),
    ("user_data_write_files", [{"path": "/a", "x": {"y" * 999: 1}}], "takes more than 998"),
    ("user_data_write_files", [{"path": "/a", "x": 0.5}], "numbers are whole"),
    ("user_data_write_files", [{"path": "/a", "x": 10**18}], "numbers are whole"),
    ("user_data_write_files", [{"path": "/a", "x": [[[[]]]]}], "nested deeper than 4"),
    ("ssm_policy_arn", "AmazonSSMManagedInstanceCore", "give the ARN of an IAM policy"),
    ("topology", "triple", "choose single, pair or ring"),
    ("public_subnets", ["subnet-0a", "subnet-0a"], "list each subnet once"),
    ("identity", "interface", "choose eni or address"),
    ("node_address", "primary", "choose own or shared"),
    ("node_ingress", [{"port": 22, "sources": []}], "sources are IPv4 networks"),
    ("node_ingress", [{"port": 22, "sources": ["everybody"]}], "sources are IPv4 networks"),
    ("node_ingress", [{"port": "90-80", "sources": ["10.0.0.0/8"]}], "port is one from 1 to 65535"),
    ("node_ingress", [{"sources": ["10.0.0.0/8"]}], "tcp or udp with a port"),
    ("node_ingress", [{"protocol": "icmp", "port": 8, "sources": ["10.0.0.0/8"]}], "tcp or udp with a port"),
    ("node_ingress", [{"protocol": "gre", "port": 1, "sources": ["10.0.0.0/8"]}], "tcp or udp with a port"),
    ("allow_transit", ["10.0.0.1/8"], "in prefix form"),
    ("idle_timeout", 0, "from 1 to 432000"),
    ("idle_timeout", 1.5, "from 1 to 432000"),
    ("client_connections", 0, "a whole number from 1"),
    ("fast_path", "yes", "choose on or off"),
    ("egress_check", ["1.1.1.1:443"], "two to four hosts"),
    ("egress_check", ["1.1.1.1:443", "1.1.1.1:80"], "two to four hosts"),
    ("egress_check", ["1.1.1.1:443", "one.one:443"], "an IPv4 address and a TCP port"),
    ("egress_check", ["1.1.1.1:443", "8.8.8.8:99999"], "an IPv4 address and a TCP port"),
    ("egress_check", ["1.1.1.1:443", "8.8.8.8"], "an IPv4 address and a TCP port"),
    ("egress_check", ["1.1.1.1:443", "127.0.0.1:80"], "an IPv4 address and a TCP port"),
    ("elastic_ip", "eipalloc-0a", "go into elastic_ip_allocation_ids"),
    ("elastic_ip_allocation_ids", ["203.0.113.7"], "give allocation IDs"),
    ("port_forwards", [{"protocol": "icmp", "port": 1, "target": "10.0.0.1"}], "protocol is tcp or udp"),
    ("port_forwards", [{"port": "http", "target": "10.0.0.1"}], "port is one from 1 to 65535"),
    ("port_forwards", [{"port": "90-80", "target": "10.0.0.1"}], "port is one from 1 to 65535"),
    ("port_forwards", [{"port": 0, "target": "10.0.0.1"}], "port is one from 1 to 65535"),
    ("port_forwards", [{"port": "1-9", "target": "10.0.0.1", "target_port": 65530}], "must fit above it"),
    ("port_forwards", [{"port": 80, "target": "web"}], "target is an IPv4 address"),
    ("port_forwards", [{"port": 80, "target": "010.0.0.1"}], "target is an IPv4 address"),
    ("port_forwards", [{"port": 80, "target": "name:a\u0085- path: /x"}], "target is an IPv4 address"),
    ("port_forwards", [{"port": 80, "target": "name:" + "x" * 257}], "target is an IPv4 address"),
    ("port_forwards", [{"port": 80, "target": "10.0.0.1", "sources": []}], "sources are IPv4 networks"),
    (
        "port_forwards",
        [{"port": 80, "target": "10.0.0.1", "sources": ["10.0.0.1/8"]}],
        "sources are IPv4 networks",
    ),
    (
        "port_forwards",
        [{"port": "1-9", "target": "10.0.0.1"}, {"port": 9, "target": "10.0.0.2"}],
        "one port can lead",
    ),
    ("root_volume", {"size": 0.5}, "whole number of GiB"),
    ("root_volume", {"encrypted": False, "kms_key_id": "k"}, "needs encrypted = true"),
    ("metadata_options", {"hop_limit": 0}, "hop_limit is from 1 to 64"),
    ("cpu_credits", "none", "choose standard or unlimited"),
    ("ready_timeout", "soon", "write it as"),
]

TOGETHER: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"public_subnet": None}, ("Give public_subnet, or public_subnets, and not both",)),
    (
        {"public_subnets": TWO, "elastic_ip": "create", "elastic_ip_allocation_ids": ["eipalloc-0a"]},
        (
            "Give public_subnet, or public_subnets, and not both",
            "A single gateway lives in one subnet",
            "elastic_ip stands beside elastic_ip_allocation_ids",
        ),
    ),
    (
        {"public_subnet": None, "public_subnets": [*TWO, "subnet-0c"], "topology": "pair", "identity": "eni"},
        ("A pair lives in one or two subnets", "An interface cannot move to another zone"),
    ),
    (
        {
            "topology": "pair",
            "elastic_ip": "none",
            "port_forwards": [{"port": 80, "target": "10.0.0.1", "slot": "a"}],
        },
        ("The address is what moves from node to node", "Slots are for a ring"),
    ),
    (
        {
            "topology": "ring",
            "elastic_ip_allocation_ids": ["eipalloc-0a", "eipalloc-0b"],
            "private_subnet_slots": ["a"],
            "port_forwards": [{"port": 80, "target": "10.0.0.1"}],
        },
        (
            "A ring needs public_subnets in two zones at least",
            "Give one of elastic_ip_allocation_ids for each gateway (1)",
            "must have one entry for each table and each CIDR block",
            "In a ring each port forward names its slot",
        ),
    ),
    (
        {
            "topology": "ring",
            "public_subnet": None,
            "public_subnets": [*TWO, "subnet-0c"],
        },
        (
            "2 tables cannot be dealt out to 3 gateways",
            "2 CIDR blocks cannot be dealt out to 3 gateways",
            "Two of public_subnets are in one zone",
        ),
    ),
    (
        {
            "topology": "ring",
            "public_subnet": None,
            "public_subnets": TWO,
            "private_subnets_cidr_blocks": ["172.18.0.0/16", "172.18.64.0/20"],
        },
        ("private_subnets_cidr_blocks of different slots overlap",),
    ),
    (
        {
            "topology": "ring",
            "public_subnet": None,
            "public_subnets": TWO,
            "private_subnet_slots": ["a", "a"],
        },
        ("A gateway of the ring would serve nobody",),
    ),
    (
        {
            "topology": "pair",
            "public_subnet": None,
            "public_subnets": TWO,
            "node_address": "shared",
            "fast_path": "on",
        },
        ("fast_path cannot be on while a gateway is on its node's primary address",),
    ),
    ({"node_address": "own"}, ("node_address is for gateways that are addresses",)),
    ({"node_address": "shared", "identity": "eni"}, ("node_address is for gateways that are addresses",)),
    (
        {
            "topology": "ring",
            "public_subnet": None,
            "public_subnets": TWO,
            "node_address": "own",
            "instance_types": ["t4g.small", "t4g.micro"],
        },
        ("A node of this ring needs three IPv4 addresses, and nano and micro types take two",),
    ),
    (
        {"user_data_write_files": [{"path": "/x", "content": "NOISE"}]},
        ("16384 are allowed: shorten user_data_write_files",),
    ),
]


def said(terraform: Starter, inputs: dict[str, Any]) -> str:
    """What a plan says that is bound to fail."""
    arguments = "".join(f"  {name} = {json.dumps(value)}\n" for name, value in inputs.items())
    noise = "".join(f'${{sha512("{n}")}}' for n in range(200))
    text = f'module "nat" {{\n  source = "MODULE"\n{arguments}}}\n'.replace("NOISE", noise)
    with pytest.raises(TerraformError) as caught:
        terraform(SCHEMAS[-1], main=text).plan()
    return str(caught.value)


def test_values(terraform: Starter) -> None:
    """Of one input by itself: several at once are all told, each by name."""
    rounds: dict[int, dict[str, tuple[Any, str]]] = defaultdict(dict)
    for name, value, message in VALUES:
        turn = next(n for n in range(len(VALUES)) if name not in rounds[n])
        rounds[turn][name] = value, message
    for wrong in filter(None, rounds.values()):
        told = said(terraform, {**RIGHT, **{name: value for name, (value, _) in wrong.items()}})
        for name, (value, message) in wrong.items():
            assert re.search(rf"\b{name}: (?:(?! This was checked ).)*{re.escape(message)}", told), (
                name,
                value,
            )


@pytest.mark.parametrize(("wrong", "messages"), TOGETHER, ids=[messages[0] for _, messages in TOGETHER])
def test_inputs_together(terraform: Starter, wrong: dict[str, Any], messages: tuple[str, ...]) -> None:
    """Of several inputs: what does not go together is told before anything is made."""
    told = said(terraform, {**RIGHT, **wrong})
    assert [message for message in messages if message not in told] == []


def test_every_message_is_tried() -> None:
    """No validation or precondition of the module is without a case here."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(MODULE.glob("*.tf"))]
    messages = [m for text in texts for m in re.findall(r'error_message = "((?:[^"\\]|\\.)*)"', text)]
    tried = [message for _, _, message in VALUES] + [m for _, group in TOGETHER for m in group] + [OTHERS]
    plain = [re.sub(r"\$\{[^}]*\}", "#", message) for message in messages]
    known = [
        re.sub(r"\b\d+ (?=tables|CIDR|gateways)|\(1\)", lambda m: m[0].replace(m[0].strip("( )"), "#"), t)
        for t in tried
    ]
    assert len(messages) > 40
    assert [message for message in plain if not any(part in message for part in known)] == []
