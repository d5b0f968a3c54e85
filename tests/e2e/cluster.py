"""A lab with a pair or a ring deployed into it, connections held through it, and what can be asked of its nodes."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernat.lab import checks, client
from evernat.lab.checks import until
from evernat.lab.errors import LabError
from evernat.lab.load import PORT, Host, Load, server

from .conftest import Deployed
from .support import cli, lab_name

FORWARD = f"""
[[port_forward]]
protocol = "tcp"
port = {PORT}
target = "172.18.64.10"
target_port = {PORT}
sources = ["198.51.100.0/24"]
"""
"""The load server on client-a, from the internet."""

TOML = """
name = "main"
region = "us-west-2"
topology = "{topology}"
vpc_id = {vpc}
public_subnets = {public}
private_subnets_cidr_blocks = {clients}
private_route_table_ids = {tables}
{more}
"""

MANY = {"idle": 80, "push": 20, "request": 20, "up": 3, "down": 3, "udp": 14}
"""Connections of one client host: 140."""
INBOUND = {"idle": 10, "push": 5, "request": 5}
"""Forwarded ones."""

SETTLE = 30.0
"""Seconds in which a gateway must be whole again after anything."""


@dataclass(frozen=True)
class Cluster(Deployed):
    """A deployed stack of several nodes. `public` is the first gateway's address."""

    def gateways(self) -> dict[str, dict[str, Any]]:
        """The gateways of `evernat status --json`, by name."""
        return {g["name"]: dict(g) for g in self.evernat("status")["gateways"]}

    def agent(self, node: str) -> dict[str, Any]:
        """What a node's agent says of itself; empty when it says nothing."""
        with contextlib.suppress(LabError, ValueError):
            shown = self.lab.exec(node, ["evernat-agent", "status", "--json"], inside=True)
            return dict(json.loads(shown.stdout))
        return {}

    def role(self, node: str, gateway: str) -> str:
        """The role a node says it has for a gateway; empty when it says nothing."""
        return str(self.agent(node).get("gateways", {}).get(gateway, {}).get("role", ""))

    def whole(self, seconds: float = SETTLE) -> dict[str, dict[str, Any]]:
        """Wait until each gateway has a holder, and a standby that has its connections; the gateways."""

        def settled() -> dict[str, dict[str, Any]] | None:
            found = self.gateways()
            for name, gateway in found.items():
                if gateway["state"] != "ready" or self.role(gateway["standby"], name) != "standby":
                    return None
                if self.role(gateway["holder"], name) != "holding":
                    return None
            return found

        found = until(settled, seconds, 0.2)
        assert found, f"{self.gateways()}\n{self.consoles()}"
        return dict(found)

    def associations(self, since: float) -> list[dict[str, Any]]:
        """The AssociateAddress calls that nodes made with success since a time (Unix seconds): changes of owner."""
        calls = self.lab.call("calls", since=since)
        return [
            c
            for c in calls
            if (c["action"], c["error"]) == ("AssociateAddress", None) and c["principal"] != "user"
        ]

    def alive(self) -> list[str]:
        """The nodes that have power."""
        return [n["id"] for n in self.lab.status()["nodes"] if n["powered"] and n["stack"] == "main"]

    @contextlib.contextmanager
    def load(self, clients: Sequence[str] = ("client-a", "client-b")) -> Iterator[Load]:
        """Connections of all kinds from these clients, and forwarded ones from the internet to client-a."""
        hosts = [Host(name, MANY) for name in clients]
        inbound = Host("internet", INBOUND, address=self.public)
        with server(self.lab), server(self.lab, "client-a"), Load(self.lab, [*hosts, inbound], 0.25) as load:
            assert load.opened.total("opened") == load.opened.total("wanted"), str(load.opened)
            time.sleep(0.5)  # let what was opened last reach the standby
            yield load


def text(network: dict[str, Any], topology: str, public: Sequence[str], more: str = "") -> str:
    """The evernat.toml of a stack in the lab's network."""
    return TOML.format(
        topology=topology,
        vpc=json.dumps(network["vpc_id"]),
        public=json.dumps(list(public)),
        clients=json.dumps(list(network["private_cidrs"])),
        tables=json.dumps(list(network["private_route_table_ids"])),
        more=more + FORWARD,
    )


@contextlib.contextmanager
def deployed(topology: str, zones: int, directory: Path, latency: str = "none") -> Iterator[Cluster]:
    """A lab with a stack over so many zones, whole."""
    lab = client.up(lab_name(topology), latency)
    try:
        network = lab.status()["network"]
        (directory / "evernat.toml").write_text(text(network, topology, network["public_subnet_ids"][:zones]))
        shown = cli("deploy", "--yes", cwd=directory, environment=lab.environment())
        found = Cluster(lab, directory, "")
        assert shown.returncode == 0, shown.stdout + shown.stderr + found.consoles()
        first = min(found.gateways().values(), key=lambda g: str(g["name"]))
        cluster = Cluster(lab, directory, str(first["public_address"]))
        cluster.whole()
        yield cluster
    finally:
        if os.environ.get("EVERNAT_KEEP_LAB"):
            print(f"kept: lab {lab.name}, {directory}")
        else:
            client.down(lab.name)


def kept(load: Load) -> None:
    """Every connection proves that it lives; else the test fails with what was lost and why, by host and kind."""
    found = load.check()
    assert found.all_alive, [(h, k, f["alive"], f["lost"]) for h, k, f in found.kinds if f["lost"]]


def out_under(cluster: Cluster, host: str, address: str) -> bool:
    """Whether the internet sees a client under an address."""
    return checks.tcp(cluster.lab, host, address).ok
