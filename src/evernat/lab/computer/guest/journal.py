"""Output of units: one file that `journalctl` of this lab reads, and the console."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from .loop import Loop
from .places import JOURNAL

_LIMIT = 8 << 20
_LINE_LIMIT = 48 << 10


class Journal:
    """Appends lines `time TAB unit TAB identifier TAB text`; past 8 MiB the older half-life goes to `.1`.

    The console is standard output of init; every line goes there as well.
    """

    def __init__(self, file: Path = JOURNAL) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._out = file.open("a", buffering=1, errors="replace")

    def write(self, unit: str, identifier: str, text: str) -> None:
        """Record one line of output."""
        clock = time.time()
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(clock)) + f".{int(clock % 1 * 1000):03}"
        self._out.write(f"{now}Z\t{unit}\t{identifier}\t{text}\n")
        print(f"{now[11:23]} {identifier}: {text}", flush=True)
        if self._out.tell() > _LIMIT:
            self._out.close()
            self._file.replace(self._file.with_suffix(".log.1"))
            self._out = self._file.open("a", buffering=1, errors="replace")

    def manager(self, unit: str, text: str) -> None:
        """Record what the service manager itself has to say about a unit."""
        self.write(unit, "systemd[1]", text)

    def pipe(self, loop: Loop, line: Callable[[str], None]) -> int:
        """Return a descriptor for a child to write to; each line of it is handed to `line`."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        pending = b""

        def ready() -> None:
            nonlocal pending
            try:
                data = os.read(reader, 65536)
            except BlockingIOError:
                return
            *lines, pending = (pending + data).split(b"\n")
            if pending and (not data or len(pending) > _LINE_LIMIT):
                lines, pending = [*lines, pending], b""
            for each in lines:
                line(each.decode(errors="replace"))
            if not data:
                loop.unwatch(reader)
                os.close(reader)

        loop.watch(reader, ready)
        return writer
