"""A single node whose forwarding is broken: repaired within a second, or named, or replaced; on the whole lab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from evernat.lab import checks
from evernat.lab.checks import until
from evernat.lab.probing import watching
from tests.broken import FOREIGN, REPAIRED

from .conftest import Deployed

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def whole(deployed: Deployed) -> Iterator[dict[str, Any]]:
    """The gateway while all is well; what was broken is mended afterwards."""
    yield deployed.ready()
    deployed.lab.call("clear_faults")
    for node in deployed.lab.status()["nodes"]:
        if node["state"] == "running":
            deployed.lab.mend(node["id"])


def why(deployed: Deployed) -> str:
    """What `status` says is missing."""
    return str(deployed.gateway()["why"])


@pytest.mark.parametrize("how", [*REPAIRED, "networkd"])
def test_what_the_node_can_repair_it_repairs(deployed: Deployed, whole: dict[str, Any], how: str) -> None:
    """Clients' packets pass again within a second, by the same node."""
    with watching(deployed.lab, "client-a") as seen:
        deployed.lab.disturb(whole["holder"], how)  # type: ignore[arg-type]
        assert until(lambda: checks.tcp(deployed.lab, "client-a", deployed.public).ok, 10)
    # A busy machine gets twice the time; without being told, the node would look in ten seconds.
    assert seen.longest_gap < 2.0
    assert deployed.ready()["holder"] == whole["holder"]
    print(f"{how}: longest gap {seen.longest_gap:.2f} s")


@pytest.mark.parametrize("how", FOREIGN)
def test_a_foreign_chain_is_named(deployed: Deployed, whole: dict[str, Any], how: str) -> None:
    """`status` says that clients do not get out, and by whose chain; ready again when that is gone (O5, H3, F3)."""
    deployed.lab.disturb(whole["holder"], how)  # type: ignore[arg-type]
    assert until(lambda: FOREIGN[how] in why(deployed), 20), deployed.gateway()
    assert deployed.gateway()["state"] != "ready"
    deployed.lab.mend(whole["holder"])
    assert deployed.ready()["holder"] == whole["holder"]


def test_the_internet_gone_and_the_api_alive(deployed: Deployed, whole: dict[str, Any]) -> None:
    """Not ready, the internet is said to be at fault, and nobody is replaced for it (H2)."""
    deployed.lab.separate("places")
    assert until(lambda: "internet is at fault" in why(deployed), 30), deployed.gateway()
    deployed.lab.call("clear_faults")
    assert deployed.ready()["holder"] == whole["holder"]


def test_the_address_taken_off(deployed: Deployed, whole: dict[str, Any]) -> None:
    """Not ready, and the Elastic IP is named, until it is back (H6)."""
    ec2 = deployed.boto("ec2")
    (address,) = ec2.describe_addresses(PublicIps=[deployed.public])["Addresses"]
    ec2.disassociate_address(AssociationId=address["AssociationId"])
    assert until(lambda: f"{deployed.public} is not on" in why(deployed), 20), deployed.gateway()
    asked = {"AllocationId": address["AllocationId"], "NetworkInterfaceId": address["NetworkInterfaceId"]}
    ec2.associate_address(**asked)
    assert deployed.ready()["holder"] == whole["holder"]


def replaced(deployed: Deployed, holder: str) -> str:
    """Have a node drop what clients send until another one serves; that one."""
    deployed.lab.disturb(holder, "docker-forward")
    gateway = deployed.ready(150, after=holder)
    assert gateway["public_address"] == deployed.public
    stored = deployed.boto("ssm").get_parameter(Name="/evernat/main/report/replacement")
    assert json.loads(stored["Parameter"]["Value"])["instance"] == holder
    return str(gateway["holder"])


def test_replaced_when_it_does_not_forward(deployed: Deployed, whole: dict[str, Any]) -> None:
    """A chain that nobody takes away: after a minute another node serves."""
    replaced(deployed, whole["holder"])


@pytest.mark.long
def test_not_replaced_twice(deployed: Deployed, whole: dict[str, Any]) -> None:
    """The next one that does not forward has to wait a quarter of an hour, and says so."""
    second = replaced(deployed, whole["holder"])
    deployed.lab.disturb(second, "docker-forward")
    assert until(lambda: "was replaced" in str(deployed.gateway()["report"]), 100, 2.0), deployed.gateway()
    assert deployed.gateway()["holder"] == second


def test_the_source_check_is_turned_off_again(deployed: Deployed, whole: dict[str, Any]) -> None:
    """Nothing on the node shows it: AWS's record does, within ten seconds."""
    deployed.lab.disturb(whole["holder"], "check-on")
    assert until(lambda: not checks.tcp(deployed.lab, "client-a", deployed.public).ok, 10)
    assert until(lambda: checks.tcp(deployed.lab, "client-a", deployed.public).ok, 30), deployed.consoles()
    assert deployed.ready()["holder"] == whole["holder"]
