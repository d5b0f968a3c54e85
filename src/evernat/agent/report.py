"""What a node knows of its gateway that is an interface."""

from __future__ import annotations

from typing import Any

from .model import Seen, State, Unknown
from .status import moment


def report(state: State, seen: Seen, notes: list[str], now: float, wall: float) -> dict[str, Any]:
    """The status as plain values. `now` is the clock of `state`, `wall` the time of day; both in seconds."""
    config, interface = state.config, state.interface
    return {
        "version": config.version,
        "stack": config.stack,
        "instance": seen.me,
        "role": state.role.value,
        "cause": state.cause,
        "since": moment(wall - now + state.since),
        "at": moment(wall),
        "interface": config.interface,
        "link": seen.link,
        "private_address": interface.address if interface else "",
        "public_address": interface.public if interface else "",
        "hook": seen.hook,
        "forwards": [
            {**f._asdict(), "address": state.targets.get(f.target, "") if f.dynamic else f.target}
            for f in config.forwards
        ],
        "unknown": {k: v.reason for k, v in seen._asdict().items() if isinstance(v, Unknown)},
        "notes": notes,
    }
