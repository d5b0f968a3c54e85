"""The process that copies flows to standbys and takes copies in: `python3 -m agent.flowsync`, run by `sync`.

One TCP connection per gateway, from the standby to the holder. The holder sends a full copy, then what changes, then
a full copy again every REFRESH seconds; the standby answers how many frames it has done. So order, loss and pace are
TCP's business, and a standby that cannot follow is cut off: it comes back and gets a full copy.

What it may cost the node is bounded. When changes come faster than they are read the kernel says ENOBUFS; then we stop
listening, which is when the kernel stops telling, rest for a while, and start over with a full copy.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
import zlib
from collections.abc import Callable
from typing import Any, Optional

from .effects import conntrack
from .flows import DELETE, LIST, RECORD, SET, Batch, Guard, collect, key, messages
from .syncwire import RANDOM, Way

GATHER = 0.0001  # seconds from the first change to reading them all: fewer, larger frames
REFRESH = 240.0  # seconds between full copies, well below flows.KEEP
REST = 3.0  # seconds of silence after which a connection is given up; of not listening after an overrun
BACKLOG = 4 << 20  # bytes a standby may lag behind
FRAME = 500  # records: below 64 KB even if they do not compress

BEGIN, FLOWS, END = b"B", b"F", b"E"


class Line:
    """A connection to another node. `take` gets what comes, frame by frame; `out` waits for the socket."""

    def __init__(
        self, made: socket.socket, secret: bytes, take: Callable[[Line, bytes], None], greeting: bytes
    ):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket, self.fileno = made, made.fileno
        self.secret, self.take, self.greeting = secret, take, greeting
        self.out, self.inbox = bytearray(os.urandom(RANDOM)), bytearray()
        self.random = bytes(self.out)
        self.ways: Any = None  # ours, theirs
        self.heard = self.said = time.monotonic()

    def say(self, body: bytes) -> None:
        """Send a frame. OSError when the other end is gone or too slow."""
        self.out += self.ways[0].seal(body)
        self.said = time.monotonic()
        if len(self.out) > BACKLOG:
            raise OSError("too slow")
        self.push()

    def push(self) -> None:
        """Send what waits, as far as the socket takes it."""
        try:
            del self.out[: self.socket.send(self.out)]
        except BlockingIOError:
            return

    def ready(self) -> None:
        """Something can be sent or read. OSError when the other end is gone, ForgedError."""
        self.push()
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        if not data:
            raise OSError("closed")
        self.inbox += data
        self.heard = time.monotonic()
        if not self.ways and len(self.inbox) >= RANDOM:
            other = bytes(self.inbox[:RANDOM])
            del self.inbox[:RANDOM]
            self.ways = Way(self.secret, self.random, other), Way(self.secret, other, self.random)
            if self.greeting:
                self.say(self.greeting)
        if self.ways:
            for body in self.ways[1].open(self.inbox):
                self.take(self, body)


def listed(kernel: socket.socket, own: bytes) -> tuple[Batch, bool]:
    """The next flows of the listing that `kernel` was asked for, and whether these are the last."""
    found: Batch = {}
    return found, collect(kernel.recv(1 << 16), {own: found}, kernel.getsockname()[0])


class Side:
    """A gateway of this node, and the connection about it. What is plain here is its status."""

    def __init__(self, *words: str):
        self.words = [*words]
        self.role, self.address, self.instance, own = words
        self.own = socket.inet_aton(own)
        self.synced = False
        self.entries = self.dropped = 0
        self.begin(None)

    def begin(self, line: Any, due: float = 0.0) -> None:
        """There is a new connection, or none; and what is due at that time, a full copy or another try."""
        self.line, self.due = line, due
        self.connected = False
        self.position = 0


class Serving(Side):
    """Held: the line is its standby's. `position` is how many frames that one has done."""

    def __init__(self, *words: str):
        super().__init__(*words)
        self.batch: Batch = {}
        self.lag_ms = 0.0

    def begin(self, line: Any, due: float = 0.0) -> None:
        """Nothing of the last connection counts."""
        super().begin(line, due)
        self.listing: Any = None
        self.changed: set[bytes] = set()  # since the listing began: it may show what was before
        self.sent = self.whole = 0  # frames; the one that ended the last full copy
        self.connected, self.synced = bool(line), False

    def say(self, kind: bytes, records: list[bytes]) -> None:
        """Send one frame."""
        self.sent += 1
        self.line.say(zlib.compress(kind + b"".join(records), 1))

    def flush(self) -> None:
        """Send what changed."""
        records = list(self.batch.values())
        if self.listing:
            self.changed.update(self.batch)
        self.batch.clear()
        for at in range(0, len(records), FRAME):
            self.say(FLOWS, records[at : at + FRAME])

    def tend(self) -> None:
        """Go on with a full copy, or say that we are there."""
        now = time.monotonic()
        if self.due <= now and not self.listing:
            self.say(BEGIN, [])
            self.listing, self.due, self.entries = conntrack.connect(), now + REFRESH, 0
            self.listing.send(LIST)
        if self.listing and not self.line.out:
            found, end = listed(self.listing, self.own)
            self.entries += len(found)
            self.say(FLOWS, [record for name, record in found.items() if name not in self.changed])
            if end:
                self.say(END, [])
                self.whole, self.listing = self.sent, None
                self.changed.clear()
        if now - self.line.said > 1:
            self.say(FLOWS, [])

    def heard(self, line: Line, body: bytes) -> None:
        """How many frames the standby has done."""
        self.position = int(body)
        self.synced = 0 < self.whole <= self.position
        if self.position == self.sent:
            self.lag_ms = (time.monotonic() - line.said) * 1e3


