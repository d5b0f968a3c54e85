"""User data of every kind, run in real machines."""

from __future__ import annotations

import base64
import gzip
import itertools
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from evernat.lab.computer.guest.kernel import CAP_MKNOD, CAP_SYS_RAWIO, CAP_SYS_TIME
from tests.lab_computer.support import Lab, instance

_numbers = itertools.count(1)
pytestmark = pytest.mark.packets

CONFIG = """#cloud-config
write_files:
- path: /opt/deep/er/plain
  content: hello
- path: /opt/script
  permissions: '0750'
  content: |
    #!/bin/sh
    echo from the script >> /opt/log
- path: /opt/zipped
  encoding: gz+b64
  content: {zipped}
- path: /opt/deep/er/plain
  append: true
  content: ' again'
- path: /opt/late
  defer: true
  content: x
runcmd:
- echo first >> /opt/log
- [sh, -c, 'echo "$0 $1" >> /opt/log', a b, "c'd"]
- /opt/script
- 'false'
- test -e /opt/late && echo last >> /opt/log
"""


@pytest.fixture
def boot(lab: Lab) -> Callable[[bytes | str], Callable[..., str]]:
    """Boot a new machine with user data; answers what runs commands in it."""

    def run(user_data: bytes | str) -> Callable[..., str]:
        name = f"i-{next(_numbers):017x}"
        one = instance(user_data, name=name)
        lab.set(one)
        lab.booted(name)
        return lambda *command: lab.out(name, *command)

    return run


Boot = Callable[[bytes | str], Callable[..., str]]


def test_cloud_config(boot: Boot) -> None:
    """Files come with mode, encoding and appended text, then commands run in order, failures in between or not."""
    zipped = base64.b64encode(gzip.compress(b"squeezed")).decode()
    out = boot(gzip.compress(CONFIG.replace("{zipped}", zipped).encode()))
    assert out("cat", "/opt/deep/er/plain") == "hello again"
    assert out("cat", "/opt/zipped") == "squeezed"
    assert out("stat", "-c", "%a %U", "/opt/script") == "750 root"
    assert out("stat", "-c", "%a", "/opt/deep/er/plain") == "644"
    assert out("cat", "/opt/log").splitlines() == ["first", "a b c'd", "from the script", "last"]
    assert out("cloud-init", "status", "--wait") == "status: done"


def test_script(boot: Boot, lab: Lab) -> None:
    """A script runs as root under its own interpreter; its output is on the console and in cloud-init's log."""
    out = boot(
        "#!/usr/bin/python3\nimport os; open('/opt/made', 'w').write(str(os.getuid())); print('said so')\n"
    )
    assert out("cat", "/opt/made") == "0"
    assert "said so" in out("cat", "/var/log/cloud-init-output.log")
    assert "said so" in lab.console(lab.world.instances[0].id)


def _multipart(*parts: tuple[str, str, str]) -> bytes:
    message = EmailMessage()
    message.make_mixed()
    for subtype, name, text in parts:
        piece = EmailMessage()
        piece["Content-Type"] = f'text/{subtype}; charset="utf-8"'
        piece["Content-Disposition"] = f'attachment; filename="{name}"'
        piece.set_payload(text)
        message.attach(piece)
    return message.as_bytes()


def test_multipart(boot: Boot) -> None:
    """Scripts of a multipart run after files are written, in order of file names with runcmd among them."""
    out = boot(
        _multipart(
            ("x-shellscript", "zz.sh", "#!/bin/sh\necho zz >> /opt/log\n"),
            ("x-shellscript", "aa.sh", "#!/bin/sh\ncat /opt/file >> /opt/log\n"),
            ("cloud-config", "one.cfg", "write_files: [{path: /opt/file, content: \"aa\\n\"}]\nruncmd: [echo lost]\n"),
            ("cloud-config", "two.cfg", "#cloud-config\nruncmd: [echo rr >> /opt/log]\n"),
            ("cloud-boothook", "hook", "#!/bin/sh\ntest -e /opt/file || echo $INSTANCE_ID >> /opt/log\n"),
        )
    )  # fmt: skip
    name = out("cat", "/opt/log").splitlines()[0]
    assert out("cat", "/opt/log").splitlines() == [name, "aa", "rr", "zz"]
    assert name.startswith("i-")


def test_malformed_module(boot: Boot, lab: Lab) -> None:
    """A module whose part of the config makes no sense is named; the others do their work."""
    out = boot("#cloud-config\nwrite_files: [{path: /opt/file, content: x}, {content: y}]\nruncmd: [false]\n")
    assert "a command must be a text or a list, not bool" in lab.console(lab.world.instances[0].id)
    assert "an entry without path" in lab.console(lab.world.instances[0].id)
    assert out("cat", "/opt/file") == "x"


def test_broken_config(boot: Boot, lab: Lab) -> None:
    """User data that is no YAML is named on the console, and the machine is up all the same."""
    out = boot("#cloud-config\nruncmd: [unclosed\n")
    assert "cloud-config is not valid YAML" in lab.console(lab.world.instances[0].id)
    assert out("hostname") == "ip-10-0-0-10.us-west-2.compute.internal"
    assert lab.run(lab.world.instances[0].id, "cloud-init", "status").returncode == 1


