"""The kernel's devices and sysctls."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from .. import sysctls
from . import EffectError

SIOCGIFHWADDR, SIOCGIFFLAGS = 0x8927, 0x8913
IFF_RUNNING = 0x40


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


def faults(link: str) -> list[str]:
    """The settings that are not as they must be."""
    return [f"sysctl {path}" for path, value in sysctls.must(link).items() if _read(path) != value]


def prepare(link: str, idle: int = 3600) -> list[str]:
    """Put them right, forwarding last. Gives the conntrack settings that the kernel did not take.

    `idle`: seconds a TCP connection may be silent.
    """
    wished = sysctls.should(os.sysconf("SC_PHYS_PAGES"), idle)
    refused = [path for path, value in wished.items() if not _set(path, value)]
    for path, value in sysctls.must(link).items():
        if not _set(path, value):
            raise EffectError(f"cannot set {path} to {value}")
    return refused


def room() -> tuple[int, int]:
    """How many entries the connection table takes, and how many bytes fragments may."""
    entries, fragments = _read("netfilter/nf_conntrack_max"), _read("ipv4/ipfrag_high_thresh")
    return int(entries or 65_536), int(fragments or 4 << 20)


def carries(link: str) -> bool:
    """Whether packets go out by the link: soon after both ends of a cable are up. OSError: there is no such link."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("256s", link.encode()))
    return bool(answer[16] & IFF_RUNNING)


def forwards(link: str) -> bool:
    """Whether what comes in by the link is forwarded."""
    return _read(f"ipv4/conf/{link}/forwarding") == "1"


def forward(link: str) -> None:
    """Have what comes in by the link forwarded."""
    if not _set(f"ipv4/conf/{link}/forwarding", "1"):
        raise EffectError(f"cannot set forwarding of {link}")


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
