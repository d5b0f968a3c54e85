"""What every daemon of the agent needs: its settings, its log, systemd, and the machine it is on."""

from __future__ import annotations

import json
import os
import socket
import time

from .common import Host
from .effects import EffectError
from .effects.imds import Metadata

CONFIG = "/etc/evernat/agent.json"


def log(event: str, **fields: object) -> None:
    """One line on standard output; sets are written in order."""
    print(json.dumps({"event": event, **fields}, default=sorted), flush=True)


def notify(text: str) -> None:
    """Tell systemd."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(text.encode(), path.replace("@", "\0", 1))


def read(arguments: list[str]) -> str:
    """The settings' text; systemd learns that we are up."""
    with open(arguments[0] if arguments else CONFIG) as file:
        text = file.read()
    notify("READY=1")
    return text


def find(metadata: Metadata) -> Host:
    """Wait for the metadata: after a reboot the network may come later than we do."""
    said = ""
    while True:
        try:
            return metadata.host()
        except EffectError as error:
            if said != str(error):
                log("unknown", fact="host", reason=str(error))
            said = str(error)
            notify("WATCHDOG=1")
            time.sleep(0.3)
