"""Connections that are held open on purpose, to see which of them outlive a node.

    client host                                             internet host
    python -m evernat.lab.load keep ...  == gateway ==>     python -m evernat.lab.load serve
    (or the other way round, through a forwarded port)

A connection begins with one line, `KIND MILLISECONDS`, which the server answers with `ok`. Kinds:

| kind | what it does |
|---|---|
| idle | nothing, until it is asked whether it lives |
| push | the server sends a numbered line each interval, unasked |
| request | the client sends a numbered line each interval, the server sends it back |
| up | the client sends bulk each interval, the server says how many bytes it has |
| down | the server sends bulk each interval, every byte is checked |
| udp | a numbered datagram each interval, which comes back |

`Load` drives it from outside: open, ask, close. A connection lives if, asked, it shows that bytes pass in the way of
its kind; a TCP connection may take its time for that, since the kernel repeats what was lost.
"""

from __future__ import annotations

KINDS = ("idle", "push", "request", "up", "down", "udp")

PORT = 7100
"""Where the load server listens, TCP and UDP."""

from evernat.lab.load.drive import Host, Load, Report, server  # noqa: E402 - the names above are used by it

__all__ = ["KINDS", "PORT", "Host", "Load", "Report", "server"]
