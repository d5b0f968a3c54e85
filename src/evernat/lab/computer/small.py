"""A machine of the small kind: namespaces, an overlay, and our own boot program as its process 1."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evernat.lab.computer import process
from evernat.lab.computer.box import Box
from evernat.lab.computer.machine import Machine, OnEnd
from evernat.lab.computer.skeleton import Skeleton

_GRACE = 10.0
"""Seconds a machine may take to go down in order before the plug is pulled."""

# How unshare reports reboot(2) inside: SIGHUP for restart, SIGINT for power-off (reboot(2), "PID namespaces").
_REBOOT_CALL = {
    -signal.SIGHUP: "reboot",
    128 + signal.SIGHUP: "reboot",
    -signal.SIGINT: "poweroff",
    128 + signal.SIGINT: "poweroff",
}


class SmallMachine:
    """One run of a box. Its thread starts the process, listens to it and waits for its end."""

    def __init__(
        self,
        box: Box,
        skeleton: Skeleton,
        netns: int,
        boot_delay: float,
        console: Path,
        on_end: OnEnd,
        log: Callable[[str], None],
        before: Machine | None = None,
    ) -> None:
        """`netns` is kept and closed here. `before` is the machine whose files these were until now."""
        self._box, self._skeleton, self._netns, self._boot_delay = box, skeleton, netns, boot_delay
        self._console, self._on_end, self._log, self._before = console, on_end, log, before
        self._lab, self._guest = socket.socketpair()
        # Tells which process sent a message, in the numbers of this process's namespace (unix(7)).
        self._lab.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._plug_pulled = False
        self._asked_down = False
        self._said = ""
        self._last_resort = threading.Timer(_GRACE, self.power_off)
        self._last_resort.daemon = True
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"machine-{console.stem}", daemon=True)

    @property
    def pid(self) -> int | None:
        """Process 1 of the machine, once it is up and as long as it has power."""
        return None if self._plug_pulled or self._ended.is_set() else self._pid

    def start(self) -> None:
        """Power on."""
        self._thread.start()

    def shut_down(self) -> None:
        """Stop services in order, then end; the plug is pulled when that takes too long."""
        if not self._asked_down:
            self._asked_down = True
            self._tell({"do": "shut-down"})
            self._last_resort.start()

    def power_off(self) -> None:
        """Pull the plug."""
        with self._lock:
            self._plug_pulled = True
            if self._process is not None and not self._ended.is_set():
                process.kill(self._process)

    def kill_unit(self, unit: str) -> None:
        """Kill a service's main process."""
        self._tell({"do": "kill", "unit": unit})

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end."""
        return self._ended.wait(timeout)

    def _tell(self, order: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._lab.sendall(json.dumps(order).encode() + b"\n")

    def _live(self) -> None:
        code = None
        try:
            if self._before is not None:
                self._before.wait()
                self._before = None
            self._launch()
            if self._process is not None:
                self._listen()
                code = self._process.wait()
        except Exception as error:
            self._log(f"{self._console.stem}: cannot run: {error!r}")
        finally:
            self._ended.set()
            self._last_resort.cancel()
            process.close(self._netns)
            self._guest.close()
            self._lab.close()
        self._report(code)

    def _launch(self) -> None:
        init = {"control": self._guest.fileno(), "boot": self._boot_delay}
        python = ["/usr/bin/python3", "-EsSB", self._skeleton.enter_program(), self._box.layout(init)]
        with self._console.open("ab") as console, self._lock:
            if not (self._plug_pulled or self._asked_down):
                self._process = process.start(
                    self._netns, ("--mount", "--uts", "--ipc"), python, console, (self._guest.fileno(),)
                )
        self._guest.close()

    def _listen(self) -> None:
        """Read what init says until it is gone."""
        received = b""
        while True:
            data, ancillary, _, _ = self._lab.recvmsg(65536, socket.CMSG_SPACE(struct.calcsize("3i")))
            if not data:
                return
            if self._pid is None and ancillary:
                self._pid = struct.unpack("3i", ancillary[0][2][:12])[0]
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if message["event"] == "down":
                    self._said = message["how"]

    def _report(self, code: int | None) -> None:
        """Tell the lab, unless the end was the lab's own wish."""
        if self._plug_pulled or self._asked_down:
            return
        how = self._said or _REBOOT_CALL.get(code or 0, "")
        if not how:
            self._log(f"{self._console.stem}: broke down (status {code}), see {self._console}")
        self._on_end("reboot" if how == "reboot" else "poweroff")
