"""The kernel's connection tracking: listen to it, list it, write to it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

NETLINK_NETFILTER = 12
SO_RCVBUFFORCE = 33
EVENTS = 7  # groups of new, changed and gone connections, as bits


def connect(groups: int = 0) -> socket.socket:
    """A socket to the kernel that does not block, with room for some ten thousand events."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    made.bind((0, groups))
    return made


def write(kernel: socket.socket, messages: Sequence[bytes]) -> int:
    """Have the messages done; gives how many were refused, other than for want of the entry.

    The kernel works while we send, so all its answers are there when that returns.
    """
    refused = 0
    for at in range(0, len(messages), 64):
        kernel.send(b"".join(messages[at : at + 64]))
        try:
            while True:
                answer = kernel.recv(4096)
                refused += int.from_bytes(answer[16:20], "little", signed=True) != -errno.ENOENT
        except BlockingIOError:
            pass
    return refused
