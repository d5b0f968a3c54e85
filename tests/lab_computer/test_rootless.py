"""Machines as root of a user namespace, which is nobody outside it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import waitress
import yaml

import evernat.lab

pytestmark = pytest.mark.packets

PYTHON = "/usr/bin/python3"
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
ROOT_INSIDE = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc"]

STORY = r"""
import sys
from dataclasses import replace
from pathlib import Path
from support import Lab, instance

lab = Lab(Path(sys.argv[1]))
one = instance('''#cloud-config
write_files:
- path: /etc/systemd/system/web.service
  content: |
    [Service]
    Type=exec
    User=nobody
    CPUSchedulingPolicy=fifo
    Nice=-5
    ExecStart=sleep 1000
    [Install]
    WantedBy=multi-user.target
runcmd:
- dnf install -y nftables
- nft --version
- systemctl enable --now web
- echo kept > /usr/local/bin/kept
''')
lab.set(one)
lab.booted(one.id)
print("machine", lab.out(one.id, "hostname"))
print("unit", lab.out(one.id, "systemctl", "is-active", "web"))
lab.set(replace(one, powered=False))
lab.set(replace(one, boots=2))
lab.wait(lambda: lab.console(one.id).count("Started web") == 2)
print("file", lab.out(one.id, "cat", "/usr/local/bin/kept"))
lab.set()
boxes = lab.directory / "machines/boxes"
lab.wait(lambda: not boxes.exists() or not list(boxes.iterdir()))
text = lab.console(one.id)
lab.close()
print("left", list(Path(sys.argv[1]).iterdir()))
print(text)
"""


def _copy_for_anybody(to: Path) -> None:
    """What the machines need, where an ordinary user may read it."""
    source = Path(evernat.lab.__file__).parent
    ignore = shutil.ignore_patterns("__pycache__", "*.so")
    for name in ("computer", "metadata"):
        shutil.copytree(source / name, to / "evernat/lab" / name, ignore=ignore)
    for name in ("__init__.py", "addresses.py", "profile.py", "world.py"):
        shutil.copy(source / name, to / "evernat/lab" / name)
    (to / "evernat/__init__.py").touch()
    for module in (waitress, yaml):
        shutil.copytree(Path(str(module.__file__)).parent, to / module.__name__, ignore=ignore)
    shutil.copy(Path(__file__).with_name("support.py"), to)
    (to / "story.py").write_text(STORY)
    (to / "files").mkdir()
    subprocess.run(["chmod", "-R", "a+rX", str(to)], check=True)
    (to / "files").chmod(0o777)


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that anybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def test_rootless(public_directory: Path) -> None:
    """An ordinary user's machines boot, supervise, keep files over a power cut, go; what is denied is said."""
    _copy_for_anybody(public_directory)
    command = [
        *NOBODY,
        *ROOT_INSIDE,
        PYTHON,
        "-sB",
        str(public_directory / "story.py"),
        str(public_directory / "files"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip("user namespaces are not allowed here")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        "machine ip-10-0-0-10.us-west-2.compute.internal",
        "unit active",
        "file kept",
        "left []",
    ]
    for said in (
        "CPUSchedulingPolicy=fifo is denied here",
        "Nice=-5 is denied here",
        "User=nobody is not possible here",
    ):
        assert said in done.stdout
    assert not list((public_directory / "files").iterdir())
