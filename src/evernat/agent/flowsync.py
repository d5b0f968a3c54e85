"""The process that copies flows to standbys and takes copies in: `python3 -m agent.flowsync`, run by `sync`.

One TCP connection per gateway, from the standby to the holder. The holder sends a full copy, then what changes, then
a full copy again every REFRESH seconds; the standby answers how many frames it has done. So order, loss and pace are
TCP's business, and a standby that cannot follow is cut off: it comes back and gets a full copy.

What it may cost the node is bounded. When changes come faster than they are read the kernel says ENOBUFS; then we stop
listening, which is when the kernel stops telling, rest for a while that doubles, and start over with a full copy.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Optional

from .effects import conntrack
from .flows import DELETE, LIST, RECORD, SET, Batch, Guard, collect, key, message
from .syncwire import CHALLENGE, ForgedError, Sealer, derive, hello, names

GATHER = 0.0003  # seconds from the first change to reading them all: fewer, larger frames
REFRESH = 240.0  # seconds between full copies, well below flows.KEEP
SILENCE = 3.0  # seconds without a word after which a connection is given up
REST = 0.25, 8.0  # seconds: the first rest and the longest
EVENT_ROOM = 8 << 20  # bytes of changes the kernel may keep for us
BACKLOG = 4 << 20  # bytes a standby may lag behind
PENDING = 8  # connections that have not said who they are
FRAME = 2000  # records


class Line:
    """A connection to another node. What the socket does not take waits in `out`."""

    def __init__(self, made: socket.socket, take: Callable[[Line], None]):
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket, self.take = made, take
        self.out, self.inbox = bytearray(), bytearray()
        self.challenge = b""
        self.sealer: Optional[Sealer] = None
        self.opener: Optional[Sealer] = None
        self.heard = self.said = time.monotonic()

    def keys(self, secret: bytes, mine: bytes, theirs: bytes) -> None:
        """From here on each way has its own key."""
        self.sealer, self.opener = Sealer(derive(secret, mine)), Sealer(derive(secret, theirs))

    def send(self, body: bytes) -> None:
        """Seal and send a frame. OSError when the other end is gone or too slow."""
        assert self.sealer
        self.out += self.sealer.seal(body)
        self.said = time.monotonic()
        self.push()
        if len(self.out) > BACKLOG:
            raise OSError("too slow")

    def tell(self, data: bytes) -> None:
        """Send something as it is."""
        self.out += data
        self.push()

    def push(self) -> None:
        """Send what waits, as far as the socket takes it."""
        with contextlib.suppress(BlockingIOError):
            del self.out[: self.socket.send(self.out)]

    def ready(self) -> None:
        """Send, read, and let `take` have what came. OSError when the other end is gone, ForgedError."""
        self.push()
        with contextlib.suppress(BlockingIOError):
            data = self.socket.recv(1 << 18)
            if not data:
                raise OSError("closed")
            self.inbox += data
            self.heard = time.monotonic()
            self.take(self)

    def frames(self) -> Iterator[bytes]:
        """The bodies that came whole."""
        return self.opener.open(self.inbox) if self.opener else iter(())


class Serving:
    """A gateway this node holds, and the connection of its standby."""

    def __init__(self, address: str, instance: str, own: str):
        self.address, self.instance, self.own = address, instance, socket.inet_aton(own)
        self.batch: Batch = {}
        self.drains: list[tuple[int, int]] = []  # frame, number of the command
        self.listed = self.cuts = 0
        self.lag = 0.0
        self.reset(None)

    def reset(self, line: Optional[Line]) -> None:
        """Begin with a new connection, or with none."""
        self.line = line
        self.listing: Optional[socket.socket] = None
        self.changed: set[bytes] = set()  # since the listing began: it may show what was before
        self.due = 0.0
        self.sent: deque[float] = deque()
        self.done = self.whole = 0  # frames the standby has done; the one that ended its last full copy

    @property
    def synced(self) -> bool:
        """The standby has all there is."""
        return 0 < self.whole <= self.done

    def say(self, kind: bytes, records: list[bytes]) -> None:
        """Send one frame."""
        assert self.line
        self.sent.append(time.monotonic())
        self.line.send(kind + b"".join(records))

    def flush(self) -> None:
        """Send what changed."""
        records = list(self.batch.values())
        if self.listing:
            self.changed.update(self.batch)
        self.batch.clear()
        for at in range(0, len(records) if self.line else 0, FRAME):
            self.say(b"E", records[at : at + FRAME])

    def tend(self, now: float) -> None:
        """Go on with a full copy, or say that we are there."""
        assert self.line
        if self.due <= now and not self.listing:
            self.say(b"B", [])
            self.listing, self.due, self.listed = conntrack.connect(), now + REFRESH, 0
            self.listing.send(LIST)
        if self.listing and len(self.line.out) < 1 << 16:
            found: Batch = {}
            end = collect(self.listing.recv(1 << 16), {self.own: found}, self.listing.getsockname()[0])
            self.listed += len(found)
            self.say(b"D", [record for name, record in found.items() if name not in self.changed])
            if end:
                self.say(b"Z", [])
                self.whole = len(self.sent) + self.done
                self.listing = None
                self.changed.clear()
        if now - self.line.said > 1:
            self.say(b"T", [])

    def heard(self, body: bytes) -> None:
        """How far the standby is, and whether it wants a full copy."""
        now = time.monotonic()
        while self.done < int.from_bytes(body[1:], "big"):
            self.lag = now - self.sent.popleft()
            self.done += 1
        if body[0]:
            self.due = min(self.due, now + SILENCE)

    def status(self) -> dict[str, Any]:
        """What is known, in plain values."""
        late = time.monotonic() - self.sent[0] if self.sent else 0.0
        return {
            "role": "serve", "synced": self.synced, "connected": bool(self.line), "entries": self.listed,
            "position": self.done, "lag_ms": round(max(self.lag, late) * 1e3, 3), "dropped": self.cuts,
        }  # fmt: skip


class Following:
    """A gateway this node stands by for, and the connection to its holder."""

    def __init__(self, address: str, instance: str, own: str):
        self.address, self.instance, self.own = address, instance, socket.inet_aton(own)
        self.line: Optional[Line] = None
        self.retry = 0.0
        self.guard = Guard()
        self.synced = self.wish = False
        self.done = self.copy = self.refused = self.failed = 0
        self.kernel = conntrack.connect()
        self.known = dict.fromkeys(self._present(), 0)  # flow -> the full copy that had it

    def _present(self) -> Batch:
        """What the kernel has: this node may have been the holder, or this process may be new."""
        found: Batch = {}
        self.kernel.send(LIST)
        while not collect(self.kernel.recv(1 << 16), {self.own: found}, self.kernel.getsockname()[0]):
            pass
        return found

    def heard(self, body: bytes) -> None:
        """One frame of the holder's."""
        self.done += 1
        kind = body[:1]
        if kind == b"B":
            self.copy += 1
        elif kind == b"Z":
            gone = [name for name, copy in self.known.items() if copy != self.copy]
            self._delete(gone)
            self.synced = True
        else:
            self._install([body[at : at + RECORD.size] for at in range(1, len(body), RECORD.size)])

    def _install(self, records: list[bytes]) -> None:
        now, messages, known = time.monotonic(), [], self.known
        for number, record in enumerate(records):
            name = key(record)
            there = name in known
            if record[:1] == SET:
                known[name] = self.copy
            elif not there:
                continue
            elif self.guard.allows(len(known), now):
                del known[name]
            else:
                self.refused += 1
                self.wish = True
                continue
            messages.append(message(record, self.own, number, there))
        again = []
        for number, _ in conntrack.write(self.kernel, messages):
            record = records[number]
            if record[:1] == SET:  # not there though it was, there though it was not, or changed too much
                again.append(message(DELETE + record[1:], self.own, FRAME, True))
                again.append(message(record, self.own, number, False))
        for number, _ in conntrack.write(self.kernel, again):
            if number < FRAME:
                self.failed += 1
                known.pop(key(records[number]), None)

    def _delete(self, flows: list[bytes]) -> None:
        for name in flows:
            del self.known[name]
        rest = bytes(RECORD.size - 14)
        messages = [message(DELETE + name + rest, self.own, 0, True) for name in flows]
        deque(conntrack.write(self.kernel, messages), 0)

    def status(self) -> dict[str, Any]:
        """What is known, in plain values."""
        return {
            "role": "follow", "synced": self.synced, "connected": bool(self.line and self.line.sealer),
            "entries": len(self.known), "position": self.done, "dropped": self.failed, "refused": self.refused,
            "silent_ms": round((time.monotonic() - self.line.heard) * 1e3) if self.line else None,
        }  # fmt: skip


