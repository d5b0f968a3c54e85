"""What a node knows of its gateway that is an interface: for its status file and for the stack. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from .contract import REPORT_EVERY
from .decide import HERE, HOLDING
from .model import UNSEEN, Seen, State, Unknown
from .status import moment
from .values import Egress

APART = 2.0  # seconds between two reports at least


class Told(NamedTuple):
    """What was last reported: what counts as news, and when."""

    news: Sequence[Any] = ()
    at: float = float("-inf")


def due(state: State, seen: Seen, problems: Sequence[str], last: Told, now: float) -> Optional[Told]:
    """What will have been reported, when there is something to report."""
    if state.role not in HERE or not seen.link or now - last.at < APART:
        return None
    proof = seen.proof.hop if isinstance(seen.proof, Egress) else None
    public = state.interface.public if state.interface else ""
    news = state.role, public, proof, *problems
    return Told(news, now) if news != last.news or now - last.at >= REPORT_EVERY else None


def problems(seen: Seen, notes: Sequence[str], caught: Mapping[str, int]) -> list[str]:
    """What is not as it should be, besides the cause of the role."""
    facts = seen._asdict().items()
    unknown = [f"{k}: {v.reason}" for k, v in facts if isinstance(v, Unknown) and v is not UNSEEN]
    unforeseen = [f"{times} unforeseen errors in {what}, see the log" for what, times in caught.items()]
    return [text for text in (seen.tools, seen.trouble, *unknown, *notes, *unforeseen) if text]


def of_gateway(state: State, seen: Seen, wrong: Sequence[str], now: float, wall: float) -> dict[str, Any]:
    """The report of a gateway's holder, as in a pair. `now` is the clock of `state`, `wall` the time of day."""
    interface, proof, shift = state.interface, seen.proof, wall - now
    passed = proof if isinstance(proof, Egress) else None
    return {
        "role": state.role.value,
        "cause": state.cause,
        "since": moment(shift + state.since),
        "holder": seen.me,
        "public_address": interface.public if interface else "",
        "private_address": interface.address if interface else "",
        "standby": [],
        "proven": state.role is HOLDING and bool(passed and passed.ok),
        "taken": 0,
        "why": "",
        "sync": None,
        "at": moment(wall),
        "egress": {
            "ok": passed.ok,
            "hop": passed.hop,
            "cause": passed.cause,
            "address": passed.address,
            "at": moment(shift + passed.at),
        }
        if passed
        else None,
        "problems": list(wrong),
        "version": state.config.version,
    }


def of_node(state: State, seen: Seen, wrong: Sequence[str], wall: float) -> dict[str, Any]:
    """Why a node gives its launch hook back: its own log dies with it."""
    return {
        "instance": seen.me,
        "at": moment(wall),
        "role": state.role.value,
        "cause": state.cause,
        "problems": list(wrong),
    }


def status(state: State, seen: Seen, wrong: Sequence[str], now: float, wall: float) -> dict[str, Any]:
    """What the status file says."""
    config = state.config
    return {
        **of_gateway(state, seen, wrong, now, wall),
        "stack": config.stack,
        "instance": seen.me,
        "interface": config.interface,
        "link": seen.link,
        "hook": seen.hook,
        "forwards": [
            {**f._asdict(), "address": state.targets.get(f.target, "") if f.dynamic else f.target}
            for f in config.forwards
        ],
    }
