"""The least that ten thousand connections in one process need: epoll, and timers.

asyncio would take some 20 kB and several objects for each connection; here it is one.
"""

from __future__ import annotations

import heapq
import itertools
import resource
import select
import socket
import time
from collections.abc import Callable
from typing import Protocol

SLICE = 1024
"""Events taken from the kernel at once."""


class Watched(Protocol):
    """What the loop calls when its socket can be read or written."""

    def ready(self, readable: bool, writable: bool) -> None:
        """Read all there is; write if there is something to write."""


class Loop:
    """Sockets and timers of one process. `now` is the monotonic time at which the current event was taken."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._watched: dict[int, Watched] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.now = time.monotonic()
        self.going = True

    def watch(self, sock: socket.socket | int, watched: Watched, *, write: bool = False) -> None:
        """Call `watched.ready` from now on; reading always, writing when asked."""
        fd = sock if isinstance(sock, int) else sock.fileno()
        events = select.EPOLLIN | (select.EPOLLOUT if write else 0)
        if fd in self._watched:
            self._poll.modify(fd, events)
        else:
            self._poll.register(fd, events)
        self._watched[fd] = watched

    def forget(self, sock: socket.socket | int) -> None:
        """No calls any more. Before the socket is closed."""
        fd = sock if isinstance(sock, int) else sock.fileno()
        if self._watched.pop(fd, None):
            self._poll.unregister(fd)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something in a while."""
        heapq.heappush(self._timers, (self.now + seconds, next(self._numbers), action))

    def run(self) -> None:
        """Until `going` is False."""
        while self.going:
            wait = self._timers[0][0] - time.monotonic() if self._timers else 1.0
            events = self._poll.poll(max(wait, 0), SLICE)
            self.now = time.monotonic()
            for fd, event in events:
                watched = self._watched.get(fd)
                if watched:  # an earlier event of this slice may have ended it
                    watched.ready(bool(event & ~select.EPOLLOUT), bool(event & select.EPOLLOUT))
            while self._timers and self._timers[0][0] <= self.now:
                heapq.heappop(self._timers)[2]()


class Outbox:
    """Bytes on their way out of a socket that the loop watches: now, or when there is room."""

    __slots__ = ("_full", "_loop", "_owner", "_socket", "_waiting")

    def __init__(self, loop: Loop, sock: socket.socket, owner: Watched, *, waits: bool = False) -> None:
        """`owner` is called when there is room, and flushes; `waits`: it is already, for the connection to open."""
        self._loop, self._socket, self._owner, self._full = loop, sock, owner, waits
        self._waiting = bytearray()

    def __len__(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self._waiting)

    def put(self, data: bytes) -> None:
        """Add some; `flush` sends it."""
        self._waiting += data

    def flush(self) -> None:
        """Give the kernel what it takes. OSError when the connection is gone."""
        try:
            while self._waiting:
                del self._waiting[: self._socket.send(self._waiting)]
        except BlockingIOError:
            pass
        if self._full != bool(self._waiting):
            self._full = not self._full
            self._loop.watch(self._socket, self._owner, write=self._full)


def many_files() -> int:
    """Allow this process as many descriptors as the machine lets it have; how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
