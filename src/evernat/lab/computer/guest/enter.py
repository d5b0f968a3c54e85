"""First program in the new namespaces: puts the instance's file tree together, enters it, becomes `init`.

Its argument is JSON, see `Layout`. It sees the machine's files; what it executes sees only the instance's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from . import kernel

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
    # The serial console is what init itself writes to.
    "console": "/proc/1/fd/1",
    "kmsg": "/proc/1/fd/1",
}


class Layer(NamedTuple):
    """One overlay: `lower` directories (topmost first, with `:` between) below the instance's own files."""

    target: str
    lower: str
    files: str


class Layout(NamedTuple):
    """What the instance is made of.

    `layers` in order, the first is the root; `binds` are directories of the machine and where they are shown
    read-only; `user_namespace` whether overlayfs has to keep its marks in `user.` attributes; `init` is handed on.
    """

    root: str
    hostname: str
    user_namespace: bool
    layers: tuple[Layer, ...]
    binds: tuple[tuple[str, str], ...]
    init: str


def _overlay(root: str, layer: Layer, user_namespace: bool) -> None:
    target = root + layer.target
    data = f"lowerdir={layer.lower},upperdir={layer.files}/upper,workdir={layer.files}/work"
    kernel.mount("overlay", target, "overlay", data=data + (",userxattr" if user_namespace else ""))


def _devices(root: str) -> None:
    """A small /dev. Nodes are bound from the machine's: a user namespace may not make any."""
    dev = Path(root, "dev")
    kernel.mount("tmpfs", str(dev), "tmpfs", kernel.MS_NOSUID, "mode=755,size=64k")
    for name in _DEVICES:
        source = Path("/dev", name)
        if source.exists():
            target = dev / name
            target.parent.mkdir(exist_ok=True)
            target.touch()
            kernel.bind(str(source), str(target))
    for name, to in _DEVICE_LINKS.items():
        (dev / name).symlink_to(to)
    for name in ("shm", "pts"):
        (dev / name).mkdir()
    kernel.mount("tmpfs", str(dev / "shm"), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
    kernel.mount("devpts", str(dev / "pts"), "devpts", kernel.MS_NOSUID, "newinstance,ptmxmode=0666,mode=620")


def _proc(root: str) -> None:
    """A /proc of the instance's own processes.

    As root an instance could set the machine's own kernel parameters or press its sysrq key through it: both are
    closed. The network's parameters stay open: they are the instance's own. So is the boot id, as on real hardware.
    """
    proc = root + "/proc"
    kernel.mount("proc", proc, "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.bind(f"{proc}/sys", f"{proc}/sys")
    kernel.bind(f"{proc}/sys/net", f"{proc}/sys/net")
    boot_id = Path(root, "run/boot-id")
    boot_id.write_text(Path("/proc/sys/kernel/random/uuid").read_text())
    kernel.bind(str(boot_id), f"{proc}/sys/kernel/random/boot_id")
    kernel.mount("", f"{proc}/sys", flags=_REMOUNT_READ_ONLY)
    if Path(proc, "sysrq-trigger").exists():
        kernel.bind(f"{root}/dev/null", f"{proc}/sysrq-trigger")


_MS_REMOUNT = 32
_REMOUNT_READ_ONLY = (
    _MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
)


def _assemble(layout: Layout) -> None:
    root = layout.root
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    _overlay(root, layout.layers[0], layout.user_namespace)
    for source, target in layout.binds:
        kernel.bind(source, root + target, read_only=True)
    for layer in layout.layers[1:]:
        _overlay(root, layer, layout.user_namespace)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", root + "/run", "tmpfs", flags, "mode=755")
    kernel.mount("tmpfs", root + "/tmp", "tmpfs", flags, "mode=1777")  # noqa: S108 - the instance's own
    _devices(root)
    _proc(root)
    kernel.mount("sysfs", root + "/sys", "sysfs", flags | kernel.MS_NOEXEC | kernel.MS_RDONLY)


def main(argument: str) -> None:
    """Assemble the file tree, enter it, execute init."""
    values = json.loads(argument)
    values["layers"] = tuple(Layer(*each) for each in values["layers"])
    layout = Layout(**values)
    _assemble(layout)
    kernel.set_hostname(layout.hostname)
    kernel.enter_root(layout.root)
    for capability in (kernel.CAP_SYS_RAWIO, kernel.CAP_SYS_TIME, kernel.CAP_MKNOD):
        kernel.drop_capability(capability)
    os.execv("/usr/bin/python3", ["/usr/bin/python3", "-EsSB", "/.lab/init", layout.init])  # noqa: S606
