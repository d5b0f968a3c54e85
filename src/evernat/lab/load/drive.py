"""Load from outside: starts the processes on a lab's hosts and asks them."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.client import Lab
from evernat.lab.errors import LabError
from evernat.lab.load import KINDS, PORT


@dataclass(frozen=True)
class Host:
    """Connections to hold on one host of the lab: how many of which kind, and where to."""

    name: str
    counts: Mapping[str, int]
    address: str = INTERNET_HOST
    port: int = PORT


@dataclass(frozen=True)
class Report:
    """What became of connections. `kinds`: see `keep.summary`, one entry for each host and kind."""

    kinds: tuple[tuple[str, str, Mapping[str, Any]], ...]
    """(host, kind, its figures)."""

    def total(self, what: str) -> int:
        """Over all hosts and kinds: "wanted", "opened" or "alive"."""
        return sum(int(figures[what]) for _, _, figures in self.kinds)

    @property
    def all_alive(self) -> bool:
        """Whether every connection that was wanted lives."""
        return self.total("alive") == self.total("wanted")

    @property
    def lost(self) -> dict[str, int]:
        """How many are not, by `kind: reason`."""
        found: Counter[str] = Counter()
        for _, kind, figures in self.kinds:
            found.update({f"{kind}: {why}": count for why, count in figures["lost"].items()})
        return dict(found)

    @property
    def longest_gap(self) -> float:
        """Seconds, over all kinds in which something comes every interval (and so never below that interval)."""
        return max((float(figures["longest_gap"]) for _, _, figures in self.kinds), default=0.0)

    def __str__(self) -> str:
        lost = ", ".join(f"{count} {why}" for why, count in sorted(self.lost.items()))
        return f"{self.total('alive')} of {self.total('wanted')} alive" + (f" (lost: {lost})" if lost else "")


class Load:
    """Connections held on several hosts at once, one process each. Closed at the end of the context."""

    def __init__(self, lab: Lab, hosts: Sequence[Host], every: float = 1.0) -> None:
        """`every`: seconds between two words of a connection (the idle ones say none)."""
        unknown = {kind for host in hosts for kind in host.counts} - set(KINDS)
        if unknown:
            raise ValueError(f"kinds {sorted(unknown)} are not known, use some of {', '.join(KINDS)}")
        self._lab, self._hosts, self._every = lab, hosts, every
        self._processes: list[subprocess.Popen[str]] = []
        self.opened = Report(())

    def __enter__(self) -> Load:
        """Open all of them; `opened` tells how that went. LabError if a process says nothing."""
        try:
            for host in self._hosts:
                counts = [word for kind, count in host.counts.items() for word in (f"--{kind}", str(count))]
                where = [host.address, "--port", str(host.port), "--every", str(self._every)]
                command = [sys.executable, "-m", "evernat.lab.load", "keep", *where, *counts]
                pipe = subprocess.PIPE
                self._processes.append(
                    self._lab.popen(host.name, command, stdin=pipe, stdout=pipe, text=True)
                )
            self.opened = self._answers(120)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of all."""
        for process in self._processes:
            if process.stdin:
                process.stdin.close()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    def check(self, seconds: float = 15.0) -> Report:
        """Every connection has to prove within `seconds` that it lives. Returns as soon as all have."""
        return self._ask(f"check {seconds}", seconds + 30)

    def report(self) -> Report:
        """What is known without asking."""
        return self._ask("report", 30)

    def _ask(self, command: str, within: float) -> Report:
        for process in self._processes:
            assert process.stdin
            process.stdin.write(command + "\n")
            process.stdin.flush()
        return self._answers(within)

    def _answers(self, within: float) -> Report:
        deadline = time.monotonic() + within
        kinds = []
        for host, process in zip(self._hosts, self._processes, strict=True):
            assert process.stdout
            ready, _, _ = select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))
            line = process.stdout.readline() if ready else ""
            if not line:
                raise LabError(
                    f"the load on {host.name} said nothing (exit {process.poll()})", "its errors are above"
                )
            kinds += [(host.name, kind, figures) for kind, figures in json.loads(line).items()]
        return Report(tuple(kinds))


@contextmanager
def server(lab: Lab, where: str = "internet", port: int = PORT) -> Iterator[None]:
    """The far end of load, on a host of the lab."""
    command = [sys.executable, "-m", "evernat.lab.load", "serve", "--port", str(port)]
    process = lab.popen(where, command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        if "ready" not in process.stdout.readline():
            raise LabError(f"the load server on {where} did not start", f"is port {port} free there?")
        yield
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()
