"""The agent's side of flow sync: a process of its own, and what it is told. See `flowsync` for what it does."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Optional

Status = dict[str, dict[str, Any]]


class SyncProcess:
    """Copies flows between nodes, in a process that is started again when it ends. For any thread.

    Addresses are private ones as text. `own` is the gateway's private address on this node.
    """

    def __init__(self, key: bytes, port: int, me: str, log: Callable[..., None]):
        self._hello = key.hex(), port, me
        self._log = log
        self._lock = threading.Lock()
        self._wanted: dict[str, tuple[str, ...]] = {}
        self._start()

    def serve(self, gateway: str, peer_address: str, peer_instance: str, own: str) -> None:
        """This node holds the gateway: stream to that standby. Saying it again changes nothing."""
        self._want(gateway, "serve", peer_address, peer_instance, own)

    def follow(self, gateway: str, holder_address: str, holder_instance: str, own: str) -> None:
        """This node stands by: take in what that holder has. Saying it again changes nothing."""
        self._want(gateway, "follow", holder_address, holder_instance, own)

    def stop(self, gateway: str) -> None:
        """Neither. Entries stay in the kernel."""
        self._want(gateway)

    def drain(self, gateway: str, seconds: float = 1.0) -> Optional[int]:
        """Wait until the standby has everything up to now; its position, None if it cannot be had in time.

        The stream goes on: what changes until the routes have moved is sent as well.
        """
        end = time.monotonic() + seconds
        goal = 0
        while time.monotonic() < end:
            side = self.status().get(gateway, {})
            if not side.get("synced"):
                goal = 0  # a new copy counts anew
            else:
                goal = goal or side["sent"]
                if side["position"] >= goal:
                    return goal
            time.sleep(0.001)
        return None

    def status(self) -> Status:
        """By gateway: role, connected, synced, entries, position, dropped, lag_ms, forged, ...

        Nothing is known when the process was just started again.
        """
        with self._lock:
            try:
                self._control.send(json.dumps(self._wanted).encode())
                answer: Status = json.loads(self._control.recv(1 << 16))
                return answer
            except (OSError, ValueError) as error:
                self.close()
                self._log("sync", result=f"ended: {error}", status=self._process.returncode)
                self._start()
                return {}

    def close(self) -> None:
        """End the process."""
        self._control.close()
        self._process.kill()
        self._process.wait()

    def _want(self, gateway: str, *words: str) -> None:
        if self._wanted.get(gateway, ()) != words:
            self._wanted.pop(gateway, None)
            if words:
                self._wanted[gateway] = words
            self.status()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(10)  # it gives way to forwarding, and may have 50,000 flows to read first
        with theirs:
            command = [sys.executable, "-m", f"{__package__}.flowsync"]
            self._process = subprocess.Popen(command, stdin=theirs.fileno())
        self._control.send(json.dumps(self._hello).encode())
