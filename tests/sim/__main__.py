"""`python -m tests.sim 100000`: play that many random schedules; print the first failing ones, shrunk."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from evernat.scenario import Script, play
from tests.sim.schedule import schedule
from tests.sim.shrink import shrink

CHUNK = 250
SHOWN = 3
"""Kinds of failure that are shrunk and printed."""

LOGGED = 10_000
"""A line of progress after so many, where no terminal shows it all the time."""


class Outcome(NamedTuple):
    """What came of some seeds: virtual events, seconds of processor, and (seed, invariant) of those that failed."""

    events: int
    seconds: float
    failed: tuple[tuple[int, str], ...]


def some(seeds: range) -> Outcome:
    """Play them. Nothing is left that refers to itself, so nobody has to look for garbage."""
    events, failed, begun = 0, [], time.process_time()
    gc.disable()
    for seed in seeds:
        played = play(schedule(seed))
        events += played.events
        if played.broken:
            failed.append((seed, played.broken.rule))
    gc.enable()
    return Outcome(events, time.process_time() - begun, tuple(failed))


def many(first: int, count: int, workers: int) -> Iterable[Outcome]:
    """Play seeds on several processors; outcomes come as they are done."""
    chunks = [range(n, min(n + CHUNK, first + count)) for n in range(first, first + count, CHUNK)]
    if workers == 1:
        yield from map(some, chunks)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(some, chunks)


def shortest(seed: int, rule: str) -> Script:
    """The seed's scenario, shrunk while it breaks the same rule."""

    def fails(script: Script) -> bool:
        broken = play(script).broken
        return broken is not None and broken.rule == rule

    return shrink(schedule(seed)._replace(comment=(f"Seed {seed}, shrunk.",)), fails)


def main(arguments: list[str]) -> int:
    """Exit code 0: every invariant held in every schedule."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="the first seed")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--stop-at", type=int, default=50, metavar="N", help="stop after so many failures")
    asked = parser.parse_args(arguments)
    begun, events, done, busy = time.monotonic(), 0, 0, 0.0
    failed: list[tuple[int, str]] = []
    for outcome in many(asked.first, asked.count, asked.workers):
        events, done = events + outcome.events, min(done + CHUNK, asked.count)
        failed += outcome.failed
        busy += outcome.seconds
        line = f"{done} of {asked.count}, {len(failed)} failed"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{line} ")
        elif done % LOGGED == 0:
            sys.stderr.write(f"{line} {failed[-SHOWN:] or ''}\n")
        if len(failed) >= asked.stop_at:
            break
    seconds = time.monotonic() - begun
    print(
        f"{done} schedules, {events} events, {len(failed)} failed, {seconds:.1f} s"
        f" ({asked.workers} processes, {1000 * busy / done:.2f} ms of processor a schedule)"
    )
    for rule, count in Counter(rule for _, rule in failed).most_common():
        print(f"  {count} times: {rule}")
    shown: set[str] = set()
    for seed, rule in failed:
        if rule not in shown and len(shown) < SHOWN:
            shown.add(rule)
            print(f"\n--- seed {seed}: {rule}\n{play(shortest(seed, rule)).text}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
