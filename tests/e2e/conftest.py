"""A lab with a gateway deployed into it, as a user would do it; one per test module."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evernat.lab import aws, checks, client
from evernat.lab.checks import until
from evernat.lab.client import Lab

from .support import cli, lab_name

FORWARDS = """
[[port_forward]]
protocol = "tcp"
port = 8080
target = "172.18.64.10"
target_port = 80
sources = ["198.51.100.0/24"]

[[port_forward]]
protocol = "tcp"
port = 8081
target = "name:web"
target_port = 8000
sources = ["198.51.100.0/24"]

[[port_forward]]
protocol = "udp"
port = 7007
target = "172.18.64.10"
target_port = 7
sources = ["198.51.100.0/24"]
"""


@dataclass(frozen=True)
class Deployed:
    """A lab, the directory with evernat.toml, and the gateway's public address."""

    lab: Lab
    directory: Path
    public: str

    def evernat(self, *words: str) -> Any:
        """Run a verb with --json against the lab; its parsed output. Fails the test when the verb fails."""
        shown = cli(*words, "--json", cwd=self.directory, environment=self.lab.environment())
        assert shown.returncode == 0, shown.stdout + shown.stderr
        return json.loads(shown.stdout)

    def gateway(self) -> dict[str, Any]:
        """The gateway of `evernat status --json`."""
        return dict(self.evernat("status")["gateways"][0])

    def ready(self, seconds: float = 60, *, after: str = "") -> dict[str, Any]:
        """Wait until the gateway is ready, on another node than `after`, and client-a is out; the gateway."""

        def proven() -> dict[str, Any] | None:
            found = self.gateway()
            return found if found["state"] == "ready" and found["holder"] != after else None

        gateway = until(proven, seconds)
        assert gateway, f"{self.gateway()}\n{self.consoles()}"
        assert until(lambda: checks.tcp(self.lab, "client-a", self.public).ok, seconds), self.consoles()
        return dict(gateway)

    def boto(self, service: str) -> Any:
        """A boto3 client of the lab."""
        return aws.client(service, self.lab.environment())

    def consoles(self) -> str:
        """The consoles of all nodes, for a failed test's message."""
        nodes = self.lab.status()["nodes"]
        return "\n".join(
            f"--- {n['id']} {n['state']}\n" + self.lab.call("console", node=n["id"]) for n in nodes
        )


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A lab with a deployed gateway that forwards ports."""
    lab = client.up(lab_name("e2e"), "none")
    directory = tmp_path_factory.mktemp("stack")
    try:
        environment = lab.environment()
        shown = cli("init", "--yes", "--include-isolated", cwd=directory, environment=environment)
        assert shown.returncode == 0, shown.stderr
        with (directory / "evernat.toml").open("a") as file:
            file.write(FORWARDS)
        shown = cli("deploy", "--yes", cwd=directory, environment=environment)
        found = Deployed(lab, directory, "")
        assert shown.returncode == 0, shown.stdout + shown.stderr + found.consoles()
        yield Deployed(lab, directory, str(found.gateway()["public_address"]))
    finally:
        if os.environ.get("EVERNAT_KEEP_LAB"):
            print(f"kept: lab {lab.name}, {directory}")
        else:
            client.down(lab.name)
