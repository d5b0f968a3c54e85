"""The sockets services report to: sd_notify(3) and syslog(3). The kernel says which process a message is from."""

from __future__ import annotations

import re
import socket
import struct
from pathlib import Path

from .journal import Journal
from .loop import Loop
from .manager import Manager
from .places import NOTIFY, SYSLOG


class Notify:
    """Hands each message to the service its sender belongs to."""

    def __init__(self, loop: Loop, manager: Manager) -> None:
        self._manager = manager
        Path(NOTIFY).parent.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(NOTIFY)
        Path(NOTIFY).chmod(0o777)
        loop.watch(self._socket.fileno(), self._ready)

    def _ready(self) -> None:
        data, ancillary, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(struct.calcsize("3i")))
        pid = struct.unpack("3i", ancillary[0][2][:12])[0] if ancillary else 0
        message: dict[str, str] = dict(
            line.split("=", 1) for line in data.decode(errors="replace").splitlines() if "=" in line
        )
        for service in self._manager.services.values():
            if service.heeds(pid):
                service.notified(message)
                return


class Syslog:
    """Puts what `logger` and its like say into the journal."""

    def __init__(self, loop: Loop, journal: Journal) -> None:
        self._journal = journal
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(SYSLOG)
        Path(SYSLOG).chmod(0o666)
        loop.watch(self._socket.fileno(), self._ready)

    def _ready(self) -> None:
        text = self._socket.recv(65536).decode(errors="replace").rstrip("\n\0")
        # <priority>Mmm dd hh:mm:ss tag: text (RFC 3164), the time being optional.
        match = re.match(r"(?:<\d+>)?(?:\w{3} [ \d]\d \d\d:\d\d:\d\d )?([^\s:]+): (.*)", text, re.DOTALL)
        identifier, message = match.groups() if match else ("syslog", text)
        for line in message.splitlines():
            self._journal.write("", identifier, line)
