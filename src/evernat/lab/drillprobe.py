"""How long packets of a client stop when a gateway changes hands: `python -m evernat.lab.drillprobe`.

Runs inside a client's network until its standard input ends or `--seconds` are over, then prints one JSON object:

- `probe`: a small datagram every `--interval` seconds to a UDP echo and back, one flow throughout. `longest_gap` is the
  longest time between two answers, `gaps` are all that were longer than five intervals.
- `stream`: one TCP connection to a TCP echo, a segment every interval, whether it lived, and its longest gap.
- `bytes`: what came back, by both, in buckets of `bucket` seconds from `began` (Unix time) on.

All times are seconds; moments are seconds since `began`. `realtime`: whether it ran at real-time priority.
It writes the line `ready` first, once answers come both ways.
Standard library only, so it starts fast.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

INTERVAL = 0.01
BUCKET = 0.05
SILENT = 1.0
"""A stream from which nothing came in this last time of a measurement does not count as alive."""
SEGMENT = 1400
"""Bytes the stream sends each interval: a full packet, 140 kB/s."""


@dataclass
class Record:
    """When answers came. Moments are of the monotonic clock."""

    began: float
    sent: int = 0
    came: int = 0
    last: float = 0.0
    buckets: dict[int, int] = field(default_factory=dict)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    """(when it began, how long), each longer than `worth`."""
    worth: float = 5 * INTERVAL
    longest: float = 0.0

    def arrived(self, now: float, size: int) -> None:
        """An answer of `size` bytes."""
        if self.came:
            self._gap(now)
        self.came += 1
        self.last = now
        bucket = int((now - self.began) / BUCKET)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + size

    def ended(self, now: float) -> None:
        """The silence at the end counts too."""
        if self.came:
            self._gap(now)

    def _gap(self, now: float) -> None:
        length = now - self.last
        self.longest = max(self.longest, length)
        if length > self.worth:
            self.gaps.append((self.last - self.began, length))

    def shown(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "sent": self.sent,
            "received": self.came,
            "longest_gap": round(self.longest, 4),
            "gaps": [[round(at, 4), round(length, 4)] for at, length in self.gaps],
        }


class Probe:
    """One datagram per interval, each with its number; the answers' numbers tell how many were lost."""

    def __init__(self, address: str, port: int, record: Record) -> None:
        self.record = record
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect((address, port))

    def send(self) -> None:
        """The next one; a refusal of the way is what is being measured, no reason to stop."""
        self.record.sent += 1
        try:
            self.socket.send(self.record.sent.to_bytes(8, "big"))
        except OSError:
            return

    def receive(self, now: float) -> bool:
        """All that is there. True: there may be more."""
        while True:
            try:
                data = self.socket.recv(64)
            except BlockingIOError:
                return True
            except OSError:
                continue  # an ICMP error about one sent before
            self.record.arrived(now, len(data))


class Stream:
    """One TCP connection that must live. `error` says how it ended, empty while it lives."""

    def __init__(self, address: str, port: int, record: Record) -> None:
        self.record = record
        self.error = ""
        self.socket = socket.create_connection((address, port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def send(self) -> None:
        """A segment, unless the connection is gone or full."""
        if self.error:
            return
        try:
            self.record.sent += self.socket.send(bytes(SEGMENT))
        except BlockingIOError:
            return
        except OSError as error:
            self.error = type(error).__name__

    def receive(self, now: float) -> bool:
        """All that is there. False when the connection has ended."""
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                return True
            except OSError as error:
                self.error = self.error or type(error).__name__
                return False
            if not data:
                self.error = self.error or "closed"
                return False
            self.record.arrived(now, len(data))


def measure(
    address: str, port: int, interval: float, seconds: float, ready: Callable[[], None]
) -> dict[str, Any]:
    """Probe until `seconds` are over (0: until standard input ends); the report. OSError when nobody is there."""
    began, wall = time.monotonic(), time.time()
    probe = Probe(address, port, Record(began, worth=5 * interval))
    stream = Stream(address, port, Record(began, worth=5 * interval))
    watch = selectors.DefaultSelector()
    for one in (probe, stream):
        watch.register(one.socket, selectors.EVENT_READ, one)
    if not seconds:
        watch.register(sys.stdin.fileno(), selectors.EVENT_READ)
    due, said, going = began, False, True
    while going:
        now = time.monotonic()
        if now >= due:
            probe.send()
            stream.send()
            # Never in a burst: what was missed while this process did not run stays missed.
            due = max(due + interval, now)
        for key, _ in watch.select(max(due - time.monotonic(), 0)):
            if key.data is None:
                going = bool(os.read(sys.stdin.fileno(), 1))
            elif not key.data.receive(time.monotonic()):
                watch.unregister(key.fileobj)
        if not said and probe.record.came and stream.record.came:
            said = True
            ready()
        going = going and not (seconds and now - began > seconds)
    return _report(probe, stream, began, wall, interval)


def _hurry() -> bool:
    """Real-time priority where it is allowed: a gap must be the network's, not this process's."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    return True


def _report(probe: Probe, stream: Stream, began: float, wall: float, interval: float) -> dict[str, Any]:
    ended = time.monotonic()
    if not stream.error and ended - stream.record.last > SILENT:
        stream.error = "silent"
    for record in (probe.record, stream.record):
        record.ended(ended)
    last = int((ended - began) / BUCKET)
    totals = [probe.record.buckets.get(n, 0) + stream.record.buckets.get(n, 0) for n in range(last + 1)]
    return {
        "began": round(wall, 4),
        "seconds": round(ended - began, 4),
        "interval": interval,
        "longest_gap": round(probe.record.longest, 4),
        "probe": probe.record.shown() | {"lost": probe.record.sent - probe.record.came},
        "stream": stream.record.shown() | {"alive": not stream.error, "error": stream.error},
        "bucket": BUCKET,
        "bytes": totals,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="evernat.lab.drillprobe", description=__doc__.split("\n")[0])
    parser.add_argument("address", help="a host that echoes TCP and UDP")
    parser.add_argument("--port", type=int, default=7)
    parser.add_argument("--interval", type=float, default=INTERVAL)
    parser.add_argument("--seconds", type=float, default=0.0, help="0: until standard input ends")
    a = parser.parse_args()
    realtime = _hurry()
    try:
        report = measure(a.address, a.port, a.interval, a.seconds, lambda: print("ready", flush=True))
    except OSError as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        raise SystemExit(1) from None
    print(json.dumps(report | {"realtime": realtime}))


if __name__ == "__main__":
    main()
