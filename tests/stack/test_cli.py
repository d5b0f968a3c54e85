"""The verbs as a user runs them: exit codes, what they print, what programs get."""

from __future__ import annotations

import json
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from evernat.cli import deploy, destroy, init, plan, status
from evernat.stack.errors import BadInput, StackError
from evernat.text import visible
from tests.stack.world import World, nat_gateway

app = typer.Typer()
for verb in (deploy.deploy, destroy.destroy, init.init, plan.plan, status.status):
    app.command(verb.__name__)(verb)


INIT = ("init", "--yes", "--include-isolated")
"""No table of the lab's private subnets has a default route at first."""


@pytest.fixture
def shell(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A directory to run in, and a world that turns by itself, since the commands use the real time."""
    monkeypatch.chdir(tmp_path)
    going = threading.Event()

    def turn() -> None:
        while not going.wait(0.02):
            world.clock.sleep(1.0)

    thread = threading.Thread(target=turn)
    thread.start()
    yield world
    going.set()
    thread.join()


def run(*arguments: str, code: int = 0) -> Any:
    """Run a verb and check its exit code."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def told(*arguments: str, code: int = 0) -> Any:
    """Run a verb with --json."""
    return json.loads(run(*arguments, "--json", code=code).stdout)


def test_story(shell: World) -> None:
    """From nothing to a gateway and back by five commands that ask nothing."""
    assert told(*INIT)["vpc_id"] == shell.network.vpc_id
    pending = told("plan", code=2)
    assert pending["pending"] == len([s for s in pending["steps"] if s["verb"] != "wait"])
    deployed = told("deploy", "--yes")
    assert deployed["resources"] == 11
    shell.complete()
    assert told("plan")["pending"] == 0
    (gateway,) = told("status")["gateways"]
    (holder,) = shell.made()["instances"]
    assert gateway["name"] == "main"
    assert gateway["holder"] == holder
    assert gateway["state"] == "ready"
    assert gateway["public_address"] == shell.interface()["Association"]["PublicIp"]
    assert told("destroy", "--yes")["removed"] > 8
    shell.gone()
    assert told("destroy", "--yes")["removed"] == 0


def test_for_people(shell: World) -> None:
    """The same for people: steps with marks, a line at the end, one screen of status."""
    run(*INIT)
    out = run("plan", code=2).stdout
    assert "+ create security-group evernat-main" in out
    assert "8 to create" not in run("deploy", "--yes").stdout
    out = run("status").stdout
    assert "ready" in out
    assert out.count("ok") == 3
    assert len(out.splitlines()) < 24
    assert "nothing to do" in run("plan").stdout
    assert "is gone" in run("destroy", "--yes").stdout


def test_flags_win_over_the_file(shell: World) -> None:
    """Scalar fields can be given as flags."""
    run(*INIT)
    steps = told("plan", "--name", "other", "--elastic-ip", "none", code=2)["steps"]
    assert not [s for s in steps if s["part"] == "address"]
    assert steps[0]["title"] == "evernat-other"


def test_nobody_to_ask(shell: World) -> None:
    """Without a terminal and without --yes nothing is changed."""
    run(*INIT)
    before = len(shell.mutations())
    with pytest.raises(StackError, match="confirm"):
        run("deploy")
    assert len(shell.mutations()) == before


def test_bad_file(shell: World) -> None:
    """A mistake in the file is told before AWS is asked anything."""
    calls = len(shell.cloud.calls)
    Path("evernat.toml").write_text('name = "main"\n')
    with pytest.raises(BadInput):
        run("deploy", "--yes")
    assert len(shell.cloud.calls) == calls


def test_leave_routes(shell: World) -> None:
    """What cannot be put back ends plan, deploy and destroy before they ask; --leave-routes goes on."""
    nat = nat_gateway(shell)
    run(*INIT)
    run("deploy", "--yes", "--replace-routes")
    shell.client("ec2").delete_nat_gateway(NatGatewayId=nat)
    shell.settle()
    file, dropped = Path("evernat.toml"), shell.network.private_route_table_ids[2]
    text = file.read_text(encoding="utf-8")
    file.write_text("".join(line for line in text.splitlines(True) if dropped not in line), encoding="utf-8")
    for verb in (("plan",), ("deploy", "--yes"), ("destroy", "--yes")):
        with pytest.raises(BadInput, match=nat):
            run(*verb)
    assert told("plan", "--leave-routes", code=2)["pending"] > 0
    run("deploy", "--yes", "--leave-routes")
    assert set(shell.routes()) == set(shell.network.private_route_table_ids[:2])
    told("destroy", "--yes", "--leave-routes")
    assert shell.routes() == {}
    assert not any(shell.made().values())


def test_destroy_needs_only_the_name(shell: World) -> None:
    """destroy and status work with a broken file, and without one."""
    run(*INIT)
    run("deploy", "--yes")
    Path("evernat.toml").write_text('name = "main"\nregion = "us-west-2"\nvpc_id = "nonsense"\n')
    assert told("status")["gateways"][0]["state"] == "ready"
    Path("evernat.toml").unlink()
    run("destroy", "--yes", "--name", "main")
    shell.gone()
    with pytest.raises(StackError, match="there is no stack main"):
        run("status", "--name", "main")


def test_interrupted(shell: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while deploying says how to go on; going on completes the stack."""
    run(*INIT)
    shell.agent_works = False

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", interrupt)
        result = run("deploy", "--yes", code=130)
    assert "again" in result.stderr
    shell.agent_works = True
    run("deploy", "--yes")
    shell.complete()


def test_init_writes_what_it_sees(shell: World) -> None:
    """The file has the private networks and their tables, the public subnet in the first private one's zone."""
    run(*INIT, "--name", "edge")
    table = tomllib.loads(Path("evernat.toml").read_text())
    assert table["name"] == "edge"
    assert table["private_subnets_cidr_blocks"] == list(shell.network.private_cidrs)
    assert table["private_route_table_ids"] == list(shell.network.private_route_table_ids)
    assert table["public_subnet"] == shell.network.public_subnet_ids[0]
    with pytest.raises(StackError, match="exists already"):
        run(*INIT)


def test_init_of_a_vpc_with_any_name(shell: World) -> None:
    """A VPC's Name tag is a comment, and nothing but a comment, whatever it says."""
    # XML, in which AWS answers, carries no C0 but tab and line breaks.
    for name in ('x\nelastic_ip = "none"', "x\x7f\x85\u2028", "\n[tags]", "[red]\x9b2J\u202e"):
        shell.client("ec2").create_tags(
            Resources=[shell.network.vpc_id], Tags=[{"Key": "Name", "Value": name}]
        )
        done = run(*INIT, "--force")
        assert visible(name) in done.stderr
        table = tomllib.loads(Path("evernat.toml").read_text(encoding="utf-8"))
        assert (table["vpc_id"], "elastic_ip" in table, "tags" in table) == (
            shell.network.vpc_id,
            False,
            False,
        )


def test_init_leaves_isolated_subnets_out(shell: World) -> None:
    """A subnet without a default route gets none by a guess: it is named, and served only when that is asked for."""
    one, two, lone = shell.network.private_subnet_ids
    with pytest.raises(StackError, match=r"isolated:(\n.*){3}") as caught:
        run("init", "--yes")
    assert all(subnet in caught.value.cause for subnet in (one, two, lone))
    assert "--include-isolated" in caught.value.remedy
    assert not Path("evernat.toml").exists()
    nat_gateway(shell)
    table = shell.network.private_route_table_ids[2]
    shell.client("ec2").delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    done = run("init", "--yes")
    assert f"({lone} in us-west-2c) has no default route and is left out" in done.stderr
    text = Path("evernat.toml").read_text(encoding="utf-8")
    assert f"# left out, no default route: 172.18.96.0/20 ({lone}" in text
    served = tomllib.loads(text)
    assert served["private_subnets_cidr_blocks"] == list(shell.network.private_cidrs[:2])
    assert served["private_route_table_ids"] == list(shell.network.private_route_table_ids[:2])
    assert told("init", "--yes", "--force")["isolated_left_out"] == [lone]
    assert told(*INIT, "--force")["isolated_left_out"] == []
    served = tomllib.loads(Path("evernat.toml").read_text(encoding="utf-8"))
    assert served["private_route_table_ids"] == list(shell.network.private_route_table_ids)


def test_init_of_a_main_table(shell: World) -> None:
    """Subnets that no table names have the main one, which may be isolated; a route that leads nowhere now is one."""
    ec2, network = shell.client("ec2"), shell.network
    tables = ec2.describe_route_tables(RouteTableIds=list(network.private_route_table_ids))["RouteTables"]
    for table in tables[:2]:
        ec2.disassociate_route_table(AssociationId=table["Associations"][0]["RouteTableAssociationId"])
    nat = nat_gateway(shell)
    ec2.delete_nat_gateway(NatGatewayId=nat)
    shell.settle()
    assert sorted(told("init", "--yes")["isolated_left_out"]) == sorted(network.private_subnet_ids[:2])
    served = tomllib.loads(Path("evernat.toml").read_text(encoding="utf-8"))
    assert served["private_subnets_cidr_blocks"] == [network.private_cidrs[2]]


def test_init_of_other_topologies(shell: World) -> None:
    """A pair gets the public subnets of two zones, a ring those of all; both files can be planned as they are."""
    for topology, count in (("pair", 2), ("ring", 3)):
        run(*INIT, "--force", "--topology", topology)
        table = tomllib.loads(Path("evernat.toml").read_text())
        assert table["public_subnets"] == list(shell.network.public_subnet_ids[:count])
        assert "public_subnet" not in table
        assert told("plan", code=2)["pending"] > count


def test_init_of_a_ring_needs_zones(shell: World) -> None:
    """A VPC with public subnets in one zone only is no place for a ring."""
    ec2 = shell.client("ec2")
    private = shell.network.private_route_table_ids[0]
    public = shell.network.public_route_table_id
    for association in ec2.describe_route_tables(RouteTableIds=[public])["RouteTables"][0]["Associations"][
        1:
    ]:
        ec2.replace_route_table_association(
            AssociationId=association["RouteTableAssociationId"], RouteTableId=private
        )
    with pytest.raises(StackError, match="a ring needs two"):
        run(*INIT, "--topology", "ring")


def test_init_cannot_choose(shell: World) -> None:
    """With several VPCs that fit --yes needs --vpc-id; one that does not fit is told why."""
    ec2 = shell.client("ec2")
    empty = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    run(*INIT)
    with pytest.raises(StackError, match="no public subnet"):
        run(*INIT, "--force", "--vpc-id", empty)
    with pytest.raises(StackError, match="there is no VPC"):
        run(*INIT, "--force", "--vpc-id", "vpc-0dead")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=empty)
    for number in (0, 1):
        subnet = ec2.create_subnet(
            VpcId=empty, CidrBlock=f"10.1.{number}.0/24", AvailabilityZone="us-west-2a"
        )
        table = ec2.create_route_table(VpcId=empty)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet["Subnet"]["SubnetId"])
        if number:
            ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    with pytest.raises(StackError, match="several VPCs fit"):
        run(*INIT, "--force")
    assert told(*INIT, "--force", "--vpc-id", empty)["vpc_id"] == empty
