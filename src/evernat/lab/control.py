"""How the command line talks to a running lab: one JSON request, one JSON answer, over a Unix socket.

Namespaces travel as file descriptors beside the answer, so that a caller can enter them without knowing any pid.
Answers are `{"ok": ...}` or `{"error": cause, "remedy": remedy}`.
"""

from __future__ import annotations

import array
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernat.lab.errors import LabError

Json = Any
_MOST_FDS = 8


@dataclass(frozen=True)
class Answer:
    """What a handler gives back: a JSON value, and descriptors to send along (they stay the sender's)."""

    value: Json
    fds: tuple[int, ...] = ()


Handler = Callable[..., Answer]


def _send(connection: socket.socket, message: Json, fds: Sequence[int] = ()) -> None:
    data = json.dumps(message, default=str).encode()
    head = len(data).to_bytes(4, "big")
    if fds:
        connection.sendmsg([head], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    else:
        connection.sendall(head)
    connection.sendall(data)


def _receive(connection: socket.socket) -> tuple[Json, list[int]]:
    head, fds, _, _ = socket.recv_fds(connection, 4, _MOST_FDS)
    while 0 < len(head) < 4:
        head += connection.recv(4 - len(head))
    if not head:
        raise ConnectionError("the other side closed the connection")
    left, parts = int.from_bytes(head, "big"), []
    while left:
        part = connection.recv(min(left, 65536))
        if not part:
            raise ConnectionError("the message was cut off")
        parts.append(part)
        left -= len(part)
    return json.loads(b"".join(parts)), fds


class Server:
    """Serves requests, one thread each, until `close`."""

    def __init__(self, path: Path, handlers: dict[str, Handler], log: Callable[[str], None]) -> None:
        self._handlers = handlers
        self._log = log
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(64)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):
            request, _ = _receive(connection)
            fds: tuple[int, ...] = ()
            try:
                answer = self._handlers[request["verb"]](**request.get("arguments", {}))
                message, fds = {"ok": answer.value}, answer.fds
            except LabError as error:
                message = {"error": error.cause, "remedy": error.remedy}
            except Exception as error:
                self._log(f"control {request}: {error!r}")
                message = {
                    "error": f"{request.get('verb')}: {error!r}",
                    "remedy": "the lab's daemon.log has more",
                }
            _send(connection, message, fds)

    def close(self) -> None:
        """Stop accepting."""
        self._socket.close()


def call(path: Path, verb: str, timeout: float = 60.0, **arguments: Json) -> tuple[Json, list[int]]:
    """Ask the lab whose socket is at `path`. Returns its answer and received descriptors (the caller closes them).

    LabError when the lab says no; ConnectionError or FileNotFoundError when nobody listens. `timeout` in seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        _send(connection, {"verb": verb, "arguments": arguments})
        message, fds = _receive(connection)
    if "error" in message:
        raise LabError(message["error"], message["remedy"])
    return message["ok"], fds
