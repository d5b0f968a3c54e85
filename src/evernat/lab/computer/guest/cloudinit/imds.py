"""The instance metadata service, version 2, over a bare socket: an HTTP library takes longer to import than to use."""

from __future__ import annotations

import socket
import time

_ADDRESS = ("169.254.169.254", 80)
_TRY_EVERY = 0.05


class MetadataError(Exception):
    """The service did not answer as it should: says what was asked and what came back."""


def _exchange(method: str, path: str, headers: dict[str, str], timeout: float) -> tuple[int, bytes]:
    lines = [
        f"{method} {path} HTTP/1.0",
        f"Host: {_ADDRESS[0]}",
        *(f"{key}: {value}" for key, value in headers.items()),
    ]
    with socket.create_connection(_ADDRESS, timeout=timeout) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)
    if len(status) < 2 or not status[1].isdigit():
        raise MetadataError(f"{method} {path}: not an HTTP answer: {answer[:60]!r}")
    return int(status[1]), body


class Metadata:
    """One session: a token, then reads."""

    def __init__(self, patience: float) -> None:
        """Wait up to `patience` seconds for the service. Raises MetadataError when it does not come."""
        deadline = time.monotonic() + patience
        while True:
            try:
                status, token = _exchange(
                    "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}, 2
                )
            except OSError as error:
                if time.monotonic() > deadline:
                    raise MetadataError(
                        f"no answer from {_ADDRESS[0]} for {patience:g} s: {error}"
                    ) from error
                time.sleep(_TRY_EVERY)
                continue
            if status != 200:
                raise MetadataError(f"no token: HTTP {status} {token[:200]!r}")
            self._token = token.decode()
            return

    def get(self, path: str) -> bytes | None:
        """What is at `path` below /latest/, or None when there is nothing (404)."""
        status, body = _exchange("GET", f"/latest/{path}", {"X-aws-ec2-metadata-token": self._token}, 10)
        if status == 404:
            return None
        if status != 200:
            raise MetadataError(f"GET {path}: HTTP {status} {body[:200]!r}")
        return body