class Following(Side):
    """Stood by for: the line is its holder's. `position` is how many frames of it were done."""

    def __init__(self, *words: str):
        super().__init__(*words)
        self.guard = Guard()
        self.copy = self.refused = 0
        self.kernel = conntrack.connect()
        # What is there: this node may have been the holder, or this process may be new.
        self.known: dict[bytes, int] = {}  # flow -> the full copy that had it
        self.kernel.send(LIST)
        end = False
        while not end:
            found, end = listed(self.kernel, self.own)
            self.known.update((key(record), 0) for record in found.values())

    def heard(self, line: Line, body: bytes) -> None:
        """Do one frame of the holder's, and say so."""
        self.connected = True
        body = zlib.decompress(body)
        if body[:1] == BEGIN:
            self.copy += 1
        elif body[:1] == END:
            rest = bytes(RECORD.size - 61)
            gone = [DELETE + name + rest for name, copy in self.known.items() if copy != self.copy]
            self._install(gone, sure=True)
            self.synced = True
        else:
            self._install([body[at : at + RECORD.size] for at in range(1, len(body), RECORD.size)])
        self.position, self.entries = self.position + 1, len(self.known)
        line.say(b"%d" % self.position)

    def _install(self, records: list[bytes], sure: bool = False) -> None:
        """Do what the records say. `sure`: a full copy says it, so it is true of however many."""
        now, known, told = time.monotonic(), self.known, []
        for record in records:
            name = key(record)
            there = name in known
            if record[:1] == SET:
                known[name] = self.copy
            elif there and not (sure or self.guard.allows(len(known), now)):
                self.refused += 1
                continue
            else:
                known.pop(name, None)
            told.append(messages(record, self.own, there))
        self.dropped += conntrack.write(self.kernel, told)


