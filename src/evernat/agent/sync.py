"""The agent's side of flow sync: a process of its own, and what it is told. See `flowsync` for what it does."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Optional


class SyncProcess:
    """Copies flows between nodes, in a process that is started again when it ends. For any thread.

    Addresses are private ones as text. `own` is the gateway's private address on this node.
    """

    def __init__(self, key: bytes, port: int, me: str, log: Callable[..., None]):
        self._hello = [key.hex(), port, me]
        self._log = log
        self._lock = threading.Lock()
        self._wanted: dict[str, list[str]] = {}
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._number = 0
        with self._lock:
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
        position: Optional[int] = self._ask(seconds, "drain", gateway)
        return position

    def status(self) -> dict[str, dict[str, Any]]:
        """By gateway: role, synced, connected, entries, position, dropped, forged, lag_ms or silent_ms."""
        return self._ask(1.0, "status") or {}

    def close(self) -> None:
        """End the process."""
        self._control.close()
        if self._process:
            self._process.wait()

    def _want(self, gateway: str, *words: str) -> None:
        verb, *rest = words or ("stop",)
        wanted = [verb, gateway, *rest]
        if self._wanted.get(gateway, ["stop", gateway]) != wanted:
            self._wanted[gateway] = wanted
            self._ask(1.0, *wanted)

    def _ask(self, seconds: float, *words: str) -> Any:
        """The answer, None if there is none in time."""
        with self._lock:
            try:
                return self._say(seconds, *words)
            except TimeoutError:
                return None
            except OSError as error:
                assert self._process
                self._log("sync", result=f"ended: {error}", status=self._process.poll())
                self._start()
                return None

    def _say(self, seconds: float, *words: str) -> Any:
        self._number += 1
        self._control.settimeout(seconds)
        self._control.send(json.dumps([self._number, *words]).encode())
        while True:
            data = self._control.recv(1 << 16)
            if not data:
                raise ConnectionError("no answer")
            number, value = json.loads(data)
            if number == self._number:
                return value

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", __name__.replace(".sync", ".flowsync")]
            self._process = subprocess.Popen(command, stdin=theirs.fileno())
        self._control.send(json.dumps(self._hello).encode())
        for wanted in self._wanted.values():
            self._control.send(json.dumps([0, *wanted]).encode())
