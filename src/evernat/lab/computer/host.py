"""A host of the lab itself (client-a ...): no operating system of its own, only the lab's services in its network."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from evernat.lab.computer import process
from evernat.lab.computer.machine import Machine


class HostMachine:
    """Runs one command, again after a reboot. It sees the machine's files."""

    def __init__(
        self,
        command: Sequence[str],
        netns: int,
        console: Path,
        log: Callable[[str], None],
        before: Machine | None = None,
    ) -> None:
        """`netns` is kept and closed here."""
        self._command, self._netns, self._console, self._log = command, netns, console, log
        self._before = before
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._off = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"host-{console.stem}", daemon=True)

    @property
    def pid(self) -> int | None:
        """None: there are no namespaces of its own to enter but the network's."""
        return None

    def start(self) -> None:
        """Start the services."""
        self._thread.start()

    def shut_down(self) -> None:
        """The same as pulling the plug: there is nothing to put in order."""
        self.power_off()

    def power_off(self) -> None:
        """Kill the services."""
        with self._lock:
            self._off = True
            if self._process is not None and not self._ended.is_set():
                process.kill(self._process)

    def kill_unit(self, unit: str) -> None:
        """There are no units here."""
        self._log(f"{self._console.stem}: a host of the lab has no unit {unit}")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end."""
        return self._ended.wait(timeout)

    def _live(self) -> None:
        try:
            if self._before is not None:
                self._before.wait()
            with self._console.open("ab") as console, self._lock:
                if not self._off:
                    self._process = process.start(self._netns, (), self._command, console)
            if self._process is not None:
                code = self._process.wait()
                if not self._off:
                    self._log(f"{self._console.stem}: the services ended with {code}, see {self._console}")
        except OSError as error:
            self._log(f"{self._console.stem}: cannot run: {error}")
        finally:
            self._ended.set()
            process.close(self._netns)
