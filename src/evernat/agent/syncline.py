"""A TCP connection to another node over which sealed frames go. Never blocks."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from .syncwire import RANDOM, Way

BACKLOG = 4 << 20  # bytes a standby may lag behind
DIAL = 0.3  # seconds until a connection that is not answered by the other kernel is tried anew
REST = 3.0  # seconds of silence after which a connection is given up


class Line:
    """A connection to another node. `take` gets what comes, frame by frame; `out` waits for the socket.

    `open` is whether the other kernel has answered: then it is for the other process to say something.
    """

    def __init__(
        self, made: socket.socket, secret: bytes, take: Callable[[Line, bytes], None], greeting: bytes
    ):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket, self.fileno = made, made.fileno
        self.secret, self.take, self.greeting = secret, take, greeting
        self.out, self.inbox = bytearray(os.urandom(RANDOM)), bytearray()
        self.random = bytes(self.out)
        self.ways: Any = None  # ours, theirs
        self.open = False
        self.heard = self.said = time.monotonic()

    def say(self, body: bytes) -> None:
        """Send a frame. OSError when the other end is gone or too slow."""
        self.out += self.ways[0].seal(body)
        self.said = time.monotonic()
        if len(self.out) > BACKLOG:
            raise OSError("too slow")
        self.push()

    def push(self) -> None:
        """Send what waits, as far as the socket takes it."""
        try:
            del self.out[: self.socket.send(self.out)]
        except BlockingIOError:
            return
        if not self.open:
            self.open, self.heard = True, time.monotonic()

    def late(self, now: float) -> bool:
        """Whether it has to be given up. A kernel answers at once: if not, a packet was lost, or a firewall is shut."""
        return now - self.heard > (REST if self.open else DIAL)

    def ready(self) -> None:
        """Something can be sent or read. OSError when the other end is gone, ForgedError."""
        self.push()
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        if not data:
            raise OSError("closed")
        self.inbox += data
        self.heard = time.monotonic()
        if not self.ways and len(self.inbox) >= RANDOM:
            other = bytes(self.inbox[:RANDOM])
            del self.inbox[:RANDOM]
            self.ways = Way(self.secret, self.random, other), Way(self.secret, other, self.random)
            if self.greeting:
                self.say(self.greeting)
        if self.ways:
            for body in self.ways[1].open(self.inbox):
                self.take(self, body)
