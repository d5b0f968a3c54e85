"""The few system calls the standard library has no name for."""

from __future__ import annotations

import ctypes
import os

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1
_PR_CAPBSET_DROP = 24
# The same numbers on x86-64 and arm64 (and every architecture for mount_setattr): include/uapi/asm-generic/unistd.h,
# arch/x86/entry/syscalls/syscall_64.tbl.
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_MOUNT_SETATTR = 442

CAP_SYS_RAWIO, CAP_SYS_TIME, CAP_MKNOD = 17, 25, 27

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). The error names what was to be mounted where."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(result, f"mount {kind or 'bind'} {source} on {target} ({data})")


def bind(source: str, target: str, read_only: bool = False) -> None:
    """Show `source` with all that is mounted below it at `target` too."""
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        make_read_only(target)


def unmount(target: str) -> None:
    """Take a mount away, now for new users and altogether when its last user is gone."""
    _check(_libc.umount2(target.encode(), _MNT_DETACH), f"unmount {target}")


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    )


def make_read_only(target: str) -> None:
    """Make a mount and those below it read-only (mount_setattr(2), Linux 5.12)."""
    attributes = _MountAttributes(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(target.encode()),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    _check(result, f"make {target} read-only")


def enter_root(root: str) -> None:
    """Make `root` (a mount point) the root of this mount namespace and let go of the old one.

    pivot_root(2) describes the form with both arguments `.`: it needs no directory for the old root.
    """
    os.chdir(root)
    number = ctypes.c_long(_SYS_PIVOT_ROOT[os.uname().machine])
    _check(_libc.syscall(number, ctypes.c_char_p(b"."), ctypes.c_char_p(b".")), f"pivot_root {root}")
    _check(_libc.umount2(b".", _MNT_DETACH), "detach the old root")
    os.chdir("/")


def set_hostname(name: str) -> None:
    """sethostname(2)."""
    data = name.encode()
    _check(_libc.sethostname(data, ctypes.c_size_t(len(data))), f"set host name {name}")


def drop_capability(number: int) -> None:
    """Take a capability away from this process and all it starts, for good."""
    _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"drop capability {number}")
