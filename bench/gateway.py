"""What a deployed gateway costs and how fast it is: in a lab, with the real agent."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.figure import Figure, median
from evernat.lab import aws, checks, client
from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.checks import until
from evernat.lab.client import Lab

IDLE = 20.0
"""Seconds over which the idle agent's CPU time is taken."""


class Stack:
    """A gateway deployed into a lab."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab, self._directory = lab, directory
        self._variables = os.environ | lab.environment()

    def __call__(self, *words: str, codes: tuple[int, ...] = (0,)) -> Any:
        """Run a verb with --json."""
        shown = subprocess.run(
            [sys.executable, "-m", "evernat.cli", *words, "--json"],
            cwd=self._directory,
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if shown.returncode not in codes:
            raise RuntimeError(f"evernat {words}: {shown.stderr}{shown.stdout}")
        return json.loads(shown.stdout)

    def holder(self) -> str:
        """The node that has the gateway."""
        return str(self("status")["gateways"][0]["holder"])


@contextmanager
def stack(latency: str, topology: str = "single") -> Iterator[Stack]:
    """A lab of its own with a gateway in it."""
    with tempfile.TemporaryDirectory(prefix="evernat-bench-") as directory:
        lab = client.up(f"bench-{os.getpid()}", latency)
        try:
            found = Stack(lab, Path(directory))
            found("init", "--topology", topology, "--yes", "--include-isolated")
            found("deploy", "--yes")
            yield found
        finally:
            client.down(lab.name)


def run() -> list[Figure]:
    """Everything that needs a lab. The `aws` profile's replacement takes minutes."""
    with stack("none") as one:
        figures = [user_data(one), *agent(one), *plan(one), *heal(one, "none", 5)]
    with stack("aws") as one:
        figures += heal(one, "aws", 1)
    return figures


def user_data(one: Stack) -> Figure:
    """What a node gets, as EC2 stores it."""
    ec2 = aws.client("ec2", one.lab.environment())
    answer = ec2.describe_launch_template_versions(Versions=["$Latest"], LaunchTemplateName="evernat-main")
    size = len(base64.b64decode(answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]))
    return Figure("user data", f"{size:,} bytes", "16,384 bytes")


def agent(one: Stack) -> list[Figure]:
    """Start to proof, memory, idle processor time."""
    holder = one.holder()
    took = checks.agent_seconds(one.lab.call("console", node=holder))
    pid = one.lab.exec(
        holder, ["systemctl", "show", "-p", "MainPID", "--value", "evernat-agent"], inside=True
    )
    status = one.lab.exec(holder, ["cat", f"/proc/{pid.stdout.strip()}/status"], inside=True).stdout
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    before = _cpu(one, holder, pid.stdout.strip())
    time.sleep(IDLE)
    share = (_cpu(one, holder, pid.stdout.strip()) - before) / IDLE
    return [
        Figure(
            "agent, first line to NAT proven (API and packages included)",
            f"{took:.2f} s",
            "0.3 s",
            "lab, none",
        ),
        Figure("agent, resident memory", f"{resident / 1024:.1f} MiB", "20 MB", "lab"),
        Figure("agent, idle processor time", f"{share * 100:.2f} % of a core", "0.5 %", f"lab, {IDLE:.0f} s"),
    ]


def _cpu(one: Stack, holder: str, pid: str) -> float:
    """Seconds of processor time the agent and its finished children have used."""
    fields = one.lab.exec(holder, ["cat", f"/proc/{pid}/stat"], inside=True).stdout.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def plan(one: Stack) -> list[Figure]:
    """`plan` of an existing stack, the whole command."""
    times, calls = [], 0
    for _ in range(5):
        begun, wall = time.monotonic(), time.time()
        one("plan")
        times.append(time.monotonic() - begun)
        calls = len([c for c in one.lab.call("calls", since=wall) if c["principal"] == "user"])
    return [
        Figure("plan of an existing stack", f"{median(times):.2f} s", "2 s", "lab, none, median of 5"),
        Figure("plan of an existing stack, API calls", str(calls), "25", "lab"),
    ]


def heal(one: Stack, latency: str, rounds: int) -> list[Figure]:
    """From power-off until a client's packets pass again."""
    gaps = [_gap(one) for _ in range(rounds)]
    on = f"lab, {latency}, median of {rounds}"
    return [Figure("single: power-off to NAT through a new node", f"{median(gaps):.1f} s", on=on)]


def _gap(one: Stack) -> float:
    """Seconds of the longest gap between answers of a 10 ms ping while the holder is powered off and replaced."""
    holder = one.holder()
    ping = ["ping", "-n", "-D", "-i", "0.01", INTERNET_HOST]
    with tempfile.TemporaryFile("w+") as record:
        pings = one.lab.popen("client-a", ping, stdout=record)
        try:
            time.sleep(0.5)
            one.lab.kill(holder, "power")
            if not until(lambda: _replaced(one, holder), 300):
                raise RuntimeError(f"{holder} was not replaced within 300 s")
            time.sleep(0.5)
        finally:
            pings.terminate()
            pings.wait()
        record.seek(0)
        answers = [float(line[1:].split("]")[0]) for line in record if "bytes from" in line]
    if not until(lambda: one("status")["gateways"][0]["state"] == "ready", 120):
        raise RuntimeError("the gateway did not become ready again")
    return max(b - a for a, b in pairwise(answers))


def _replaced(one: Stack, old: str) -> bool:
    """Whether another node carries packets."""
    powered = [n["id"] for n in one.lab.status()["nodes"] if n["powered"]]
    return bool(powered) and old not in powered and checks.icmp(one.lab, "client-a").ok
