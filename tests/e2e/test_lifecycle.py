"""A lab comes, goes, and leaves nothing, whatever ends it."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import evernat
from evernat.lab import client, place
from evernat.lab.client import Lab
from evernat.lab.errors import LabError

from .support import cli, lab_name


def _leftovers(run_id: str) -> list[str]:
    """Processes, mounts and files that carry the run id."""
    found = [f"process {pid}" for pid in client.processes(run_id)]
    mounts = Path("/proc/mounts").read_text()
    found += [f"mount {line}" for line in mounts.splitlines() if run_id in line]
    found += (
        [f"file {p}" for p in place.base().glob("*/run-id") if p.read_text() == run_id]
        if place.base().exists()
        else []
    )
    return found


def _wait_gone(run_id: str, seconds: float = 15.0) -> list[str]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and client.processes(run_id):
        time.sleep(0.05)
    return [x for x in _leftovers(run_id) if not x.startswith("file")]


def _named_namespaces() -> set[str]:
    run = Path("/run/netns")
    return {p.name for p in run.iterdir()} if run.is_dir() else set()


def test_down_leaves_nothing() -> None:
    """After `lab down` no process, mount, namespace name or file of the run is left."""
    before = _named_namespaces()
    lab = client.up(lab_name("life"), "none")
    run_id = lab.call("run_id")
    assert client.processes(run_id)
    assert client.down(lab.name)
    assert _leftovers(run_id) == []
    assert _named_namespaces() == before
    assert not client.down(lab.name)


def test_killed_daemon_leaves_no_process() -> None:
    """SIGKILL of the lab's outermost process ends all of it by the kernel's hand; `down` then removes the files."""
    lab = client.up(lab_name("crash"), "none")
    run_id = lab.call("run_id")
    found = place.read(lab.name)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    try:
        assert _wait_gone(run_id) == []
        with pytest.raises(LabError, match="no lab named"):
            lab.status()
    finally:
        assert client.down(lab.name)
    assert _leftovers(run_id) == []


def test_ctrl_c_while_starting_leaves_nothing() -> None:
    """Ctrl-C in the middle of `lab up` takes back what was made."""
    name = lab_name("ctrlc")
    process = subprocess.Popen(
        [sys.executable, "-m", "evernat.cli", "lab", "up", "--name", name], stderr=subprocess.DEVNULL
    )
    marker = place.directory(name) / "run-id"
    while not marker.exists():
        assert process.poll() is None
        time.sleep(0.01)
    run_id = marker.read_text()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert _leftovers(run_id) == []
    assert not place.directory(name).exists()


def test_two_labs_side_by_side() -> None:
    """Two labs stand at once, and taking one down does not touch the other."""
    one, two = client.up(lab_name("one"), "none"), client.up(lab_name("two"), "none")
    try:
        assert one.status()["endpoint"] != two.status()["endpoint"]
        client.down(one.name)
        assert two.status()["state"] == "up"
        assert two.exec("client-a", ["ping", "-c1", "-W1", "172.18.80.10"]).returncode == 0
    finally:
        client.down(one.name)
        client.down(two.name)


def test_a_name_is_taken_once() -> None:
    """A second lab of one name is refused, and the first stays as it is."""
    lab = client.up(lab_name("twice"), "none")
    try:
        with pytest.raises(LabError, match="exists"):
            client.up(lab.name, "none")
        assert lab.status()["state"] == "up"
    finally:
        client.down(lab.name)


def test_status_and_env_are_for_programs() -> None:
    """`lab status --json` has hosts and nodes; `lab env` lets boto3 and Terraform talk to the lab."""
    lab = client.up(lab_name("env"), "none")
    try:
        status = json.loads(cli("lab", "status", "--name", lab.name, "--json").stdout)
        assert {"name": "client-a", "address": "172.18.64.10"}.items() <= status["hosts"][0].items()
        assert status["nodes"] == []
        exports = cli("lab", "env", "--name", lab.name).stdout
        code = "import boto3; print(boto3.client('ec2').describe_vpcs()['Vpcs'][0]['CidrBlock'])"
        shown = subprocess.run(
            ["sh", "-c", f'{exports}\n{sys.executable} -c "{code}"'],
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout.strip() == "172.18.0.0/16"
        provider = cli("lab", "env", "--name", lab.name, "--terraform").stdout
        assert provider.startswith('provider "aws" {')
        assert provider.count(lab.environment()["AWS_ENDPOINT_URL"]) == 5
    finally:
        client.down(lab.name)


def test_exec_passes_exit_code_and_files() -> None:
    """`lab exec` runs in the host's network, sees this machine's files, and its exit code is the command's."""
    lab = client.up(lab_name("exec"), "none")
    try:
        shown = cli(
            "lab",
            "exec",
            "--name",
            lab.name,
            "client-a",
            "--",
            "sh",
            "-c",
            f"ls {__file__}; ip -br -4 addr; exit 7",
        )
        assert shown.returncode == 7
        assert __file__ in shown.stdout
        assert "172.18.64.10/20" in shown.stdout
    finally:
        client.down(lab.name)


