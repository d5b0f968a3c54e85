"""What the agent knows, for people and programs: a file it rewrites, and the verb that prints it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .model import Host, Seen, State, Unknown

FILE = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/evernat"), "status.json")


def report(
    state: State, seen: Seen, host: Host, notes: Iterable[str], now: float, wall: float
) -> dict[str, Any]:
    """The status as plain values. `now` is the clock of `state`, `wall` the time of day; both in seconds."""
    config, interface = state.config, state.interface
    forwards = [
        {
            "protocol": f.protocol,
            "ports": list(f.ports),
            "target": f.target,
            "address": state.targets.get(f.target) if f.dynamic else f.target,
            "target_port": f.target_port,
        }
        for f in config.forwards
    ]
    return {
        "version": config.version,
        "stack": config.stack,
        "instance": host.instance,
        "role": state.role.value,
        "cause": state.cause,
        "since": _time(wall - now + state.since),
        "at": _time(wall),
        "interface": config.interface,
        "link": seen.link,
        "private_address": interface.address if interface else "",
        "public_address": interface.public if interface else "",
        "hook": seen.hook,
        "forwards": forwards,
        "unknown": {k: v.reason for k, v in seen._asdict().items() if isinstance(v, Unknown)},
        "notes": [note for note in notes if note],
    }


def write(values: dict[str, Any]) -> None:
    """Replace the file in one step."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    new = FILE.with_suffix(".new")
    new.write_text(json.dumps(values))
    new.replace(FILE)


def main(arguments: list[str]) -> int:
    """`status [--json]`: 0 when NAT is proven, 1 when it is not, 2 when there is nothing to tell."""
    try:
        values = json.loads(FILE.read_text())
    except OSError as error:
        print(f"evernat-agent: no status: {error}. Look at: journalctl -u evernat-agent", file=sys.stderr)
        return 2
    if "--json" in arguments:
        print(json.dumps(values, indent=2))
    else:
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            print(f"{name.replace('_', ' '):16} {text}")
    return 0 if values["role"] == "holding" else 1


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
