"""What every daemon of the agent needs: its settings, its log, systemd, and the machine it is on."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from .effects import EffectError
from .values import InvariantError

CONFIG = "/etc/evernat/agent.json"
PAUSE = 0.5  # seconds between two tries of what has to be there before anything can be decided

Result = TypeVar("Result")


# What follows tells others; that it cannot be told must not end or hold up the decisions.


def log(event: str, **fields: object) -> None:
    """One line on standard output; sets are written in order. Lost when it cannot be written, or not at once."""
    with contextlib.suppress(OSError, ValueError):
        print(json.dumps({"event": event, **fields}, default=_plain), flush=True)


def never_wait() -> None:
    """From here on nobody waits for who reads our log: a journal that is stuck must not hold up the decisions."""
    with contextlib.suppress(OSError, ValueError):
        os.set_blocking(sys.stdout.fileno(), False)


def notify(text: str) -> None:
    """Tell systemd. Lost when it does not listen."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.setblocking(False)
            manager.sendto(text.encode(), path.replace("@", "\0", 1))


def survive(what: str, run: Callable[[], None], caught: dict[str, int]) -> None:
    """Run it; an error that nobody foresaw is logged and counted in `caught`, and ends nothing.

    That an invariant of the core is broken is for nobody to live with.
    """
    try:
        run()
    except InvariantError:
        raise
    except Exception as error:
        caught[what] = caught.get(what, 0) + 1
        log("caught", what=what, error=repr(error), times=caught[what])


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, (set, frozenset)) else repr(value)


def read(arguments: list[str]) -> str:
    """The settings' text; systemd learns that we are up."""
    with open(arguments[0] if arguments else CONFIG) as file:
        text = file.read()
    notify("READY=1")
    return text


def insist(fact: str, do: Callable[[], Result]) -> Result:
    """What it gives, once it does: after a reboot the network comes later than we do, and it may be gone for long."""
    said = ""
    while True:
        try:
            return do()
        except EffectError as error:
            if said != str(error):
                log("unknown", fact=fact, reason=str(error))
            said = str(error)
            notify("WATCHDOG=1")
            time.sleep(PAUSE)
