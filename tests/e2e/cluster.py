"""A lab with a pair or a ring deployed into it, connections held through it, and what can be asked of its nodes."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from evernat.lab import checks, client
from evernat.lab.checks import until
from evernat.lab.client import Lab
from evernat.lab.errors import LabError
from evernat.lab.load import PORT, Host, Load, server
from evernat.stack.api import Api
from evernat.stack.status import status

from .conftest import Deployed
from .support import cli, lab_name

SHIFTED = 7200

FORWARD = f"""
[[port_forward]]
protocol = "tcp"
port = {PORT}
target = "172.18.64.10"
target_port = {PORT}
sources = ["198.51.100.0/24"]

[[port_forward]]
protocol = "udp"
port = {SHIFTED}
target = "172.18.64.10"
target_port = {PORT}
sources = ["198.51.100.0/24"]

[[port_forward]]
protocol = "tcp"
port = {SHIFTED}
target = "name:client-a"
target_port = {PORT}
sources = ["198.51.100.0/24"]
"""
"""The load server on client-a, from the internet: by address, by name, and through another port."""

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
INBOUND = {"idle": 20, "push": 10, "request": 10, "up": 2, "down": 2}
"""Forwarded ones to the target's own port: 44."""
THROUGH = {"idle": 10, "push": 10, "request": 10, "udp": 6}
"""Forwarded ones through another port than the target's: 36."""
CLIENTS = ("client-a", "client-b", "client-c")

SETTLE = 30.0
"""Seconds in which a gateway must be whole again after anything."""


@dataclass(frozen=True)
class Cluster(Deployed):
    """A deployed stack of several nodes. `public` is the first gateway's address."""

    api: Api = field(default_factory=Api.of)

    def gateways(self) -> dict[str, dict[str, Any]]:
        """The gateways of `evernat status --json`, by name, without a process for each look."""
        shown = json.loads(json.dumps(status(self.api, "main").as_dict()))
        return {g["name"]: g for g in shown["gateways"]}

    def gateway(self) -> dict[str, Any]:
        """The first of them."""
        return next(iter(self.gateways().values()))

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
        """Wait until each gateway has a holder, and a standby that has its connections; the gateways.

        Who stands by is asked of the holder itself: what it tells the stack is some seconds old.
        """

        def settled() -> dict[str, dict[str, Any]] | None:
            found = self.gateways()
            for name, gateway in found.items():
                told = self.agent(str(gateway["holder"])) if gateway["state"] in ("ready", "alone") else {}
                ours = told.get("gateways", {}).get(name, {})
                if ours.get("role") != "holding":
                    return None
                if gateway["standby_slot"]:
                    gateway["standby"] = next(iter(ours["standby"]), None)
                    if self.role(str(gateway["standby"]), name) != "standby":
                        return None
            return found

        found = until(settled, seconds, 0.2)
        assert found, f"{self.gateways()}\n{self.consoles()}"
        return dict(found)

    def failover(self, gateway: str, *words: str) -> dict[str, Any]:
        """The operator's handover, once the stack knows of a standby."""
        assert until(lambda: self.gateways()[gateway]["state"] == "ready", SETTLE, 0.2), self.gateways()
        return dict(self.evernat("failover", gateway, *words))

    def associations(self, since: float) -> list[dict[str, Any]]:
        """The AssociateAddress calls of nodes that moved an address since a time (Unix seconds): changes of owner.

        One whose answer was lost counts, one that found the address where it should be does not.
        """
        calls = self.lab.call("calls", since=since)
        return [
            c
            for c in calls
            if c["action"] == "AssociateAddress" and c["changed"] and c["principal"] != "user"
        ]

    def warn(self, node: str, notice: str) -> None:
        """Tell a node that it may be taken away.

        In a lab without latency its replacement is in service, and it is ended, before it has looked for a notice; so
        have the next launch hook answered only after that.
        """
        self.lab.call("fault", action="CompleteLifecycleAction", kind="delay", seconds=7)
        self.lab.call("spot", node=node, notice=notice, seconds=12)

    def alive(self) -> list[str]:
        """The nodes that have power."""
        return [n["id"] for n in self.lab.status()["nodes"] if n["powered"] and n["stack"] == "main"]

    def handed(self, node: str, gateway: str, seconds: float = SETTLE) -> str:
        """Wait until another node than this one has the gateway, because it was offered by this one; that node."""

        def taken() -> str:
            holder = str(self.gateways()[gateway]["holder"] or "")
            return holder if holder != node and self.role(holder, gateway) == "holding" else ""

        found = until(taken, seconds, 0.2)
        why = self.agent(found)["gateways"][gateway]["why"] if found else "nobody has it"
        assert why == f"offered by {node}", f"{why}\n{self.consoles()}"
        return str(found)

    @contextlib.contextmanager
    def load(self, clients: Sequence[str] = CLIENTS) -> Iterator[Load]:
        """Connections of all kinds from these clients, and forwarded ones from the internet to client-a."""
        hosts = [Host(name, MANY) for name in clients]
        hosts += [Host("internet", INBOUND, self.public), Host("internet", THROUGH, self.public, SHIFTED)]
        with server(self.lab), server(self.lab, "client-a"), Load(self.lab, hosts, 0.25) as load:
            assert load.opened.total("opened") == load.opened.total("wanted"), str(load.opened)
            time.sleep(0.5)  # let what was opened last reach the standby
            yield load


