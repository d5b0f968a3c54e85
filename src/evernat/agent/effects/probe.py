"""Asks the internet which address it sees."""

from __future__ import annotations

import re
import socket

from .web import UnansweredError, Web


def seen_from(address: str, url: str, endpoint: str, timeout: float = 3.0) -> str:
    """The public address that a request from our `address` shows; empty when only `endpoint` could be reached."""
    web = Web(address)
    try:
        text = web.request("GET", url, {}, timeout=timeout)[1].strip()
        if re.fullmatch(r"[\d.]{7,15}", text):
            return text
    except UnansweredError:
        pass
    finally:
        web.close()
    scheme, _, host, _ = endpoint.split("/", 3)
    try:
        socket.create_connection((host, 80 if scheme == "http:" else 443), timeout, (address, 0)).close()
    except OSError as error:
        raise UnansweredError(f"neither {url} nor {host} answers to {address}: {error}") from error
    return ""
