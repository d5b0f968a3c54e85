"""A process tree in namespaces of its own that dies with this process, and whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import IO


def start(
    netns: int,
    unshare: Sequence[str],
    command: Sequence[str],
    output: IO[bytes] | int,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Run a command as process 1 of new namespaces (options of unshare(1)) in a given network namespace.

    The thread that calls this must live as long as the process: the kernel's parent-death signal is bound to it
    (prctl(2)). Through it a lab that crashes takes all its machines with it.
    """
    return subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL"),
            *("nsenter", f"--net=/proc/self/fd/{netns}"),
            *("unshare", "--pid", "--fork", "--kill-child", *unshare, "--"),
            *command,
        ],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(netns, *keep),
        close_fds=True,
        cwd="/",
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the tree: unshare goes, the kernel kills its child with it, and that as process 1 all the others."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def signal_by(pidfd: int, number: signal.Signals) -> None:
    """Send a signal to a process that cannot have been replaced by another."""
    with contextlib.suppress(ProcessLookupError, OSError):
        signal.pidfd_send_signal(pidfd, number)


def close(*fds: int) -> None:
    """Close descriptors, also those that are closed already."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
