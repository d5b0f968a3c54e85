"""HTTP with one keep-alive connection, deadlines, and TLS that verifies."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection

LONGEST = 4 << 20  # bytes of an answer
IDLE = 4.0  # seconds: an older connection may be closed by now, and then nobody knows whether a request was taken


class UnansweredError(Exception):
    """No usable answer. Whether the request took effect is not known."""


class Web:
    """Talks to one server at a time; `source` is the local address to leave by."""

    def __init__(self, source: str = ""):
        self._source = (source, 0) if source else None
        self._origin = ""
        self._used = 0.0
        self._connection: HTTPConnection | None = None

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: str = "", timeout: float = 5.0
    ) -> tuple[int, str]:
        """Status and text of the answer, or UnansweredError. `timeout` is for each wait, in seconds."""
        scheme, _, host, path = url.split("/", 3)
        try:
            connection = self._connect(f"{scheme}//{host}", timeout)
            connection.request(method, f"/{path}", body or None, dict(headers))
            answer = connection.getresponse()
            text = answer.read(LONGEST + 1)
            if len(text) > LONGEST:
                raise HTTPException("the answer is too long")
        except (OSError, HTTPException) as error:
            self.close()
            raise UnansweredError(f"{host}: {error or type(error).__name__}") from error
        self._used = time.monotonic()
        return answer.status, text.decode("utf-8", "replace")

    def close(self) -> None:
        """Drop the connection."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def _connect(self, origin: str, timeout: float) -> HTTPConnection:
        if origin != self._origin or time.monotonic() - self._used > IDLE:
            self.close()
        if self._connection is None:
            scheme, host = origin.split("//")
            if scheme == "https:":
                self._connection = HTTPSConnection(
                    host, timeout=timeout, source_address=self._source, context=_tls()
                )
            else:
                self._connection = HTTPConnection(host, timeout=timeout, source_address=self._source)
            self._origin = origin
        return self._connection


_contexts: list[ssl.SSLContext] = []


def _tls() -> ssl.SSLContext:
    """One context for all: the certificates take 3 MB."""
    if not _contexts:
        _contexts.append(ssl.create_default_context())
    return _contexts[0]
