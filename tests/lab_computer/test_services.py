"""Supervision of units in a real machine: types, restarts, the watchdog, stops, systemctl's words and exit statuses."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable

import pytest

from tests.lab_computer.support import Lab, instance

pytestmark = pytest.mark.packets

MACHINE = "i-0000000000000001"

NOTIFIER = """#!/usr/bin/python3 -S
import os, signal, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(os.environ["NOTIFY_SOCKET"])
time.sleep(float(sys.argv[1]))
s.send(b"READY=1\\nSTATUS=all fine")
beats = int(sys.argv[2])
while True:
    if beats:
        s.send(b"WATCHDOG=1"); beats -= 1
    time.sleep(0.05)
"""


class Machine:
    """A running machine to try units on."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._names = itertools.count(1)

    def sh(self, script: str) -> str:
        """What a shell script prints; it must succeed."""
        return self._lab.out(MACHINE, "sh", "-c", script)

    def code(self, *command: str) -> int:
        """A command's exit status."""
        return self._lab.run(MACHINE, *command).returncode

    def unit(self, service: str, unit: str = "", install: str = "", name: str = "") -> str:
        """Write a unit; answers its name."""
        name = name or f"unit{next(self._names)}.service"
        text = f"[Unit]\n{unit}\n[Service]\n{service}\n[Install]\n{install}\n"
        self.sh(f"cat > /etc/systemd/system/{name} <<'EOF'\n{text}EOF\n")
        return name

    def show(self, name: str, key: str) -> str:
        """One property."""
        return self.sh(f"systemctl show {name} -p {key} --value")

    def until(self, name: str, key: str, value: str) -> None:
        """Wait for a property to have a value."""
        self._lab.wait(lambda: self.show(name, key) == value)

    def journal(self, name: str) -> str:
        """What a unit wrote."""
        return self.sh(f"journalctl -u {name} -o cat")

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until something is so."""
        self._lab.wait(condition)


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Machine:
    """One machine for the whole module."""
    files = [{"path": "/opt/notifier", "permissions": "0755", "content": NOTIFIER}]
    lab.set(instance("#cloud-config\n" + json.dumps({"write_files": files})))
    lab.booted(MACHINE)
    return Machine(lab)


def test_simple(machine: Machine) -> None:
    """A simple service is active with its main process until stopped, and then nothing of it is left."""
    name = machine.unit("ExecStart=sleep 1000")
    assert machine.code("systemctl", "is-active", name) == 3
    machine.sh(f"systemctl start {name}")
    assert machine.sh(f"systemctl is-active {name}") == "active"
    pid = machine.show(name, "MainPID")
    assert machine.sh(f"cat /proc/{pid}/comm") == "sleep"
    assert f"Main PID: {pid}" in machine.sh(f"systemctl status {name}")
    machine.sh(f"systemctl stop {name}")
    assert machine.code("systemctl", "status", name) == 3
    assert machine.code("test", "-e", f"/proc/{pid}") == 1


def test_unknown_unit(machine: Machine) -> None:
    """A unit that is not there: exit status 5 on start, 4 on status, inactive."""
    assert machine.code("systemctl", "start", "nowhere") == 5
    assert machine.code("systemctl", "status", "nowhere") == 4
    assert machine.code("systemctl", "is-active", "-q", "nowhere") == 3


def test_notify(machine: Machine) -> None:
    """Starting a notify service returns when it said READY, not before; its status text is shown."""
    name = machine.unit("Type=notify\nTimeoutStartSec=5\nExecStart=/opt/notifier 0.3 0")
    begun = time.monotonic()
    machine.sh(f"systemctl start {name}")
    assert time.monotonic() - begun > 0.3
    assert machine.show(name, "StatusText") == "all fine"
    machine.sh(f"systemctl stop {name}")


def test_notify_never_ready(machine: Machine) -> None:
    """A notify service that ends before READY, or takes longer than TimeoutStartSec, has failed to start."""
    ended = machine.unit("Type=notify\nExecStart=true")
    assert machine.code("systemctl", "start", ended) == 1
    assert machine.show(ended, "ActiveState") == "failed"
    late = machine.unit("Type=notify\nExecStart=/opt/notifier 100 0\nTimeoutStartSec=200ms")
    assert machine.code("systemctl", "start", late) == 1
    machine.until(late, "Result", "timeout")


def test_watchdog(machine: Machine) -> None:
    """A service that stops feeding its watchdog is killed and, with Restart=on-failure, started again."""
    name = machine.unit(
        "Type=notify\nTimeoutStartSec=5\nExecStart=/opt/notifier 0 4\nWatchdogSec=250ms\n"
        "Restart=on-failure\nRestartSec=50ms"
    )
    machine.sh(f"systemctl start {name}")
    machine.wait(lambda: int(machine.show(name, "NRestarts")) >= 1)
    machine.sh(f"systemctl stop {name}")
    assert "Watchdog timeout" in machine.journal(name)
    fed = machine.unit("Type=notify\nTimeoutStartSec=5\nExecStart=/opt/notifier 0 1000\nWatchdogSec=250ms")
    machine.sh(f"systemctl start {fed}; sleep 0.5")
    assert machine.sh(f"systemctl is-active {fed}") == "active"
    machine.sh(f"systemctl stop {fed}")


def test_restart_after_kill(machine: Machine, lab: Lab) -> None:
    """The lab kills a unit's main process; Restart=always brings it back with a new one."""
    name = machine.unit("ExecStart=sleep 1000\nRestart=always\nRestartSec=20ms")
    machine.sh(f"systemctl start {name}")
    first = machine.show(name, "MainPID")
    lab.computers.kill_unit(MACHINE, name)
    machine.wait(lambda: machine.show(name, "MainPID") not in ("0", first))
    assert "killed by SIGKILL" in machine.journal(name)
    machine.sh(f"systemctl stop {name}")
    assert machine.show(name, "ActiveState") == "inactive", "a stop by hand is not answered with a restart"


