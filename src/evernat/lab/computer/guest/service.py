"""One service: from a start to its end and perhaps back again, as systemd.service(5) has it.

dead --start--> start-pre -> start -> start-post -> running | exited
running --stop, or its end--> stop -> stop-sigterm -> stop-sigkill -> stop-post -> dead | failed | auto-restart
auto-restart --RestartSec--> start-pre
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from . import spawn
from .journal import Journal
from .loop import Loop, Timer
from .processes import Processes
from .settings import Command, Settings, unmet_condition

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
    "no": (),
    "always": ("success", "exit-code", "signal", "timeout", "watchdog"),
    "on-success": ("success",),
    "on-failure": ("exit-code", "signal", "timeout", "watchdog"),
    "on-abnormal": ("signal", "timeout", "watchdog"),
    "on-abort": ("signal",),
    "on-watchdog": ("watchdog",),
}

_CLEAN_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
_LOOK_AGAIN = 0.02


class Env(NamedTuple):
    """What all services of a machine share."""

    loop: Loop
    journal: Journal


class Service:
    """A service. `sub` is systemd's SubState; `result` why it last ended."""

    def __init__(self, settings: Settings, env: Env) -> None:
        self.settings = settings
        self.processes = Processes(env.loop, env.journal)
        self.sub = "dead"
        self.result = "success"
        self.status_text = ""
        self.exit_status = 0
        self.restarts = 0
        self.since = time.time()
        self._env = env
        self._timers: dict[str, Timer] = {}
        self._started: list[Done] = []
        self._stopped: list[Done] = []
        self._starts: list[float] = []
        self._wanted = False
        self._ready = False
        self._start_after_stop = False
        env.loop.on_reap(self._check_gone)

    @property
    def active(self) -> str:
        """systemd's ActiveState."""
        return STATES[self.sub]

    def heeds(self, pid: int) -> bool:
        """Whether a notification from this process counts (NotifyAccess=)."""
        access, processes = self.settings.notify_access, self.processes
        if access == "none" or not pid:
            return False
        if pid == processes.main or (access in ("exec", "all") and pid == processes.control):
            return True
        return access == "all" and pid in processes.all()

    # Orders

    def start(self, done: Done) -> None:
        """Begin to start; `done` is called when it is up (as its type defines that), or cannot be."""
        if self.active in ("active", "reloading"):
            done("")
            return
        self._wanted = True
        self._started.append(done)
        if self.active == "deactivating":
            self._start_after_stop = True
        elif self.sub in ("dead", "failed", "auto-restart"):
            self._begin()

    def stop(self, done: Done) -> None:
        """Begin to stop; `done` is called when nothing of it is left."""
        self._wanted = self._start_after_stop = False
        if self.sub in ("dead", "failed"):
            done("")
            return
        self._stopped.append(done)
        if self.sub == "auto-restart":
            self._finish()
        elif self.active != "deactivating":
            self._report("it was stopped meanwhile")
            self._enter_stop(run_stop=self.active in ("active", "reloading"))

    def reload(self, done: Done) -> None:
        """Run ExecReload=."""
        if self.active != "active" or not self.settings.reload:
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
        for pid in [self.processes.main] if whom == "main" else self.processes.all():
            self.processes.signal(pid, number)

    def reset_failed(self) -> None:
        """Forget a failure and the starts counted so far."""
        self._starts.clear()
        if self.sub == "failed":
            self.result = "success"
            self._set("dead")

    def notified(self, message: dict[str, str]) -> None:
        """Heed one message of sd_notify(3)."""
        self.status_text = message.get("STATUS", self.status_text)
        if message.get("MAINPID", "").isdigit():
            self.processes.main = int(message["MAINPID"])
        if message.get("EXTEND_TIMEOUT_USEC", "").isdigit() and "start" in self._timers:
            self._timer("start", int(message["EXTEND_TIMEOUT_USEC"]) / 1e6, self._start_timed_out)
        if message.get("READY") == "1" and self.sub == "start" and self.settings.type == "notify":
            self._started_up()
        if message.get("WATCHDOG") == "1":
            self._feed_watchdog()
        if message.get("WATCHDOG") == "trigger":
            self._starved()

    # Starting

    def _begin(self) -> None:
        self._cancel("restart")
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
        self.result, self.status_text, self._ready = "success", "", False
        self.processes.new_invocation()
        self._timer("start", self.settings.start_timeout, self._start_timed_out)
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
        kind = self.settings.type
        if kind == "oneshot":
            self._commands(self.settings.start, self._oneshot_ended)
            return
        self.processes.main, executed = self.processes.run(
            self.settings, self.settings.start[0], {}, self._main_ended
        )
        # A program that cannot be executed ends with a status of its own; only `exec` looks at that before it is "up".
        if self.processes.main and (kind in ("simple", "idle") or (kind == "exec" and executed)):
            self._started_up()

    def _oneshot_ended(self, why: str) -> None:
        if why:
            self._fail(why)
        elif self.settings.remain:
            self._started_up()
        else:
            self._report("")
            self._enter_stop(run_stop=True)

    def _started_up(self) -> None:
        def up(why: str) -> None:
            if why:
                self._fail(why)
                return
            self._cancel("start")
            self._set("running" if self.processes.main else "exited")
            self._log(f"Started {self.settings.description}.")
            self._feed_watchdog()
            self._report("")

        self._ready = True
        self._set("start-post")
        self._commands(self.settings.start_post, up)

    def _fail(self, why: str) -> None:
        self._result("exit-code")
        self._report(why)
        if self.active == "activating":
            self._enter_stop(run_stop=False)

    def _start_timed_out(self) -> None:
        self._log("start operation timed out. Terminating.")
        self._result("timeout")
        self._report("timeout")
        self._enter_stop(run_stop=False)

    # Living

    def _feed_watchdog(self) -> None:
        if self.settings.watchdog and self.active in ("active", "reloading"):
            self._timer("watchdog", self.settings.watchdog, self._starved)

    def _starved(self) -> None:
        self._log(f"Watchdog timeout (limit {self.settings.watchdog:g}s)!")
        self._result("watchdog")
        self._enter_kill(signal.SIGABRT)

    def _main_ended(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        self.processes.main, self.exit_status = 0, code
        clean = code in (0, *self.settings.success) or -code in _CLEAN_SIGNALS
        if not clean:
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited, status={code}"
            self._log(f"Main process {how}")
        if self.active == "deactivating":
            self._check_gone()
            return
        # A notify service that ends before it said READY did not start, however cleanly it left.
        if not clean or self.sub == "start":
            self._result("signal" if code < 0 else "exit-code")
        self._report("" if self.result == "success" else f"the main process ended with {code}")
        self._enter_stop(run_stop=clean and self._ready)

    # Stopping

    def _enter_stop(self, run_stop: bool) -> None:
        self._cancel("watchdog", "start")
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
        self.processes.send(self.settings, number)
        self._check_gone()

    def _enter_sigkill(self) -> None:
        self._log("State 'stop-sigterm' timed out. Killing.")
        self._result("timeout")
        self._set("stop-sigkill")
        if self.settings.send_kill:
            self.processes.send(self.settings, signal.SIGKILL)
        self._timer("stop", self.settings.stop_timeout, self._enter_stop_post)

    def _check_gone(self) -> None:
        """Go on once nothing is left to wait for; processes that init did not start itself are looked for again."""
        if self.sub not in ("stop-sigterm", "stop-sigkill"):
            return
        if self.processes.still_there(self.settings):
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
        self._cancel(*self._timers)
        self.processes.main = self.processes.control = 0
        for folder in spawn.runtime_directories(self.settings):
            shutil.rmtree(folder, ignore_errors=True)
        self._set("dead" if self.result == "success" else "failed")
        if self.result != "success":
            self._log(f"Failed with result '{self.result}'.")
        stopped, self._stopped = self._stopped, []
        if self._start_after_stop:
            self._start_after_stop = False
            self._begin()
        elif self._wanted and self._restarts_now():
            self._set("auto-restart")
            self._timer("restart", self.settings.restart_delay, self._restart)
        else:
            self._report("" if self.result == "success" else f"it failed with result '{self.result}'")
        for done in stopped:
            done("")

    def _restarts_now(self) -> bool:
        prevented = self.exit_status in self.settings.prevent_restart
        return not prevented and self.result in _RESTART_ON[self.settings.restart]

    def _restart(self) -> None:
        self.restarts += 1
        self._log(f"Scheduled restart job, restart counter is at {self.restarts}.")
        self._begin()

    def _commands(self, commands: tuple[Command, ...], then: Done) -> None:
        """Run command lines one after the other, go on with `then`; the first failure that counts ends it."""
        if not commands:
            then("")
            return
        first, phase = commands[0], self.sub

        def ended(status: int) -> None:
            self.processes.control = 0
            code = os.waitstatus_to_exitcode(status)
            if self.sub != phase:
                self._check_gone()
            elif code in (0, *self.settings.success) or not first.must_succeed:
                self._commands(commands[1:], then)
            else:
                self._log(f"Control process {' '.join(first.words)} ended with {code}")
                if self.active == "activating":
                    self.exit_status = code
                    self._result("signal" if code < 0 else "exit-code")
                then(f"{first.words[0]} ended with {code}")

        variables = {}
        if self.active == "deactivating":
            variables = {"SERVICE_RESULT": self.result, "EXIT_STATUS": str(self.exit_status)}
        self.processes.control, _ = self.processes.run(self.settings, first, variables, ended)

    # Small things

    def _set(self, sub: str) -> None:
        if sub != self.sub:
            self.sub, self.since = sub, time.time()

    def _result(self, result: str) -> None:
        """Why it ends; the first reason stays."""
        if self.result == "success":
            self.result = result

    def _report(self, why: str) -> None:
        """Tell those who ordered the start; later ends are nobody's news."""
        waiting, self._started = self._started, []
        for done in waiting:
            done(why)

    def _timer(self, name: str, delay: float | None, call: Callable[[], None]) -> None:
        self._cancel(name)
        if delay is not None:
            self._timers[name] = self._env.loop.later(delay, call)

    def _cancel(self, *names: str) -> None:
        for name in tuple(names):
            timer = self._timers.pop(name, None)
            if timer is not None:
                timer.cancel()

    def _log(self, text: str) -> None:
        self._env.journal.manager(self.settings.name, f"{self.settings.name}: {text}")
