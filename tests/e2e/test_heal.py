"""A broken node is replaced without a human step, and the address stays."""

from __future__ import annotations

from typing import Any

import pytest

from evernat.lab import checks
from evernat.lab.checks import until
from evernat.lab.client import KillHow

from .conftest import Deployed


def _inventory(deployed: Deployed) -> dict[str, Any]:
    """What the account holds besides the nodes themselves, to see that nothing piles up."""
    ec2 = deployed.boto("ec2")
    holder = deployed.gateway()["holder"]
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    own = [i for i in interfaces if i.get("Attachment", {}).get("InstanceId") == holder]
    alive = ec2.describe_instances(
        Filters=[
            {"Name": "tag:evernat:part", "Values": ["node"]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
    )["Reservations"]
    return {
        "nodes": sum(len(r["Instances"]) for r in alive),
        "interfaces": len(interfaces),
        "holder's": len(own),
        "addresses": sorted(a["PublicIp"] for a in ec2.describe_addresses()["Addresses"]),
        "volumes": len(ec2.describe_volumes()["Volumes"]),
        "groups": len(ec2.describe_security_groups()["SecurityGroups"]),
    }


@pytest.mark.parametrize("how", ["power", "network", "terminate"])
def test_replaced_node(deployed: Deployed, how: KillHow) -> None:
    """However a node dies, three times in a row: a new one holds the same address, and nothing is left over."""
    before = _inventory(deployed)
    for _ in range(3):
        old = deployed.ready()["holder"]
        deployed.lab.kill(old, how)
        gateway = deployed.ready(after=old)
        assert gateway["public_address"] == deployed.public
    assert until(lambda: _inventory(deployed) == before, 10), (before, _inventory(deployed))


def test_killed_agent(deployed: Deployed) -> None:
    """A killed agent is started again by systemd, three times in a row; packets pass all the while."""
    holder = deployed.ready()["holder"]
    for _ in range(3):
        old = _agent_pid(deployed, holder)
        deployed.lab.kill(holder, "agent")
        assert checks.tcp(deployed.lab, "client-a", deployed.public).ok
        assert until(lambda: _agent_pid(deployed, holder) not in ("", "0", old), 15)  # noqa: B023
        assert deployed.ready()["holder"] == holder


def _agent_pid(deployed: Deployed, holder: str) -> str:
    shown = deployed.lab.exec(
        holder, ["systemctl", "show", "-p", "MainPID", "--value", "evernat-agent.service"], inside=True
    )
    return shown.stdout.strip()


def test_reboot(deployed: Deployed) -> None:
    """After a reboot the same node comes back by itself as the same gateway."""
    holder = deployed.ready()["holder"]
    deployed.lab.call("reboot", node=holder)
    assert until(lambda: _node(deployed, holder)["boots"] == 2, 10)
    assert deployed.ready()["holder"] == holder
    assert all(r.ok for r in checks.everything(deployed.lab, "client-a", deployed.public))


def _node(deployed: Deployed, node: str) -> dict[str, Any]:
    return dict(next(n for n in deployed.lab.status()["nodes"] if n["id"] == node))


def test_forwards_survive_replacement(deployed: Deployed) -> None:
    """The new node forwards the same ports."""
    result = until(
        lambda: (r := checks.forward(deployed.lab, deployed.public, 8080, "client-a")).ok and r, 10
    )
    assert result


@pytest.mark.timeout(240)
def test_interface_stuck_on_a_dead_instance(deployed: Deployed) -> None:
    """An interface that AWS keeps in use on a dead instance for a minute does not stop the new node from taking it."""
    old = deployed.ready()["holder"]
    deployed.lab.call("fault", interface_release=60)
    try:
        deployed.lab.kill(old, "terminate")
        gateway = deployed.ready(120, after=old)
    finally:
        deployed.lab.call("clear_faults")
    assert gateway["public_address"] == deployed.public
