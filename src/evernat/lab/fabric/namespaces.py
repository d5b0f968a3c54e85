"""Anonymous network namespaces, and one thread that visits them.

A namespace is known by a file descriptor and nothing else: no name under /run/netns, no process needed to keep it.
When the daemon goes, by whatever way, its descriptors go and the kernel takes the namespaces apart.

Only the visiting thread ever changes its namespace, so no other thread of the daemon can find itself in a strange one.
A child process starts in the namespace of the thread that starts it, so `spawn` needs no helper program and no code
between fork and exec.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from evernat.lab import linux

T = TypeVar("T")

_SIOCGSKNS = 0x894C  # linux/sockios.h: the namespace of a socket, as a descriptor (close-on-exec)


def _current() -> int:
    """A new descriptor of the calling thread's network namespace. Needs no /proc."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return int(fcntl.ioctl(probe.fileno(), _SIOCGSKNS, 0))


def _fresh() -> int:
    """The calling thread enters a new namespace; a descriptor of it."""
    linux.unshare(linux.CLONE_NEWNET)
    return _current()


class Namespaces:
    """Makes network namespaces and runs things inside them."""

    def __init__(self) -> None:
        self._visitor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fabric")
        # A namespace of the visitor's own to come home to: an ordinary user may leave the machine's, not come back.
        self._home = self._visitor.submit(_fresh).result()

    def create(self) -> int:
        """A new, empty namespace. The caller closes the descriptor; it lives as long as something holds it."""

        def make() -> int:
            try:
                return _fresh()
            finally:
                self._enter(self._home)

        return self._visitor.submit(make).result()

    def run(self, namespace: int, function: Callable[[], T]) -> T:
        """What `function` returns when called inside `namespace`. It runs in the visiting thread: keep it short."""

        def visit() -> T:
            self._enter(namespace)
            try:
                return function()
            finally:
                self._enter(self._home)

        return self._visitor.submit(visit).result()

    def socket(self, namespace: int, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket that belongs to `namespace`, for use in any thread."""
        return self.run(namespace, lambda: socket.socket(family, kind, protocol))

    def spawn(self, namespace: int, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Starts `command` inside `namespace`. `options` are those of subprocess.Popen; the caller waits for it."""
        return self.run(namespace, lambda: subprocess.Popen(command, **options))

    def close(self) -> None:
        """Ends the visiting thread. Namespaces made here stay until their descriptors are closed."""
        self._visitor.shutdown()
        os.close(self._home)

    @staticmethod
    def _enter(namespace: int) -> None:
        linux.setns(namespace, linux.CLONE_NEWNET)
