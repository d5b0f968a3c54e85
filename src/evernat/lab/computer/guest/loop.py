"""The event loop of init: file descriptors, timers, ended children. One thread, no locks."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable


class Timer:
    """A call to be made later; `cancel` makes it never happen."""

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Harmless when it already rang."""
        self._call = None

    def ring(self) -> None:
        """Make the call, once."""
        call, self._call = self._call, None
        if call is not None:
            call()


class Loop:
    """Runs callbacks until `stop`. It reaps every child of this process, and orphans when this is process 1."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._children: dict[int, Callable[[int], None]] = {}
        self._reap_listeners: list[Callable[[], None]] = []
        self._running = True
        self._wake, wakeup = socket.socketpair()
        self._wakeup = wakeup
        self._wake.setblocking(False)
        wakeup.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.watch(self._wake.fileno(), self._woken)

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call `ready` whenever `fd` can be read."""
        self._selector.register(fd, selectors.EVENT_READ, ready)

    def unwatch(self, fd: int) -> None:
        """Stop watching; the caller closes it."""
        self._selector.unregister(fd)

    def later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Make the call `delay` seconds from now."""
        timer = Timer(time.monotonic() + delay, call)
        heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        return timer

    def child(self, pid: int, ended: Callable[[int], None]) -> None:
        """Call `ended` with the wait status when the child ends."""
        self._children[pid] = ended

    def on_reap(self, call: Callable[[], None]) -> None:
        """Call after each round in which some child or orphan ended."""
        self._reap_listeners.append(call)

    def stop(self) -> None:
        """Leave `run` after the current callback."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop`."""
        while self._running:
            for key, _ in self._selector.select(self._until_next()):
                key.data()
            self._ring()

    def _until_next(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _ring(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2].ring()

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake.recv(4096):
                pass
        self._reap()

    def _reap(self) -> None:
        ended = []
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                ended.append((pid, status))
        for pid, status in ended:
            callback = self._children.pop(pid, None)
            if callback is not None:
                callback(status)
        if ended:
            for call in self._reap_listeners:
                call()
