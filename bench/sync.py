"""Flow sync: what it can carry, how late it is, what it takes, and what it costs the holder.

    source ── a ── sink
              │
      left ── b ── right

Flows are UDP datagrams to ports not used before. Rates are per core: things done by CPU seconds of the process.
`b` forwards from left to right, as the standby of a ring does for its own gateway.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.figure import Figure, median
from evernat.agent import flows
from evernat.agent.effects import conntrack
from evernat.agent.sync import SyncProcess
from evernat.lab.fabric.namespaces import Namespaces

FLOWS = 50_000
SOURCE, SINK, A, B = "192.168.71.2", "192.168.72.2", "192.168.73.1", "192.168.73.2"
LEFT, RIGHT = "192.168.74.2", "192.168.75.2"
FLOOD = 2.0
"""Seconds of each flood through the standby."""
SOURCES = 25
"""Sockets the flows come from, so that a run has as many flows as it needs without using one again."""

LINKS = (("a", "source"), ("a", "sink"), ("a", "b"), ("b", "left"), ("b", "right"))
SETUP = {
    "a": f"""
        ip addr add 192.168.71.1/24 dev source; ip addr add 192.168.72.1/24 dev sink; ip addr add {A}/24 dev b
        sysctl -qw net.ipv4.ip_forward=1 net.netfilter.nf_conntrack_events=1
        sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600
        nft add table ip t; nft 'add chain ip t out {{ type nat hook postrouting priority srcnat; }}'
        nft add rule ip t out ip saddr {SOURCE} snat to {A}""",
    "b": f"""
        ip addr add {B}/24 dev a; ip addr add 192.168.74.1/24 dev left; ip addr add 192.168.75.1/24 dev right
        sysctl -qw net.ipv4.ip_forward=1
        nft add table ip t; nft 'add chain ip t out {{ type nat hook postrouting priority srcnat; }}'
        nft add rule ip t out ip saddr {LEFT} snat to 192.168.75.1""",
    "left": f"ip addr add {LEFT}/24 dev b; ip route add default via 192.168.74.1",
    "right": f"""
        ip addr add {RIGHT}/24 dev b
        nft add table ip t; nft 'add chain ip t in {{ type filter hook prerouting priority raw; policy drop; }}'""",
    "source": f"ip addr add {SOURCE}/24 dev a; ip route add default via 192.168.71.1",
    "sink": f"""
        ip addr add {SINK}/24 dev a
        nft add table ip t; nft 'add chain ip t in {{ type filter hook prerouting priority raw; policy drop; }}'""",
}

Run = Callable[[str, Callable[[], Any]], Any]


def run() -> list[Figure]:
    """All measures."""
    cost = [_cost() for _ in range(3)]
    lag = _lag()
    sent, installed, memory, copy = _rates()
    through, taken = _forwarding()
    on = "3 namespaces and a standby"
    return [
        Figure("flow sync, events sent", f"{sent:,.0f} per core and second", ">= 150,000", on),
        Figure("flow sync, entries installed", f"{installed:,.0f} per core and second", ">= 80,000", on),
        Figure("flow sync, lag at 1,000 new flows/s", f"p99 {lag[-len(lag) // 100] * 1e3:.2f} ms, median "
               f"{median(lag) * 1e3:.2f} ms", "p99 <= 1 ms", f"{on}, at real-time priority"),
        Figure("flow sync, standby's memory", f"{memory:.1f} MB at {FLOWS:,} flows", "<= 30 MB", on),
        Figure("flow sync, packets through a standby that takes in flows", f"{through:.2f} of those without, taking in "
               f"{taken:,.0f} flows/s", "", f"{on}, {FLOWS:,} flows over and over, 5 rounds"),
        Figure("flow sync, full copy", f"{copy:.2f} s for {FLOWS:,} flows", "", on),
        Figure("new flows with sync on", f"{median(cost):.2f} of the time without", "<= 1.5", f"{on}, 3 rounds"),
    ]  # fmt: skip


def _rates() -> tuple[float, float, float, float]:
    with _bench() as run:
        a, b = _pair(run)
        before = _cpu(a), _cpu(b)
        _fill(run, a, b)
        used = _cpu(a) - before[0], _cpu(b) - before[1]
        memory = _memory(b)
        b.stop("g")
        start = time.monotonic()
        b.follow("g", A, "i-a", B)
        _until(lambda: b.status().get("g", {}).get("synced"))
        copy = time.monotonic() - start
        _end(a, b)
    return FLOWS / used[0], FLOWS / used[1], memory, copy


def _fill(run: Run, a: SyncProcess, b: SyncProcess) -> None:
    """Make flows through `a`, as fast as it goes without an overrun."""
    send = _sender(run)
    for _ in range(FLOWS // 500):
        send(500)
        a.drain("g")
    _until(lambda: b.status()["g"]["entries"] >= FLOWS)
    assert a.status()["g"]["dropped"] == 0


def _forwarding() -> tuple[float, float]:
    """Packets through `b` while it takes in all flows again and again, by those while it does not; flows a second."""
    ratios, copies = [], 0
    with _bench() as run:
        a, b = _pair(run)
        _fill(run, a, b)

        def again() -> None:
            nonlocal copies
            if b.status().get("g", {}).get("synced"):
                copies += 1
                b.stop("g")
                b.follow("g", A, "i-a", B)

        for _ in range(5):
            alone = _through(run, lambda: None)
            ratios.append(_through(run, again) / alone)
        _end(a, b)
    return median(ratios), copies * FLOWS / (5 * FLOOD)


def _through(run: Run, work: Callable[[], None]) -> int:
    """How many datagrams of a flood from left arrive at right, while `work` is done over and over."""
    before = run("right", _received)
    command = [sys.executable, "-m", "evernat.lab.load", "flood", RIGHT, "--seconds", str(FLOOD)]
    process = run("left", lambda: subprocess.Popen(command, stdout=subprocess.DEVNULL))
    while process.poll() is None:
        work()
        time.sleep(0.01)
    return int(run("right", _received)) - int(before)


def _received() -> int:
    """Packets that came from `b`."""
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    return next(int(line.split()[2]) for line in lines if line.split()[0] == "b:")


@contextmanager
def _alone() -> Iterator[None]:
    """Before all other work of the machine: what else it does is not the sync's lateness."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _lag() -> list[float]:
    """Seconds from the kernel's event at the holder to that at the standby, sorted."""
    with _alone(), _bench() as run:
        a, b = _pair(run)
        ears = [run(place, lambda: conntrack.connect(conntrack.EVENTS)) for place in ("a", "b")]
        seen: tuple[dict[bytes, float], dict[bytes, float]] = {}, {}
        send = _sender(run)
        start = time.monotonic()
        sent = 0
        while len(seen[1]) < 3000 and time.monotonic() < start + 5:
            if sent < 3000 and time.monotonic() >= start + sent / 1000:
                send(1)
                sent += 1
            for ear in select.select(ears, [], [], 0.0002)[0]:
                data, now = ear.recv(8192), time.monotonic()
                found: flows.Batch = {}
                writer = int.from_bytes(data[12:16], "little")
                own = (A, B)[ears.index(ear)]
                flows.collect(data, {_address(own): found}, writer)
                for name in found:
                    seen[ears.index(ear)].setdefault(name, now)
        _end(a, b)
    return sorted(seen[1][name] - at for name, at in seen[0].items() if name in seen[1])


