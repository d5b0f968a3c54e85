"""HTTP with one keep-alive connection, deadlines, and TLS that verifies."""

from __future__ import annotations

import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from . import EffectError

LONGEST = 4 << 20  # bytes of an answer
IDLE = 4.0  # seconds: an older connection may be closed by now, and then nobody knows whether a request was taken

_contexts: list[ssl.SSLContext] = []  # one for all, made when first needed: the certificates take 2 MB


class UnansweredError(EffectError):
    """No usable answer. Whether the request took effect is not known."""


class Web:
    """Talks to one server at a time; `source` is the local address to leave by."""

    def __init__(self, source: str = ""):
        self._source = source
        self._origin = ""
        self._used = 0.0
        self._connection: HTTPConnection | None = None

    def request(
        self, method: str, url: str, headers: dict[str, str], body: str = "", timeout: float = 5.0
    ) -> tuple[int, str]:
        """Status and text of the answer, or UnansweredError. `timeout` is for each wait, in seconds."""
        scheme, _, host, path = url.split("/", 3)
        try:
            if scheme + host != self._origin or time.monotonic() - self._used > IDLE:
                self.close()
            self._origin = scheme + host
            self._connection = self._connection or self._connect(scheme, host, timeout)
            self._connection.request(method, f"/{path}", body or None, headers)
            answer = self._connection.getresponse()
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

    def _connect(self, scheme: str, host: str, timeout: float) -> HTTPConnection:
        source = (self._source, 0) if self._source else None
        if scheme == "http:":
            return HTTPConnection(host, timeout=timeout, source_address=source)
        if not _contexts:
            _contexts.append(ssl.create_default_context())
        return HTTPSConnection(host, timeout=timeout, source_address=source, context=_contexts[0])
