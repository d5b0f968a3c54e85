"""The stock image: the file tree every instance starts from, built once per lab and never written to again.

It is the lower layer of an instance's own overlay, so it must be a directory of ours: as root `/` itself would show
the machine's files, and a user namespace may not stack on it. Programs and libraries are the machine's own, shown
read-only; `bin` and `sbin` get a layer that hides what the image has not (nftables, conntrack, iptables) and what would
talk to the machine's own service manager.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import textwrap
from pathlib import Path
from typing import NamedTuple

import yaml

_GUEST = Path(__file__).parent / "guest"

# Read from the machine once: what its programs need to find their libraries, alternatives, certificates and names.
_FROM_ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl", "ca-certificates.conf", "protocols", "services",
    "iproute2", "mime.types", "python3", "localtime", "bash.bashrc", "terminfo", "crypto-policies", "pki",
)  # fmt: skip

PACKAGES = {
    "nftables": ["nft"],
    "conntrack-tools": ["conntrack", "conntrackd"],
    "conntrack": ["conntrack"],
    "iptables-nft": ["iptables", "iptables-save", "iptables-restore", "ip6tables"],
    "iptables": ["iptables", "iptables-save", "iptables-restore", "ip6tables"],
}
"""Packages that are not on the image, by the names Amazon Linux and Debian give them, and their programs."""


class System(NamedTuple):
    """What one distribution's image differs in."""

    installers: tuple[str, ...]
    os_release: str


SYSTEMS = {
    "al2023": System(
        ("dnf", "yum"),
        'NAME="Amazon Linux"\nVERSION="2023"\nID="amzn"\nID_LIKE="fedora"\nVERSION_ID="2023"\n'
        'PLATFORM_ID="platform:al2023"\nPRETTY_NAME="Amazon Linux 2023 (lab)"\n',
    ),
    "debian": System(
        ("apt-get", "apt"),
        'NAME="Debian GNU/Linux"\nVERSION="13 (trixie)"\nVERSION_CODENAME=trixie\nID=debian\nVERSION_ID="13"\n'
        'PRETTY_NAME="Debian GNU/Linux 13 (lab)"\n',
    ),
}
"""The systems the lab's machines pass for."""

_HIDDEN_TOO = (
    "iptables-nft",
    "iptables-legacy",
    "ip6tables-nft",
    "ip6tables-legacy",
    "xtables-nft-multi",
    "apt",
    "apt-get",
    "dnf",
    "yum",
)
_SHIMS = {
    "bin": ("systemctl", "journalctl", "cloud-init"),
    "sbin": ("shutdown", "poweroff", "reboot", "halt"),
}
_MACHINE_FILES = ("bin", "sbin")

_FILES = {
    "etc/passwd": """\
        root:x:0:0:root:/root:/bin/bash
        bin:x:1:1:bin:/bin:/sbin/nologin
        daemon:x:2:2:daemon:/sbin:/sbin/nologin
        nobody:x:65534:65534:Kernel Overflow User:/:/sbin/nologin
        ec2-user:x:1000:1000:EC2 Default User:/home/ec2-user:/bin/bash
        """,
    "etc/group": """\
        root:x:0:
        bin:x:1:
        daemon:x:2:
        wheel:x:10:ec2-user
        nobody:x:65534:
        ec2-user:x:1000:
        """,
    "etc/nsswitch.conf": """\
        passwd: files
        group: files
        hosts: files dns
        services: files
        protocols: files
        """,
    "etc/resolv.conf": "# The lab has no name server.\n",
    "etc/profile": "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\n",
    # Run before the instance's root is entered, by its path on this side.
    ".lab/enter": """\
        import os, sys

        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        from guest.enter import main

        main(sys.argv[1])
        """,
    ".lab/init": """\
        import sys

        sys.path.insert(0, "/.lab")
        from guest.init import main

        main()
        """,
    ".lab/units/cloud-final.service": """\
        [Unit]
        Description=Cloud-init of the lab: run the user data
        After=network-online.target

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        KillMode=process
        SyslogIdentifier=cloud-init
        ExecStart=/.lab/bin/cloud-final
        """,
}
_SHIM = """\
#!/usr/bin/python3 -EsSB
import sys

sys.path.insert(0, "/.lab")
from guest.shims.main import main

sys.exit(main())
"""
_FOLDERS = (
    "dev", "proc", "sys", "run", "tmp", "mnt", "opt", "srv", "root", "home/ec2-user", "boot", "usr/local/bin",
    "usr/local/sbin", "usr/local/lib", "usr/local/share", "var/lib/cloud/instances", "var/log", "var/tmp",
    "var/cache", "var/spool",
    "etc/systemd/system", "etc/modules-load.d", "etc/sysctl.d", ".lab/units", ".lab/bin", ".lab/machine",
)  # fmt: skip


