"""Machines as the World goes on: reboot, clean stop, pulled plug, their own power-off, the end of the lab."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evernat.lab.profile import Profile
from evernat.lab.world import Instance
from tests.lab_computer.support import Lab, instance

pytestmark = pytest.mark.packets

# Says when it starts and when it is asked to stop, in a file that outlives it.
UNIT = """#cloud-config
bootcmd: [echo bootcmd >> /opt/log]
write_files:
- path: /etc/systemd/system/diary.service
  content: |
    [Service]
    Type=exec
    ExecStart=sh -c 'echo start >> /opt/log; trap "echo stop >> /opt/log; exit 0" TERM; while :; do sleep 0.02; done'
    [Install]
    WantedBy=multi-user.target
- path: /etc/sysctl.d/50-lab.conf
  content: |
    net.ipv4.ip_forward = 1
runcmd:
- echo runcmd >> /opt/log
- systemctl enable --now diary
"""

_numbers = itertools.count(0x100)


@pytest.fixture
def one(lab: Lab) -> Instance:
    """A machine with a diary, booted."""
    made = instance(UNIT, name=f"i-{next(_numbers):017x}")
    lab.set(made)
    lab.booted(made.id)
    lab.wait(lambda: "start" in diary(lab, made))
    lab.exits.clear()
    return made


def diary(lab: Lab, machine: Instance) -> list[str]:
    """The diary so far."""
    return lab.run(machine.id, "cat", "/opt/log").stdout.split()


def _pid_gone(pid: int) -> Callable[[], bool]:
    return lambda: not Path(f"/proc/{pid}").exists()


def _again(lab: Lab, machine: Instance, old_pid: int | None) -> None:
    lab.wait(lambda: lab.computers.pid(machine.id) not in (None, old_pid))
    lab.wait(lambda: lab.console(machine.id).count("Cloud-init of the lab finished") == 2)


def test_reboot(lab: Lab, one: Instance) -> None:
    """A reboot by the API stops services in order, keeps files, starts enabled units, runs user data not again."""
    pid = lab.computers.pid(one.id)
    boot_id = lab.out(one.id, "cat", "/proc/sys/kernel/random/boot_id")
    lab.set(replace(one, boots=2))
    _again(lab, one, pid)
    lab.wait(lambda: diary(lab, one).count("start") == 2)
    assert sorted(diary(lab, one)) == ["bootcmd", "bootcmd", "runcmd", "start", "start", "stop"]
    assert lab.out(one.id, "cat", "/proc/sys/kernel/random/boot_id") != boot_id
    assert lab.exits == []


def test_stop_order(lab: Lab) -> None:
    """Going down, a unit stops before those it started after."""
    service = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n"
    files = []
    for name, after in (("base", "x"), ("top", "middle.service"), ("middle", "base.service")):
        stop = f"ExecStop=sh -c 'sleep 0.1; echo {name} >> /opt/log'\n"
        path = f"/etc/systemd/system/{name}.service"
        files.append({"path": path, "content": f"[Unit]\nAfter={after}\n{service}{stop}"})
    config = {"write_files": files, "runcmd": ["systemctl start base middle top"]}
    made = instance("#cloud-config\n" + json.dumps(config), name=f"i-{next(_numbers):017x}")
    lab.set(made)
    lab.booted(made.id)
    lab.set(replace(made, boots=2))
    _again(lab, made, None)
    assert diary(lab, made) == ["top", "middle", "base"]


def test_sysctl_after_reboot(lab: Lab, one: Instance) -> None:
    """Parameters in /etc/sysctl.d are set at boot, in the new kernel memory."""
    pid = lab.computers.pid(one.id)
    assert lab.out(one.id, "cat", "/proc/sys/net/ipv4/ip_forward") == "0"
    lab.set(replace(one, boots=2))
    _again(lab, one, pid)
    assert lab.out(one.id, "cat", "/proc/sys/net/ipv4/ip_forward") == "1"


def test_pulled_plug(lab: Lab, one: Instance) -> None:
    """A pulled plug kills everything at once, with no word to any service; its files are there at the next power-on."""
    pid = lab.computers.pid(one.id)
    assert pid
    lab.set(replace(one, powered=False))
    lab.wait(_pid_gone(pid), 1)
    assert lab.computers.pid(one.id) is None
    lab.set(replace(one, boots=2))
    _again(lab, one, pid)
    assert "stop" not in diary(lab, one)
    assert lab.exits == []


def test_stop_and_start(lab: Lab, one: Instance) -> None:
    """Stopping by the API is a clean shutdown; starting again boots the same files."""
    pid = lab.computers.pid(one.id)
    assert pid
    lab.set(replace(one, state="stopping"))
    lab.wait(_pid_gone(pid))
    lab.set(replace(one, state="stopped", powered=False))
    lab.set(replace(one, boots=2))
    _again(lab, one, pid)
    assert diary(lab, one).count("stop") == 1


def test_terminated(lab: Lab, one: Instance) -> None:
    """A terminated instance stops cleanly and its files go; its console stays."""
    pid = lab.computers.pid(one.id)
    assert pid
    lab.set()
    lab.wait(_pid_gone(pid))
    lab.wait(lambda: not list(lab.directory.glob(f"**/boxes/{one.id}")))
    assert "Going down" in lab.console(one.id)
    assert lab.exits == []


def test_own_power_off(lab: Lab, one: Instance) -> None:
    """An instance that shuts itself down is reported once, after its services were stopped."""
    lab.run(one.id, "shutdown", "-h", "now")
    lab.wait(lambda: lab.exits)
    assert lab.exits == [(one.id, "poweroff")]
    assert lab.computers.pid(one.id) is None


def test_own_reboot(lab: Lab, one: Instance) -> None:
    """An instance that reboots itself is reported as that, and comes back when the World counts another boot."""
    pid = lab.computers.pid(one.id)
    lab.run(one.id, "reboot")
    lab.wait(lambda: lab.exits == [(one.id, "reboot")])
    lab.set(replace(one, boots=2))
    _again(lab, one, pid)
    assert diary(lab, one).count("stop") == 1


def test_reboot_call(lab: Lab, one: Instance) -> None:
    """Even reboot(2) called directly, which kills at once, is told from a breakdown."""
    pid = lab.computers.pid(one.id)
    assert pid
    inside = str(Path(f"/proc/{pid}/ns/pid").readlink())
    assert inside != str(Path("/proc/self/ns/pid").readlink())
    # In a child namespace this ends its process 1 only (pid_namespaces(7)). The program makes sure that it is in one.
    program = (
        "import ctypes, os\n"
        f"assert os.readlink('/proc/self/ns/pid') == {inside!r}\n"
        "ctypes.CDLL(None).reboot(0x01234567)"
    )
    lab.run(one.id, "python3", "-c", program)
    lab.wait(lambda: lab.exits == [(one.id, "reboot")])


def test_user_data_reboots(lab: Lab) -> None:
    """User data that ends in a reboot does not run a second time."""
    made = instance("#!/bin/sh\necho ran >> /opt/ran\nreboot\n", name=f"i-{next(_numbers):017x}")
    lab.exits.clear()
    lab.set(made)
    lab.wait(lambda: lab.exits)
    lab.set(replace(made, boots=2))
    lab.wait(lambda: lab.computers.pid(made.id))
    lab.wait(lambda: "Cloud-init of the lab finished" in lab.console(made.id))
    assert lab.out(made.id, "cat", "/opt/ran") == "ran"


def test_several_at_once(lab: Lab) -> None:
    """Machines boot beside one another; taking one away leaves the others alone."""
    several = [instance("#!/bin/sh\ntrue\n", name=f"i-{next(_numbers):017x}", last=20 + n) for n in range(4)]
    lab.set(*several)
    for each in several:
        lab.booted(each.id)
    pids = [lab.computers.pid(each.id) for each in several[1:]]
    lab.set(*several[1:])
    assert [lab.computers.pid(each.id) for each in several[1:]] == pids
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)


def test_pending_does_not_boot(lab: Lab) -> None:
    """Nothing boots before the instance runs."""
    made = instance("", name=f"i-{next(_numbers):017x}", state="pending")
    lab.set(made)
    assert not lab.computers.console(made.id).exists()
    lab.set(replace(made, state="running"))
    lab.booted(made.id)


def test_host(lab: Lab) -> None:
    """A host of the lab runs its command in its network and boots nothing; it ends with its instance."""
    made = instance("#!/bin/sh\ntouch /opt/never\n", name=f"i-{next(_numbers):017x}", host="client-a")
    lab.set(made)
    lab.wait(lambda: "host client-a" in lab.console(made.id))
    assert lab.computers.pid(made.id) is None
    lab.set(replace(made, boots=2))
    lab.wait(lambda: lab.console(made.id).count("host client-a") == 2)
    lab.set()
    assert made.id not in dict(lab.exits)


def test_boot_delay(tmp_path: Path) -> None:
    """A latency profile's boot time passes before user data runs, its package time during an installation."""
    slow = Lab(tmp_path, Profile("slow", boot=0.5, package_install=0.3))
    try:
        made = instance(
            "#!/bin/sh\na=$(date +%s%N); dnf install -y nftables; echo took $((($(date +%s%N)-a)/1000000)) ms\n"
        )
        slow.set(made)
        slow.wait(lambda: slow.computers.pid(made.id))
        assert "took" not in slow.console(made.id)
        slow.booted(made.id)
        assert int(slow.console(made.id).split("took ")[1].split(" ms")[0]) >= 300
    finally:
        slow.close()


def test_nothing_left(tmp_path: Path) -> None:
    """Closing the lab ends its machines and removes all files, whatever state they were in."""
    lab = Lab(tmp_path)
    booting, ready = instance("#!/bin/sh\nsleep 100\n"), instance(UNIT, name="i-0000000000000002", last=11)
    lab.set(booting, ready)
    lab.booted(ready.id)
    pids = [lab.computers.pid(each.id) for each in (booting, ready)]
    lab.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_crash_of_the_lab(tmp_path: Path) -> None:
    """When the process that runs the lab is killed, all machines die with it."""
    program = (
        "import sys, time; from pathlib import Path; from tests.lab_computer.support import Lab, instance\n"
        "lab = Lab(Path(sys.argv[1])); one = instance('#!/bin/sh\\nsleep 100\\n'); lab.set(one)\n"
        "lab.wait(lambda: lab.computers.pid(one.id)); print(lab.computers.pid(one.id), flush=True); time.sleep(100)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    pid = int(child.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    child.send_signal(signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 2
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.stdout.close()
