"""The module and `evernat deploy` make the same of the same inputs, but for `differences`, listed with reasons."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

import pytest

from evernat.stack import library
from evernat.stack.environment import look
from evernat.stack.layout import layout
from evernat.terraform.call import module_call
from evernat.text import UNPRINTABLE, printable
from tests import hostile
from tests.stack.world import World, serving
from tests.terraform.conftest import Starter
from tests.terraform.differences import DIFFERENCES, Difference
from tests.terraform.parity import Shape, leaves, of_plan, of_state
from tests.terraform.tool import SCHEMAS


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, serving(patch) as server:
        yield World(server)


def hostile_fields(seed: int) -> dict[str, Any]:
    """Files, commands and forwards with any text in them. Terraform makes all text NFC before the module sees it."""
    random = Random(seed)

    def text(most: int) -> str:
        return unicodedata.normalize("NFC", hostile.text(random, most))

    names = ["".join(filter(printable, text(9))) for _ in range(9)]
    return {
        "tags": {"a b": '${x} %{if} $${ %%{ "q" \\ <&>', "c": names[0]},
        "port_forward": [{"port": 80 + n, "target": f"name:x{name}"} for n, name in enumerate(names)],
        "user_data_write_files": [
            {"path": f"/{names[1]}", "content": text(40), "x": {"y": [text(9)]}},
            {"path": "/every", "content": f"{UNPRINTABLE} {UNPRINTABLE[::-1]}", "x": {"y": [""]}},
        ],
        "user_data_runcmd": [["sh", "-c", text(40)], [text(1), text(20)], []],
    }


INPUTS: dict[str, dict[str, Any]] = {
    "single": {"instance_types": ["t3.nano", "t3a.nano"]},
    "single, everything": {
        "elastic_ip": "none",
        "enabled": False,
        "use_spot_instance": False,
        "instance_types": ["m6g.medium", "c6g.medium"],
        "tags": {"Team": "<network> & co"},
        "root_volume": {"size": 20, "encrypted": False},
        "node_ingress": [
            {"port": 22, "sources": ["192.0.2.0/24", "198.51.100.7/32"]},
            {"protocol": "udp", "port": "51820-51829", "sources": ["0.0.0.0/0"]},
            {"protocol": "icmp", "sources": ["10.0.0.0/8"]},
        ],
        "allow_transit": ["10.0.0.0/16"],
        "idle_timeout": 350,
        "client_connections": 5000,
        "fast_path": "on",
        "egress_check": ["192.0.2.1:80", "198.51.100.10:8443", "203.0.113.1:443"],
        "port_forward": [
            {"port": 8080, "target": "name:wéb & <co>", "target_port": 80, "sources": ["198.51.100.0/24"]},
            {"protocol": "udp", "port": "27000-27015", "target": "172.18.64.20"},
        ],
        "user_data_write_files": [
            {
                "path": "/opt/x",
                "content": "#!/bin/sh\n\n\techo 'ü' \"<&>\" 日本 \u2028 \\\n",
                "permissions": "0755",
            },
            {"path": "/etc/y", "content": ""},
        ],
        "user_data_runcmd": [["yum", "install", "-y", "jq"], ["sh", "-c", "echo '<a> & \"b\"' > /tmp/x"]],
    },
    "single, hostile": {"instance_types": ["t3.nano"], **hostile_fields(1)},
    "single by address": {"identity": "address", "instance_types": ["t4g.nano"]},
    "single by address, own": {
        "identity": "address",
        "node_address": "own",
        "instance_types": ["t4g.nano"],
    },
    "pair": {
        "topology": "pair",
        "instance_types": ["t4g.nano"],
        "port_forward": [{"port": 443, "target": "name:web"}],
        "node_ingress": [{"port": "8000-8010", "sources": ["192.0.2.0/24"]}],
        "idle_timeout": 600,
        "egress_check": ["198.51.100.10:443", "192.0.2.1:443"],
    },
    "pair, hostile": {"topology": "pair", "instance_types": ["t4g.nano"], **hostile_fields(2)},
    "pair, shared": {"topology": "pair", "node_address": "shared", "instance_types": ["t4g.nano"]},
    "ring": {"topology": "ring", "instance_types": ["t4g.nano", "t4g.micro"]},
    "ring, own": {"topology": "ring", "node_address": "own", "instance_types": ["t4g.small"]},
}
SUBNETS = {"pair": 2, "pair, hostile": 2, "pair, shared": 2, "ring": 3, "ring, own": 3}


def inputs(world: World, name: str) -> dict[str, Any]:
    """The table of an `evernat.toml`."""
    table = {**world.table(), **INPUTS[name]}
    if name in SUBNETS:
        del table["public_subnet"]
        table["public_subnets"] = list(world.network.public_subnet_ids[: SUBNETS[name]])
    return table


def call(world: World, table: dict[str, Any]) -> str:
    """What `evernat terraform` writes for the table."""
    gateway, api = world.gateway_of(table), world.api()
    made = layout(gateway, look(api, gateway)[0]) if gateway.topology == "ring" else None
    return module_call(gateway, "MODULE", made)


Shapes = Callable[[str], tuple[Shape, Shape]]


@pytest.fixture(scope="module")
def shapes(world: World, terraform: Starter) -> Shapes:
    """Case -> what evernat asks for, and what the module has made."""
    zones = {s["SubnetId"]: s["AvailabilityZone"] for s in world.client("ec2").describe_subnets()["Subnets"]}

    @cache
    def made(case: str) -> tuple[Shape, Shape]:
        table = inputs(world, case)
        started = terraform(SCHEMAS[case == "pair"], main=call(world, table))
        started.env["STANDIN_ZONES"] = json.dumps(zones)
        state = {a.removeprefix("module.nat."): v for a, v in started.apply().items()}
        stack = state["aws_iam_role.this"]["tags"]["evernat:stack"]
        plan = library.plan(world.gateway_of({**table, "name": stack}), world.api())
        return of_plan(plan, ids(state), groups(stack, state)), of_state(state)

    return made


def ids(state: dict[str, Any]) -> dict[str, str]:
    """What the references of a plan stand for."""
    known = {
        "interface": state["aws_network_interface.this"]["id"],
        "security-group": state["aws_security_group.this"]["id"],
        "instance-profile": state["aws_iam_instance_profile.this"]["name"],
    }
    for address, values in state.items():
        if address.startswith("aws_eip.this"):
            known["address"] = values["id"]
            known[f"address {values['tags'].get('evernat:gateway')}"] = values["id"]
        if address.startswith("aws_launch_template.this"):
            known[f"launch-template {values['tags'].get('evernat:slot', '')}".strip()] = values["id"]
    return known


def groups(stack: str, state: dict[str, Any]) -> dict[str, str]:
    """Name of a group where evernat makes it -> where the module does."""
    made = [v for a, v in state.items() if a.startswith("aws_autoscaling_group.this")]
    slots = {v["name"]: next((t["value"] for t in v["tag"] if t["key"] == "evernat:slot"), "") for v in made}
    return {f"evernat-{stack}-{slot}".rstrip("-"): name for name, slot in slots.items()}


def differing(ours: Shape, theirs: Shape) -> set[tuple[str, str]]:
    """(part, argument) of all that is not equal; what is nothing on one side may be missing on the other."""
    flat = [
        {
            (part, path): v
            for part, fields in shape.items()
            for path, v in leaves(fields)
            if v not in (None, [], {})
        }
        for shape in (ours, theirs)
    ]
    return {key for key in flat[0].keys() | flat[1].keys() if flat[0].get(key) != flat[1].get(key)}


def listed(part: str, argument: str, case: str) -> list[Difference]:
    """The rows that allow it."""
    found = [d for d in DIFFERENCES if re.fullmatch(d.part, part) and re.fullmatch(d.argument, argument)]
    # What is said of pair and ring is no excuse for a single.
    return [d for d in found if "pair and ring" not in f"{d.evernat}{d.reason}" or case not in CASES[:2]]


CASES = list(INPUTS)


@pytest.mark.parametrize("case", CASES)
def test_the_same_but_for_what_is_listed(shapes: Shapes, case: str) -> None:
    """Resources, key arguments and policy documents are equal, or the difference is in the table."""
    assert [d for d in sorted(differing(*shapes(case))) if not listed(*d, case)] == []


@pytest.mark.parametrize("case", CASES)
def test_user_data_is_the_same_to_the_byte(shapes: Shapes, case: str) -> None:
    """For equal inputs Terraform and Python make one text."""
    ours, theirs = shapes(case)
    templates = [part for part in ours if part.startswith("template")]
    assert templates
    for part in templates:
        assert ours[part]["UserData"].encode() == theirs[part]["UserData"].encode()


@pytest.mark.parametrize("case", CASES)
def test_no_row_widens_the_role(shapes: Shapes, case: str) -> None:
    """Statements and their actions are the same, and what changes something is bound, whatever the table says."""
    ours, theirs = ({k: v for k, v in shape["policy"].items() if k != "PolicyName"} for shape in shapes(case))
    assert {k: v["Action"] for k, v in ours.items()} == {k: v["Action"] for k, v in theirs.items()}
    assert [name for name, statement in theirs.items() if statement["Resource"] == "*"] == ["Look"]


def test_no_row_is_idle(shapes: Shapes) -> None:
    """Each row of the table is about a difference that is there."""
    used = {row for case in CASES for d in differing(*shapes(case)) for row in listed(*d, case)}
    assert [row for row in DIFFERENCES if row not in used] == []
