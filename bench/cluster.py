"""How long a gateway of two nodes is out when its holder loses power, beside two other ways in the same lab."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from bench import rivals
from bench.figure import Figure, median
from bench.gateway import Stack, stack
from evernat.lab.checks import until
from evernat.lab.demo_cluster import in_sync
from evernat.lab.load import Host, Load, server
from evernat.lab.probing import watching

ROUNDS = 10
SOME = {"idle": 20, "push": 20, "request": 20, "up": 5, "down": 5, "udp": 30}
MANY = {"idle": 8400, "push": 500, "request": 500, "up": 50, "down": 50, "udp": 500}
"""10,000 connections."""


def run() -> Iterator[Figure]:
    """Pair and rivals, each for both latency profiles; the slow one once."""
    yield from _profile("none", ROUNDS, many=True)
    yield from _profile("aws", 1, many=False)


def _profile(latency: str, rounds: int, *, many: bool) -> Iterator[Figure]:
    on = f"lab, {latency}, median of {rounds}"
    goal = ("0.7 s", "0.10 s") if latency == "none" else ("detection + API + 1.5 s", "")
    with stack(latency, "pair") as one:
        ours, kept, held = _power_off(one, rounds, SOME)
        text = f"{ours:.2f} s, {kept} of {held} connections kept"
        yield Figure("pair: holder powered off, longest gap", text, goal[0], on)
        gap = median([_handover(one) for _ in range(rounds)])
        yield Figure("pair: handover, longest gap", f"{gap:.2f} s", goal[1], on)
        if many:
            gap, kept, held = _power_off(one, 1, MANY)
            text = f"{gap:.2f} s, {kept} of {held} connections kept"
            what = "pair: holder powered off under 10,000 connections"
            yield Figure(what, text, "all", f"lab, {latency}, once")
        one("destroy", "--yes")
        for figure, other in rivals.figures(one.lab, latency, min(rounds, 3), SOME):
            yield Figure(figure.what, f"{figure.value} ({other / ours:.0f} times ours)", on=figure.on)


def whole(one: Stack) -> dict[str, Any]:
    """Wait until the pair has a holder and a standby that follows; the gateway."""

    def ready() -> dict[str, Any] | None:
        gateway = dict(one("status")["gateways"][0])
        return gateway if in_sync(gateway) else None

    found = until(ready, 300)
    if not found:
        raise RuntimeError("the pair did not become whole")
    return dict(found)


def _power_off(one: Stack, rounds: int, counts: dict[str, int]) -> tuple[float, int, int]:
    """Median gap, and connections kept and held over all rounds."""
    gaps, kept, held = [], 0, 0
    for _ in range(rounds):
        gateway = whole(one)
        outcome = rivals.outage(one.lab, gateway["holder"], gateway["public_address"], counts=counts)
        gaps.append(outcome.gap)
        kept, held = kept + outcome.kept, held + outcome.held
    return median(gaps), kept, held


def _handover(one: Stack) -> float:
    """The longest gap while the gateway is handed over on purpose."""
    gateway = whole(one)
    with server(one.lab), Load(one.lab, [Host("client-a", SOME)]) as load:
        with watching(one.lab, "client-b") as seen:
            one("failover", gateway["name"])
            time.sleep(1)
        report = load.check()
    if not report.all_alive:
        raise RuntimeError(f"a handover lost connections: {report.lost}")
    return seen.longest_gap
