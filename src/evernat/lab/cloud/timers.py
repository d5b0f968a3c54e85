"""Things that happen later: state changes, address moves, timeouts. Time is passed in."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class Timers:
    """A heap of things to do. Due times are in seconds of whatever clock the cloud was given."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = itertools.count()

    def add(self, due: float, action: Callable[[], None]) -> None:
        """Run `action` when the clock reaches `due`; equal times run in the order they were added."""
        heapq.heappush(self._heap, (due, next(self._sequence), action))

    def next_due(self) -> float | None:
        """When the next thing is due."""
        return self._heap[0][0] if self._heap else None

    def run_due(self, now: float) -> int:
        """Run all that is due, in order; returns how many ran. What they add for now runs too."""
        count = 0
        while self._heap and self._heap[0][0] <= now:
            _, _, action = heapq.heappop(self._heap)
            action()
            count += 1
        return count
