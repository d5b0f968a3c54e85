"""What the lab's hosts serve: the client hosts in the private subnets, and the host on the internet."""

from __future__ import annotations

import sys
from typing import Literal

Role = Literal["client", "internet"]

HTTP, ECHO, PUSH, IPERF = 80, 7, 8007, 5201
"""Ports. Echo is TCP and UDP; push is TCP: a line every 50 ms, unasked."""


def command(role: Role, name: str) -> list[str]:
    """The command that serves `role` in the namespace it is started in. It writes `ready` once all ports are open."""
    return [sys.executable, "-m", "evernat.lab.services", "--role", role, "--name", name]