class Engine:
    """All gateways of this node, in one loop."""

    def __init__(self, control: socket.socket, secret: str, port: int, me: str):
        self.control, self.secret, self.port, self.me = control, bytes.fromhex(secret), port, me
        self.listener = socket.create_server(("", port))
        self.sides: dict[str, Any] = {}
        self.lines: list[Line] = []
        self.events: Optional[socket.socket] = None
        self.resume = 0.0
        self.forged = 0

    def turn(self) -> None:
        """Look after all, wait for something, and do it. EOFError when the agent is gone."""
        now = time.monotonic()
        for line in self.lines[:]:
            if now - line.heard > REST:
                self._drop(line)
        served = [side for side in self.sides.values() if side.line and side.role == "serve"]
        if not served:
            self.events = None
        elif not self.events and now >= self.resume:
            self.events = conntrack.connect(conntrack.EVENTS)
        for side in served if self.events else []:
            self._try(side.line, side.tend)
        for gateway, side in self.sides.items():
            if side.role == "follow" and not side.line and now >= side.due:
                self._call(gateway, side)
        copying = [side.line for side in served if side.listing and side.line]
        self._wait([line for line in self.lines if line.out or line in copying])

    def _wait(self, writes: list[Line]) -> None:
        reads: list[Any] = [self.control, self.listener, *self.lines]
        if self.events:
            reads.append(self.events)
        readable, writable, _ = select.select(reads, writes, [], 0.1)
        for each in {*readable, *writable}:
            if isinstance(each, Line):
                self._try(each, each.ready)
            elif each is self.control:
                self._command()
            elif each is self.listener:
                self._accept()
            else:
                time.sleep(GATHER)
                self._hear()

    def _try(self, line: Line, work: Callable[[], None]) -> None:
        """Do it, or give the connection up."""
        try:
            if line in self.lines:
                work()
        except (OSError, ValueError) as error:
            self.forged += isinstance(error, ValueError)
            self._drop(line)

    def _drop(self, line: Line) -> None:
        line.socket.close()
        self.lines.remove(line)
        for side in self.sides.values():
            if side.line is line:
                side.begin(None, time.monotonic() + 0.5)

    def _hear(self) -> None:
        """Read what changed, and pass it on."""
        held = [side for side in self.sides.values() if side.role == "serve"]
        batches = {side.own: side.batch for side in held}
        try:
            for _ in range(8000 if self.events else 0):
                collect(self.events.recv(8192), batches, 0)  # type: ignore[union-attr]
        except BlockingIOError:
            pass
        except OSError:  # ENOBUFS: something was lost
            self.events = None
            self.resume = time.monotonic() + REST
            for side in held:
                side.dropped += 1
                if side.line:  # it comes again for a full copy
                    self._drop(side.line)
        for side in held:
            if side.line:
                self._try(side.line, side.flush)
            side.batch.clear()

    def _accept(self) -> None:
        made, (address, _) = self.listener.accept()
        made.setblocking(False)
        if any(side.address == address for side in self.sides.values()):
            self.lines.append(Line(made, self.secret, self._greeted, b""))
        else:
            self.forged += 1
            made.close()

    def _greeted(self, line: Line, body: bytes) -> None:
        """The first frame says who wants which gateway of whom."""
        gateway, asker, asked = body.decode().split()
        side = self.sides.get(gateway)
        if not side or (side.role, side.instance, self.me) != ("serve", asker, asked):
            raise OSError("not ours")
        if side.line:
            self._drop(side.line)
        side.begin(line, self.resume)
        line.take = side.heard

    def _call(self, gateway: str, side: Following) -> None:
        made = socket.socket()
        made.setblocking(False)
        made.connect_ex((side.address, self.port))
        side.begin(Line(made, self.secret, side.heard, f"{gateway} {self.me} {side.instance}".encode()))
        self.lines.append(side.line)

    def _command(self) -> None:
        """The agent says what it wants, and gets how that stands, with all changes up to now on their way."""
        data = self.control.recv(1 << 16)
        if not data:
            raise EOFError
        wanted = json.loads(data)
        for gateway, side in [*self.sides.items()]:
            if side.words != wanted.get(gateway):
                del self.sides[gateway]
                if side.line:
                    self._drop(side.line)
        for gateway in wanted.keys() - self.sides.keys():
            kind = Serving if wanted[gateway][0] == "serve" else Following
            self.sides[gateway] = kind(*wanted[gateway])
        self._hear()
        status = {}
        for gateway, side in self.sides.items():
            plain = {
                name: value for name, value in vars(side).items() if isinstance(value, (str, int, float))
            }
            status[gateway] = {**plain, "forged": self.forged}
        self.control.send(json.dumps(status).encode())


def main() -> None:
    """Serve the agent at the other end of standard input, as long as it is there."""
    # When systemd stops the unit it tells every process; the handover still needs this one.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(10)
    control = socket.socket(fileno=0)
    engine = Engine(control, *json.loads(control.recv(1 << 16)))
    try:
        while True:
            engine.turn()
    except EOFError:
        return


if __name__ == "__main__":
    main()
