"""Hears when anybody changes the kernel's links, addresses, routes, rules, forwarding or nftables.

A machine's own network daemon takes away what it did not make (systemd-networkd at each set-up of a link), and people
flush rules. The kernel tells who listens, so that nobody has to poll for it.
"""

from __future__ import annotations

import select
import socket
import struct

ROUTE, NETFILTER = 0, 12  # families of netlink
LINKS, ADDRESSES, ROUTES, RULES, NETCONF = 1, 5, 7, 8, 24  # RTNLGRP_*, IPv4's
NFTABLES = 7  # NFNLGRP_NFTABLES
QUIET = {10 << 8 | kind for kind in (12, 13, 14, 15)}
"""Elements of sets come and go by themselves; so does the message that ends each transaction (NFT_MSG_*)."""


class Listener:
    """Readable (`fileno`) when something changed. Never blocks."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.fileno = self._epoll.fileno
        self._sockets = [
            self._open(ROUTE, LINKS, ADDRESSES, ROUTES, RULES, NETCONF),
            self._open(NETFILTER, NFTABLES),
        ]

    def _open(self, family: int, *groups: int) -> socket.socket:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, family)
        made.bind((0, sum(1 << group - 1 for group in groups)))
        self._epoll.register(made, select.EPOLLIN)
        return made

    def drain(self) -> bool:
        """Read what came, at most a thousand packets of each family; whether anything of it is a change."""
        changed = [self._drain(one) for one in self._sockets]
        return any(changed)

    def _drain(self, one: socket.socket) -> bool:
        changed = False
        for _ in range(1000):
            try:
                data = one.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: more came than there was room for
                changed = True
                continue
            while len(data) >= 16:
                size, kind = struct.unpack_from("=IH", data)
                changed = changed or kind not in QUIET
                data = data[max(16, size + 3 & ~3) :]
        return changed
