"""As many small datagrams as one process can send: what a busy or hostile neighbour does to a node.

With `flows` above 1 each of that many source ports is used in turn, so that every datagram of the first round begins a
flow the gateway did not know.
"""

from __future__ import annotations

import contextlib
import socket
import time

BURST = 64
"""Datagrams between two looks at the clock."""


def flood(address: str, port: int, seconds: float, rate: float = 0.0, flows: int = 1, size: int = 64) -> int:
    """Send for so long, `rate` datagrams a second (0: as fast as it goes); how many were sent."""
    sockets = []
    for _ in range(flows):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.connect((address, port))
        made.setblocking(False)
        sockets.append(made)
    payload = bytes(size)
    begun = time.monotonic()
    tried = sent = 0
    try:
        while (passed := time.monotonic() - begun) < seconds:
            if rate and tried > passed * rate:
                time.sleep(0.001)
                continue
            for _ in range(BURST):
                with contextlib.suppress(OSError):  # no room, or an ICMP error about an earlier one
                    sockets[tried % flows].send(payload)
                    sent += 1
                tried += 1
    finally:
        for each in sockets:
            each.close()
    return sent