@pytest.mark.parametrize(
    ("restart", "command", "again"),
    [
        ("no", "exit 1", False), ("on-failure", "exit 1", True), ("on-failure", "exit 0", False),
        ("on-success", "exit 0", True), ("on-success", "exit 1", False), ("always", "exit 0", True),
        ("on-abnormal", "exit 1", False), ("on-abnormal", "kill -KILL $$$$", True),
        ("on-failure", "kill -TERM $$$$", False),
    ],
)  # fmt: skip
def test_restart_settings(machine: Machine, restart: str, command: str, again: bool) -> None:
    """Restart= answers clean ends, failures and signals as the table in systemd.service(5) says."""
    name = machine.unit(f"ExecStart=sh -c '{command}'\nRestart={restart}\nRestartSec=1h")
    machine.sh(f"systemctl start {name}")
    machine.until(name, "SubState", "auto-restart" if again else machine.show(name, "SubState"))
    machine.wait(lambda: machine.show(name, "SubState") in ("auto-restart", "dead", "failed"))
    assert (machine.show(name, "SubState") == "auto-restart") is again
    machine.sh(f"systemctl stop {name}")


def test_start_limit(machine: Machine) -> None:
    """A service that keeps failing is given up after StartLimitBurst starts, until reset-failed."""
    name = machine.unit("ExecStart=false\nRestart=always\nRestartSec=0", "StartLimitBurst=3")
    machine.sh(f"systemctl start {name}")
    machine.until(name, "Result", "start-limit-hit")
    assert machine.show(name, "NRestarts") == "3"
    machine.sh(f"systemctl reset-failed {name}")
    assert machine.show(name, "ActiveState") == "inactive"


def test_oneshot(machine: Machine) -> None:
    """A oneshot service is waited for; it stays active with RemainAfterExit; a failing command stops the rest."""
    name = machine.unit(
        "Type=oneshot\nRemainAfterExit=yes\nExecStart=sh -c 'echo one'\nExecStart=sh -c 'sleep 0.1; echo two'"
    )
    machine.sh(f"systemctl start {name}")
    assert machine.show(name, "SubState") == "exited"
    assert "one\ntwo\n" in machine.journal(name)
    plain = machine.unit("Type=oneshot\nExecStart=true")
    machine.sh(f"systemctl start {plain}")
    machine.until(plain, "ActiveState", "inactive")
    failing = machine.unit("Type=oneshot\nExecStart=-false\nExecStart=false\nExecStart=sh -c 'echo never'")
    assert machine.code("systemctl", "start", failing) == 1
    assert "never" not in machine.journal(failing).splitlines()


def test_commands_around(machine: Machine) -> None:
    """ExecStartPre, ExecStop and ExecStopPost run in their order; the last one learns why."""
    name = machine.unit(
        "ExecStartPre=sh -c 'echo pre >> /opt/order'\nExecStart=sleep 1000\n"
        "ExecStop=sh -c 'echo stop $MAINPID >> /opt/order'\n"
        "ExecStopPost=sh -c 'echo post $SERVICE_RESULT >> /opt/order'"
    )
    machine.sh(f"systemctl start {name}")
    pid = machine.show(name, "MainPID")
    machine.sh(f"systemctl stop {name}")
    assert machine.sh("cat /opt/order").splitlines() == ["pre", f"stop {pid}", "post success"]


