"""What deploy and status say is what clients have: over a managed NAT, with the internet gone, behind shut rules."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from evernat.lab import client
from evernat.lab.checks import until
from evernat.lab.probing import watching
from tests.docs import nat_gateways

from .cluster import Cluster, out_under, text
from .support import cli, lab_name

pytestmark = pytest.mark.timeout(240)

UNBROKEN = 1.0
"""Seconds of the longest gap that still counts as no outage on a busy machine."""

SOON = 30.0
"""Seconds in which news of a node reaches status."""

GUARD = """user_data_runcmd = [
  "until command -v nft; do sleep 0.05; done",
  "nft add table inet guard",
  "nft 'add chain inet guard forward { type filter hook forward priority 0; policy drop; }'",
]
"""
"""What a hardened image may do: no forwarded packet passes."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A lab whose private tables lead to a managed NAT Gateway, and a file for a pair."""
    lab = client.up(lab_name("truth"), "none")
    directory = tmp_path_factory.mktemp("truth")
    try:
        with patch.dict(os.environ, lab.environment()):
            nat_gateways.main("make")
            yield Cluster(lab, directory, "")
    finally:
        client.down(lab.name)


def written(pair: Cluster, more: str = "") -> None:
    """The pair's evernat.toml."""
    network = pair.lab.status()["network"]
    file = text(network, "pair", network["public_subnet_ids"][:2], more)
    (pair.directory / "evernat.toml").write_text(file)


def run(pair: Cluster, *words: str, code: int) -> str:
    """What a verb prints, which has to exit like this."""
    shown = cli(*words, cwd=pair.directory, environment=pair.lab.environment(), timeout=200)
    assert shown.returncode == code, f"{shown.stdout}\n{shown.stderr}\n{pair.consoles()}"
    return shown.stdout + shown.stderr


def targets(pair: Cluster) -> dict[str, str]:
    """Where the default route of each private table leads."""
    tables = pair.boto("ec2").describe_route_tables(
        RouteTableIds=list(pair.lab.status()["network"]["private_route_table_ids"])
    )["RouteTables"]
    return {
        t["RouteTableId"]: str(r.get("NatGatewayId") or r.get("NetworkInterfaceId"))
        for t in tables
        for r in t["Routes"]
        if r["DestinationCidrBlock"] == "0.0.0.0/0"
    }


def gateway(pair: Cluster) -> dict[str, Any]:
    """The gateway of `evernat status --json`."""
    return dict(json.loads(run(pair, "status", "--json", code=0))["gateways"][0])


def test_a_first_pair_without_proof(pair: Cluster) -> None:
    """Nodes whose clients would get nowhere: deploy says why, and nobody loses the way that works for a moment."""
    written(pair, GUARD)
    before = targets(pair)
    with watching(pair.lab, "client-a") as seen:
        said = run(pair, "deploy", "--yes", "--replace-routes", "--timeout", "40", code=1)
    assert "not ready after 40 s" in said
    assert "foreign forward chain" in said, said
    assert "inet guard" in said, "which chain it is"
    assert all(f"{table} still leads to {nat}" in said for table, nat in before.items())
    assert targets(pair) == before
    assert seen.stream_alive
    assert seen.longest_gap < UNBROKEN
    assert gateway(pair)["state"] in ("starting", "down")
    run(pair, "status", code=3)


def test_going_on(pair: Cluster) -> None:
    """With the cause out of the way the same deploy takes the routes, and ends with what status says from then on."""
    written(pair)
    said = run(pair, "deploy", "--yes", code=0)
    assert "gateway main is ready" in said
    for _ in range(5):
        assert gateway(pair)["state"] == "ready"
        run(pair, "status", code=0)
    assert not [target for target in targets(pair).values() if target.startswith("nat-")]
    assert out_under(pair, "client-a", str(gateway(pair)["public_address"]))


def test_rules_stripped(pair: Cluster) -> None:
    """A security group that shuts clients out is said at once; deploy opens it again."""
    ec2 = pair.boto("ec2")
    (group,) = ec2.describe_security_groups(GroupNames=["evernat-main"])["SecurityGroups"]
    ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    public = str(gateway(pair)["public_address"])
    assert until(lambda: not out_under(pair, "client-a", public), 10)
    now = gateway(pair)
    assert (now["state"], f"the rules of {group['GroupId']} do not let" in now["why"]) == ("down", True)
    run(pair, "status", code=3)
    run(pair, "deploy", "--yes", code=0)
    assert gateway(pair)["state"] == "ready"
    assert out_under(pair, "client-a", public)


def test_the_internet_is_gone(pair: Cluster) -> None:
    """When no node gets out status says that the internet is at fault, and that all is well when it is."""
    pair.whole(60)
    pair.lab.separate("internet")
    try:
        shown = until(lambda: (now := gateway(pair))["state"] == "down" and now, 2 * SOON, 1.0)
        assert shown, gateway(pair)
        assert until(lambda: "the internet is at fault" in gateway(pair)["why"], SOON, 1.0), gateway(pair)
    finally:
        pair.lab.call("clear_faults")
    assert until(lambda: gateway(pair)["state"] == "ready", 2 * SOON, 1.0), gateway(pair)


def test_gone_without_a_trace(pair: Cluster) -> None:
    """destroy leads the tables back to the NAT Gateway, and leaves no report of any node."""
    run(pair, "destroy", "--yes", code=0)
    assert {target[:4] for target in targets(pair).values()} == {"nat-"}
    left = pair.boto("ssm").get_parameters_by_path(Path="/evernat/main", Recursive=True)["Parameters"]
    assert left == []


def test_nothing_is_asked_of_a_directory(pair: Cluster, tmp_path: Path) -> None:
    """status needs the name only: with the stack gone it says so and exits as what failed, not as what is not ready."""
    shown = cli("status", "--name", "main", cwd=tmp_path, environment=pair.lab.environment())
    assert (shown.returncode, "there is no stack main" in shown.stderr) == (1, True)
