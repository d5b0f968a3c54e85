"""Whether a busy machine makes a pair change hands: a hog on every core, and a flood through the holder.

The hogs run beside all nodes at ordinary priority, as a busy neighbour or a runaway program on a node would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.cluster import SOME, whole
from bench.figure import Figure
from bench.gateway import stack
from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.client import Lab
from evernat.lab.load import Host, Load, server
from evernat.lab.probing import watching

FLOWS = 1000
"""Source ports of the flood."""


def run(minutes: float = 1.0) -> Iterator[Figure]:
    """One pair, all of it at once."""
    with stack("none", "pair") as one:
        before = whole(one)
        with server(one.lab), Load(one.lab, [Host("client-b", SOME)]) as load:
            begun, roles = time.time(), _roles(one.lab)
            with _hogs(), watching(one.lab, "client-a") as seen:
                sent = _flood(one.lab, minutes * 60)
            roles = _roles(one.lab) - roles
            kept = load.check()
        calls = one.lab.call("calls", since=begun)
        moved = sum(c["action"] == "AssociateAddress" for c in calls)
        same = whole(one)["holder"] == before["holder"]
    on = f"lab, none, {minutes:g} min, {os.cpu_count()} hogs, {sent / minutes / 60:,.0f} packets/s"
    text = f"{roles} role changes, {moved} claims, {'the same holder' if same else 'ANOTHER HOLDER'}"
    yield Figure("pair: hogs and flood", text, "0", on)
    gap = f"{seen.longest_gap:.2f} s, {kept.total('alive')} of {kept.total('wanted')} connections kept"
    yield Figure("pair: hogs and flood, longest gap", gap, "", on)


@contextmanager
def _hogs() -> Iterator[None]:
    """A program on every core that never rests."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def _flood(lab: Lab, seconds: float) -> int:
    """Packets that a client sent through the gateway, as many as it can."""
    words = ["flood", INTERNET_HOST, "--port", "9", "--seconds", str(seconds), "--flows", str(FLOWS)]
    command = [sys.executable, "-m", "evernat.lab.load", *words]
    return int(json.loads(lab.exec("client-c", command, timeout=seconds + 60).stdout)["sent"])


def _roles(lab: Lab) -> int:
    """How often nodes have changed their role so far."""
    nodes = [n["id"] for n in lab.status()["nodes"]]
    return sum(str(lab.call("console", node=node)).count('"event": "role"') for node in nodes)


if __name__ == "__main__":
    for figure in run():
        print(figure.what, figure.value, figure.goal, figure.on, sep=" | ")
