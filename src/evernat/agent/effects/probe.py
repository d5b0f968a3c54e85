"""Asks the internet which address it sees."""

from __future__ import annotations

import re
import socket

from .web import UnansweredError, Web


def seen_from(address: str, url: str, endpoint: str) -> str:
    """The public address that a request from our `address` shows; empty when only `endpoint` could be reached."""
    web = Web(address)
    try:
        status, text = web.request("GET", url, {"connection": "close"}, timeout=3.0)
        if status == 200 and re.fullmatch(r"\d+\.\d+\.\d+\.\d+", text.strip()):
            return text.strip()
    except UnansweredError:
        pass
    finally:
        web.close()
    scheme, _, host, _ = endpoint.split("/", 3)
    name, _, port = host.partition(":")
    try:
        reach = (name, int(port or (443 if scheme == "https:" else 80)))
        socket.create_connection(reach, 3.0, (address, 0)).close()
    except OSError as error:
        raise UnansweredError(f"neither {url} nor {host} answers to {address}: {error}") from error
    return ""
