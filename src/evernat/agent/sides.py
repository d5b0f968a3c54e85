"""The two ends of copying a gateway's flows: that of its holder, and that of its standby."""

from __future__ import annotations

import socket
import time
import zlib
from typing import Any, Optional

from .effects import conntrack
from .flows import DELETE, LIST, RECORD, SET, Batch, Guard, check, collect, key, messages
from .syncline import Line

REFRESH = 240.0  # seconds between full copies, well below flows.KEEP
FRAME = 500  # records: below 64 KB even if they do not compress
LARGEST = 1 << 16  # bytes of a frame's body once it is decompressed

BEGIN, FLOWS, END = b"B", b"F", b"E"


def plain(body: bytes) -> bytes:
    """What was compressed. ValueError when it is broken, or more than a frame ever holds."""
    made = zlib.decompressobj()
    try:
        text = made.decompress(body, LARGEST)
    except zlib.error as error:
        raise ValueError("not compressed") from error
    if not made.eof:
        raise ValueError("cut off, or too long")
    return text


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
        self.last = 0.0  # when the other end was last heard, 0 when never
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
        """Go on with a full copy."""
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
        self.tick()

    def tick(self) -> None:
        """Say that we are there."""
        if time.monotonic() - self.line.said > 1:
            self.say(FLOWS, [])

    def heard(self, line: Line, body: bytes) -> None:
        """How many frames the standby has done."""
        self.position, self.last = int(body), time.monotonic()
        self.synced = 0 < self.whole <= self.position
        if self.position == self.sent:
            self.lag_ms = (self.last - line.said) * 1e3


class Following(Side):
    """Stood by for: the line is its holder's. `position` is how many frames of it were done."""

    def __init__(self, *words: str):
        super().__init__(*words)
        self.guard = Guard()
        self.copy = self.refused = 0
        self.kernel = conntrack.connect()
        self.known: dict[bytes, int] = {}  # flow -> the full copy that had it
        self.relist()

    def relist(self) -> None:
        """Begin to list what is there: this node may have been the holder, or this process may be new."""
        self.listing: Optional[socket.socket] = conntrack.connect()
        self.listing.send(LIST)

    def tend(self) -> None:
        """Read the next part of the list. OSError when there will be none."""
        if self.listing:
            found, end = listed(self.listing, self.own)
            self.known.update((key(record), 0) for record in found.values())
            self.listing = None if end else self.listing

    def heard(self, line: Line, body: bytes) -> None:
        """Do one frame of the holder's, and say so. ValueError when it is none."""
        self.connected, self.last = True, time.monotonic()
        body = plain(body)
        if body[:1] == BEGIN:
            self.copy += 1
        elif body[:1] == END:
            rest = bytes(RECORD.size - 61)
            gone = [DELETE + name + rest for name, copy in self.known.items() if copy != self.copy]
            self._install(gone, sure=True)
            self.synced = True
        else:
            records = [body[at : at + RECORD.size] for at in range(1, len(body), RECORD.size)]
            for record in records:
                check(record)
            self._install(records)
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
