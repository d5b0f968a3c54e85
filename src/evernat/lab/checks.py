"""Whether a client really has the internet: each check is one real attempt in the lab. Demo and tests share them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.client import Lab

NARROW = 1300
"""Bytes of the narrow path on the internet in the path MTU check."""


@dataclass(frozen=True)
class Result:
    """One check's outcome; `detail` says what was seen."""

    name: str
    ok: bool
    detail: str = ""


def attempt(
    lab: Lab, host: str, what: str, address: str, port: int, *more: str, timeout: float = 2.0
) -> dict[str, Any]:
    """Run `lab.probe` on a host; its answer, `{"error": ...}` when it failed."""
    words = [what, address, str(port), "--timeout", str(timeout), *more]
    shown = lab.exec(host, [sys.executable, "-m", "evernat.lab.probe", *words], timeout=timeout + 30)
    try:
        return dict(json.loads(shown.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        return {"error": (shown.stderr or shown.stdout).strip() or f"exit {shown.returncode}"}


def tcp(lab: Lab, host: str, public: str, timeout: float = 2.0) -> Result:
    """The internet answers over TCP and sees the gateway's address."""
    answer = attempt(lab, host, "tcp", INTERNET_HOST, 80, timeout=timeout)
    return Result("TCP", answer.get("address") == public, str(answer.get("address") or answer.get("error")))


def udp(lab: Lab, host: str) -> Result:
    """A datagram goes out and its echo comes back."""
    answer = attempt(lab, host, "udp", INTERNET_HOST, 7)
    return Result("UDP", answer.get("echo") == "evernat", str(answer))


def icmp(lab: Lab, host: str) -> Result:
    """The internet answers a ping."""
    shown = lab.exec(host, ["ping", "-n", "-c", "1", "-W", "2", INTERNET_HOST])
    return Result("ICMP", shown.returncode == 0, shown.stdout.strip())


def path_mtu(lab: Lab, host: str) -> Result:
    """5 MB arrive over a path narrower than the link, because "fragmentation needed" finds its way to the client."""
    lab.call("path_mtu", mtu=NARROW)
    try:
        answer = attempt(lab, host, "upload", INTERNET_HOST, 80, timeout=15)
    finally:
        lab.call("path_mtu", mtu=1500)
    ok = answer.get("arrived") == 5_000_000 and answer.get("segment", NARROW) <= NARROW - 40
    return Result("path MTU", ok, str(answer))


def traceroute(lab: Lab, host: str) -> Result:
    """Every hop answers, the last is the goal: errors from the way find their way to the client."""
    shown = lab.exec(host, ["traceroute", "-n", "-q", "1", "-w", "2", "-m", "12", INTERNET_HOST])
    hops = [line.split()[1] for line in shown.stdout.splitlines()[1:] if line.split()]
    ok = bool(hops) and hops[-1] == INTERNET_HOST and "*" not in hops
    return Result("traceroute", ok, " ".join(hops) or shown.stderr.strip())


def everything(lab: Lab, host: str, public: str) -> list[Result]:
    """All checks of one client's way out."""
    return [
        tcp(lab, host, public),
        udp(lab, host),
        icmp(lab, host),
        path_mtu(lab, host),
        traceroute(lab, host),
    ]


def forward(lab: Lab, public: str, port: int, target: str) -> Result:
    """From the internet, a forwarded port of the gateway leads to the target host, which sees the true caller."""
    answer = attempt(lab, "internet", "tcp", public, port)
    ok = answer.get("name") == target and answer.get("address") == INTERNET_HOST
    return Result("forward", ok, str(answer))


def boot_seconds(console: str) -> float:
    """From the first line of a node's console until its agent held the gateway."""
    lines = console.splitlines()
    ready = next(line for line in lines if '"new": "holding"' in line)
    return clock(ready) - clock(lines[0])


def agent_seconds(console: str) -> float:
    """From the agent's first line until it held the gateway."""
    lines = console.splitlines()
    start = next(line for line in lines if '"event": "start"' in line)
    ready = next(line for line in lines if '"new": "holding"' in line)
    return clock(ready) - clock(start)


def clock(line: str) -> float:
    """Seconds since the console's own midnight."""
    moment = datetime.strptime(line.split()[0], "%H:%M:%S.%f")
    return moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6


def until(condition: Callable[[], Any], seconds: float, pause: float = 0.05) -> Any:
    """The first true value of `condition` within `seconds`, else its last value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(pause)
    return value
