"""A single gateway's status: its node reports like those of a pair."""

from __future__ import annotations

from typing import Any

import pytest

from evernat.lab import checks
from evernat.lab.checks import until

from .conftest import Deployed
from .support import cli

pytestmark = pytest.mark.timeout(180)

SOON = 30.0
"""Seconds in which news of a node reaches status."""


def exit_code(deployed: Deployed) -> int:
    """What `evernat status` exits with."""
    return cli("status", cwd=deployed.directory, environment=deployed.lab.environment()).returncode


def becomes(deployed: Deployed, state: str, words: str = "") -> dict[str, Any]:
    """Wait until status says this, with these words in the cause; the gateway."""

    def there() -> dict[str, Any] | None:
        now = deployed.gateway()
        return now if now["state"] == state and words in now["why"] else None

    found = until(there, 2 * SOON, 0.5)
    assert found, f"{deployed.gateway()}\n{deployed.consoles()}"
    return dict(found)


def test_it_reports(deployed: Deployed) -> None:
    """Right after deploy it is ready by the holder's word, which says that its check passed."""
    now = deployed.gateway()
    assert now["state"] == "ready"
    assert now["report"]["egress"]["ok"]
    assert now["report"]["age"] < 120
    assert exit_code(deployed) == 0


def test_the_address_taken_off(deployed: Deployed) -> None:
    """With its Elastic IP off the gateway is down at once; deploy puts it on again."""
    ec2, before = deployed.boto("ec2"), deployed.gateway()
    (address,) = ec2.describe_addresses(PublicIps=[before["public_address"]])["Addresses"]
    ec2.disassociate_address(AssociationId=address["AssociationId"])
    now = becomes(deployed, "down", f"the Elastic IP {before['public_address']} is not on {now_on(before)}")
    assert now["holder"] == before["holder"]
    assert exit_code(deployed) == 3
    deployed.evernat("deploy", "--yes")
    becomes(deployed, "ready")
    assert checks.tcp(deployed.lab, "client-a", deployed.public).ok


def now_on(gateway: dict[str, Any]) -> str:
    """The interface that a gateway is."""
    return str(gateway["interface"])


def test_a_foreign_chain(deployed: Deployed) -> None:
    """What another program drops is said with its table, and all is well again without it."""
    holder = deployed.gateway()["holder"]
    deployed.lab.disturb(holder, "forward-drop")
    becomes(deployed, "down", "foreign forward chain")
    assert "inet guard" in deployed.gateway()["why"]
    assert exit_code(deployed) == 3
    deployed.lab.mend(holder)
    becomes(deployed, "ready")


def test_no_internet(deployed: Deployed) -> None:
    """With the internet gone the only node is not blamed."""
    deployed.lab.separate("internet")
    try:
        becomes(deployed, "down", "the internet is at fault")
    finally:
        deployed.lab.call("clear_faults")
    becomes(deployed, "ready")
