"""The processes of two nodes on real kernels: what is copied, what is refused, what is made good."""

from __future__ import annotations

import os
import signal
import socket
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from evernat.agent import flows, sides
from evernat.agent.syncwire import Way
from evernat.lab.addresses import INTERNET_HOST
from tests.lab_fabric.support import CLIENT, NODE, NODE_2
from tests.sync.pair import ADDRESS, GATEWAY, HOME, KEY, A, B, Pair, until
from tests.sync.test_flows import collected, event, part, ports

pytestmark = pytest.mark.packets


def many(pair: Pair, count: int, first: int = 10_000) -> None:
    """As many UDP flows, by packets that nobody answers."""
    pair.net.run("internet", "nft add table ip t; nft 'add chain ip t in { type filter hook prerouting priority raw; "
                 "policy accept; udp dport >= 10000 drop; }'")  # fmt: skip
    sender = pair.net.udp(HOME)
    for port in range(first, first + count):
        sender.sendto(b"", (INTERNET_HOST, port))


def count(pair: Pair, node: str) -> int:
    """Entries in the node's kernel."""
    return int(pair.net.run(node, "conntrack -C"))


def same(pair: Pair) -> bool:
    """Whether both nodes have the same flows."""
    return {line.replace(NODE, NODE_2) for line in pair.flows(A)} == pair.flows(B)


def test_copy_and_changes(pair: Pair) -> None:
    """What was there before, what comes and what goes is at the standby too; the node's own connections are not."""
    many(pair, 300)
    pair.sync()
    assert same(pair)
    many(pair, 300, 11_000)
    pair.net.run(A, "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=1")
    many(pair, 3, 12_000)
    until(lambda: same(pair) and pair.state(B)["entries"] == 603)
    pair.net.run(A, "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=30")
    time.sleep(1.1)
    until(lambda: len(pair.flows(A)) == 600, 8)  # listing makes the kernel drop what is over
    until(lambda: same(pair) and pair.state(B)["entries"] == 600)
    assert str(pair.port) in pair.net.run(A, "conntrack -L")
    assert not any(str(pair.port) in line for line in pair.flows(B))


def test_drain(pair: Pair) -> None:
    """After a drain the standby has all there was; without a standby there is no draining."""
    pair.start(A).serve(GATEWAY, NODE_2, B, NODE)
    assert pair.syncs[A].drain(GATEWAY) is None
    pair.sync()
    many(pair, 500)
    position = pair.syncs[A].drain(GATEWAY)
    assert position is not None
    assert same(pair)
    assert pair.state(A)["position"] >= position


def test_drain_waits_for_a_standby_in_sync(pair: Pair) -> None:
    """A standby that is about to have everything is waited for, one that cannot in time is not."""
    many(pair, 500)
    pair.start(A).serve(GATEWAY, NODE_2, B, NODE)
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(pair.syncs[A].drain, GATEWAY, 10.0)
        pair.start(B).follow(GATEWAY, NODE, A, NODE_2)
        assert drained.result() is not None
    assert same(pair)


def test_a_flush_is_not_copied(pair: Pair) -> None:
    """`conntrack -F` at the holder leaves the standby's entries alone."""
    pair.sync()
    many(pair, 100)
    pair.syncs[A].drain(GATEWAY)
    pair.net.run(A, "conntrack -F")
    pair.syncs[A].drain(GATEWAY)
    assert len(pair.flows(B)) == 100


def test_a_standby_that_was_away(pair: Pair) -> None:
    """A process that was killed is started again, takes up what its kernel has, and drops what has gone since."""
    pair.sync()
    many(pair, 50)
    pair.syncs[A].drain(GATEWAY)
    os.kill(pair.syncs[B]._process.pid, signal.SIGKILL)
    pair.net.run(
        A, f"conntrack -D -p udp --dport 10007; conntrack -D -p udp -d {INTERNET_HOST} --dport 10008"
    )
    many(pair, 50, 11_000)
    until(lambda: pair.inside(B, pair.syncs[B].status) == {} and pair.logged)
    until(lambda: pair.state(B)["synced"] and same(pair))
    assert len(pair.flows(B)) == 98
    assert [more["status"] for more in pair.logged] == [-signal.SIGKILL]


def test_overrun(pair: Pair) -> None:
    """When the kernel could not keep all changes for us, that is counted, and a full copy makes it good."""
    pair.sync()
    holder = pair.syncs[A]._process.pid
    os.kill(holder, signal.SIGSTOP)
    for first in range(10_000, 60_000, 10_000):
        many(pair, 10_000, first)
    os.kill(holder, signal.SIGCONT)
    until(lambda: pair.state(A)["dropped"] == 1)
    assert not pair.state(A)["synced"]
    until(lambda: pair.state(A)["synced"], 10)
    assert count(pair, B) >= 49_990