def test_unknown_things(boot: Boot, lab: Lab) -> None:
    """Modules and kinds of user data the lab leaves out are named on the console."""
    out = boot("#cloud-config\nntp: {enabled: true}\nruncmd: [touch /opt/done]\n")
    assert "'ntp' is not done in the lab" in lab.console(lab.world.instances[0].id)
    assert out("ls", "/opt") == "done"
    boot("#include\nhttp://198.51.100.10/more\n")
    assert "kind include is not handled" in lab.console(lab.world.instances[0].id)


def test_no_user_data(boot: Boot) -> None:
    """An instance without user data boots."""
    assert boot("")("systemctl", "is-active", "cloud-final") == "active"


def test_packages(boot: Boot) -> None:
    """`packages` installs before the commands run."""
    out = boot("#cloud-config\npackages: [nftables]\nruncmd: [command -v nft > /opt/nft]\n")
    assert out("cat", "/opt/nft") == "/usr/sbin/nft"


def test_image(boot: Boot, lab: Lab) -> None:
    """The image has no nftables until it is installed, no other system's tools, and is Amazon Linux 2023."""
    out = boot("#cloud-config\nruncmd: ['true']\n")
    name = lab.world.instances[0].id
    for program in ("nft", "conntrack", "iptables", "apt-get"):
        assert lab.run(name, "sh", "-c", f"command -v {program}").returncode != 0, program
    assert "Amazon Linux 2023" in out("cat", "/etc/os-release")
    assert "Complete!" in out("dnf", "-y", "install", "nftables", "conntrack-tools")
    assert out("nft", "--version").startswith("nftables")
    assert "Nothing to do" in out("yum", "install", "-y", "nftables")
    missing = lab.run(name, "dnf", "install", "-y", "no-such-thing")
    assert (missing.returncode, missing.stderr.strip()) == (1, "Error: Unable to find a match: no-such-thing")


def test_own_files(boot: Boot, lab: Lab) -> None:
    """What an instance writes anywhere, programs among it, is its own: the machine and its neighbour do not see it."""
    out = boot(
        "#!/bin/sh\necho mine > /usr/bin/h3-test; echo mine > /etc/h3-test; echo mine > /usr/local/bin/h3-test\n"
    )
    for path in ("/usr/bin/h3-test", "/etc/h3-test", "/usr/local/bin/h3-test"):
        assert out("cat", path) == "mine"
        with pytest.raises(FileNotFoundError):
            open(path)  # noqa: SIM115, PTH123
    one = lab.world.instances[0]
    other = instance("#!/bin/sh\nls /etc/h3-test /usr/bin/h3-test\n", name="i-0000000000000beef", last=11)
    lab.set(one, other)
    lab.booted(other.id)
    assert lab.run(other.id, "test", "-e", "/etc/h3-test").returncode == 1


def test_machine_is_safe(boot: Boot, lab: Lab) -> None:
    """Inside, nobody can write to the machine's libraries and kernel parameters, set its clock or make devices."""
    out = boot("")
    name = lab.world.instances[0].id
    assert lab.run(name, "touch", "/usr/lib/x").returncode != 0
    assert lab.run(name, "sh", "-c", "cat /proc/sys/kernel/panic > /proc/sys/kernel/panic").returncode != 0
    if Path("/proc/sysrq-trigger").exists():
        assert out("stat", "-c", "%t,%T", "/proc/sysrq-trigger") == "1,3", "not /dev/null"
    # Not by trying it: the clock and the devices are the machine's own.
    bounding = int(out("sh", "-c", "grep CapBnd /proc/1/status").split()[1], 16)
    assert not [number for number in (CAP_SYS_RAWIO, CAP_SYS_TIME, CAP_MKNOD) if bounding >> number & 1]


def test_network_parameters(boot: Boot) -> None:
    """The network's kernel parameters are the instance's own to set."""
    assert boot("")("sysctl", "-w", "net.ipv4.ip_forward=1") == "net.ipv4.ip_forward = 1"


def test_namespaces(boot: Boot) -> None:
    """An instance sees its own processes, interfaces, host name and boot id only."""
    out = boot("")
    assert out("cat", "/proc/1/comm").startswith("python3")
    assert int(out("sh", "-c", "ls -d /proc/[0-9]* | wc -l")) < 8
    assert sorted(out("ls", "/sys/class/net").split()) == ["ens5", "lo"]
    assert (
        out("cat", "/proc/sys/kernel/random/boot_id")
        != Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    )


def test_nothing_leaks_into_services(boot: Boot) -> None:
    """A command of user data inherits no descriptors from the lab."""
    out = boot("#!/bin/sh\nls -l /proc/$$/fd > /opt/fds\n")
    lines = [line for line in out("cat", "/opt/fds").splitlines() if "->" in line]
    assert not [line for line in lines if "net:" in line or "socket" in line], lines


def test_debian(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An image that passes for Debian has apt-get and not dnf."""
    debian = Lab(tmp_path_factory.mktemp("debian"), system=lambda image: "debian")
    try:
        one = instance(
            "#!/bin/sh\napt-get update && apt-get install -y nftables && nft --version > /opt/nft\n"
        )
        debian.set(one)
        debian.booted(one.id)
        assert debian.out(one.id, "cat", "/opt/nft").startswith("nftables")
        assert debian.run(one.id, "sh", "-c", "command -v dnf").returncode != 0
        assert "ID=debian" in debian.out(one.id, "cat", "/etc/os-release")
    finally:
        debian.close()
