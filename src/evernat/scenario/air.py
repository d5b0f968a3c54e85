"""Heartbeats between nodes, in virtual time.

A beat goes out every 50 ms, yet nobody computes each of them: nothing changes between two events, so the last one that
arrived is worked out when somebody looks, or just before something changes.
"""

from __future__ import annotations

from typing import Any

PERIOD = 0.05
DELAY = 0.0005
"""Seconds from one node to another."""


class Ear:
    """What one node hears of another. `up`: the path is there; `loss`: the share that is lost on it."""

    __slots__ = ("beats", "content", "heard_at", "last", "loss", "offset", "phase", "salt", "saying", "up")

    def __init__(self, phase: float, salt: int):
        self.phase, self.salt = phase, salt
        self.up, self.loss = True, 0.0
        self.beats = False  # whether the sender sends
        self.saying: Any = None  # what it says now
        self.last = -1  # number of the last beat that arrived
        self.content: Any = None
        self.heard_at = 0.0  # by the receiver's clock, which is `offset` ahead of the world's
        self.offset = 0.0

    @property
    def steady(self) -> bool:
        """Whether every beat arrives."""
        return self.up and self.beats and not self.loss

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
            self.content, self.heard_at = self.saying, number * PERIOD + self.phase + DELAY + self.offset
        self.last = max(newest, self.last)

    def _lost(self, number: int) -> bool:
        mixed = (number * 2654435761 + self.salt * 40503) & 0xFFFFFFFF
        return ((mixed ^ (mixed >> 15)) * 2246822519 >> 8 & 0xFFFF) < self.loss * 65536
