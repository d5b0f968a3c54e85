"""One service: from a start to its end and perhaps back again, as systemd.service(5) has it.

inactive --start--> start-pre -> start -> (start-post) -> running | exited
running --stop or end--> stop -> stop-sigterm -> stop-sigkill -> stop-post -> dead | failed | auto-restart -> start-pre
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

from . import spawn
from .journal import Journal
from .loop import Loop, Timer
from .settings import Command, Settings, read_environment_files, unmet_condition
from .unitfile import UnitError, expand

NOTIFY_SOCKET = "/run/systemd/notify"

Done = Callable[[str], None]
"""Called with an empty string, or with why it did not work."""

# systemd's ActiveState for each of its substates, as far as they exist here.
STATES = {
    "dead": "inactive", "failed": "failed", "auto-restart": "activating", "start-pre": "activating",
    "start": "activating", "start-post": "activating", "running": "active", "exited": "active", "reload": "reloading",
    "stop": "deactivating", "stop-sigterm": "deactivating", "stop-sigkill": "deactivating", "stop-post": "deactivating",
}  # fmt: skip

# Which ends each Restart= setting answers with a new start (the table in systemd.service(5)).
_RESTART_ON = {
    "no": set(),
    "always": {"success", "exit-code", "signal", "timeout", "watchdog", "resources"},
    "on-success": {"success"},
    "on-failure": {"exit-code", "signal", "timeout", "watchdog", "resources"},
    "on-abnormal": {"signal", "timeout", "watchdog"},
    "on-abort": {"signal"},
    "on-watchdog": {"watchdog"},
}  # type: dict[str, set[str]]

_CLEAN_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
_LOOK_AGAIN = 0.02


class Env(NamedTuple):
    """What all services of a machine share."""

    loop: Loop
    journal: Journal
    settled: Callable[[Service], None]
    """Told after each change of state."""


class Service:
    """A service and its processes."""

    def __init__(self, settings: Settings, env: Env) -> None:
        self.settings = settings
        self.sub = "dead"
        self.result = "success"
        self.status_text = ""
        self.main = 0
        self.exit_status = 0
        self.restarts = 0
        self.since = time.time()
        self.invocation = ""
        self._env = env
        self._control = 0
        self._timers: dict[str, Timer] = {}
        self._started: list[Done] = []
        self._stopped: list[Done] = []
        self._starts: list[float] = []
        self._leaders: list[int] = []
        self._wanted = False
        self._ready = False
        self._after_stop: Callable[[], None] | None = None
        env.loop.on_reap(self._check_gone)

    # --- what others see

    @property
    def active(self) -> str:
        """systemd's ActiveState."""
        return STATES[self.sub]

    def owns(self, pid: int) -> bool:
        """Whether a notification from this process is to be heeded (NotifyAccess=)."""
        access = self.settings.notify_access
        if access == "main" and self.settings.type != "notify" and not self.settings.watchdog:
            return False
        if pid in (self.main, self._control) and pid:
            return access != "none"
        return access == "all" and bool(self.invocation) and pid in self.processes()

    def processes(self) -> list[int]:
        """All living processes of this service."""
        return spawn.members(self.invocation, self._leaders) if self.invocation else []

    # --- orders

    def start(self, done: Done) -> None:
        """Begin to start; `done` is called when it is up (as its type defines that), or cannot be."""
        if self.sub in ("running", "exited", "reload"):
            done("")
            return
        self._wanted = True
        self._started.append(done)
        if self.sub in ("dead", "failed", "auto-restart"):
            self._cancel("restart")
            self._begin()
        elif self.active == "deactivating":
            self._after_stop = self._begin

    def stop(self, done: Done) -> None:
        """Begin to stop; `done` is called when nothing of it is left."""
        self._wanted = False
        self._after_stop = None
        if self.sub in ("dead", "failed"):
            done("")
            return
        self._stopped.append(done)
        if self.sub == "auto-restart":
            self._cancel("restart")
            self._finish()
        elif self.active != "deactivating":
            self._report("was stopped meanwhile")
            self._enter_stop(run_stop=self.sub in ("running", "exited", "reload"))

    def reload(self, done: Done) -> None:
        """Run ExecReload=."""
        if self.sub not in ("running", "exited") or not self.settings.reload:
            done("it is not running" if self.settings.reload else "it has no ExecReload=")
            return
        before = self.sub
        self._set("reload")

        def ended(why: str) -> None:
            if self.sub == "reload":
                self._set(before)
            done(why)

        self._commands(self.settings.reload, ended)

    def kill(self, number: int, whom: str = "all") -> None:
        """Send a signal to the main process, or to all."""
        for pid in [self.main] if whom == "main" else self.processes():
            self._signal(pid, number)

    def reset_failed(self) -> None:
        """Forget a failure and the starts counted so far."""
        self._starts.clear()
        if self.sub == "failed":
            self.result = "success"
            self._set("dead")

    # --- starting

    def _begin(self) -> None:
        condition = unmet_condition(self.settings.conditions)
        if condition:
            self._log(f"Condition check resulted in {self.settings.description} being skipped ({condition})")
            self._set("dead")
            self._report("")
            return
        if not self._may_start():
            self._log("Start request repeated too quickly.")
            self.result = "start-limit-hit"
            self._finish()
            return
        self.result, self.status_text, self.main, self._ready = "success", "", 0, False
        self.invocation, self._leaders = uuid.uuid4().hex, []
        self._timer("start", self.settings.start_timeout, lambda: self._give_up("start"))
        self._set("start-pre")
        self._commands(self.settings.start_pre, lambda why: self._fail(why) if why else self._start_main())

    def _may_start(self) -> bool:
        interval, burst = self.settings.start_limit
        now = time.monotonic()
        self._starts = [each for each in self._starts if now - each < interval]
        self._starts.append(now)
        return interval <= 0 or len(self._starts) <= burst

    def _start_main(self) -> None:
        self._set("start")
        if self.settings.type == "oneshot":
            self._commands(self.settings.start, self._oneshot_ended)
            return
        pid, error = self._run(self.settings.start[0], self._main_ended)
        self.main = pid
        if error:
            self._log(f"Failed to execute {error}")
        if pid and self.settings.type != "notify" and not (self.settings.type == "exec" and error):
            self._started_up()

    def _oneshot_ended(self, why: str) -> None:
        if why:
            self._fail(why)
        elif self.settings.remain:
            self._started_up()
        else:
            self._report("")
            self._cancel("start")
            self._enter_stop(run_stop=True)

    def _started_up(self) -> None:
        def up(why: str) -> None:
            if why:
                self._fail(why)
                return
            self._cancel("start")
            self._set("running" if self.main else "exited")
            self._log(f"Started {self.settings.description}.")
            self._feed_watchdog()
            self._report("")

        self._ready = True
        self._set("start-post")
        self._commands(self.settings.start_post, up)

    def _fail(self, why: str) -> None:
        if self.result == "success":
            self.result = "exit-code"
        self._report(why)
        if self.active == "activating":
            self._enter_stop(run_stop=False)

    def _give_up(self, what: str) -> None:
        self._log(f"{what} operation timed out. Terminating.")
        self.result = "timeout"
        self._report("timeout")
        self._enter_stop(run_stop=False)

    # --- what the service itself does

    def notified(self, message: dict[str, str]) -> None:
        """Heed one message of sd_notify(3)."""
        if "STATUS" in message:
            self.status_text = message["STATUS"]
        if message.get("MAINPID", "").isdigit():
            self.main = int(message["MAINPID"])
        if message.get("EXTEND_TIMEOUT_USEC", "").isdigit() and "start" in self._timers:
            self._timer("start", int(message["EXTEND_TIMEOUT_USEC"]) / 1e6, lambda: self._give_up("start"))
        if (
            message.get("READY") == "1"
            and self.sub == "start"
            and self.settings.type == "notify"
            and not self._ready
        ):
            self._started_up()
        if message.get("WATCHDOG") == "1":
            self._feed_watchdog()
        if message.get("WATCHDOG") == "trigger":
            self._starved()

    def _feed_watchdog(self) -> None:
        if self.settings.watchdog and self.sub in ("running", "start-post", "reload"):
            self._timer("watchdog", self.settings.watchdog, self._starved)

    def _starved(self) -> None:
        self._log(f"Watchdog timeout (limit {self.settings.watchdog:g}s)!")
        self.result = "watchdog"
        self._enter_kill(signal.SIGABRT)

    def _main_ended(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        self.main, self.exit_status = 0, code
        clean = code == 0 or code in self.settings.success or -code in _CLEAN_SIGNALS
        if not clean:
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited, status={code}"
            self._log(f"Main process {how}")
        if self.active == "deactivating":
            self._check_gone()
            return
        if self.result == "success" and not clean:
            self.result = "signal" if code < 0 else "exit-code"
        if self.sub == "start":
            # A notify service that ends before it said READY did not start, however cleanly it left.
            self.result = "exit-code" if self.result == "success" else self.result
        if self.active == "activating":
            self._report("" if self.result == "success" else f"the main process ended with {code}")
        self._cancel("start")
        self._enter_stop(run_stop=clean and self._ready)

    # --- stopping

    def _enter_stop(self, run_stop: bool) -> None:
        self._cancel("watchdog")
        self._cancel("start")
        self._set("stop")
        self._timer("stop", self.settings.stop_timeout, lambda: self._enter_kill(self.settings.kill_signal))
        commands = self.settings.stop if run_stop else ()
        self._commands(commands, lambda _: self._enter_kill(self.settings.kill_signal))

    def _enter_kill(self, number: int) -> None:
        self._cancel("watchdog")
        if self.sub in ("stop-sigterm", "stop-sigkill", "stop-post"):
            return
        self._set("stop-sigterm")
        self._timer("stop", self.settings.stop_timeout, self._enter_sigkill)
        self._send(number)
        self._check_gone()

    def _send(self, number: int) -> None:
        mode = self.settings.kill_mode
        everybody = mode == "control-group" or (mode == "mixed" and number == signal.SIGKILL)
        targets = self.processes() if everybody else [self.main, self._control]
        for pid in targets if mode != "none" else ():
            self._signal(pid, number)

    def _enter_sigkill(self) -> None:
        self._log("State 'stop-sigterm' timed out. Killing.")
        if self.result == "success":
            self.result = "timeout"
        self._set("stop-sigkill")
        if self.settings.send_kill:
            self._send(signal.SIGKILL)
        self._timer("stop", self.settings.stop_timeout, self._enter_stop_post)

    def _check_gone(self) -> None:
        """Go on once nothing is left to wait for; processes that init did not start are looked for again."""
        if self.sub not in ("stop-sigterm", "stop-sigkill"):
            return
        waiting = [pid for pid in (self.main, self._control) if pid]
        if self.settings.kill_mode == "mixed" and not waiting:
            for pid in self.processes():
                self._signal(pid, signal.SIGKILL)
        elif self.settings.kill_mode == "control-group":
            waiting = waiting or self.processes()
        if waiting:
            self._timer("look", _LOOK_AGAIN, self._check_gone)
        else:
            self._enter_stop_post()

    def _enter_stop_post(self) -> None:
        self._cancel("look")
        self._set("stop-post")
        self._timer("stop", self.settings.stop_timeout, self._finish)
        self._commands(self.settings.stop_post, lambda _: self._finish())

    def _finish(self) -> None:
        """Nothing runs any more: rest, fail, or start again."""
        for name in list(self._timers):
            self._cancel(name)
        self.main = self._control = 0
        for folder in spawn.runtime_directories(self.settings):
            shutil.rmtree(folder, ignore_errors=True)
        self._set("dead" if self.result == "success" else "failed")
        if self.result != "success":
            self._log(f"Failed with result '{self.result}'.")
        stopped, self._stopped = self._stopped, []
        then, self._after_stop = self._after_stop, None
        if then is not None:
            then()
        elif self._wanted and self._restarts_now():
            self._set("auto-restart")
            self._timer("restart", self.settings.restart_delay, self._restart)
        else:
            self._report(f"failed with result '{self.result}'" if self.result != "success" else "")
        for done in stopped:
            done("")

    def _restarts_now(self) -> bool:
        if self.result == "start-limit-hit" or self.exit_status in self.settings.prevent_restart:
            return False
        return self.result in _RESTART_ON[self.settings.restart]

    def _restart(self) -> None:
        self.restarts += 1
        self._log(f"Scheduled restart job, restart counter is at {self.restarts}.")
        self._begin()

    # --- processes

    def _commands(self, commands: tuple[Command, ...], then: Done) -> None:
        """Run command lines one after the other, go on with `then`; the first failure that counts ends it."""
        if not commands:
            then("")
            return
        first, rest = commands[0], commands[1:]
        phase = self.sub

        def ended(status: int) -> None:
            self._control = 0
            code = os.waitstatus_to_exitcode(status)
            if self.sub != phase:
                self._check_gone()
                return
            if code != 0 and first.must_succeed and code not in self.settings.success:
                if self.active != "deactivating" and phase != "reload":
                    self.result, self.exit_status = ("signal" if code < 0 else "exit-code"), code
                self._log(f"Control process {' '.join(first.words)} ended with {code}")
                then(f"{first.words[0]} ended with {code}")
            else:
                self._commands(rest, then)

        pid, error = self._run(first, ended)
        self._control = pid
        if error:
            self._log(f"Failed to execute {error}")

    def _run(self, command: Command, ended: Callable[[int], None]) -> tuple[int, str]:
        try:
            environment = self._environment()
            words = [word for each in command.words for word in expand(each, environment)]
            output, error = self._outputs(command)
        except (UnitError, KeyError, OSError) as problem:
            self._log(f"Failed to prepare: {problem}")
            self._env.loop.later(0, lambda: ended(spawn.EXIT_EXEC << 8))
            return 0, ""
        pid, why = spawn.spawn(self.settings, words, spawn.Surroundings(environment, output, error))
        for fd in {output, error}:
            os.close(fd)
        self._leaders.append(pid)
        self._env.loop.child(pid, ended)
        return pid, why

    def _environment(self) -> dict[str, str]:
        settings = self.settings
        variables = {
            "PATH": spawn.PATH,
            "LANG": "C.UTF-8",
            "INVOCATION_ID": self.invocation,
            "SYSTEMD_EXEC_PID": str(self.main),
            **spawn.directories(settings),
        }
        if settings.user:
            variables.update(
                USER=settings.user, LOGNAME=settings.user, HOME="/root" if settings.user == "root" else "/"
            )
        if settings.type == "notify" or settings.watchdog or settings.notify_access == "all":
            variables["NOTIFY_SOCKET"] = NOTIFY_SOCKET
        if settings.watchdog:
            variables["WATCHDOG_USEC"] = str(int(settings.watchdog * 1e6))
        if self.main:
            variables["MAINPID"] = str(self.main)
        if self.active == "deactivating":
            variables.update(SERVICE_RESULT=self.result, EXIT_STATUS=str(self.exit_status))
        return {**variables, **settings.environment, **read_environment_files(settings.environment_files)}

    def _outputs(self, command: Command) -> tuple[int, int]:
        output = self._output(self.settings.output, command)
        inherit = self.settings.error in ("inherit", self.settings.output)
        return output, output if inherit else self._output(self.settings.error, command)

    def _output(self, where: str, command: Command) -> int:
        kind, _, path = where.partition(":")
        if kind in ("file", "append", "truncate"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            return os.open(path, flags | {"append": os.O_APPEND, "truncate": os.O_TRUNC}.get(kind, 0), 0o644)
        if kind == "null":
            return os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        identifier = self.settings.identifier or os.path.basename(command.words[0])  # noqa: PTH119 - a word, not a path
        journal = self._env.journal
        return journal.pipe(self._env.loop, lambda line: journal.write(self.settings.name, identifier, line))

    @staticmethod
    def _signal(pid: int, number: int) -> None:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    # --- small things

    def _set(self, sub: str) -> None:
        if sub != self.sub:
            self.sub, self.since = sub, time.time()
            self._env.settled(self)

    def _report(self, why: str) -> None:
        """Tell those who ordered the start; later ends are nobody's news."""
        waiting, self._started = self._started, []
        for done in waiting:
            done(why)

    def _timer(self, name: str, delay: float | None, call: Callable[[], None]) -> None:
        self._cancel(name)
        if delay is not None:
            self._timers[name] = self._env.loop.later(delay, call)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _log(self, text: str) -> None:
        self._env.journal.manager(self.settings.name, f"{self.settings.name}: {text}")
