"""The process that copies flows to standbys and takes copies in: `python3 -m agent.flowsync`, run by `sync`.

One TCP connection per gateway, from the standby to the holder. The holder sends a full copy, then what changes, then
a full copy again every REFRESH seconds; the standby answers how many frames it has done. So order, loss and pace are
TCP's business, and a standby that cannot follow is cut off: it comes back and gets a full copy.

What it may cost the node is bounded. When changes come faster than they are read the kernel says ENOBUFS; then we stop
listening, which is when the kernel stops telling, rest for a while, and start over with a full copy.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Optional

from .effects import conntrack
from .flows import collect
from .sides import Following, Serving
from .syncline import REST, Line

GATHER = 0.0001  # seconds from the first change to reading them all: fewer, larger frames
AGAIN = 0.1  # seconds until a holder is called again that was not there, or does not serve us yet
PAUSE = 0.02  # seconds until a caller that could not be taken in is tried again
MOST = 64  # connections at a time
NICE = 10  # priority below forwarding and the rest of the agent,
HURRY, CALM = 10.0, 30.0  # but not while a copy is made: for so long at most, then not again for so long


class Engine:
    """All gateways of this node, in one loop."""

    def __init__(self, control: socket.socket, secret: str, port: int, me: str):
        self.control, self.secret, self.port, self.me = control, bytes.fromhex(secret), port, me
        self.control.setblocking(False)
        self.listener: Optional[socket.socket] = None
        self.sides: dict[str, Any] = {}
        self.lines: list[Line] = []
        self.events: Optional[socket.socket] = None
        self.resume = 0.0
        self.forged = 0  # frames and callers that were not right
        self.caught = 0  # failures that ended a turn
        self.nice, self.hurry = 0, -1e9

    def turn(self) -> None:
        """Look after all, wait for something, and do it. EOFError when the agent is gone."""
        now = time.monotonic()
        self._weigh(now)
        self._open(now)
        served = [side for side in self.sides.values() if side.line and side.role == "serve"]
        for side in served:
            self._try(side.line, side.tend if self.events else side.tick)
        for gateway, side in self.sides.items():
            if side.role == "follow" and not side.listing and not side.line and now >= side.due:
                self._call(gateway, side)
        copying = [side.line for side in served if side.listing and side.line]
        self._wait([line for line in self.lines if line.out or line in copying])
        # Only now: what came while this process got no time of the processor counts as heard.
        now = time.monotonic()
        for line in [line for line in self.lines if line.late(now)]:
            self._drop(line)

    def _weigh(self, now: float) -> None:
        """Give way to others, but not while a copy is made: a machine that boots has no time for who does."""
        copying = any(
            not side.synced and (side.line or side.role == "follow") for side in self.sides.values()
        )
        if copying and now >= self.hurry + HURRY + CALM:
            self.hurry = now
        nice = 0 if copying and now < self.hurry + HURRY else NICE
        if nice != self.nice:
            self.nice = nice
            with contextlib.suppress(OSError):  # who may not rise again stays low
                os.setpriority(os.PRIO_PROCESS, 0, nice)

    def _open(self, now: float) -> None:
        """Have the sockets that are needed, if the kernel gives them; it is asked again in the next turn."""
        with contextlib.suppress(OSError):  # EADDRINUSE: the process before this one is about to end
            self.listener = self.listener or socket.create_server(("", self.port))
            self.listener.setblocking(False)
        if not any(side.line and side.role == "serve" for side in self.sides.values()):
            self.events = None
        elif not self.events and now >= self.resume:
            try:
                self.events = conntrack.connect(conntrack.EVENTS)
            except OSError:
                self.resume = now + REST

    def _wait(self, writes: list[Line]) -> None:
        listing = {
            side.listing: side for side in self.sides.values() if side.role == "follow" and side.listing
        }
        others = [each for each in (self.listener, self.events) if each]
        reads: list[Any] = [self.control, *others, *listing, *self.lines]
        readable, writable, _ = select.select(reads, writes, [], 0.1)
        for each in {*readable, *writable}:
            if isinstance(each, Line):
                self._try(each, each.ready)
            elif each in listing:
                self._list(listing[each])
            elif each is self.control:
                self._command()
            elif each is self.listener:
                self._accept()
            else:
                time.sleep(GATHER)
                self._hear()

    def _list(self, side: Following) -> None:
        try:
            side.tend()
        except OSError:
            side.relist()

    def _try(self, line: Line, work: Callable[[], None]) -> None:
        """Do it, or give the connection up."""
        try:
            if line in self.lines:
                work()
        except ValueError:  # sealed or not, it is not what a node of this version says
            self.forged += 1
            self._drop(line, REST)
        except OSError:
            self._drop(line)

    def _drop(self, line: Line, wait: float = AGAIN) -> None:
        line.socket.close()
        self.lines.remove(line)
        for side in self.sides.values():
            if side.line is line:
                side.begin(None, time.monotonic() + wait)

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
        try:
            made, (address, _) = self.listener.accept()  # type: ignore[union-attr]
        except OSError:  # it hung up already; or there is no descriptor left, and it goes on waiting
            time.sleep(PAUSE)
            return
        made.setblocking(False)
        if len(self.lines) < MOST and any(side.address == address for side in self.sides.values()):
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
        number, wanted = json.loads(data)
        for gateway, side in [*self.sides.items()]:
            if side.words != wanted.get(gateway):
                del self.sides[gateway]
                if side.line:
                    self._drop(side.line)
        for gateway in wanted.keys() - self.sides.keys():
            try:
                kind = Serving if wanted[gateway][0] == "serve" else Following
                self.sides[gateway] = kind(*wanted[gateway])
            except (OSError, TypeError, ValueError, LookupError):  # the agent says it again
                self.caught += 1
        self._hear()
        self.control.send(json.dumps([number, self._status()]).encode())

    def _status(self) -> dict[str, dict[str, Any]]:
        found = {}
        now = time.monotonic()
        for gateway, side in self.sides.items():
            plain = {n: value for n, value in vars(side).items() if isinstance(value, (str, int, float))}
            age = round(now - side.last, 3) if side.last else None
            found[gateway] = {**plain, "age": age, "forged": self.forged, "caught": self.caught}
        return found


def main() -> None:
    """Serve the agent at the other end of standard input, as long as it is there."""
    # When systemd stops the unit it tells every process; the handover still needs this one.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    control = socket.socket(fileno=0)
    engine = Engine(control, *json.loads(control.recv(1 << 16)))
    while True:
        try:
            engine.turn()
        except EOFError:
            return
        except Exception as error:  # the next turn may do better; the agent sees the count
            engine.caught += 1
            with contextlib.suppress(OSError):
                print(f"flowsync: {error!r}", file=sys.stderr, flush=True)
            time.sleep(AGAIN)


if __name__ == "__main__":
    main()