class Engine:
    """All gateways of this node, in one loop."""

    def __init__(self, control: socket.socket, secret: bytes, port: int, me: str):
        self.control, self.secret, self.port, self.me = control, secret, port, me
        self.listener = socket.create_server(("", port), backlog=PENDING)
        self.listener.setblocking(False)
        self.serving: dict[str, Serving] = {}
        self.following: dict[str, Following] = {}
        self.lines: list[Line] = []
        self.batches: dict[bytes, Batch] = {}
        self.events: Optional[socket.socket] = None
        self.resume = self.opened = 0.0
        self.rest, self.forged = REST[0], 0

    def turn(self) -> None:
        """Wait for something, and do it. EOFError when the agent is gone."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.listener, select.POLLIN)
        if self.events:
            poll.register(self.events, select.POLLIN)
        lines = {line.socket.fileno(): line for line in self.lines}
        for number, line in lines.items():
            poll.register(number, select.POLLIN | select.POLLOUT if line.out else select.POLLIN)
        copying = any(each.listing and not each.line.out for each in self.serving.values() if each.line)
        for number, _ in poll.poll(0 if copying else 100):
            if number == self.control.fileno():
                self._command()
            elif number == self.listener.fileno():
                self._accept()
            elif number in lines:
                self._try(lines[number], lines[number].ready)
            else:
                time.sleep(GATHER)
                self.hear()
        self._tend(time.monotonic())

    def _try(self, line: Line, work: Callable[[], None]) -> None:
        """Do it, or give the connection up."""
        if line not in self.lines:
            return
        try:
            work()
        except (OSError, ForgedError, ValueError) as error:
            self.forged += not isinstance(error, OSError)
            self._drop(line)

    def _drop(self, line: Line) -> None:
        line.socket.close()
        self.lines.remove(line)
        for holder in self.serving.values():
            if holder.line is line:
                holder.reset(None)
                self._drained(holder)
        for standby in self.following.values():
            if standby.line is line:
                standby.line = None

    def _tend(self, now: float) -> None:
        for line in self.lines[:]:
            if now - line.heard > SILENCE:
                self._drop(line)
        served = [each for each in self.serving.values() if each.line]
        if served and not self.events and now >= self.resume:
            self.events, self.opened = conntrack.connect(conntrack.EVENTS, EVENT_ROOM), now
        elif not served and self.events:
            self._deafen()
        for each in served:
            if self.events and each.line:
                self._try(each.line, functools.partial(each.tend, now))
        for gateway, standby in self.following.items():
            if not standby.line and now >= standby.retry:
                standby.retry = now + 0.5
                self._call(gateway, standby)

    # Holding

    def hear(self) -> None:
        """Read what changed, and pass it on."""
        if self.events:
            try:
                for _ in range(1000):
                    collect(self.events.recv(8192), self.batches, 0)
            except BlockingIOError:
                pass
            except OSError:  # ENOBUFS: something was lost
                self._overrun(time.monotonic())
        for each in self.serving.values():
            if each.line:
                self._try(each.line, each.flush)
            each.batch.clear()

    def _overrun(self, now: float) -> None:
        self._deafen()
        self.rest = REST[0] if now - self.opened > 2 * REST[1] else min(self.rest * 2, REST[1])
        self.resume = now + self.rest
        for each in self.serving.values():
            each.due, each.whole = self.resume, 0
            each.listing = None
            each.cuts += 1

    def _deafen(self) -> None:
        if self.events:
            self.events.close()
        self.events = None

    def _accept(self) -> None:
        made, (address, _) = self.listener.accept()
        waiting = [line for line in self.lines if not line.sealer]
        if len(waiting) >= PENDING or address not in {each.address for each in self.serving.values()}:
            self.forged += 1
            made.close()
            return
        line = Line(made, self._greeted)
        line.challenge = secrets.token_bytes(CHALLENGE)
        line.opener = Sealer(derive(self.secret, line.challenge))
        self.lines.append(line)
        self._try(line, functools.partial(line.tell, line.challenge))

    def _greeted(self, line: Line) -> None:
        """The first frame says who it is."""
        for body in line.frames():
            gateway, asker, asked = names(body)
            holder = self.serving.get(gateway)
            if not holder or (asker, asked) != (holder.instance, self.me):
                raise OSError("not for us")
            if holder.line:
                self._drop(holder.line)
            line.keys(derive(self.secret, line.challenge, body), b"holder", b"standby")
            line.take = functools.partial(self._answered, holder)
            holder.reset(line)
            holder.due = self.resume
            return

    def _answered(self, holder: Serving, line: Line) -> None:
        for body in line.frames():
            holder.heard(body)
        self._drained(holder)

    def _drained(self, holder: Serving) -> None:
        for frame, number in holder.drains[:]:
            if not holder.synced or frame <= holder.done:
                holder.drains.remove((frame, number))
                self._answer(number, holder.done if holder.synced else None)

    # Standing by

    def _call(self, gateway: str, standby: Following) -> None:
        made = socket.socket()
        line = Line(made, functools.partial(self._challenged, gateway, standby))
        made.connect_ex((standby.address, self.port))
        standby.line = line
        self.lines.append(line)

    def _challenged(self, gateway: str, standby: Following, line: Line) -> None:
        if len(line.inbox) < CHALLENGE:
            return
        challenge = bytes(line.inbox[:CHALLENGE])
        del line.inbox[:CHALLENGE]
        body = hello(secrets.token_bytes(CHALLENGE), gateway, self.me, standby.instance)
        line.tell(Sealer(derive(self.secret, challenge)).seal(body))
        line.keys(derive(self.secret, challenge, body), b"standby", b"holder")
        standby.done = 0
        line.take = functools.partial(self._told, standby)

    def _told(self, standby: Following, line: Line) -> None:
        for body in line.frames():
            standby.heard(body)
        line.send(bytes((standby.wish,)) + standby.done.to_bytes(8, "big"))
        standby.wish = False

    # The agent

    def _command(self) -> None:
        data = self.control.recv(1 << 16)
        if not data:
            raise EOFError
        number, verb, *words = json.loads(data)
        if verb == "status":
            sides: dict[str, Any] = {**self.serving, **self.following}
            self._answer(
                number, {name: {**each.status(), "forged": self.forged} for name, each in sides.items()}
            )
        elif verb == "drain":
            self.hear()
            holder = self.serving.get(words[0])
            if holder and holder.line and holder.line.sealer and holder.synced:
                holder.drains.append((holder.line.sealer.count, number))
                self._drained(holder)
            else:
                self._answer(number, None)
        else:
            self._assign(verb, *words)
            self._answer(number, True)

    def _assign(self, verb: str, gateway: str, *words: str) -> None:
        for side in self.serving, self.following:
            each = side.pop(gateway, None)
            if each and each.line:
                self._drop(each.line)
        if verb == "serve":
            self.serving[gateway] = Serving(*words)
        elif verb == "follow":
            self.following[gateway] = Following(*words)
        self.batches = {each.own: each.batch for each in self.serving.values()}

    def _answer(self, number: int, value: Any) -> None:
        self.control.send(json.dumps([number, value]).encode())


def main() -> None:
    """Serve the agent at the other end of standard input, as long as it is there."""
    # When systemd stops the unit it tells every process; the handover still needs this one.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(10)
    control = socket.socket(fileno=0)
    secret, port, me = json.loads(control.recv(1 << 16))
    engine = Engine(control, bytes.fromhex(secret), port, me)
    with contextlib.suppress(EOFError):
        while True:
            engine.turn()


if __name__ == "__main__":
    main()
