"""shutdown(8), poweroff(8), reboot(8), halt(8). Times to wait are not kept: it happens now."""

from __future__ import annotations

import sys

from .systemctl import ask


def main(name: str, arguments: list[str]) -> int:
    """Answers the exit status. `name` is what it was called as."""
    if "-c" in arguments:
        print("shutdown: there is nothing to cancel in the lab, it happens at once", file=sys.stderr)
        return 1
    again = name == "reboot" or (name == "shutdown" and ("-r" in arguments or "--reboot" in arguments))
    try:
        ask("reboot" if again else "poweroff", [])
    except OSError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0
