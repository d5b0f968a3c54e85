"""A node whose disk is full or read-only: the agent starts all the same, from memory if it must."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evernat.agent.beside import joined, unpack
from evernat.bundle import parameters
from evernat.bundle.sources import agent_sources

CODE = parameters("main", "address")

PROGRAM = """
import json, subprocess, sys
sys.path.insert(0, "")
from agent import beside
class Store:
    def parameters(self, names):
        asked.append(len(names))
        return {name: code[name] for name in names}
asked, code = [], json.load(open(sys.argv[1]))
try:
    beside.fetch(Store(), sys.argv[2], "", list(code))
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
    sys.exit()
from agent import cluster, effects, kernel
copying = [sys.executable, "-c", "import agent.flowsync as f; print(f.__file__)"]
done = subprocess.run(copying, capture_output=True, text=True)
print(json.dumps([cluster.__file__, kernel.__file__, done.stdout.strip(), done.stderr, sum(asked)]))
"""


def start(home: Path, before: str) -> list[object]:
    """Fetch as a node does, after `before` in a mount namespace of its own; what was loaded, and from where."""
    opt = home / "opt"
    for path, source in agent_sources().items():
        file = opt / "agent" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    (home / "code.json").write_text(json.dumps(CODE))
    (home / "program.py").write_text(PROGRAM)
    (home / "run").mkdir()
    script = f"set -e; {before}\ncd opt; exec {sys.executable} -SEsB ../program.py ../code.json $PWD/agent"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        cwd=home,
        env={"RUNTIME_DIRECTORY": str(home / "run"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout.splitlines()[-1])
    return found


READ_ONLY = "mount --bind opt opt; mount -o remount,ro,bind opt"
FULL = """
mkdir copy; cp -r opt/agent copy; mount -t tmpfs -o size=256k none opt; cp -r copy/agent opt
dd if=/dev/zero of=opt/fill bs=4k 2>/dev/null || true"""
NO_RUN = "mount -t tmpfs -o size=4k none run; dd if=/dev/zero of=run/fill bs=4k 2>/dev/null || true"
NO_SHM = "mount -t tmpfs -o size=4k none /dev/shm; dd if=/dev/zero of=/dev/shm/fill bs=4k 2>/dev/null || true"
FRESH_SHM = "mount -t tmpfs none /dev/shm"


def places(found: list[object]) -> set[str]:
    """The folders that the modules came from; the copying process has them too."""
    cluster, kernel, copying, wrong, _ = map(str, found)
    assert not wrong
    return {
        cluster.rpartition("/agent/")[0],
        kernel.rpartition("/agent/")[0],
        copying.rpartition("/agent/")[0],
    }


def test_room(tmp_path: Path) -> None:
    """As a rule the files go where the others are."""
    assert places(start(tmp_path, "")) == {str(tmp_path / "opt")}


@pytest.mark.parametrize("disk", [READ_ONLY, FULL], ids=["read-only", "full"])
def test_no_room_on_the_disk(tmp_path: Path, disk: str) -> None:
    """A disk that takes nothing: the whole package runs from /run."""
    assert places(start(tmp_path, disk)) == {str(tmp_path / "run")}


@pytest.mark.parametrize("disk", [READ_ONLY, FULL], ids=["read-only", "full"])
def test_no_room_in_run(tmp_path: Path, disk: str) -> None:
    """/run is full as well: it runs from shared memory."""
    assert places(start(tmp_path, f"{disk}\n{NO_RUN}\n{FRESH_SHM}")) == {"/dev/shm/evernat"}


def test_somebody_elses_memory(tmp_path: Path) -> None:
    """A folder of another user's is not taken."""
    other = f"{FRESH_SHM}; mkdir -p /dev/shm/evernat; chown 1234 /dev/shm/evernat"
    kind, text = start(tmp_path, f"{READ_ONLY}\n{NO_RUN}\n{other}")
    assert (kind, "Read-only file system" in str(text)) == ("EffectError", True)


def test_no_room_anywhere(tmp_path: Path) -> None:
    """Then it says so, and the daemon tries again."""
    kind, text = start(tmp_path, f"{READ_ONLY}\n{NO_RUN}\n{NO_SHM}")
    assert (kind, "cannot write the agent's files" in str(text)) == ("EffectError", True)


@pytest.mark.parametrize("disk", [READ_ONLY, "mount -t tmpfs -o size=4k none opt/x 2>/dev/null || true"])
def test_right_files_are_enough(tmp_path: Path, disk: str) -> None:
    """Files that are there already are used as they are, and not asked for again (S9)."""
    unpack(str(tmp_path / "opt" / "agent"), joined(list(CODE), CODE))
    found = start(tmp_path, disk)
    assert places(found) == {str(tmp_path / "opt")}
    assert found[-1] == 0
