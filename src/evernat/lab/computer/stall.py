"""A machine that stands still for a while, as under a hypervisor that pauses it: its programs stop, then go on.

The clock goes on meanwhile, so a program that compares finds that it jumped. The kernel goes on too: packets are
forwarded. (The clock itself is the whole machine's and is never touched.)
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterable
from pathlib import Path


def programs(first: int) -> set[int]:
    """All processes of the pid namespace whose process 1 is `first`, without that one."""
    namespace = _namespace(first)
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != first:
            with contextlib.suppress(OSError):
                if _namespace(int(entry.name)) == namespace:
                    found.add(int(entry.name))
    return found


def stall(first: int, seconds: float) -> None:
    """Stop them now, and let them go on after `seconds`. Returns at once."""
    stopped: set[int] = set()
    while new := programs(first) - stopped:
        _signal(new, signal.SIGSTOP)
        stopped |= new
    timer = threading.Timer(seconds, _signal, (stopped, signal.SIGCONT))
    timer.daemon = True
    timer.start()


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
