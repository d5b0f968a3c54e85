"""Opens the connections, holds them, and says on request which of them live.

It reads one command a line and answers each with one JSON object a line:

- `check SECONDS`: every connection must prove within that time that bytes pass in the way of its kind;
- `report`: what is known without asking;
- end of input: let go of everything.

The first line it writes, once every connection is open or has failed to open, is a report too.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from evernat.lab.load.connections import BY_KIND, Held
from evernat.lab.load.loop import Loop

AT_ONCE = 256
"""Connections that are being opened at the same time: what listens must keep up."""

LOOK = 0.02
OPEN_WITHIN = 10.0


class Keeper:
    """All connections of one process."""

    def __init__(self, loop: Loop, address: str, port: int, every: Mapping[str, float]) -> None:
        """`every`: seconds of each kind's interval."""
        self._loop, self._address, self._port, self._every = loop, address, port, every
        self._wanted: list[str] = []
        self._held: list[Held] = []
        self._opening = 0

    def start(self, counts: Mapping[str, int]) -> None:
        """Open so many of each kind, mixed, a few at a time; then report."""
        self._wanted = _mixed(counts)
        self._loop.watch(0, self)
        for _ in range(AT_ONCE):
            self._open_next()
        self._loop.later(LOOK, lambda: self._until_open(self._loop.now + OPEN_WITHIN))

    def ready(self, readable: bool, writable: bool) -> None:
        """A command, or the end of them."""
        words = os.read(0, 4096).decode().split()
        if not words:
            self._loop.going = False
        elif words[0] == "check":
            for one in self._held:
                one.ask()
            self._until_proved(self._loop.now + float(words[1]))
        elif words[0] == "report":
            self._say(proved=False)

    def _open_next(self) -> None:
        if self._wanted:
            kind = self._wanted.pop()
            self._opening += 1
            self._held.append(
                BY_KIND[kind](self._loop, self._every[kind], self._settled, self._address, self._port)
            )

    def _settled(self) -> None:
        self._opening -= 1
        # Later, so that a refusal at once does not call itself.
        self._loop.later(0, self._open_next)

    def _until_open(self, deadline: float) -> None:
        """Report once nothing is being opened, or when nothing has been opened for a while."""
        if not self._wanted and not self._opening:
            self._say(proved=False)
            return
        if self._loop.now > deadline:
            for one in self._held:
                if not one.opened:
                    one.end("not open in time")
        before = self._opening + len(self._wanted)
        self._loop.later(LOOK, lambda: self._until_open(self._next_deadline(before, deadline)))

    def _next_deadline(self, before: int, deadline: float) -> float:
        moved = self._opening + len(self._wanted) < before
        return self._loop.now + OPEN_WITHIN if moved else deadline

    def _until_proved(self, deadline: float) -> None:
        if self._loop.now < deadline and any(one.alive and not one.proved for one in self._held):
            self._loop.later(LOOK, lambda: self._until_proved(deadline))
        else:
            self._say(proved=True)

    def _say(self, *, proved: bool) -> None:
        sys.stdout.write(json.dumps(summary(self._held, proved=proved)) + "\n")
        sys.stdout.flush()


def summary(held: Iterable[Held], *, proved: bool) -> dict[str, Any]:
    """By kind: how many were wanted, opened and live (`proved`: showed it), why the others do not, the longest gap."""
    found: dict[str, Any] = {}
    for one in held:
        kind = found.setdefault(
            one.kind, {"wanted": 0, "opened": 0, "alive": 0, "lost": Counter(), "longest_gap": 0.0}
        )
        kind["wanted"] += 1
        kind["opened"] += one.opened
        kind["longest_gap"] = max(kind["longest_gap"], round(one.silence(), 4))
        if one.lost or not one.opened:
            kind["lost"][one.lost or "not open"] += 1
        elif proved and not one.proved:
            kind["lost"]["silent"] += 1
        else:
            kind["alive"] += 1
    return found


def _mixed(counts: Mapping[str, int]) -> list[str]:
    """Each kind spread evenly over the whole, so that no kind is opened last."""
    places = [((n + 0.5) / count, kind) for kind, count in counts.items() for n in range(count)]
    return [kind for _, kind in sorted(places, reverse=True)]
