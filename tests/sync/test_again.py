"""How soon a standby has the connections: after lost packets, of a holder that comes later, with little processor."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from evernat.agent import sync
from tests.lab_fabric.support import NODE, NODE_2
from tests.sync.pair import GATEWAY, A, B, Pair, until

pytestmark = pytest.mark.packets

HOLE = """
table ip hole {{ chain in {{ type filter hook prerouting priority -400;
  tcp sport {port} drop; tcp dport {port} drop; }}; }}
"""


@contextmanager
def hole(pair: Pair) -> Iterator[None]:
    """What is sent to the holder's process gets lost, and what it sends as well."""
    said = pair.net.run(A, f"echo '{HOLE.format(port=pair.port)}' | nft -f -")
    assert said == ""
    yield
    pair.net.run(A, "nft delete table ip hole")


def begun(pair: Pair, *, serves: bool = True) -> None:
    """Both processes run; the holder serves, or does not know of its standby."""
    # As before Linux 6.5, Amazon Linux 2023's 6.1 for one: a SYN is repeated after 1, 3 and 7 seconds.
    pair.net.run(B, "sysctl -qw net.ipv4.tcp_syn_linear_timeouts=0")
    holder = pair.start(A)
    if serves:
        holder.serve(GATEWAY, NODE_2, B, NODE)
    pair.start(B).status()
    holder.status()


def copied(pair: Pair) -> float:
    """Seconds until the standby has everything."""
    before = time.monotonic()
    until(lambda: pair.state(B)["synced"], 10)
    return time.monotonic() - before


@pytest.mark.parametrize("seconds", [0.2, 1.2, 3.2, 4.0])
def test_lost_packets(pair: Pair, seconds: float) -> None:
    """The other kernel does not answer: it is asked again so soon that no repetition of TCP's has to be waited for."""
    begun(pair)
    with hole(pair):
        pair.syncs[B].follow(GATEWAY, NODE, A, NODE_2)
        time.sleep(seconds)
    assert copied(pair) < 1


@pytest.mark.parametrize("seconds", [0.3, 1.2, 3.2])
def test_a_holder_that_comes_later(pair: Pair, seconds: float) -> None:
    """It hangs up on whom it does not know of; it is called again at once."""
    begun(pair, serves=False)
    pair.syncs[B].follow(GATEWAY, NODE, A, NODE_2)
    time.sleep(seconds)
    pair.syncs[A].serve(GATEWAY, NODE_2, B, NODE)
    assert copied(pair) < 1


def test_a_holder_without_a_processor(pair: Pair) -> None:
    """Its kernel answers and it does not: it is not called again and again, and what it says then counts."""
    begun(pair)
    process = pair.syncs[A]._process.pid
    os.kill(process, signal.SIGSTOP)
    pair.syncs[B].follow(GATEWAY, NODE, A, NODE_2)
    time.sleep(2)
    waiting = pair.net.run(A, f"ss -Hnt state established sport = :{pair.port} | wc -l")
    os.kill(process, signal.SIGCONT)
    assert int(waiting) == 1
    assert copied(pair) < 1


def test_a_standby_without_a_processor(pair: Pair) -> None:
    """What came while it stood still is read before it is judged: no connection is given up for that."""
    pair.sync()
    before = pair.state(B)
    process = pair.syncs[B]._process.pid
    os.kill(process, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(process, signal.SIGCONT)
    until(lambda: pair.state(B).get("position", 0) > before["position"])
    assert pair.state(B)["copy"] == before["copy"] == 1
    assert pair.state(A)["synced"]


def nice(process: subprocess.Popen[bytes]) -> int:
    """A process's priority."""
    return os.getpriority(os.PRIO_PROCESS, process.pid)


def test_it_gives_way_once_the_copy_is_made(pair: Pair) -> None:
    """While a copy is made it has the priority of the rest of the agent, and else a lower one."""
    begun(pair)
    processes = {node: pair.syncs[node]._process for node in (A, B)}
    until(lambda: [nice(p) for p in processes.values()] == [10, 10])
    with hole(pair):
        pair.syncs[B].follow(GATEWAY, NODE, A, NODE_2)
        until(lambda: nice(processes[B]) == 0)
        assert nice(processes[A]) == 10
    copied(pair)
    until(lambda: [nice(p) for p in processes.values()] == [10, 10])


def test_age(pair: Pair) -> None:
    """A standby knows since when it has heard nothing: while the stream goes on, for a second at most."""
    begun(pair, serves=False)
    pair.syncs[B].follow(GATEWAY, NODE, A, NODE_2)
    assert pair.state(B)["age"] is None
    pair.syncs[A].serve(GATEWAY, NODE_2, B, NODE)
    copied(pair)
    end = time.monotonic() + 2.5
    ages = []
    while time.monotonic() < end:
        ages.append(pair.state(B)["age"])
        time.sleep(0.05)
    assert 0.5 < max(ages) < 2
    os.kill(pair.syncs[A]._process.pid, signal.SIGKILL)
    until(lambda: pair.state(B)["age"] > 2)
    assert pair.state(B)["synced"]
    assert not pair.state(B)["connected"]


def test_a_process_that_stands_still(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of what it does, and no copy counts; it is replaced when that lasts."""
    pair.sync()
    monkeypatch.setattr(sync, "ANSWER", 0.2)
    process = pair.syncs[B]._process
    os.kill(process.pid, signal.SIGSTOP)
    assert pair.syncs[B].status() == {}
    os.kill(process.pid, signal.SIGCONT)
    until(lambda: pair.state(B)["synced"])  # late answers are not taken for new ones
    assert pair.syncs[B]._process is process
    monkeypatch.setattr(sync, "STUCK", 0.5)
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: pair.inside(B, pair.syncs[B].status) == {} and pair.logged)
    assert process.wait(5) == -signal.SIGKILL
    until(lambda: pair.state(B)["synced"])


def test_a_process_that_has_died_copies_nothing(pair: Pair) -> None:
    """The next question finds out; until the new process has a full copy none counts."""
    pair.sync()
    time.sleep(sync.PAUSE)
    os.kill(pair.syncs[B]._process.pid, signal.SIGKILL)
    assert pair.inside(B, pair.syncs[B].status) == {}
    with hole(pair):
        until(lambda: "synced" in pair.syncs[B].status().get(GATEWAY, {}))
        assert not pair.state(B)["synced"]
    copied(pair)


def test_a_process_that_dies_at_once_is_not_started_all_the_time(pair: Pair) -> None:
    """Once a second, however often it is asked for."""
    made = pair.start(B)
    made._hello = ("no key", 1, "i-b")
    os.kill(made._process.pid, signal.SIGKILL)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert pair.inside(B, made.status) == {}
        time.sleep(0.02)
    assert 1 <= len(pair.logged) <= 3
