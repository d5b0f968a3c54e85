"""The far end: does for each connection what the connection's first line asks for."""

from __future__ import annotations

import socket

from evernat.lab.load import pattern
from evernat.lab.load.loop import Loop, Outbox

_LONGEST = 1 << 18
BEHIND = 1 << 20
"""Bytes that may wait for a slow or silent receiver before the server stops adding to them."""


class Served:
    """One connection. Its kind is known after its first line."""

    __slots__ = ("_count", "_every", "_kind", "_line", "_loop", "_out", "_socket")

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self._loop, self._socket = loop, sock
        self._kind, self._every = "", 0.0
        self._count, self._line = 0, b""
        self._out = Outbox(loop, sock, self)

    def ready(self, readable: bool, writable: bool) -> None:
        """Take what came, give what waits."""
        try:
            if readable and not self._read():
                self._end()
                return
            if writable:
                self._out.flush()
        except OSError:
            self._end()

    def _read(self) -> bool:
        while True:
            try:
                data = self._socket.recv(_LONGEST)
            except BlockingIOError:
                return True
            if not data:
                return False
            if not self._kind:
                data = self._begin(data)
            if data and self._kind == "up":
                self._take(data)
            elif data:
                self._send(data)  # idle and request: back it goes

    def _begin(self, data: bytes) -> bytes:
        """Read the first line; what follows it."""
        line, mark, rest = (self._line + data).partition(b"\n")
        if not mark:
            self._line = line
            return b""
        kind, every = line.decode("latin-1").split()
        self._kind, self._every = kind, int(every) / 1000
        self._send(b"ok\n")
        if kind in ("push", "down"):
            self._loop.later(self._every, self._give)
        return rest

    def _take(self, data: bytes) -> None:
        """Say how much arrived, or that it is not what was sent."""
        right = pattern.holds(self._count, data)
        self._count += len(data)
        self._send(b"%d\n" % self._count if right else b"wrong\n")

    def _give(self) -> None:
        """The next line or chunk, and so on for ever."""
        if not self._kind:
            return
        if len(self._out) < BEHIND:
            if self._kind == "push":
                self._send(b"%d\n" % self._count)
                self._count += 1
            else:
                self._send(pattern.at(self._count, pattern.CHUNK))
                self._count += pattern.CHUNK
        self._loop.later(self._every, self._give)

    def _send(self, data: bytes) -> None:
        self._out.put(data)
        try:
            self._out.flush()
        except OSError:
            self._end()

    def _end(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.forget(self._socket)
            self._socket.close()
        self._kind = ""


class _Door:
    """Takes new connections."""

    def __init__(self, loop: Loop, listener: socket.socket) -> None:
        self._loop, self._listener = loop, listener
        loop.watch(listener, self)

    def ready(self, readable: bool, writable: bool) -> None:
        """All that wait."""
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._loop.watch(sock, Served(self._loop, sock))


class _Echo:
    """Sends datagrams back."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self._socket = sock
        loop.watch(sock, self)

    def ready(self, readable: bool, writable: bool) -> None:
        """All that came."""
        while True:
            try:
                data, sender = self._socket.recvfrom(65535)
                self._socket.sendto(data, sender)
            except BlockingIOError:
                return
            except OSError:
                continue


def serve(loop: Loop, address: str, port: int) -> None:
    """Listen on TCP and UDP; then the loop does the rest."""
    listener = socket.create_server((address, port), backlog=4096)
    listener.setblocking(False)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    datagrams.bind((address, port))
    datagrams.setblocking(False)
    _Door(loop, listener)
    _Echo(loop, datagrams)
