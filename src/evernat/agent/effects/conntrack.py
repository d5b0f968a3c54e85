"""The kernel's connection tracking: listen to it, list it, write to it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence

NETLINK_NETFILTER = 12
SO_RCVBUFFORCE = 33
EVENTS = 7  # groups of new, changed and gone connections, as bits
ERROR = struct.Struct("=8xI4xi")


def connect(groups: int = 0, room: int = 1 << 20) -> socket.socket:
    """A socket to the kernel that does not block; `room` is the bytes that may wait in it."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, room)
    made.bind((0, groups))
    return made


def write(kernel: socket.socket, messages: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Have the messages done; gives the number and errno of each that was refused.

    The kernel works while we send, so all its answers are there when that returns.
    """
    for at in range(0, len(messages), 64):
        kernel.send(b"".join(messages[at : at + 64]))
        try:
            while True:
                number, error = ERROR.unpack_from(kernel.recv(65_536))
                yield number, -error
        except BlockingIOError:
            pass