def test_several_gateways(pair: Pair) -> None:
    """A node serves one gateway and follows another over the same port; entries written for the one are no news."""
    pair.sync()
    pair.syncs[B].serve("other", NODE, A, "172.18.128.60")
    pair.syncs[A].follow("other", NODE_2, B, "172.18.128.50")
    until(lambda: pair.syncs[A].status()["other"]["synced"])
    before = pair.syncs[B].status()["other"]["position"]
    many(pair, 2000)
    pair.syncs[A].drain(GATEWAY)
    assert same(pair)
    assert pair.syncs[B].status()["other"]["position"] <= before + 2  # ticks
    pair.syncs[A].stop(GATEWAY)
    assert set(pair.syncs[A].status()) == {"other"}


def test_it_ends_with_the_agent(pair: Pair) -> None:
    """SIGTERM does not end the process, the handover still needs it; the agent's end does."""
    process = pair.start(A)._process
    pair.syncs[A].status()
    process.terminate()
    assert pair.syncs[A].status() == {}
    assert process.poll() is None
    pair.syncs[A]._control.close()
    assert process.wait(5) == 0


def test_strangers(pair: Pair) -> None:
    """A client gets no connection; who has a member's address but not the key learns nothing and is counted."""
    pair.sync()
    assert pair.net.tcp(HOME, NODE, pair.port).recv(99) == b""
    stranger = pair.net.tcp(B, NODE, pair.port)
    stranger.sendall(os.urandom(16) + b"\0\5" + bytes(21))
    assert len(stranger.recv(99)) == 16
    assert stranger.recv(99) == b""
    until(lambda: pair.state(A)["forged"] == 2)
    assert pair.state(A)["connected"]


class FakeHolder:
    """Says what a test wants said, properly sealed."""

    def __init__(self, pair: Pair) -> None:
        listener = pair.net.tcp_server(A, pair.port, NODE)
        pair.start(B).follow(GATEWAY, NODE, A, NODE_2)
        self.socket, _ = listener.accept()
        self.socket.settimeout(3)
        mine = os.urandom(16)
        self.socket.sendall(mine)
        other = self.socket.recv(16, socket.MSG_WAITALL)
        self.mine, self.theirs = Way(KEY, mine, other), Way(KEY, other, mine)
        self.inbox = bytearray()
        assert self.heard() == f"{GATEWAY} {B} {A}".encode()

    def heard(self) -> bytes:
        while True:
            for body in self.theirs.open(self.inbox):
                return body
            data = self.socket.recv(4096)
            if not data:
                raise ConnectionError
            self.inbox += data

    def say(self, kind: bytes, *records: bytes) -> bytes:
        """A frame, and the answer to it."""
        self.socket.sendall(self.mine.seal(zlib.compress(kind + b"".join(records))))
        return self.heard()


def records(number: int) -> list[bytes]:
    """Flows of the gateway."""

    def one(port: int) -> bytes:
        out = part(CLIENT, INTERNET_HOST, 17, ports(port, 53))
        return event(out, part(INTERNET_HOST, NODE, 17, ports(53, port)))

    return [record for port in range(1000, 1000 + number) for record in collected(one(port))]


@pytest.fixture
def holder(pair: Pair) -> Iterator[FakeHolder]:
    made = FakeHolder(pair)
    yield made
    made.socket.close()


def test_a_mass_of_deletions(pair: Pair, holder: FakeHolder) -> None:
    """A holder that flushes as it dies takes few flows with it; if it lives, a full copy says what is gone."""
    all_of_them = records(450)
    holder.say(sides.BEGIN)
    holder.say(sides.FLOWS, *all_of_them)
    holder.say(sides.END)
    assert count(pair, B) >= 450
    assert holder.say(sides.FLOWS, *(flows.DELETE + record[1:] for record in all_of_them)) == b"4"
    state = pair.state(B)
    assert (state["entries"], state["refused"]) == (450 - 256, 450 - 256)
    assert len(pair.flows(B)) == 450 - 256
    holder.say(sides.BEGIN)
    holder.say(sides.FLOWS, *all_of_them[:7])
    holder.say(sides.END)
    assert len(pair.flows(B)) == 7


@pytest.mark.parametrize("how", ["changed", "repeated", "left out"])
def test_what_was_not_said(pair: Pair, holder: FakeHolder, how: str) -> None:
    """A frame that was tampered with changes nothing, is counted, and ends the connection."""
    first, second = records(2)
    assert holder.say(sides.FLOWS, first)
    body = zlib.compress(sides.FLOWS + second)
    frame = holder.mine.seal(body)
    frames = {
        "changed": frame[:-1] + bytes((frame[-1] ^ 1,)),
        "repeated": frame + frame,
        "left out": holder.mine.seal(body),
    }
    before = len(pair.flows(B))
    holder.socket.sendall(frames[how])
    if how == "repeated":
        holder.heard()
    with pytest.raises(ConnectionError):
        holder.heard()
    until(lambda: pair.state(B)["forged"] == 1)
    assert len(pair.flows(B)) == before + (how == "repeated")
    assert ADDRESS[A] == NODE
