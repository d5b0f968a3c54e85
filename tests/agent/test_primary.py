"""An instance's only interface: what is missing, and what adds it, against the kernel's own `ip`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from evernat.agent.kernel import primary
from evernat.agent.kernel.primary import Uplink
from evernat.lab.fabric.namespaces import Namespaces

UPLINK = Uplink("ens5", ("172.18.128.20", "172.18.128.21", "172.18.128.22"), "172.18.128.0/20")
MADE = "link add ens5 type veth peer name far\nlink set ens5 up\nlink set far up\nlink set lo up\n"


class Machine:
    """A namespace with the interface."""

    def __init__(self, namespaces: Namespaces):
        self.namespaces, self.space = namespaces, namespaces.create()
        self.ip(MADE)
        self.repair()

    def ip(self, text: str) -> str:
        """Run a batch; its output."""
        command = ["ip", "-4", "-force", "-batch", "-"]
        pipe = subprocess.PIPE
        with self.namespaces.spawn(self.space, command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            return process.communicate(text.encode())[0].decode()

    def faults(self) -> list[str]:
        """What the module finds."""
        return primary.faults(self.ip(primary.show(UPLINK)), UPLINK)

    def repair(self) -> None:
        """What the module does about it."""
        self.ip(primary.commands(self.ip(primary.show(UPLINK)), UPLINK))


@pytest.fixture
def machine() -> Iterator[Machine]:
    namespaces = Namespaces()
    yield Machine(namespaces)
    namespaces.close()


@pytest.mark.parametrize(
    ("disturbance", "found"),
    [
        ("rule flush", {"no rule for the main table"}),
        ("route del default", {"no default route"}),
        ("address del 172.18.128.21/32 dev ens5", {"no address 172.18.128.21"}),
        (
            "address flush dev ens5",
            {
                *(f"no address {a}" for a in UPLINK.addresses),
                f"no route to {UPLINK.subnet}",
                "no default route",
            },
        ),
        ("route flush table main", {f"no route to {UPLINK.subnet}", "no default route"}),
        ("link set ens5 down\nlink set ens5 up", {"no default route"}),
    ],
)
def test_what_is_taken_away_is_found_and_put_back(
    machine: Machine, disturbance: str, found: set[str]
) -> None:
    """Whatever others take away, and nothing else; afterwards nothing is missing."""
    assert machine.faults() == []
    machine.ip(f"{disturbance}\n")
    assert set(machine.faults()) == found
    machine.repair()
    assert machine.faults() == []


def test_the_primary_address_stays_the_source(machine: Machine) -> None:
    """After any repair the node's own packets leave with its primary address."""
    for disturbance in (
        "address flush dev ens5",
        "address del 172.18.128.20/20 dev ens5",
        "route flush table main",
    ):
        machine.ip(f"{disturbance}\n")
        machine.repair()
        assert "src 172.18.128.20" in machine.ip("route get 172.18.128.9\n"), disturbance


@pytest.mark.parametrize(
    "other",
    [
        "default via 172.18.128.1 dev ens5 proto dhcp src 172.18.128.20 metric 512",
        "default dev ens5 scope link",
    ],
)
def test_what_the_image_made_is_left_alone(machine: Machine, other: str) -> None:
    """A default route of another form is a default route."""
    machine.ip(f"route del default\nroute add {other}\n")
    assert machine.faults() == []