def test_failing_pre(machine: Machine) -> None:
    """When ExecStartPre fails, the service is not started and has failed."""
    name = machine.unit("ExecStartPre=false\nExecStart=touch /opt/started")
    assert machine.code("systemctl", "start", name) == 1
    assert machine.show(name, "ActiveState") == "failed"
    assert machine.code("test", "-e", "/opt/started") == 1


def test_stop_timeout(machine: Machine) -> None:
    """A service that ignores SIGTERM is killed after TimeoutStopSec; children in the background go too."""
    name = machine.unit(
        "ExecStart=sh -c 'trap \"\" TERM; setsid sleep 999 & while :; do sleep 0.1; done'\nTimeoutStopSec=200ms"
    )
    machine.sh(f"systemctl start {name}; sleep 0.1")
    assert "sleep\x00999" in machine.sh("cat /proc/[0-9]*/cmdline")
    begun = time.monotonic()
    machine.sh(f"systemctl stop {name}")
    assert time.monotonic() - begun < 5
    assert "sleep\x00999" not in machine.sh("cat /proc/[0-9]*/cmdline")
    assert machine.show(name, "Result") == "timeout"


def test_environment(machine: Machine) -> None:
    """Variables come from Environment, EnvironmentFile and the manager; specifiers and `$` are filled in."""
    machine.sh("printf 'FROM_FILE=\"a b\"\\n# no\\n' > /etc/default-h3")
    name = machine.unit(
        "Type=oneshot\nEnvironment=ONE=1 \"TWO=2 2\"\nEnvironmentFile=/etc/default-h3\nEnvironmentFile=-/etc/missing\n"
        "StateDirectory=h3\nRuntimeDirectory=h3\nWorkingDirectory=/var/log\n"
        "ExecStart=sh -c 'echo \"$$ONE|$$TWO|$$FROM_FILE|$$STATE_DIRECTORY|$$PWD|%n|$$INVOCATION_ID\"' ${TWO}"
    )  # fmt: skip
    machine.sh(f"systemctl start {name}")
    line = next(line for line in machine.journal(name).splitlines() if line.startswith("1|"))
    assert line.startswith(f"1|2 2|a b|/var/lib/h3|/var/log|{name}|")
    assert len(line.rpartition("|")[2]) == 32
    assert machine.code("test", "-d", "/var/lib/h3") == 0
    assert machine.code("test", "-d", "/run/h3") == 1, "a runtime directory goes with the service"


def test_missing_environment_file(machine: Machine) -> None:
    """A missing EnvironmentFile fails the start and is named."""
    name = machine.unit("ExecStart=sleep 1\nEnvironmentFile=/etc/missing")
    assert machine.code("systemctl", "start", name) == 1
    assert "EnvironmentFile /etc/missing does not exist" in machine.journal(name)


def test_missing_program(machine: Machine) -> None:
    """A program that is not there: status 203; a service of type exec fails to start, a simple one ends at once."""
    name = machine.unit("Type=exec\nExecStart=/nowhere")
    assert machine.code("systemctl", "start", name) == 1
    assert machine.show(name, "ExecMainStatus") == "203"
    assert "/nowhere: No such file or directory" in machine.journal(name)
    simple = machine.unit("ExecStart=/nowhere")
    assert machine.code("systemctl", "start", simple) == 0
    machine.until(simple, "ActiveState", "failed")


def test_order(machine: Machine) -> None:
    """Wants= pulls units in, After= makes them start first, a failed Requires= keeps its unit from starting."""
    first = machine.unit(
        "Type=oneshot\nRemainAfterExit=yes\nExecStart=sh -c 'sleep 0.2; echo first >> /opt/chain'"
    )
    second = machine.unit(
        "Type=oneshot\nExecStart=sh -c 'echo second >> /opt/chain'", f"Wants={first}\nAfter={first}"
    )
    machine.sh(f"systemctl start {second}")
    assert machine.sh("cat /opt/chain").split() == ["first", "second"]
    broken = machine.unit("Type=oneshot\nExecStart=false")
    third = machine.unit(
        "Type=oneshot\nExecStart=sh -c 'echo third >> /opt/chain'", f"Requires={broken}\nAfter={broken}"
    )
    assert machine.code("systemctl", "start", third) == 1
    assert machine.sh("cat /opt/chain").split() == ["first", "second"]


