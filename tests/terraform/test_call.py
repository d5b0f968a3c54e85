"""`evernat terraform` and `evernat init --from-terraform`: a file becomes a module call, and a call a file."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from evernat.cli import init, terraform
from evernat.stack.errors import StackError
from evernat.stack.load import gateway_from
from evernat.terraform.call import module_call, read
from evernat.terraform.file import find, text, toml
from evernat.terraform.hcl import Expression, module_calls, written
from evernat.terraform.provider import provider
from evernat.text import UNPRINTABLE
from tests import hostile
from tests.stack.world import World, serving
from tests.terraform.test_parity import INPUTS, inputs
from tests.terraform.tool import MODULE

app = typer.Typer()
app.command("init")(init.init)
app.command("terraform")(terraform.terraform)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, serving(patch) as server:
        yield World(server)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("case", [case for case in INPUTS if case != "ring"])
def test_there_and_back(world: World, case: str) -> None:
    """What a call says is the gateway that it was written for."""
    gateway = world.gateway_of(inputs(world, case))
    (call,) = module_calls(module_call(gateway, "./nat")).values()
    found = read(call)
    assert found.open == {}
    assert gateway_from({**found.fields, "region": gateway.region}) == gateway


def test_a_ring_there_and_back(world: World, tmp_path: Path) -> None:
    """A ring's call says whose each table is; the file that comes back plans the same."""
    file, call = tmp_path / "evernat.toml", tmp_path / "nat.tf"
    table = inputs(world, "ring")
    file.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in table.items()), encoding="utf-8")
    call.write_text(run("terraform", "--file", str(file), "--source", "./nat"), encoding="utf-8")
    assert module_calls(call.read_text())["nat"]["private_route_table_slots"] == ["a", "b", "c"]
    run("init", "--yes", "--force", "--file", str(file), "--from-terraform", str(call))
    again = tomllib.loads(file.read_text())
    assert again.pop("table_slots") == dict(zip(table["private_route_table_ids"], "abc", strict=True))
    assert gateway_from(again) == gateway_from(table)


@pytest.mark.parametrize("seed", range(3))
def test_any_text(seed: int) -> None:
    """Any text is read back from Terraform and from TOML as it was, and what is written prints."""
    random = Random(seed)
    for _ in range(300):
        value = {hostile.text(random): [hostile.text(random), 7, True]}
        call = module_calls(f'module "nat" {{\n  x = {written(value)}\n}}')
        assert call == {"nat": {"x": value}}
        assert tomllib.loads(f"x = {toml(value)}") == {"x": value}
        assert not set(written(value) + toml(value)) & set(UNPRINTABLE)


def test_what_looks_like_an_expression(world: World) -> None:
    """No text is taken for an expression."""
    odd = {"tags": {"a b": '${x} %{if} "q" \\ ü', "c": "$${"}, "user_data_runcmd": ["echo $(date)\n\t> /x"]}
    gateway = world.gateway(**odd)
    call = module_call(gateway, "./nat")
    arguments = module_calls(call)["nat"]
    assert arguments["tags"] == odd["tags"]
    assert arguments["user_data_runcmd"] == [["sh", "-c", "echo $(date)\n\t> /x"]]


def test_the_articles_call(world: World, tmp_path: Path) -> None:
    """What refers to other resources is looked up in AWS, what is written out is taken, the rest is pointed out."""
    file = tmp_path / "evernat.toml"
    example = MODULE / "examples" / "port-forward" / "main.tf"
    run("init", "--yes", "--include-isolated", "--file", str(file), "--from-terraform", str(example))
    written_file = file.read_text()
    gateway = gateway_from(tomllib.loads(written_file))
    assert gateway.name == "example"
    assert gateway.instance_types == ("t3.nano", "t3a.nano")
    assert gateway.elastic_ip == "none"
    assert gateway.vpc_id == world.network.vpc_id
    assert gateway.public_subnet == world.network.public_subnet_ids[0]
    assert gateway.private_route_table_ids == world.network.private_route_table_ids
    assert gateway.port_forward[0].target == "name:example-web"
    assert gateway.user_data_runcmd[-1] == ("systemctl", "start", "dnat")
    left_out = [line for line in written_file.splitlines() if "left out" in line]
    assert len(left_out) == 1
    assert 'user_data_write_files = [{ path = "/opt/nat/dnat.sh", content = templatefile(' in left_out[0]


