"""The near end: one object for each connection that is held, by kind.

Each knows whether it is open, how it was lost, when it last heard something, and whether it has shown since it was
asked that bytes pass.
"""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Callable

from evernat.lab.load import pattern
from evernat.lab.load.loop import Loop, Outbox

_MOST = 1 << 18


class Held:
    """What all kinds share. `lost` says why it is no more, empty while it is."""

    kind = ""
    steady = False
    """Whether something comes every interval, so that a gap means something."""
    active = False
    """Whether this side begins each interval."""

    __slots__ = ("_socket", "every", "gap", "last", "loop", "lost", "opened", "proved", "settled")

    def __init__(self, loop: Loop, every: float, settled: Callable[[], None]) -> None:
        """`settled` is called once, when it is open or has failed to be."""
        self.loop, self.every, self.settled = loop, every, settled
        self.lost, self.opened, self.proved = "", False, False
        self.last, self.gap = 0.0, 0.0
        self._socket: socket.socket

    @property
    def alive(self) -> bool:
        """Open, as far as this side knows."""
        return self.opened and not self.lost

    def ask(self) -> None:
        """From now on it has to prove that it lives."""
        self.proved = False

    def _beat(self) -> None:
        """What this side does each interval."""

    def tick(self) -> None:
        """The interval is over; the next one begins."""
        if self.alive:
            self._beat()
            self.loop.later(self.every, self.tick)

    def heard(self) -> None:
        """Something right came."""
        if self.last:
            self.gap = max(self.gap, self.loop.now - self.last)
        self.last, self.proved = self.loop.now, True

    def silence(self) -> float:
        """The longest time without a word so far, the current one included; 0 for kinds that are silent by nature."""
        return max(self.gap, self.loop.now - self.last) if self.steady and self.last else 0.0

    def _open(self) -> None:
        """It is there; begin."""
        self.opened, self.last = True, self.loop.now
        if self.active:
            # Not all at the same moment.
            self.loop.later(random.uniform(0, self.every), self.tick)  # noqa: S311 - no secret
        self.settled()

    def end(self, why: str) -> None:
        """It is gone. The first reason counts."""
        if self.lost:
            return
        self.lost = why
        self.loop.forget(self._socket)
        self._socket.close()
        if not self.opened:
            self.settled()


class Tcp(Held):
    """A TCP connection that began with its kind's line."""

    __slots__ = ("_greeted", "_out", "_rest")

    def __init__(
        self, loop: Loop, every: float, settled: Callable[[], None], address: str, port: int
    ) -> None:
        super().__init__(loop, every, settled)
        self._rest, self._greeted = b"", False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._out = Outbox(loop, self._socket, self, waits=True)
        self._out.put(b"%s %d\n" % (self.kind.encode(), int(every * 1000)))
        error = self._socket.connect_ex((address, port))
        loop.watch(self._socket, self, write=True)
        if error not in (0, errno.EINPROGRESS):
            self.end(_named(error))

    def ready(self, readable: bool, writable: bool) -> None:
        """Take what came, give what waits."""
        try:
            if writable:
                self._out.flush()
            if readable:
                self._read()
        except OSError as error:
            self.end(_named(error.errno or 0))

    def send(self, data: bytes) -> None:
        """Now, or when there is room."""
        self._out.put(data)
        try:
            self._out.flush()
        except OSError as error:
            self.end(_named(error.errno or 0))

    def _read(self) -> None:
        while not self.lost:
            try:
                data = self._socket.recv(_MOST)
            except BlockingIOError:
                return
            if not data:
                self.end("closed")
                return
            if not self._greeted:
                data = self._greet(data)
            if data:
                self._take(data)

    def _greet(self, data: bytes) -> bytes:
        line, mark, rest = (self._rest + data).partition(b"\n")
        if not mark:
            self._rest = line
            return b""
        self._rest, self._greeted = b"", True
        if line != b"ok":
            self.end("not a load server")
            return b""
        self._open()
        return rest

    def _take(self, data: bytes) -> None:
        """Bytes after the greeting: for most kinds, lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        """One line after the greeting."""


class Idle(Tcp):
    """Says nothing until it is asked to prove that it lives."""

    kind = "idle"
    __slots__ = ()

    def ask(self) -> None:
        """Ask the other side, too."""
        super().ask()
        if self.alive:
            self.send(b"alive?\n")

    def _line(self, line: bytes) -> None:
        self.heard() if line == b"alive?" else self.end("wrong bytes")


class Numbered(Tcp):
    """Lines that count from 0."""

    steady = True
    __slots__ = ("_next",)

    def _open(self) -> None:
        self._next = 0
        super()._open()

    def _line(self, line: bytes) -> None:
        if line != b"%d" % self._next:
            self.end("wrong bytes")
            return
        self._next += 1
        self.heard()


class Push(Numbered):
    """The server counts, unasked."""

    kind = "push"
    __slots__ = ()


class Request(Numbered):
    """This side counts, the server repeats it. The next number waits for the answer to the last."""

    kind = "request"
    active = True
    __slots__ = ("_asked",)

    def _open(self) -> None:
        self._asked = 0
        super()._open()

    def _beat(self) -> None:
        if self._asked == self._next:
            self.send(b"%d\n" % self._asked)
            self._asked += 1


class Up(Tcp):
    """Bulk to the server, which says how much it has."""

    kind = "up"
    active = True
    steady = True
    __slots__ = ("_sent",)

    def _open(self) -> None:
        self._sent = 0
        super()._open()

    def _beat(self) -> None:
        if not self._out:
            self.send(pattern.at(self._sent, pattern.CHUNK))
            self._sent += pattern.CHUNK

    def _line(self, line: bytes) -> None:
        if line.isdigit() and int(line) <= self._sent:
            self.heard()
        else:
            self.end("wrong bytes")


class Down(Tcp):
    """Bulk from the server."""

    kind = "down"
    steady = True
    __slots__ = ("_came",)

    def _open(self) -> None:
        self._came = 0
        super()._open()

    def _take(self, data: bytes) -> None:
        if not pattern.holds(self._came, data):
            self.end("wrong bytes")
            return
        self._came += len(data)
        self.heard()


class Udp(Held):
    """A datagram each interval that comes back. It cannot break, only be silent."""

    kind = "udp"
    active = True
    steady = True
    __slots__ = ("_number",)

    def __init__(
        self, loop: Loop, every: float, settled: Callable[[], None], address: str, port: int
    ) -> None:
        super().__init__(loop, every, settled)
        self._number = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect((address, port))
        loop.watch(self._socket, self)
        self.tick_unopened()

    def tick_unopened(self) -> None:
        """Until the first answer."""
        if not self.opened and not self.lost:
            self._beat()
            self.loop.later(max(self.every, 0.2), self.tick_unopened)

    def _beat(self) -> None:
        self._number += 1
        try:
            self._socket.send(self._number.to_bytes(8, "big"))
        except OSError:
            return  # an ICMP error about an earlier one; the next may do better

    def ready(self, readable: bool, writable: bool) -> None:
        """Answers; every number up to the last one sent is right."""
        while not self.lost:
            try:
                data = self._socket.recv(64)
            except BlockingIOError:
                return
            except OSError:
                continue
            if not 0 < int.from_bytes(data, "big") <= self._number:
                self.end("wrong bytes")
            elif self.opened:
                self.heard()
            else:
                self._open()


BY_KIND: dict[str, type[Idle | Push | Request | Up | Down | Udp]] = {
    one.kind: one for one in (Idle, Push, Request, Up, Down, Udp)
}


def _named(number: int) -> str:
    return errno.errorcode.get(number, os.strerror(number))