def test_circle(machine: Machine) -> None:
    """Units ordered in a circle are started all the same, and the circle is named."""
    one, two = (
        machine.unit("Type=oneshot\nRemainAfterExit=yes\nExecStart=true", name=f"c{n}.service")
        for n in (1, 2)
    )
    machine.unit("Type=oneshot\nRemainAfterExit=yes\nExecStart=true", f"Wants={two}\nAfter={two}", name=one)
    machine.unit("Type=oneshot\nRemainAfterExit=yes\nExecStart=true", f"Wants={one}\nAfter={one}", name=two)
    machine.sh(f"systemctl start {one}")
    machine.until(two, "ActiveState", "active")
    assert "in a circle" in machine.sh("journalctl -o cat")


def test_waiting_is_said(machine: Machine) -> None:
    """A start that has to wait for another unit says for which."""
    slow = machine.unit("Type=oneshot\nExecStart=sleep 0.3")
    late = machine.unit("Type=oneshot\nExecStart=true", f"After={slow}")
    machine.sh(f"systemctl start --no-block {slow}; systemctl start {late}")
    assert f"waits until {slow} has started" in machine.journal(late)


def test_daemon_reload(machine: Machine) -> None:
    """A changed unit file counts after daemon-reload; drop-ins are read after it."""
    name = machine.unit("Type=oneshot\nExecStart=sh -c 'echo old'")
    machine.sh(f"systemctl start {name}")
    machine.unit("Type=oneshot\nExecStart=sh -c 'echo new'", name=name)
    machine.sh(f"systemctl start {name}")
    machine.sh(f"systemctl daemon-reload && systemctl start {name}")
    folder = f"/etc/systemd/system/{name}.d"
    lines = '[Service]\\nExecStart=\\nExecStart=sh -c "echo dropped"\\n'
    machine.sh(
        f"mkdir {folder} && printf '{lines}' > {folder}/x.conf && systemctl daemon-reload && systemctl start {name}"
    )
    assert [line for line in machine.journal(name).splitlines() if line in ("old", "new", "dropped")] == [
        "old",
        "old",
        "new",
        "dropped",
    ]


def test_enable(machine: Machine) -> None:
    """Enabling links the unit where its [Install] section says; disabling takes the link away."""
    name = machine.unit("ExecStart=sleep 1000", install="WantedBy=multi-user.target")
    assert machine.code("systemctl", "is-enabled", name) == 1
    machine.sh(f"systemctl enable --now {name}")
    assert machine.sh(f"systemctl is-enabled {name}; systemctl is-active {name}").split() == [
        "enabled",
        "active",
    ]
    assert machine.code("test", "-L", f"/etc/systemd/system/multi-user.target.wants/{name}") == 0
    machine.sh(f"systemctl disable --now {name}")
    assert machine.code("systemctl", "is-active", name) == 3
    assert machine.code("systemctl", "is-enabled", name) == 1


def test_remarks(machine: Machine) -> None:
    """Settings that only confine are noted, unknown ones warned of, nonsense refused with its name."""
    name = machine.unit("Type=oneshot\nExecStart=true\nProtectSystem=strict\nMisspelt=1")
    machine.sh(f"systemctl start {name}")
    assert "not enforced in the lab: Service.ProtectSystem" in machine.journal(name)
    assert "ignores Service.Misspelt" in machine.journal(name)
    broken = machine.unit("Type=sometimes\nExecStart=true")
    assert machine.code("systemctl", "start", broken) == 1


def test_user_and_priority(machine: Machine) -> None:
    """A service may run as another user, with a priority and a scheduling policy."""
    name = machine.unit("Type=oneshot\nUser=nobody\nNice=5\nCPUSchedulingPolicy=fifo\nCPUSchedulingPriority=7\n"
                        "ExecStart=sh -c 'id -un; cut -d\" \" -f 19,40,41 /proc/self/stat'")  # fmt: skip
    machine.sh(f"systemctl start {name}")
    lines = machine.journal(name).splitlines()
    assert "nobody" in lines
    assert "5 7 1" in lines


def test_kill(machine: Machine) -> None:
    """systemctl kill sends the signal it is told to."""
    name = machine.unit("ExecStart=sh -c 'trap \"echo got it\" USR1; while :; do sleep 0.05; done'")
    machine.sh(f"systemctl start {name}; sleep 0.1; systemctl kill -s USR1 --kill-who=main {name}")
    machine.wait(lambda: "got it" in machine.journal(name))
    machine.sh(f"systemctl stop {name}")


def test_syslog(machine: Machine) -> None:
    """What `logger` says is in the journal."""
    machine.sh("logger -t h3 hello from a script")
    machine.wait(lambda: "h3: hello from a script" in machine.sh("journalctl"))
