"""What checkip.amazonaws.com does: it answers the address it is asked from, as text with a newline."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def checkip(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """A WSGI application; the path does not matter."""
    body = f"{environ.get('REMOTE_ADDR', '')}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
