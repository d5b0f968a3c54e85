"""Where an instance's files may be kept, and how they are removed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evernat.lab.computer.box import remove_tree

pytestmark = pytest.mark.packets

# In a mount namespace of its own: nothing of it can stay behind.
PROGRAM = """
import subprocess, sys
from pathlib import Path
from evernat.lab.computer.box import place_for_files
from evernat.lab.computer.guest import kernel
here = Path(sys.argv[1])
for name in ("lower", "upper", "work", "overlay", "plain"):
    (here / name).mkdir()
kernel.mount("tmpfs", str(here / "plain"), "tmpfs")
options = f"lowerdir={here}/lower,upperdir={here}/upper,workdir={here}/work"
kernel.mount("overlay", str(here / "overlay"), "overlay", data=options)
print(place_for_files(here / "plain"), place_for_files(here / "overlay"))
print([line.split()[2] for line in Path("/proc/self/mounts").read_text().splitlines() if f"{here}/overlay" in line][-1])
"""


def test_place_for_files(tmp_path: Path) -> None:
    """Where overlayfs cannot keep its files, as on another overlay, memory is mounted over it; elsewhere nothing."""
    command = ["unshare", "--mount", sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True", "tmpfs"], done.stderr


def test_remove_tree(tmp_path: Path) -> None:
    """A tree goes with the directories overlayfs closed to everybody; one that is not there is no error."""
    closed = tmp_path / "box" / "root" / "work" / "work"
    closed.mkdir(parents=True)
    closed.chmod(0)
    remove_tree(tmp_path / "box")
    assert not (tmp_path / "box").exists()
    remove_tree(tmp_path / "box")
