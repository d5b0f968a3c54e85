"""The few system calls Python 3.11 has no name for: unshare, setns, mount, umount, pivot_root, prctl."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """unshare(2). OSError when refused."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int = 0) -> None:
    """setns(2): the calling thread enters the namespace behind `fd`."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str | Path, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    _check(
        _libc.mount(
            source.encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), data.encode() or None
        ),
        f"mount {kind} on {target}",
    )


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `number` to this process when its parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0), "prctl")


def become_root_of_user_namespace() -> None:
    """Enter a new user namespace in which this user is root. OSError when the kernel does not allow it."""
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
