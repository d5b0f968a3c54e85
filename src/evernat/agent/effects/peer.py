"""The heartbeats' socket, and this thread's place in the kernel's queue."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from .. import contract


class Peers:
    """UDP to and from the other nodes; never blocks."""

    def __init__(self, port: int):
        self.port = port
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(("", port))

    def send(self, packet: bytes, address: str) -> None:
        """What cannot be sent is as lost as what gets lost on the way."""
        try:
            self.socket.sendto(packet, (address, self.port))
        except OSError:
            return

    def renew(self) -> None:
        """Renew the kernel's dead man's switch; the rule that does it also drops the datagram."""
        self.send(b"", contract.RENEW)

    def received(self) -> Iterator[tuple[bytes, str]]:
        """What came since, and from where. A flood waits for the next round."""
        for _ in range(200):
            try:
                packet, (address, _port) = self.socket.recvfrom(65536)
            except OSError:
                return
            yield packet, address


def urgent() -> str:
    """Run this thread before ordinary ones, but not what it starts; gives why not."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError as error:
        return f"no real-time priority: {error}"
    return ""
