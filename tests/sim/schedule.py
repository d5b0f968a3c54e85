"""Random schedules: a seed makes a scenario, always the same one."""

from __future__ import annotations

from random import Random

from evernat.scenario.script import HOWS, Event, Script, Settings

SLOTS = {"single": "a", "pair": "ab", "ring2": "ab", "ring": "abc"}
TROUBLE = 6.0
"""Seconds in which things happen; afterwards network and API are mended, and the stack must settle."""

SETTLE = 150.0
"""Seconds to settle. Virtual: what stands still costs nothing."""

ACTIONS = ("release", "take", "point", "records", "members", "routes", "check", "egress", "replace")

WEIGHTS = {
    "power-off": 10,
    "terminate": 5,
    "restart": 5,
    "stop": 4,
    "stall": 8,
    "jump": 4,
    "cut": 8,
    "mend": 3,
    "loss": 4,
    "api-off": 6,
    "api-on": 2,
    "fail": 12,
    "slow": 4,
    "stale": 5,
    "spot": 4,
    "rebalance": 2,
    "roll": 4,
    "failover": 6,
    "lag": 4,
    "wipe": 2,
    "block": 5,
    "unblock": 1,
    "offline": 5,
    "online": 1,
    "blackout": 2,
    "light": 1,
}
LASTING = ("block", "offline", "blackout")
"""Troubles that are sometimes mended late only."""

KINDS, CUMULATED = list(WEIGHTS), [sum(list(WEIGHTS.values())[: n + 1]) for n in range(len(WEIGHTS))]


def schedule(seed: int) -> Script:
    """The scenario of that seed."""
    random = Random(seed)
    topology = random.choices(("pair", "ring2", "ring", "single"), (78, 8, 5, 9))[0]
    start = "new" if random.random() < 0.06 else "steady"
    settings = Settings(
        topology,
        start,
        random.randrange(1, 1 << 20),
        random.choice((0.004, 0.1, 0.1, 0.6)),
        rest="required",
        address=random.choice(("own", "shared")),
        routes=random.choice(("", "foreign")) if start == "new" else "",
    )
    count = random.choice((1, 1, 2, 2, 3, 3, 4, 6))
    times = sorted(round(random.uniform(0, TROUBLE), 3) for _ in range(count))
    if count > 1 and random.random() < 0.4:
        # Troubles like company: the later ones fall into what the first one caused.
        times = sorted([times[0], *(round(times[0] + random.uniform(0, 1.2), 3) for _ in times[1:])])
    events = [_event(random, at, topology) for at in times]
    # A node that is of no use asks to be replaced after a minute.
    lasting = any(event.what in LASTING for event in events) and random.random() < 0.25
    over = round(times[-1] + random.choice((25.0, 80.0) if lasting else (0.5, 2.0, 6.0)), 3)
    return Script(settings, (*events, Event(over, "mend-all"), Event(over + SETTLE, "end")))


def _event(random: Random, at: float, topology: str) -> Event:
    what = random.choices(KINDS, cum_weights=CUMULATED)[0]
    slots = SLOTS[topology]
    if what in ("cut", "mend", "loss") and len(slots) == 1:
        what = "restart"
    node = random.choice(slots)
    if what in ("stall", "lag"):
        return Event(at, what, (node, str(random.choice((0.1, 0.3, 0.6, 1.5, 4.0)))))
    if what == "jump":
        return Event(at, what, (node, str(random.choice((0.2, 0.4, 2.0, 3600.0)))))
    if what in ("cut", "mend", "loss"):
        other = random.choice([slot for slot in slots if slot != node])
        share = (str(random.choice((0.1, 0.5, 0.9))),) if what == "loss" else ()
        return Event(at, what, (node, other, *share))
    if what == "fail":
        return Event(at, what, (node, random.choice(ACTIONS), random.choice(HOWS)))
    if what == "slow":
        return Event(at, what, (str(random.choice((0.5, 1.5, 4.0))),))
    if what == "stale":
        return Event(at, what, (str(random.choice((0.5, 2.0, 5.0))),))
    if what in ("blackout", "light"):
        return Event(at, what)
    if what == "failover":
        gateway = f"main-{random.choice(slots)}" if topology.startswith("ring") else "main"
        return Event(at, what, (gateway, node))
    return Event(at, what, (node,))