def test_unknown_lab_and_bad_name() -> None:
    """A lab that is not there, and a name that cannot be one, each get a message with what to do."""
    shown = cli("lab", "status", "--name", "not-there")
    assert shown.returncode == 1
    assert "evernat lab up --name not-there" in shown.stderr
    assert cli("lab", "down", "--name", "../etc").returncode == 1


def _python_of(uid: int) -> tuple[str, dict[str, str]] | None:
    """An interpreter another user may run: this one, or the system's with our packages on its path."""
    packages = [p for p in sys.path if p.endswith("site-packages")] + [str(Path(evernat.__file__).parents[1])]
    for python in (sys.executable, "/usr/bin/python3"):
        variables = {} if python == sys.executable else {"PYTHONPATH": os.pathsep.join(packages)}
        probe = [python, "-c", "import moto, pydantic_core, evernat.lab.client"]
        try:
            subprocess.run(
                probe, user=uid, extra_groups=[], env=variables, cwd="/", capture_output=True, check=True
            )
        except (PermissionError, subprocess.CalledProcessError):
            continue
        return python, variables
    return None


@pytest.mark.skipif(
    os.getuid() != 0, reason="needs root to become somebody else; as an ordinary user every test is rootless"
)
def test_ordinary_user(tmp_path: Path) -> None:
    """An ordinary user brings a lab up, uses it and takes it down, in user namespaces."""
    nobody = pwd.getpwnam("nobody")
    home = Path("/tmp") / lab_name("user")  # pytest's own directories are closed to other users
    home.mkdir(mode=0o755)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    name = lab_name("rootless")

    python = _python_of(nobody.pw_uid)
    if not python:
        pytest.skip("user nobody may not read this Python or this checkout")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python[0], "-m", "evernat.cli", "lab", *arguments],
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "EVERNAT_LAB_DIR": str(home / "labs")}
            | python[1],
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        shown = run("up", "--name", name)
        assert shown.returncode == 0, shown.stderr
        assert "real-time priority is denied" in shown.stderr
        ping = run("exec", "--name", name, "client-a", "--", "ping", "-c1", "-W1", "172.18.80.10")
        assert ping.returncode == 0, ping.stdout + ping.stderr
    finally:
        assert run("down", "--name", name).returncode == 0
        (home / "labs").rmdir()
        home.rmdir()


def test_client_lists_its_labs() -> None:
    """`lab list` shows a lab that is up."""
    lab = client.up(lab_name("list"), "none")
    try:
        rows = json.loads(cli("lab", "list", "--json").stdout)
        assert {"name": lab.name, "state": "up"} in rows
    finally:
        client.down(lab.name)
    assert Lab(lab.name).name not in place.names()
