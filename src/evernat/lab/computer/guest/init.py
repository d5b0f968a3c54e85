"""Process 1 of an instance: starts what boots, keeps services alive, takes the machine down in order."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from . import early
from .control import Control
from .journal import Journal
from .loop import Loop
from .manager import Manager
from .notify import Notify, Syslog
from .unitfile import UnitError

CLOUD_INIT = "cloud-final.service"
_LAST_WORDS = 0.5
"""Seconds between the last SIGTERM and SIGKILL, for processes that belong to no service."""


class Init:
    """The instance's life. `lab` is the socket to the lab: JSON lines; when it closes, this ends with the lab."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._lab = socket.socket(fileno=config["control"])
        self._loop = Loop()
        self._journal = Journal()
        self._manager = Manager(self._loop, self._journal)
        self._control = Control(self._loop, self._manager, self._power)
        self._notify = Notify(self._loop, self._manager)
        self._syslog = Syslog(self._loop, self._journal)
        self._going = ""
        self._received = b""
        self._loop.watch(self._lab.fileno(), self._told)
        self._say("up")
        self._loop.later(config["boot"], self._boot)

    def run(self) -> None:
        """Serve until power-off, then end with it."""
        self._loop.run()
        os._exit(0)

    def _boot(self) -> None:
        say = functools.partial(self._journal.manager, "init")
        early.load_modules(say)
        early.set_parameters(say)
        for name in (CLOUD_INIT, *self._manager.enabled()):
            try:
                self._manager.start(name, lambda _: None)
            except UnitError as error:
                self._journal.manager(name, f"Failed to start {name}: {error}")

    def _say(self, event: str, **more: str) -> None:
        try:
            self._lab.sendall(json.dumps({"event": event, **more}).encode() + b"\n")
        except OSError:
            os._exit(1)

    def _told(self) -> None:
        data = self._lab.recv(65536)
        if not data:
            os._exit(1)
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["do"] == "shut-down":
                self._power("lab")
            elif order["do"] == "kill":
                self._kill(order["unit"])

    def _kill(self, unit: str) -> None:
        try:
            self._manager.service(unit).kill(signal.SIGKILL, "main")
        except UnitError as error:
            self._journal.manager(unit, f"cannot be killed: {error}")

    def _power(self, how: str) -> None:
        """Take everything down: `poweroff` and `reboot` were wanted by the instance itself, `lab` by the cloud."""
        if self._going:
            return
        self._going = how
        self._journal.manager("init", f"Going down ({how}).")
        self._manager.stop_all(self._terminate_rest)

    def _terminate_rest(self) -> None:
        if _others():
            os.kill(-1, signal.SIGTERM)
        self._wait_rest(time.monotonic() + _LAST_WORDS)

    def _wait_rest(self, deadline: float) -> None:
        if _others() and time.monotonic() < deadline:
            self._loop.later(0.01, lambda: self._wait_rest(deadline))
            return
        if _others():
            os.kill(-1, signal.SIGKILL)
        self._say("down", how=self._going)
        self._loop.stop()


def _others() -> bool:
    """Whether any process besides this one is there (zombies count for the moment until they are reaped)."""
    return any(entry.isdigit() and entry != "1" for entry in os.listdir("/proc"))  # noqa: PTH208


def _keep_to_oneself(control: int) -> None:
    """Close what was handed down on the way here (the network namespace), and hand nothing further down."""
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(entry) > 2 and int(entry) != control:
            with contextlib.suppress(OSError):  # the one of this listing
                os.close(int(entry))
    os.set_inheritable(control, False)


def main() -> None:
    """Entry point of `/.lab/init`: one argument, JSON with `control` (descriptor) and `boot` (seconds)."""
    for path in ("/run/lock", "/run/systemd/system", "/run/cloud-init"):
        Path(path).mkdir(parents=True, exist_ok=True)
    os.umask(0o022)
    config = json.loads(sys.argv[1])
    _keep_to_oneself(config["control"])
    Init(config).run()
