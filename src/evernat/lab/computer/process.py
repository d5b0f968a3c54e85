"""A process tree in namespaces of its own that dies with this process, and whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
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
    """Kill the tree: its process 1, and with that the kernel kills all others.

    Not `unshare` above it, which is to reap it: an orphan would be left to whoever is process 1 out here. Before
    unshare has a child there is only itself.
    """
    try:
        children = [
            int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ]
    except OSError:
        children = []
    for pid in children or [process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def close(*fds: int) -> None:
    """Close descriptors, also those that are closed already."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