def text(network: dict[str, Any], topology: str, public: Sequence[str], more: str = "", end: str = "") -> str:
    """The evernat.toml of a stack in the lab's network. `more`: keys, `end`: tables."""
    return TOML.format(
        topology=topology,
        vpc=json.dumps(network["vpc_id"]),
        public=json.dumps(list(public)),
        clients=json.dumps(list(network["private_cidrs"])),
        tables=json.dumps(list(network["private_route_table_ids"])),
        more=more + FORWARD + ('slot = "a"\n' if topology == "ring" else "") + end,
    )


@contextlib.contextmanager
def deployed(
    topology: str, zones: int, directory: Path, *, more: str = "", end: str = "", latency: str = "none"
) -> Iterator[Cluster]:
    """A lab with a stack over so many zones, whole. `more` and `end`: see `text`."""
    lab = client.up(lab_name(topology), latency)
    try:
        with patch.dict(os.environ, lab.environment()):
            yield _deploy(lab, topology, zones, directory, more, end)
    finally:
        if os.environ.get("EVERNAT_KEEP_LAB"):
            print(f"kept: lab {lab.name}, {directory}")
        else:
            client.down(lab.name)


def _deploy(lab: Lab, topology: str, zones: int, directory: Path, more: str, end: str) -> Cluster:
    network = lab.status()["network"]
    public = network["public_subnet_ids"][:zones]
    (directory / "evernat.toml").write_text(text(network, topology, public, more, end))
    shown = cli("deploy", "--yes", cwd=directory, environment=lab.environment())
    found = Cluster(lab, directory, "")
    assert shown.returncode == 0, shown.stdout + shown.stderr + found.consoles()
    first = min(found.gateways().values(), key=lambda g: str(g["name"]))
    cluster = Cluster(lab, directory, str(first["public_address"]))
    cluster.whole(SETTLE if lab.status()["latency"] == "none" else 4 * SETTLE)
    return cluster


def kept(load: Load) -> None:
    """Every connection proves that it lives; else the test fails with what was lost and why, by host and kind."""
    found = load.check()
    assert found.all_alive, [(h, k, f["alive"], f["lost"]) for h, k, f in found.kinds if f["lost"]]


def out_under(cluster: Cluster, host: str, address: str) -> bool:
    """Whether the internet sees a client under an address."""
    return checks.tcp(cluster.lab, host, address).ok
