"""A pair whose Elastic IP sits beside the nodes' own public addresses, and the way there from one that shares them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.checks import attempt, until
from tests.lab_faults.talk import Talk

from .cluster import Cluster, deployed, kept, out_under

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A pair that says what it chose."""
    with deployed("pair", 2, tmp_path_factory.mktemp("pair"), more='node_address = "own"\n') as made:
        yield made


def choose(pair: Cluster, wish: str) -> None:
    """Deploy the other choice."""
    toml = pair.directory / "evernat.toml"
    before, wanted = ({"own": "shared", "shared": "own"}[wish], wish)
    toml.write_text(toml.read_text().replace(f'node_address = "{before}"', f'node_address = "{wanted}"'))
    pair.evernat("deploy", "--yes")


def places(pair: Cluster) -> dict[str, dict[str, str]]:
    """Node -> its private addresses with the public ones on them, primary first."""
    ec2 = pair.boto("ec2")
    found = ec2.describe_instances(InstanceIds=pair.alive())["Reservations"]
    nodes = [i for r in found for i in r["Instances"]]
    return {
        n["InstanceId"]: {
            a["PrivateIpAddress"]: a.get("Association", {}).get("PublicIp", "")
            for a in n["NetworkInterfaces"][0]["PrivateIpAddresses"]
        }
        for n in nodes
    }


def gateway(pair: Cluster) -> dict[str, Any]:
    """The pair's gateway once it is whole."""
    return pair.whole()["main"]


@pytest.mark.parametrize("wish", ["shared", "own"])
def test_change_over(pair: Cluster, wish: str) -> None:
    """Either way every connection is kept, while an old node with one place of the address hands over to a new one
    with another."""
    before = gateway(pair)
    with pair.load() as load:
        choose(pair, wish)
        after = gateway(pair)
        kept(load)
    assert not {after["holder"], after["standby"]} & {before["holder"], before["standby"]}
    held = places(pair)[after["holder"]]
    assert len(held) == {"own": 2, "shared": 1}[wish]
    assert [*held.values()].index(pair.public) == {"own": 1, "shared": 0}[wish]
    assert out_under(pair, "client-c", pair.public)


def test_a_handover_cuts_none_of_the_nodes_connections(pair: Cluster) -> None:
    """Both nodes keep their own public addresses and what they talk to, as giver and as taker."""
    before = gateway(pair)
    nodes = [before["holder"], before["standby"]]
    own = {node: next(iter(addresses.values())) for node, addresses in places(pair).items()}
    assert all(own.values())
    talks = {node: Talk(pair.lab, node) for node in nodes}
    for _ in range(2):
        pair.failover("main")
        assert {node: talk.again() for node, talk in talks.items()} == dict.fromkeys(nodes, "heard")
        gateway(pair)
    for talk in talks.values():
        talk.end()
    after = places(pair)
    assert {node: next(iter(addresses.values())) for node, addresses in after.items()} == own


def test_clients_never_have_another_address(pair: Cluster) -> None:
    """The address is taken off while nobody can take it again: what clients send leaves under no other address."""
    found, ec2 = gateway(pair), pair.boto("ec2")
    address = ec2.describe_addresses(PublicIps=[pair.public])["Addresses"][0]
    assert address["InstanceId"] == found["holder"]
    nodes = found["holder"], found["standby"]
    signal = ["systemctl", "kill", "evernat-agent", "-s"]
    for node in nodes:
        pair.lab.exec(node, [*signal, "STOP"], inside=True)
    try:
        ec2.disassociate_address(AssociationId=address["AssociationId"])
        left = places(pair)[found["holder"]]
        assert [bool(public) for public in left.values()] == [True, False]
        answer = attempt(pair.lab, "client-a", "tcp", INTERNET_HOST, 80, timeout=1)
        assert "address" not in answer, answer
    finally:
        for node in nodes:
            pair.lab.exec(node, [*signal, "CONT"], inside=True)
    gateway(pair)
    assert until(lambda: out_under(pair, "client-a", pair.public), 10)
