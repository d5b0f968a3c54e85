"""Host names, when the resolver may be slow or gone."""

from __future__ import annotations

import socket
import threading

_known: dict[str, list[str]] = {}
_asking: dict[str, threading.Thread] = {}
_wrong: dict[str, str] = {}


def resolve(host: str, timeout: float) -> list[str]:
    """IPv4 addresses of `host`, the last good ones when the resolver does not answer in time. OSError: none are known.

    The system's resolver may take half a minute, so it is asked by a thread of its own: one per name.
    """
    if host.replace(".", "").isdigit():
        return [host]
    thread = _asking.get(host)
    if not thread or not thread.is_alive():
        thread = _asking[host] = threading.Thread(target=_ask, args=(host,), daemon=True)
        thread.start()
    thread.join(min(timeout / 2, 0.5) if host in _known else timeout)
    if host not in _known:
        raise OSError(f"no address of {host}: {_wrong.get(host, 'the resolver does not answer')}")
    return _known[host]


def _ask(host: str) -> None:
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
        _known[host] = [str(address[0]) for *_, address in found]
    except (OSError, UnicodeError) as error:
        _wrong[host] = str(error)
