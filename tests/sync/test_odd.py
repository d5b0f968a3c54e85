"""What comes over the wire, from the agent and from the kernel may be odd: the process goes on, and says so."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from evernat.agent import flows, sides, sync
from evernat.agent.syncwire import Way
from tests.lab_fabric.support import NODE, NODE_2
from tests.sync.pair import GATEWAY, KEY, A, B, Pair, until
from tests.sync.test_process import FakeHolder, records

pytestmark = pytest.mark.packets

RIGHT = b"\1" + bytes([52]) + bytes(31) + b"\x11" + bytes(27) + bytes([52]) + bytes(65)
"""Laid out as a record of a UDP flow."""


def packed(*parts: bytes) -> bytes:
    """A frame's body."""
    return zlib.compress(b"".join(parts))


ODD = {
    "nothing": b"",
    "not compressed": b"F" + bytes(100),
    "cut off": packed(sides.FLOWS, bytes(1000))[:-5],
    "a bomb": packed(sides.FLOWS, bytes(64 << 20)),
    "half a record": packed(sides.FLOWS, RIGHT[:-1]),
    "too much of one": packed(sides.FLOWS, RIGHT + b"\0"),
    "to do something else": packed(sides.FLOWS, b"\7" + RIGHT[1:]),
    "a tuple without ports": packed(sides.FLOWS, RIGHT[:1] + b"\4" + RIGHT[2:]),
    "a tuple of 255 bytes": packed(sides.FLOWS, RIGHT[:1] + b"\xff" + RIGHT[2:]),
    "a reply without ports": packed(sides.FLOWS, RIGHT[:61] + b"\0" + RIGHT[62:]),
    "another protocol": packed(sides.FLOWS, RIGHT[:33] + b"\x2f" + RIGHT[34:]),
}


@pytest.fixture
def holder(pair: Pair) -> Iterator[FakeHolder]:
    """It has the key: what it says is sealed."""
    made = FakeHolder(pair)
    yield made
    made.socket.close()


def test_the_example_is_right(holder: FakeHolder) -> None:
    """What the cases below are made from by one change is taken."""
    flows.check(RIGHT)
    assert holder.say(sides.FLOWS, RIGHT) == b"1"


@pytest.mark.parametrize("body", ODD.values(), ids=list(ODD))
def test_a_holder_says_what_is_no_frame(pair: Pair, holder: FakeHolder, body: bytes) -> None:
    """It is counted and ends the connection, not the process; nothing of it is done, what was said before stays."""
    (flow,) = records(1)
    assert holder.say(sides.FLOWS, flow) == b"1"
    process, before = pair.syncs[B]._process.pid, pair.flows(B)
    assert len(before) == 1
    holder.socket.sendall(holder.mine.seal(body))
    with pytest.raises(ConnectionError):
        holder.heard()
    until(lambda: pair.state(B)["forged"] == 1)
    assert pair.flows(B) == before
    assert (pair.syncs[B]._process.pid, pair.logged) == (process, [])


@pytest.mark.parametrize("body", [b"", b"x", b"\xff\xfe", b"9" * 5000, b"1.5"])
def test_a_standby_answers_what_is_no_number(pair: Pair, body: bytes) -> None:
    """The same the other way round; a standby of this version is served afterwards."""
    pair.start(A).serve(GATEWAY, NODE_2, B, NODE)
    pair.start(B)
    standby = pair.net.tcp(B, NODE, pair.port)
    other, mine = standby.recv(16, socket.MSG_WAITALL), os.urandom(16)
    standby.sendall(mine + Way(KEY, mine, other).seal(f"{GATEWAY} {B} {A}".encode()))
    until(lambda: pair.state(A)["connected"])
    way = Way(KEY, mine, other)
    way.seal(b"what was said already")
    standby.sendall(way.seal(body))
    until(lambda: pair.state(A)["forged"] == 1)
    assert not pair.state(A)["connected"]
    pair.sync()
    assert pair.logged == []