class Skeleton:
    """The image on disk: `root` and one layer for each directory of programs, and what to bind over it."""

    def __init__(self, directory: Path, install_seconds: float, system: str = "al2023") -> None:
        """Build it in `directory`, which must not exist. `system` is a key of `SYSTEMS`."""
        self._system = SYSTEMS[system]
        self.root = directory / "root"
        self.layers: dict[str, Path] = {}
        self.binds: list[tuple[str, str]] = []
        for folder in _FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for name, text in _FILES.items():
            (self.root / name).write_text(textwrap.dedent(text))
        (self.root / "etc/os-release").write_text(self._system.os_release)
        (self.root / "root").chmod(0o700)
        (self.root / "var/tmp").chmod(0o1777)
        (self.root / "var/run").symlink_to("/run")
        self._machine_etc()
        self._machine_usr()
        for name in _MACHINE_FILES:
            self._program_layer(directory / name, name)
        self._guest(install_seconds)

    def _machine_etc(self) -> None:
        for name in _FROM_ETC:
            source, target = Path("/etc", name), self.root / "etc" / name
            if source.is_symlink():
                target.symlink_to(source.readlink())
            elif source.is_dir():
                shutil.copytree(source, target, symlinks=True, ignore=_unreadable)
            elif source.exists():
                shutil.copyfile(source, target)
        (self.root / "etc/mtab").symlink_to("/proc/self/mounts")

    def _machine_usr(self) -> None:
        """Bind everything of /usr but `local`; `/bin`, `/lib` and their like are what they are here."""
        for source in sorted(Path("/usr").iterdir()):
            if source.name != "local":
                self._show(source)
        for source in Path("/").iterdir():
            if source.name in ("bin", "sbin") or source.name.startswith("lib"):
                self._show(source)

    def _show(self, source: Path) -> None:
        target = self.root / source.relative_to("/")
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            self.binds.append((str(source), str(source)))

    def _program_layer(self, layer: Path, name: str) -> None:
        machine = Path("/usr", name)
        if machine.is_symlink():  # Everything in one directory: the other name is a link to it.
            layer = layer.parent / machine.readlink().name
        else:
            self.layers[f"/usr/{name}"] = layer
            (self.root / ".lab/machine/usr" / name).mkdir(parents=True)
            self.binds.append((str(machine), f"/.lab/machine/usr/{name}"))
        layer.mkdir(parents=True, exist_ok=True)
        for program in (*_HIDDEN_TOO, *(each for programs in PACKAGES.values() for each in programs)):
            if os.path.lexists(machine / program) and not os.path.lexists(layer / program):
                # Character device 0:0 is overlayfs's mark for "not here"; anybody may make one since Linux 5.8.
                os.mknod(layer / program, stat.S_IFCHR | 0o600, os.makedev(0, 0))
        for shim in (*_SHIMS[name], *(self._system.installers if name == "bin" else ())):
            _shim(layer / shim)

    def _guest(self, install_seconds: float) -> None:
        lab = self.root / ".lab"
        shutil.copytree(_GUEST, lab / "guest", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(
            Path(yaml.__file__).parent, lab / "yaml", ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
        _shim(lab / "bin/cloud-final")
        catalogue = {
            "seconds": install_seconds,
            "packages": {name: [_where(each) for each in programs] for name, programs in PACKAGES.items()},
        }
        (lab / "packages.json").write_text(json.dumps(catalogue, indent=2))
        # Instances run without writing byte code, and none of them should compile for itself.
        compile_all = [
            "/usr/bin/python3",
            "-EsSB",
            "-m",
            "compileall",
            "-q",
            str(lab / "guest"),
            str(lab / "yaml"),
        ]
        subprocess.run(compile_all, check=True)

    def enter_program(self) -> str:
        """The first program of a machine, by its path on this side."""
        return str(self.root / ".lab/enter")


def _shim(path: Path) -> None:
    if os.path.lexists(path):
        path.unlink()
    path.write_text(_SHIM)
    path.chmod(0o755)


def _where(program: str) -> str:
    """Where the machine has a program; the usual place when it has none."""
    folders = (folder for folder in _MACHINE_FILES if os.path.lexists(f"/usr/{folder}/{program}"))
    return f"/usr/{next(folders, 'sbin')}/{program}"


def _unreadable(folder: str, names: list[str]) -> list[str]:
    """Private keys and their like, which an ordinary user may not read (and root should not spread)."""
    return [name for name in names if name == "private" or not os.access(Path(folder, name), os.R_OK)]
