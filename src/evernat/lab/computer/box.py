"""An instance's own files on this machine: where they are, and how they become its root."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

from evernat.lab.computer.guest import kernel
from evernat.lab.computer.skeleton import Skeleton


class Box:
    """What is an instance's across its reboots. `remove` after it was terminated."""

    def __init__(self, directory: Path, skeleton: Skeleton, instance_id: str, hostname: str) -> None:
        self._directory = directory / instance_id
        self._skeleton = skeleton
        self._hostname = hostname
        self._files("root")
        for target in skeleton.layers:
            self._files(target.strip("/").replace("/", "-"))
        (self._directory / "tree").mkdir(parents=True, exist_ok=True)
        self._identify(instance_id)

    def _files(self, name: str) -> Path:
        folder = self._directory / name
        (folder / "upper").mkdir(parents=True, exist_ok=True)
        (folder / "work").mkdir(exist_ok=True)
        return folder

    def _identify(self, instance_id: str) -> None:
        etc = self._directory / "root/upper/etc"
        etc.mkdir(exist_ok=True)
        short = self._hostname.partition(".")[0]
        (etc / "hostname").write_text(self._hostname + "\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.0.1 {self._hostname} {short}\n")
        (etc / "machine-id").write_text(instance_id.removeprefix("i-").rjust(32, "0")[-32:] + "\n")

    def layout(self, init: dict[str, Any]) -> str:
        """The argument of `guest/enter.py`."""
        layers = [("", str(self._skeleton.root), str(self._files("root")))]
        for target, layer in self._skeleton.layers.items():
            layers.append(
                (target, f"{layer}:{target}", str(self._files(target.strip("/").replace("/", "-"))))
            )
        return json.dumps(
            {
                "root": str(self._directory / "tree"),
                "hostname": self._hostname,
                "user_namespace": in_user_namespace(),
                "layers": layers,
                "binds": self._skeleton.binds,
                "init": json.dumps(init),
            }
        )

    def remove(self) -> None:
        """Delete the files; they must not be in use."""
        remove_tree(self._directory)


def place_for_files(directory: Path) -> bool:
    """Make sure that overlayfs can keep its upper layers in a directory; answers whether that took a mount over it.

    Another overlay (the root of most containers) cannot; memory always can.
    """
    probe = directory / "probe"
    layers = [probe / name for name in ("lower", "upper", "work", "tree")]
    for each in layers:
        each.mkdir(parents=True)
    lower, upper, work, tree = layers
    marks = ",userxattr" if in_user_namespace() else ""
    options = f"lowerdir={lower},upperdir={upper},workdir={work}{marks}"
    # In a mount namespace of its own, so that nothing stays when this process is killed right here.
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o", options, str(tree)],
        capture_output=True,
        check=False,
    )
    remove_tree(probe)
    if tried.returncode == 0:
        return False
    kernel.mount("tmpfs", str(directory), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=700")
    return True


def in_user_namespace() -> bool:
    """Whether this process is root only of a user namespace."""
    return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]


def remove_tree(path: Path) -> None:
    """Delete a tree, also where overlayfs left directories that nobody may enter and the user is an ordinary one."""
    if not path.exists():
        return
    for folder in (path / "work", *path.glob("*/work")):
        for inner in folder.iterdir() if folder.is_dir() else ():
            inner.chmod(stat.S_IRWXU)
    shutil.rmtree(path)
