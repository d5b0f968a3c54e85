"""The fabric as root of a user namespace, which is nobody outside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import evernat.lab

pytestmark = pytest.mark.packets

PYTHON = "/usr/bin/python3"
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
ROOT_INSIDE = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]

STORY = """
from evernat.lab.addresses import INTERNET_HOST
from support import *
node = eni("node", NODE, "i-node", public=ELASTIC, checked=False)
client = eni("client", CLIENT, "i-client")
net = Net(Fabric())
net.fabric.apply(world(node, client, a=[default_to(node)]))
net.translate("i-node", NODE)
net.fabric.set_path_mtu(1300)
server, sender = net.udp("internet", INTERNET_HOST, 9), net.udp("i-client")
sender.sendto(b"1", (INTERNET_HOST, 9))
print(server.recvfrom(9)[1][0])
print(net.run("i-client", f"ping -n -c1 -W1 -M do -s 1400 {INTERNET_HOST} | grep -o mtu.*"))
net.fabric.apply(world(node, client))
net.close()
print("closed")
"""


def _copy_for_anybody(to: Path) -> None:
    """The lab's sources where an ordinary user may read them. The fabric needs nothing but the standard library."""
    package = to / "evernat"
    source = Path(evernat.lab.__file__).parent
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "fabric", package / "lab" / "fabric", ignore=ignore)
    for name in ("__init__.py", "addresses.py", "linux.py", "world.py"):
        shutil.copy(source / name, package / "lab" / name)
    (package / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("support.py"), to)
    (to / "story.py").write_text(STORY)
    subprocess.run(["chmod", "-R", "a+rX", str(to)], check=True)


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that anybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"needs {PYTHON}, which any user may run")
def test_an_ordinary_user_can_have_a_fabric(public_directory: Path) -> None:
    """Mapping, NAT, path MTU and removal work with no right outside the user namespace."""
    _copy_for_anybody(public_directory)
    become = NOBODY if os.geteuid() == 0 else []
    done = subprocess.run(
        [*become, *ROOT_INSIDE, PYTHON, "-B", "story.py"],
        cwd=public_directory,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(public_directory)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "unshare failed" in done.stderr:
        pytest.skip("user namespaces are not allowed here")
    assert done.stdout.split("\n") == ["203.0.113.7", "mtu = 1300)", "", "closed", ""], done.stderr
