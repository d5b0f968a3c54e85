"""A first start over somebody else's NAT, which works: clients keep that way until ours is proven."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evernat.lab import aws, client
from evernat.lab.checks import until
from evernat.lab.client import Lab
from evernat.lab.probing import watching

from .cluster import Cluster, out_under, text
from .support import cli, lab_name

pytestmark = pytest.mark.timeout(300)

EVERYWHERE = "0.0.0.0/0"
PLACES = ("1.1.1.1", "8.8.8.8")
"""What the egress check asks: while they do not answer nothing is proven. The clients' host answers all the time."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A network whose private tables lead to a managed NAT Gateway."""
    made = client.up(lab_name("nat"), "none")
    command = [sys.executable, "-m", "tests.docs.nat_gateways", "make"]
    subprocess.run(command, env=os.environ | made.environment(), check=True)
    yield made
    client.down(made.name)


def managed(lab: Lab) -> str:
    """The managed gateway's address."""
    (gateway,) = aws.client("ec2", lab.environment()).describe_nat_gateways()["NatGateways"]
    return str(gateway["NatGatewayAddresses"][0]["PublicIp"])


def targets(lab: Lab) -> set[str]:
    """Where the private tables' default routes lead."""
    tables = aws.client("ec2", lab.environment()).describe_route_tables()["RouteTables"]
    wanted = set(lab.status()["network"]["private_route_table_ids"])
    routes = [route for table in tables if table["RouteTableId"] in wanted for route in table["Routes"]]
    return {
        r.get("NatGatewayId") or r["NetworkInterfaceId"]
        for r in routes
        if r["DestinationCidrBlock"] == EVERYWHERE
    }


def write(lab: Lab, directory: Path, topology: str) -> None:
    """The evernat.toml."""
    network = lab.status()["network"]
    zones = {"single": 1, "pair": 2, "ring": 3}[topology]
    (directory / "evernat.toml").write_text(text(network, topology, network["public_subnet_ids"][:zones]))


@pytest.mark.parametrize("topology", ["single", "pair", "ring"])
def test_what_is_never_proven_takes_nothing(lab: Lab, tmp_path: Path, topology: str) -> None:
    """Deploy gives up and says why; clients were out by the old way the whole time, and the tables lead there."""
    old = managed(lab)
    write(lab, tmp_path, topology)
    for place in PLACES:
        lab.separate(place)
    with watching(lab, "client-a") as seen:
        words = ("deploy", "--yes", "--replace-routes", "--timeout", "25")
        shown = cli(*words, cwd=tmp_path, environment=lab.environment())
        assert shown.returncode == 1, shown.stdout
        assert "not ready" in shown.stdout + shown.stderr
    assert seen.stream_alive
    assert seen.longest_gap < 5
    assert out_under(Cluster(lab, tmp_path, old), "client-a", old)
    assert {target[:4] for target in targets(lab)} == {"nat-"}


def test_what_is_proven_takes_over(lab: Lab, tmp_path: Path) -> None:
    """A pair whose nodes do get out takes the tables after that, and clients are out under its address."""
    write(lab, tmp_path, "pair")
    shown = cli("deploy", "--yes", "--replace-routes", "--json", cwd=tmp_path, environment=lab.environment())
    assert shown.returncode == 0, shown.stdout + shown.stderr
    public = json.loads(shown.stdout)["gateways"][0]["public_address"]
    assert {target[:4] for target in targets(lab)} == {"eni-"}
    cluster = Cluster(lab, tmp_path, public)
    assert until(lambda: out_under(cluster, "client-a", public), 10)
