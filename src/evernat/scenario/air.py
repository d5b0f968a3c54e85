"""Heartbeats between nodes, in virtual time.

A beat goes out every 50 ms, and one more when what it says is urgent. Yet nobody computes each of them: nothing changes
between two events, so the last one that arrived is worked out when somebody looks, or just before something changes.
"""

from __future__ import annotations

from evernat.agent import elect
from evernat.agent.cluster_model import Beat
from evernat.agent.machine import fitness, view

PERIOD = 0.05
DELAY = 0.0005
"""Seconds from one node to another."""

MANY = 200
"""Beats in a row that may get lost."""


Said = tuple[Beat, float]
"""What a node says, and since when."""


class Ear:
    """What one node hears of another. `up`: the path is there; `loss`: the share that is lost on it."""

    __slots__ = (
        "beats",
        "content",
        "heard",
        "heard_at",
        "last",
        "learned",
        "loss",
        "offset",
        "phase",
        "salt",
        "saying",
        "up",
    )

    def __init__(self, phase: float, salt: int):
        self.phase, self.salt = phase, salt
        self.up, self.loss = True, 0.0
        self.beats = False  # whether the sender sends
        self.saying: Said | None = None  # what it says now
        self.last = -1  # number of the last beat that arrived
        self.content: Said | None = None
        self.heard = 0.0  # when it arrived,
        self.learned = 0.0  # and the first one that said so
        self.heard_at = 0.0  # by the receiver's clock, which was then `offset` ahead of the world's
        self.offset = 0.0

    @property
    def steady(self) -> bool:
        """Whether every beat arrives, and there was one since the sender last said something new."""
        return self.up and self.beats and not self.loss and self.content is self.saying

    def say(self, said: Said | None, now: float) -> None:
        """The sender says this from now on, or falls silent."""
        was, self.beats = self.beats, said is not None
        if not said or (was and self.saying == said):
            return
        last, self.saying = self.saying, said
        self.again()
        if was and last and self.up and not self.loss and elect.urgent(said[0], last[0]):
            self.take(self.saying, now)  # the way is too short to matter

    def again(self) -> None:
        """The next beat is news, whatever it says."""
        if self.saying:
            self.saying = (*self.saying,)

    def next(self, now: float) -> float:
        """When the next beat arrives that is news: what it says is, or that there is one. Else never."""
        told = self.content is self.saying and (not self.loss or now - self.heard < view.SILENT - PERIOD)
        if told or not (self.up and self.beats):
            return float("inf")
        number = self.last + 1
        while self.loss and self._lost(number) and number < self.last + MANY:
            number += 1
        return number * PERIOD + self.phase + DELAY + 1e-6

    def beat(self) -> Beat | None:
        """The last heartbeat. Who was ready is so for longer now, who got out has checked it again."""
        if not self.content:
            return None
        spoken, said = self.content
        ready, egress = spoken.ready, spoken.egress
        if ready:
            ready = {name: seconds + self.heard - said for name, seconds in ready.items()}
        if egress >= 0:  # it goes on to check, and the check to pass
            egress = (egress + self.heard - said) % fitness.EVERY
        return spoken._replace(at=self.heard_at, ready=ready, egress=egress)

    def listen(self, now: float) -> None:
        """Work out what has arrived by now, if nothing changed since the last time."""
        newest = int((now - DELAY - self.phase) / PERIOD)
        if not (self.up and self.beats):
            self.last = max(newest, self.last)
            return
        number = newest
        while number > self.last and self.loss and self._lost(number):
            number -= 1
        if number > self.last:
            self.take(self.saying, number * PERIOD + self.phase + DELAY)
        self.last = max(newest, self.last)

    def take(self, said: Said | None, at: float) -> None:
        """A beat arrived."""
        if said is not self.content:
            self.learned = at
        self.content, self.heard, self.heard_at = said, at, at + self.offset

    def _lost(self, number: int) -> bool:
        mixed = (number * 2654435761 + self.salt * 40503) & 0xFFFFFFFF
        return ((mixed ^ (mixed >> 15)) * 2246822519 >> 8 & 0xFFFF) < self.loss * 65536
