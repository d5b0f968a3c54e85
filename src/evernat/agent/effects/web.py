"""HTTP with one keep-alive connection, one deadline for the whole of a request, and TLS that verifies."""

from __future__ import annotations

import io
import json
import socket
import ssl
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import Any

from . import EffectError
from .names import resolve

LONGEST = 4 << 20  # bytes of an answer, headers included
IDLE = 4.0  # seconds: an older connection may be closed by now, and then nobody knows whether a request was taken

_contexts: list[ssl.SSLContext] = []  # one for all, made when first needed: the certificates take 2 MB

Dial = Callable[[str, int, float], socket.socket]
"""Connects to a host and port until a moment of the monotonic clock. OSError."""


class UnansweredError(EffectError):
    """No usable answer. Whether the request took effect is not known."""


class Web:
    """Talks to one server at a time. `source` is the local address to leave by, `dial` another way to connect."""

    def __init__(self, source: str = "", dial: Dial | None = None):
        self._source = source
        self._dial = dial or self._connect
        self._origin = ""
        self._used = 0.0
        self._socket: socket.socket | None = None

    def request(
        self, method: str, url: str, headers: dict[str, str], body: str = "", timeout: float = 5.0
    ) -> tuple[int, str]:
        """Status and text of the answer, or UnansweredError. All of it may take `timeout` seconds."""
        end = time.monotonic() + timeout
        scheme, _, host, path = [*url.split("/", 3), "", "", ""][:4]
        try:
            if scheme + host != self._origin or time.monotonic() - self._used > IDLE:
                self.close()
            self._origin = scheme + host
            self._socket = self._socket or self._open(scheme, host, end)
            self._socket.settimeout(max(end - time.monotonic(), 0.01))
            data = body.encode()
            lines = {"host": host, **headers, **({"content-length": len(data)} if method != "GET" else {})}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            self._socket.sendall(f"{method} /{path} HTTP/1.1\r\n{head}\r\n".encode() + data)
            answer = HTTPResponse(_Timed(self._socket, end), method=method)  # type: ignore[arg-type]
            answer.begin()
            text = answer.read(LONGEST)
            if answer.length:
                raise HTTPException("cut off")
            if answer.will_close:
                self.close()
        except (OSError, HTTPException, ValueError, MemoryError) as error:
            self.close()
            raise UnansweredError(f"{host}: {error or type(error).__name__}") from error
        self._used = time.monotonic()
        return answer.status, text.decode("utf-8", "replace")

    def close(self) -> None:
        """Drop the connection."""
        if self._socket:
            self._socket.close()
        self._socket = None

    def _open(self, scheme: str, host: str, end: float) -> socket.socket:
        name, _, port = host.partition(":")
        made = self._dial(name, int(port or (80 if scheme == "http:" else 443)), end)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if scheme == "http:":
            return made
        if not _contexts:
            _contexts.append(ssl.create_default_context())
        made.settimeout(max(end - time.monotonic(), 0.01))
        return _contexts[0].wrap_socket(made, server_hostname=name)

    def _connect(self, host: str, port: int, end: float) -> socket.socket:
        error = OSError(f"no address of {host}")
        for address in resolve(host, end - time.monotonic()):
            try:
                left = max(end - time.monotonic(), 0.01)
                return socket.create_connection((address, port), left, (self._source, 0))
            except OSError as failed:
                error = failed
        raise error


class _Timed(io.RawIOBase):
    """What a response is read from: a socket, until a moment, and LONGEST bytes of it."""

    def __init__(self, made: socket.socket, end: float):
        self._socket, self._end, self._left = made, end, LONGEST

    def makefile(self, _mode: str) -> io.BufferedReader:
        """As of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """OSError when time is up or too much came."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no whole answer in time")
        self._socket.settimeout(left)
        size = self._socket.recv_into(buffer)
        self._left -= size
        if self._left < 0:
            raise OSError("the answer is too long")
        return size


def pick(what: str, text: str, *names: str) -> list[str]:
    """Texts of a JSON object by name. UnansweredError when it is none, or they are not there."""
    try:
        found = json.loads(text)
        values = [found[name] for name in names]
        if all(isinstance(value, str) for value in values):
            return values
        raise TypeError(f"not all texts: {', '.join(names)}")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UnansweredError(f"{what}: {error!r}") from error
