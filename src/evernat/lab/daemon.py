"""The process that is a lab.

Three generations, so that nothing survives a crash:

    keeper   in the machine's pid namespace; waits, passes SIGTERM on
    reaper   pid 1 of the lab's own pid and mount namespaces; when it ends the kernel kills everything else
    daemon   cloud, fabric, computers, metadata service, control socket

As an ordinary user the keeper first becomes root of a user namespace of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from evernat.lab import linux


def main() -> None:
    """Entry of `python -m evernat.lab.daemon`."""
    parser = argparse.ArgumentParser(prog="evernat.lab.daemon")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--latency", required=True)
    arguments = parser.parse_args()
    rootless = os.getuid() != 0
    if rootless:
        linux.become_root_of_user_namespace()
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWPID)
    keeper = os.getpid()
    reaper = os.fork()
    if reaper:
        _keep(reaper)
    linux.die_with_parent()
    linux.mount("none", "/", "none", linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    daemon = os.fork()
    if daemon:
        _reap(daemon)
    from evernat.lab.running import run  # heavy: only the daemon itself needs it

    run(arguments.directory, arguments.name, arguments.run_id, arguments.latency, keeper, rootless)


def _keep(reaper: int) -> None:
    """Wait for pid 1, passing on what asks us to stop. Never returns."""

    def stop(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(reaper, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    _, status = os.waitpid(reaper, 0)
    sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _reap(daemon: int) -> None:
    """Be pid 1: collect orphans; end with the daemon, which ends everything. Never returns."""

    def stop(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            time.sleep(0.1)
            continue
        if pid == daemon:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    main()
