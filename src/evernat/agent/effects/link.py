"""The kernel's devices, addresses, routes and sysctls."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from .. import routing
from ..model import Gateway
from . import EffectError
from .process import run

SIOCGIFHWADDR = 0x8927


def device(mac: str) -> str:
    """The device with this MAC, empty when there is none. Names are the image's business."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(any_socket, SIOCGIFHWADDR, struct.pack("256s", name.encode()))
            except OSError:  # gone since it was listed
                continue
            if answer[18:24].hex(":") == mac:
                return name
    return ""


def faults(gateway: Gateway) -> list[str]:
    """What differs from what the gateway needs."""
    wrong = [f"sysctl {path}" for path, value in routing.sysctls(gateway).items() if _read(path) != value]
    return routing.faults(_shown(gateway), gateway) + wrong


def prepare(gateway: Gateway) -> list[str]:
    """Put it right, forwarding last. Gives the conntrack settings that the kernel did not take."""
    run("ip", "-4", "-batch", "-", text=routing.commands(_shown(gateway), gateway))
    wished = routing.conntrack(os.sysconf("SC_PHYS_PAGES"))
    refused = [path for path, value in wished.items() if not _set(path, value)]
    for path, value in routing.sysctls(gateway).items():
        if not _set(path, value):
            raise EffectError(f"cannot set {path} to {value}")
    return refused


def _shown(gateway: Gateway) -> str:
    # An empty table is an error to `ip`, and what a missing device lacks is told by the comparison.
    return run("ip", "-4", "-force", "-batch", "-", text=routing.show(gateway), check=False)


def _read(path: str) -> str:
    try:
        with open(f"/proc/sys/net/{path}") as file:
            return file.read().strip()
    except OSError:
        return ""


def _set(path: str, value: str) -> bool:
    if _read(path) == value:
        return True
    try:
        with open(f"/proc/sys/net/{path}", "w") as file:
            file.write(value)
    except OSError:
        return False
    return True
