"""A lab as its users see it: bring one up, talk to it, take it down. The command line and the tests stand on this."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evernat.lab import control, place
from evernat.lab.disturbances import Disturbance
from evernat.lab.errors import LabError

Far = Literal["api", "checkip", "places", "internet"]
KillHow = Literal["power", "network", "partition", "agent", "terminate"] | Far
KILL_WAYS: tuple[KillHow, ...] = (
    *("power", "network", "partition", "agent", "terminate"),
    *("api", "checkip", "places", "internet"),
)
_TOOLS = ("nft", "ip", "nsenter", "setpriv")


@dataclass(frozen=True)
class Lab:
    """One running lab, by name."""

    name: str

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return place.directory(self.name)

    def call(self, verb: str, timeout: float = 60.0, **arguments: Any) -> Any:
        """Ask the lab something; see `running.Running` for the verbs. LabError when it is not up or says no."""
        value, fds = self._call(verb, timeout, **arguments)
        for fd in fds:
            os.close(fd)
        return value

    def _call(self, verb: str, timeout: float = 60.0, **arguments: Any) -> tuple[Any, list[int]]:
        try:
            return control.call(self.directory / "control.sock", verb, timeout, **arguments)
        except (FileNotFoundError, ConnectionError):
            known = ", ".join(place.names()) or "none"
            raise LabError(
                f"no lab named {self.name!r} is up (labs: {known})",
                f"bring one up:  evernat lab up --name {self.name}",
            ) from None

    def status(self) -> dict[str, Any]:
        """`hosts[] {name, address}`, `nodes[]`, and what else describes the lab."""
        return dict(self.call("status"))

    def environment(self) -> dict[str, str]:
        """The variables with which any AWS client talks to this lab."""
        return dict(self.call("environment"))

    @contextlib.contextmanager
    def entered(
        self, host: str, *, inside: bool = False
    ) -> Iterator[tuple[list[str], tuple[int, ...], dict[str, str]]]:
        """A command prefix that enters a host's network namespace, descriptors to pass, variables to set.

        With `inside` its files and processes too, as if logged in on the node.
        """
        kinds, fds = self._call("enter", host=host, inside=inside)
        try:
            # A clock set or a device made in there would be this machine's: leave that power behind.
            harmless = (
                ["setpriv", "--bounding-set", "-sys_time,-mknod,-sys_rawio"]
                if inside and "user" not in kinds
                else []
            )
            doors = [f"--{kind}=/proc/self/fd/{fd}" for kind, fd in zip(kinds, fds, strict=True)]
            prefix = [*harmless, "nsenter", *doors]
            if "user" in kinds:
                prefix.append("--preserve-credentials")
            yield [*prefix, "--"], tuple(fds), {place.RUN_VARIABLE: str(self.call("run_id"))}
        finally:
            for fd in fds:
                os.close(fd)

    def exec(
        self,
        host: str,
        command: Sequence[str],
        *,
        inside: bool = False,
        timeout: float | None = 60.0,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host and wait; output is captured as text unless `options` of subprocess.run differ."""
        settings: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        } | options
        with self.entered(host, inside=inside) as (prefix, fds, variables):
            return subprocess.run(
                [*prefix, *command],
                pass_fds=fds,
                env=os.environ | variables,
                timeout=timeout,
                check=False,
                **settings,
            )

    def popen(self, host: str, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a command on a host and do not wait."""
        with self.entered(host) as (prefix, fds, variables):
            return subprocess.Popen([*prefix, *command], pass_fds=fds, env=os.environ | variables, **options)

    def kill(self, node: str, how: KillHow, interface: str = "") -> None:
        """Break a node: pull the plug, cut all its network or a part of it, kill its agent, or terminate it."""
        self.call("kill", node=node, how=how, interface=interface)

    def disturb(self, node: str, how: Disturbance) -> None:
        """Break a node's forwarding from inside, as other programs and people do; see `disturbances`."""
        self.call("disturb", node=node, how=how)

    def separate(self, what: Far | str, node: str = "", interface: str = "") -> None:
        """Put the API, checkip, the internet or one address out of reach: of a node or one interface of it, or of all.

        `what` is as in `world.Unreachable`. `interface` is the beginning of an id, or a name on the node (ens6).
        """
        self.call("separate", what=what, node=node, interface=interface)

    def rejoin(self, what: Far | str, node: str = "", interface: str = "") -> None:
        """Undo one `separate`; `clear_faults` undoes all."""
        self.call("rejoin", what=what, node=node, interface=interface)

    def mend(self, node: str) -> None:
        """Give a node its whole network back, and take away what other programs made on it."""
        self.call("mend", node=node)

    def spot(self, node: str, notice: Literal["interrupt", "rebalance"], seconds: float = 120.0) -> None:
        """Give a spot interruption notice (the node is terminated after `seconds`) or a rebalance recommendation."""
        self.call("spot", node=node, notice=notice, seconds=seconds)

    def stall(self, node: str, seconds: float) -> None:
        """Stop a node's programs for a while; its kernel goes on forwarding."""
        self.call("stall", node=node, seconds=seconds)


def up(
    name: str, latency: str, progress: Callable[[str], None] = lambda _: None, timeout: float = 60.0
) -> Lab:
    """Bring a lab up and wait until it answers. LabError with the cause otherwise, and nothing is left then."""
    missing = [t for t in _TOOLS if not shutil.which(t, path=search_path())]
    if missing:
        raise LabError(
            f"programs missing: {', '.join(missing)}", "apt-get install nftables iproute2 util-linux"
        )
    directory = place.create(name)
    run_id = secrets.token_hex(6)
    try:
        _start(directory, name, run_id, latency, progress, timeout)
    except BaseException:
        down(name)
        raise
    return Lab(name)


def search_path() -> str:
    """PATH with the system directories that an ordinary user's PATH may lack."""
    return os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"


def _start(
    directory: Path, name: str, run_id: str, latency: str, progress: Callable[[str], None], timeout: float
) -> None:
    (directory / "run-id").write_text(run_id)
    log = directory / "daemon.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "evernat.lab.daemon", "--directory", str(directory)),
                *("--name", name, "--run-id", run_id, "--latency", latency),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=os.environ | {place.RUN_VARIABLE: run_id, "PATH": search_path()},
        )
    lab, deadline, said = Lab(name), time.monotonic() + timeout, ""
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LabError(f"the lab ended while starting: {_last_words(log)}", _why_refused(log))
        with contextlib.suppress(LabError):
            state = lab.call("state")
            if state != said:
                said = state
                progress(state)
            if state == "up":
                return
            if state.startswith("failed"):
                raise RuntimeError(state)
        time.sleep(0.02)
    raise LabError(f"the lab was not up after {timeout:.0f} s (last: {said or 'nothing'})", f"look at {log}")


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def _why_refused(log: Path) -> str:
    """What to do about a lab that did not start: the usual reason for ordinary users, or all it printed."""
    text = log.read_text(errors="replace")
    if "unshare" in text and os.getuid() != 0:
        return (
            "user namespaces are not allowed for ordinary users here; run as root, or allow them:  "
            "sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0"
        )
    return text


def down(name: str, timeout: float = 20.0) -> bool:
    """Take a lab down and remove what it left, after a crash too. False if there was nothing."""
    directory = place.directory(name)
    if not directory.exists():
        return False
    try:
        run_id = (directory / "run-id").read_text()
    except FileNotFoundError:
        run_id = ""
    if run_id:
        _end(run_id, signal.SIGTERM, timeout)
        _end(run_id, signal.SIGKILL, timeout)
    place.remove(name)
    return True


def _end(run_id: str, number: signal.Signals, timeout: float) -> None:
    """Signal the outermost processes of a run (with SIGKILL all of them) and wait until none is left."""
    deadline = time.monotonic() + timeout
    found = processes(run_id)
    for pid in found:
        if number == signal.SIGKILL or not _is_inside(pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
    while time.monotonic() < deadline and processes(run_id):
        time.sleep(0.02)


def _is_inside(pid: int) -> bool:
    """Whether the process lives in a pid namespace below ours."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    return any(line.startswith("NSpid:") and len(line.split()) > 2 for line in status.splitlines())


def processes(run_id: str) -> list[int]:
    """Pids, as this process sees them, of all processes that carry the run id and are not zombies."""
    mark = f"{place.RUN_VARIABLE}={run_id}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
