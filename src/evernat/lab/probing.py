"""Watches a client's packets while something is done to its gateway: `drillprobe` as a context."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.client import Lab
from evernat.lab.errors import LabError


class Watched:
    """What was seen; `report` is there once the context has ended. See `drillprobe` for what it holds."""

    def __init__(self) -> None:
        self.report: dict[str, Any] = {}

    @property
    def longest_gap(self) -> float:
        """Seconds of the longest time without an answer to a probe."""
        return float(self.report["longest_gap"])

    @property
    def stream_alive(self) -> bool:
        """Whether the one TCP connection lived through it."""
        return bool(self.report["stream"]["alive"])


@contextmanager
def watching(lab: Lab, host: str, address: str = INTERNET_HOST, interval: float = 0.01) -> Iterator[Watched]:
    """Probe from a host of the lab while inside; begins when answers come. LabError when none come."""
    command = [sys.executable, "-m", "evernat.lab.drillprobe", address, "--interval", str(interval)]
    pipe = subprocess.PIPE
    process = lab.popen(host, command, stdin=pipe, stdout=pipe, text=True)
    seen = Watched()
    try:
        assert process.stdout
        first = process.stdout.readline().strip()
        if first != "ready":
            raise LabError(f"the probe from {host} to {address} gets no answer: {first or 'it ended'}")
        yield seen
        out, _ = process.communicate(timeout=30)
        seen.report = json.loads(out)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for end in (process.stdin, process.stdout):
            if end:
                end.close()