def _cost() -> float:
    """Time for the same number of new flows, with sync by without."""
    with _bench() as run:
        send = _sender(run)
        send(1000)
        without = _timed(lambda: send(20_000))
        a, b = _pair(run)
        with_sync = _timed(lambda: send(20_000))
        _end(a, b)
    return with_sync / without


def _timed(work: Callable[[], None]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def _pair(run: Run) -> tuple[SyncProcess, SyncProcess]:
    a, b = (run(n, lambda n=n: SyncProcess(bytes(32), 4817, f"i-{n}", print)) for n in "ab")  # type: ignore[misc]
    a.serve("g", B, "i-b", A)
    b.follow("g", A, "i-a", B)
    _until(lambda: a.status()["g"]["synced"])
    return a, b


def _end(*processes: SyncProcess) -> None:
    for process in processes:
        process.close()


def _sender(run: Run) -> Callable[[int], None]:
    """Sends from a fresh pair of ports each time."""
    sockets = [run("source", _udp) for _ in range(SOURCES)]
    ways = ((each, port) for each in sockets for port in range(1000, 60_000))

    def send(number: int) -> None:
        for _ in range(number):
            each, port = next(ways)
            each.sendto(b"", (SINK, port))

    return send


def _udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _address(text: str) -> bytes:
    return bytes(int(part) for part in text.split("."))


def _cpu(process: SyncProcess) -> float:
    """CPU seconds so far."""
    fields = Path(f"/proc/{process._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(process: SyncProcess) -> float:
    """The most it had resident, in MB."""
    lines = Path(f"/proc/{process._process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _until(fact: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not fact():
        if time.monotonic() > end:
            raise RuntimeError("the copy does not come about")
        time.sleep(0.005)


@contextmanager
def _bench() -> Iterator[Run]:
    """Gives what runs a function in one of the namespaces."""
    namespaces = Namespaces()
    places = {name: namespaces.create() for name in SETUP}
    try:
        for near, far in LINKS:
            peer = f"peer name {near} netns /proc/self/fd/{places[far]}"
            _shell(
                namespaces, places, near, f"ip link add name {far} type veth {peer}; ip link set dev {far} up"
            )
            _shell(namespaces, places, far, f"ip link set dev {near} up; ip link set dev lo up")
        for place, commands in SETUP.items():
            _shell(namespaces, places, place, commands)
        yield lambda place, work: namespaces.run(places[place], work)
    finally:
        for fd in places.values():
            os.close(fd)
        namespaces.close()


def _shell(namespaces: Namespaces, places: dict[str, int], place: str, text: str) -> None:
    command = ["sh", "-ec", text]
    process: subprocess.Popen[bytes] = namespaces.spawn(
        places[place], command, pass_fds=list(places.values())
    )
    if process.wait():
        raise RuntimeError(f"failed in {place}: {text}")


if __name__ == "__main__":
    for figure in run():
        print(figure.what, figure.value, figure.goal, sep=" | ")
