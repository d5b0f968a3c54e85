"""What the agent knows, for people and programs: a file it rewrites, and the verb that prints it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

FILE = os.environ.get("RUNTIME_DIRECTORY", "/run/evernat") + "/status.json"  # systemd makes the directory


def write(values: dict[str, Any]) -> None:
    """Replace the file in one step; a full or read-only file system keeps the old one, and ends nothing."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        text = json.dumps(values)
        with open(f"{FILE}.new", "w") as file:
            file.write(text)
        os.replace(f"{FILE}.new", FILE)


def main(arguments: list[str]) -> int:
    """`status [--json]`: 0 when NAT is proven, 1 when it is not, 2 when there is nothing to tell."""
    try:
        with open(FILE) as file:
            values = json.load(file)
    except OSError as error:
        print(f"evernat-agent: no status: {error}. Look at: journalctl -u evernat-agent", file=sys.stderr)
        return 2
    if "--json" in arguments:
        print(json.dumps(values, indent=2))
    else:
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            print(f"{name.replace('_', ' '):16} {text}")
    return 0 if values["role"] in ("holding", "standby") else 1


def moment(seconds: float) -> str:
    """A time of day as text."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
