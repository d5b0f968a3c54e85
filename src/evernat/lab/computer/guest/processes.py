"""The processes of one service: the main one, the command that is run besides, and what they started."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Callable

from . import spawn
from .journal import Journal
from .loop import Loop
from .places import NOTIFY
from .settings import Command, Settings, read_environment_files
from .unitfile import UnitError, expand

Ended = Callable[[int], None]
"""Called with the wait status."""


class Processes:
    """Starts, finds and signals a service's processes. The numbers are 0 when there is no such process."""

    def __init__(self, loop: Loop, journal: Journal) -> None:
        self.main = 0
        self.control = 0
        self.invocation = ""
        self._loop = loop
        self._journal = journal
        self._leaders: list[int] = []

    def new_invocation(self) -> None:
        """From here on a new start is counted: nothing of the one before belongs to it."""
        self.main = self.control = 0
        self.invocation = uuid.uuid4().hex
        self._leaders = []

    def all(self) -> list[int]:
        """All living processes of this invocation, those in the background too."""
        return spawn.members(self.invocation, self._leaders) if self.invocation else []

    def run(
        self, settings: Settings, command: Command, variables: dict[str, str], ended: Ended
    ) -> tuple[int, bool]:
        """Start a command; answers its id and whether its program could be executed.

        `ended` is called in any case. The id is 0 when it did not come as far as a process.
        """
        try:
            environment = self._environment(settings, variables)
            words = [word for each in command.words for word in expand(each, environment)]
            output, error = self._outputs(settings, command)
        except (UnitError, KeyError, OSError) as problem:
            self._say(settings, f"Failed to prepare: {problem}")
            self._loop.later(0, lambda: ended(spawn.EXIT_EXEC << 8))
            return 0, False
        pid, why = spawn.spawn(settings, words, spawn.Surroundings(environment, output, error))
        for fd in {output, error}:
            os.close(fd)
        self._leaders.append(pid)
        self._loop.child(pid, ended)
        if why:
            self._say(settings, f"Failed to execute {why}")
        return pid, not why

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to one, if it is there."""
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def send(self, settings: Settings, number: int) -> None:
        """Send a signal to those that KillMode= says."""
        mode = settings.kill_mode
        everybody = mode == "control-group" or (mode == "mixed" and number == signal.SIGKILL)
        targets = self.all() if everybody else [self.main, self.control]
        for pid in targets if mode != "none" else ():
            self.signal(pid, number)

    def still_there(self, settings: Settings) -> bool:
        """Whether a stop has to wait on. With KillMode=mixed the rest is killed once the main process is gone."""
        if self.main or self.control:
            return True
        if settings.kill_mode == "mixed":
            for pid in self.all():
                self.signal(pid, signal.SIGKILL)
        return settings.kill_mode in ("control-group", "mixed") and bool(self.all())

    def _environment(self, settings: Settings, variables: dict[str, str]) -> dict[str, str]:
        made = {
            "PATH": spawn.PATH,
            "LANG": "C.UTF-8",
            "INVOCATION_ID": self.invocation,
            **spawn.directories(settings),
            **variables,
        }
        if settings.user:
            made.update(USER=settings.user, LOGNAME=settings.user, HOME=spawn.home(settings.user))
        if settings.type == "notify" or settings.watchdog or settings.notify_access == "all":
            made["NOTIFY_SOCKET"] = NOTIFY
        if settings.watchdog:
            made["WATCHDOG_USEC"] = str(int(settings.watchdog * 1e6))
        if self.main:
            made["MAINPID"] = str(self.main)
        return {**made, **settings.environment, **read_environment_files(settings.environment_files)}

    def _outputs(self, settings: Settings, command: Command) -> tuple[int, int]:
        output = self._output(settings, settings.output, command)
        same = settings.error in ("inherit", settings.output)
        return output, output if same else self._output(settings, settings.error, command)

    def _output(self, settings: Settings, where: str, command: Command) -> int:
        kind, _, path = where.partition(":")
        if kind in ("file", "append", "truncate"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            return os.open(path, flags | {"append": os.O_APPEND, "truncate": os.O_TRUNC}.get(kind, 0), 0o644)
        if kind == "null":
            return os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        identifier = settings.identifier or command.words[0].rpartition("/")[2]
        return self._journal.pipe(
            self._loop, lambda line: self._journal.write(settings.name, identifier, line)
        )

    def _say(self, settings: Settings, text: str) -> None:
        self._journal.manager(settings.name, f"{settings.name}: {text}")
