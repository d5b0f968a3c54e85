"""What a host tries when a check asks it to: one attempt, one JSON line. Standard library only, so it starts fast.

`python -m evernat.lab.probe WHAT ADDRESS PORT ...` runs inside a host's network namespace.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import time
from typing import Any


def tcp(address: str, port: int, timeout: float) -> dict[str, Any]:
    """HTTP GET /; what the other side says of itself and of us."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    connection.request("GET", "/", headers={"Accept": "application/json", "Connection": "close"})
    return dict(json.load(connection.getresponse()))


def udp(address: str, port: int, timeout: float) -> dict[str, Any]:
    """One datagram that must come back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.connect((address, port))
        s.send(b"evernat")
        return {"echo": s.recv(100).decode()}


def upload(address: str, port: int, timeout: float, size: int) -> dict[str, Any]:
    """HTTP POST of `size` bytes; how many arrived, and the segment size in bytes the kernel ended up with."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    connection.request("POST", "/", body=bytes(size))
    arrived = int(connection.getresponse().read())
    segment = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    return {"arrived": arrived, "segment": segment}


def stranger(address: str, port: int, timeout: float) -> dict[str, Any]:
    """Finish a connection behind the gateway's back and say how the far end's silence ended.

    The FIN of a connection the gateway does not know is the case: `reset` if it was answered, `silence` if not.
    """
    with socket.create_connection((address, port), timeout) as s:
        print(json.dumps({"ready": s.getsockname()[1]}), flush=True)
        input()
        s.settimeout(timeout)
        s.shutdown(socket.SHUT_WR)
        begun = time.monotonic()
        try:
            data = s.recv(1)
            how = "data" if data else "closed"
        except ConnectionResetError:
            how = "reset"
        except TimeoutError:
            how = "silence"
    return {"how": how, "after": round(time.monotonic() - begun, 3)}


def main() -> None:
    """Run one attempt; an error is part of the answer, and the exit code is 1 then."""
    parser = argparse.ArgumentParser(prog="evernat.lab.probe")
    parser.add_argument("what", choices=("tcp", "udp", "upload", "stranger"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--timeout", type=float, default=2.0)
    parser.add_argument("--size", type=int, default=5_000_000)
    a = parser.parse_args()
    try:
        if a.what == "upload":
            answer = upload(a.address, a.port, a.timeout, a.size)
        else:
            answer = {"tcp": tcp, "udp": udp, "stranger": stranger}[a.what](a.address, a.port, a.timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        raise SystemExit(1) from None
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