def test_a_call_without_references_needs_no_look(tmp_path: Path) -> None:
    """Everything written out: AWS is not asked about VPCs."""
    call = tmp_path / "nat.tf"
    call.write_text(
        'module "other" {\n  source = "./x"\n}\n'
        'module "nat" { # of ours\n'
        '  source = "./nat"\n  name = "main"\n  vpc_id = "vpc-0a"\n  public_subnet = "subnet-0a"\n'
        '  private_subnets_cidr_blocks = [\n    "10.0.0.0/8", // all\n  ]\n'
        '  cpu_credits = "unlimited"\n  session_manager = false\n}\n'
    )
    found = find(call, None)
    made = text(found, "us-west-2", None)
    gateway = gateway_from(tomllib.loads(made))
    assert (gateway.name, gateway.ssm_policy_arn, gateway.private_route_table_ids) == ("main", "none", ())
    assert "such a field: cpu_credits = " in made


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ('"a\\tb\\u00fc"', "a\tbü"),
        ("-1.5", -1.5),
        ("null", None),
        ('{ a : "b", "c d" = [1, true] }', {"a": "b", "c d": [1, True]}),
        ("[\n  # none\n]", []),
        ("<<EOT\nline\n  two\nEOT", "line\n  two\n"),
        ('"$${x} ${var.y}"', Expression('"$${x} ${var.y}"')),
        ("jsonencode({ a = [1, 2] })", Expression("jsonencode({ a = [1, 2] })")),
        ("1 + 2", Expression("1 + 2")),
        ("[for x in y : x]", Expression("[for x in y : x]")),
        ("module.vpc.ids[0]", Expression("module.vpc.ids[0]")),
        ('var.a ? "b" : "c"', Expression('var.a ? "b" : "c"')),
    ],
)
def test_values(given: str, value: Any) -> None:
    """What is written out is read; everything else is kept as text, and what follows is found again."""
    (call,) = module_calls(
        f'variable "y" {{ type = list(any) }}\nmodule "m" {{\n  x = {given}\n  z = 1\n}}\n'
    ).values()
    assert call == {"x": value, "z": 1}


@pytest.mark.parametrize("value", ["${x}", "%{x}", 'q"\\\n', "日本", {"a-b": {"c d": [1, None, False]}}, []])
def test_written_and_read(value: Any) -> None:
    """Reading gives what was written."""
    assert module_calls(f'module "m" {{\n  x = {written(value)}\n}}')["m"]["x"] == value


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ('module "m" {\n  x = \n}', "line 3"),
        ('module "m" {\n  x = [1,\n', "line 3"),
        ('module "m" {\n  provider {}\n}', "line 2"),
        ('resource "r" "m" {', "line 1"),
    ],
)
def test_what_cannot_be_read(broken: str, told: str) -> None:
    """A file that is not Terraform's: the line, and what to do."""
    with pytest.raises(StackError, match=f"{told} is not Terraform") as caught:
        module_calls(broken)
    assert "terraform validate" in caught.value.remedy


def test_which_call(tmp_path: Path) -> None:
    """Of several calls one has to be named; without any the file is the wrong one."""
    file = tmp_path / "main.tf"
    call = 'module "{}" {{\n  private_subnets_cidr_blocks = []\n}}\n'
    file.write_text(call.format("a") + call.format("b"))
    assert find(file, "b").fields["private_subnets_cidr_blocks"] == []
    with pytest.raises(StackError, match="several calls: a, b"):
        find(file, None)
    with pytest.raises(StackError, match="has no call of a NAT module named c"):
        find(file, "c")
    with pytest.raises(StackError, match="cannot be read"):
        find(tmp_path / "none.tf", None)


def test_fmt(terraform: object, world: World) -> None:
    """The call, and the provider block of a lab, are as terraform fmt writes them."""
    lab = {"AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": "u"}
    call = module_call(world.gateway_of(inputs(world, "single, everything")), "./nat")
    for text_ in (call, provider(lab)):
        done = subprocess.run(
            ["terraform", "fmt", "-"], input=text_, capture_output=True, text=True, check=False
        )
        assert done.stdout == text_
