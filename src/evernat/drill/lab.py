"""What only a lab shows of an outage: a client's packets, connections held open, the moment somebody noticed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from evernat.drill.watch import Outage
from evernat.lab import checks
from evernat.lab.checks import until
from evernat.lab.client import KILL_WAYS, Lab
from evernat.lab.load import KINDS, Host, Load, server
from evernat.lab.probing import Watched, watching
from evernat.stack.api import Api
from evernat.stack.errors import StackError

BEFORE, AFTER = 1.0, 2.0
"""Seconds of quiet before the break and after all is well again, so that a picture has both."""

LONGEST = 30.0
"""Seconds to wait for packets once the API shows all of it."""

REPEAT = 1.2
"""What TCP repeats comes the later the longer nothing got through: it waits up to that part of it once more."""

MOVES = ("DisassociateAddress", "AssociateAddress")

KEPT = tuple(kind for kind in KINDS if kind not in ("up", "down"))
"""Kinds of connections of a drill. Bulk is left out: it would measure the machine."""


@dataclass
class Seen:
    """What came of it. Empty until the context has ended."""

    packets: Watched
    connections: dict[str, Any] | None = None


def lab_of(name: str, api: Api) -> Lab:
    """The lab by that name. Raises StackError when the stack at hand lives elsewhere."""
    lab = Lab(name)
    endpoint = lab.environment()["AWS_ENDPOINT_URL"]
    if api.client("ec2").meta.endpoint_url.rstrip("/") != endpoint.rstrip("/"):
        raise StackError(
            f"the lab {name} is at {endpoint}, and this stack is not in it",
            f'eval "$(evernat lab env --name {name})"  first, or leave --probe-from out',
        )
    return lab


def by_lab(lab: Lab, how: str) -> Callable[[str], None]:
    """What breaks an instance the lab's way."""
    way = next(way for way in KILL_WAYS if way == how)
    return lambda instance: lab.kill(instance, way)


@contextmanager
def measuring(lab: Lab, host: str, connections: int) -> Iterator[Seen]:
    """Probe from a host, and hold connections open there, while inside. Begins and ends with a little quiet."""
    with ExitStack() as stack:
        load = None
        if connections:
            stack.enter_context(server(lab))
            share = {kind: connections // len(KEPT) for kind in KEPT}
            share[KEPT[0]] += connections - sum(share.values())
            load = stack.enter_context(Load(lab, [Host(host, share)]))
        with watching(lab, host) as packets:
            seen = Seen(packets)
            time.sleep(BEFORE)
            begun = time.monotonic()
            yield seen
            until(lambda: checks.udp(lab, host).ok, LONGEST)  # AWS shows a change before packets follow it
            time.sleep(AFTER + REPEAT * (time.monotonic() - begun))
        if load:
            found = load.check()
            seen.connections = {
                "wanted": found.total("wanted"),
                "alive": found.total("alive"),
                "lost": found.lost,
            }


def detection(lab: Lab, outage: Outage) -> tuple[float, str] | None:
    """When and by whom the address was first moved, in seconds since the break; None when nobody did."""
    for call in lab.call("calls", since=outage.wall):
        if call["action"] in MOVES and call["principal"].startswith("i-"):
            return max(float(call["time"]) - outage.wall, 0.0), str(call["principal"])
    return None