@pytest.mark.parametrize("greeting", [b"", b"\xff", b"test", b"a b c d", b"other i-b i-a"])
def test_a_caller_greets_oddly(pair: Pair, greeting: bytes) -> None:
    """It is hung up on."""
    pair.sync()
    caller = pair.net.tcp(B, NODE, pair.port)
    other, mine = caller.recv(16, socket.MSG_WAITALL), os.urandom(16)
    caller.sendall(mine + Way(KEY, mine, other).seal(greeting))
    assert caller.recv(9) == b""
    assert pair.state(A)["connected"]
    assert pair.logged == []


@pytest.mark.parametrize(
    "said",
    [b"{", b"\xff", b"null", b"7", b"[]", b"[1, 2, 3]", b"[1, []]", b'[1, {"g": 5}]', b'[1, {"g": []}]',
     b'[1, {"g": ["follow", "nowhere", "i-x", "no address"]}]', b'[1, {"g": ["serve"]}]'],
)  # fmt: skip
def test_the_agent_says_what_is_no_wish(pair: Pair, said: bytes) -> None:
    """The process goes on, and answers the next question."""
    pair.sync()
    process = pair.syncs[A]._process.pid
    pair.syncs[A]._control.send(said)
    until(lambda: pair.state(A).get("caught"))
    until(lambda: pair.state(A)["synced"] and pair.state(B)["synced"])
    assert (pair.syncs[A]._process.pid, pair.logged) == (process, [])


@pytest.mark.parametrize("answer", [b"{", b"null", b"[1]", b"7", b'"x"'])
def test_the_process_answers_what_is_no_status(pair: Pair, answer: bytes) -> None:
    """Then it is another process than ours, or broken: it is replaced, and nothing is known meanwhile."""
    made = pair.start(A)
    made.serve(GATEWAY, NODE_2, B, NODE)
    theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made._control.close()
    made._control = theirs[0]
    theirs[1].send(answer)
    made._begun -= sync.PAUSE
    assert pair.inside(A, made.status) == {}
    assert [more["status"] for more in pair.logged] == [-signal.SIGKILL]
    until(lambda: pair.state(A).get("role") == "serve")


def test_without_a_descriptor(pair: Pair) -> None:
    """Nothing can be opened: what is there goes on, what is wanted comes about when there are descriptors again."""
    pair.sync()
    process = pair.syncs[B]._process.pid
    full = len([*Path(f"/proc/{process}/fd").iterdir()])
    before = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (full, before[1]))
    pair.syncs[B].serve("other", NODE, A, "172.18.128.60")
    pair.syncs[B].follow("third", NODE, A, "172.18.128.61")
    pair.syncs[A].follow("other", NODE_2, B, "172.18.128.50")
    until(lambda: pair.state(B)["caught"])
    caught, used = pair.state(B)["caught"], _seconds(process)
    until(lambda: pair.state(B)["caught"] > caught)
    assert pair.state(B)["synced"]
    assert "third" not in pair.syncs[B].status()
    assert not pair.syncs[A].status()["other"]["connected"]
    resource.prlimit(process, resource.RLIMIT_NOFILE, before)
    until(lambda: pair.syncs[A].status()["other"]["synced"], 10)
    until(lambda: "third" in pair.syncs[B].status())
    assert pair.syncs[B]._process.pid == process
    assert _seconds(process) - used < 5


def _seconds(process: int) -> float:
    """Seconds of the processor that a process has used."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_its_error_output_is_full(pair: Pair) -> None:
    """What it has to say of an odd wish cannot be said: it goes on all the same."""
    with Path("/dev/full").open("w") as full:
        kept = os.dup(2)
        os.dup2(full.fileno(), 2)
        try:
            pair.start(A).serve(GATEWAY, NODE_2, B, NODE)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    pair.syncs[A].status()
    pair.syncs[A]._control.send(json.dumps("odd").encode())
    until(lambda: pair.state(A).get("caught") == 1)
    assert pair.logged == []
