"""The kernel's devices, addresses, routes and sysctls."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
from pathlib import Path

from .. import routing
from ..model import Gateway

SIOCGIFHWADDR = 0x8927
SYSCTL = "/proc/sys/net"


def device(mac: str) -> str:
    """The device with this MAC, empty when there is none. Names are the image's business."""
    wanted = bytes.fromhex(mac.replace(":", ""))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(any_socket, SIOCGIFHWADDR, struct.pack("256s", name.encode()))
            except OSError:  # gone since it was listed
                continue
            if answer[18:24] == wanted:
                return name
    return ""


def faults(gateway: Gateway) -> list[str]:
    """What differs from what the gateway needs."""
    wrong = [path for path, value in routing.sysctls(gateway).items() if _read(path) != value]
    return routing.faults(_shown(gateway), gateway) + [f"sysctl {path}" for path in wrong]


def prepare(gateway: Gateway) -> list[str]:
    """Put it right, forwarding last. Gives the conntrack settings the kernel did not take; raises OSError."""
    _ip(routing.commands(_shown(gateway), gateway))
    refused = []
    for name, value in routing.conntrack(os.sysconf("SC_PHYS_PAGES")).items():
        path = f"netfilter/{name}"
        try:
            if _read(path) != value:
                _write(path, value)
        except OSError:
            refused.append(name)
    for path, value in routing.sysctls(gateway).items():
        if _read(path) != value:
            _write(path, value)
    return refused


def _shown(gateway: Gateway) -> str:
    # -force: an empty table is an error to `ip`, and what a missing device lacks is told by the comparison.
    return _ip(routing.show(gateway), "-force")


def _ip(commands: list[str], *options: str) -> str:
    done = subprocess.run(
        ["ip", "-4", *options, "-batch", "-"],
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    if done.returncode and not options:
        raise OSError(f"ip: {done.stderr.strip()}")
    return done.stdout


def _read(path: str) -> str:
    try:
        return Path(SYSCTL, path).read_text().strip()
    except OSError:
        return ""


def _write(path: str, value: str) -> None:
    Path(SYSCTL, path).write_text(value)
