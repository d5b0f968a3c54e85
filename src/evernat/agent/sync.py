"""The agent's side of flow sync: a process of its own, and what it is told. See `flowsync` for what it does."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Optional

Status = dict[str, dict[str, Any]]


ANSWER = 1.0  # seconds in which the process answers; beyond that nothing is known
STUCK = 10.0  # seconds without any answer after which a process is ended
START = 60.0  # of one that has never answered: a machine that boots may have little time for it
PAUSE = 1.0  # seconds between two starts


class SyncProcess:
    """Copies flows between nodes, in a process that is started again when it ends. For any thread.

    Addresses are private ones as text. `own` is the gateway's private address on this node.
    """

    def __init__(self, key: bytes, port: int, me: str, log: Callable[..., None]):
        self._hello = key.hex(), port, me
        self._log = log
        self._lock = threading.Lock()
        self._wanted: dict[str, tuple[str, ...]] = {}
        self._number = 0
        self._process: Any = None
        self._begun = self._answered = -1e9
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

        `age`: seconds since the other end was last heard (it says something each second), None when it never was.
        Nothing is known when the process does not answer, or was just started again: then nothing is copied.
        """
        with self._lock:
            now = time.monotonic()
            try:
                self._number += 1
                self._control.send(json.dumps([self._number, self._wanted]).encode())
                found = self._answer(now + ANSWER)
                self._answered = time.monotonic()
                return found
            except socket.timeout:  # noqa: UP041 - in Python 3.9 it is no TimeoutError
                waited = now - max(self._answered, self._begun)
                if waited < (STUCK if self._answered > self._begun else START):
                    return {}
                self._again("does not answer")
            except (OSError, ValueError, TypeError, AttributeError) as error:
                self._again(f"ended: {error}")
            return {}

    def close(self) -> None:
        """End the process."""
        self._control.close()
        if self._process:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # it waits for a device
                self._process.wait(1)

    def _answer(self, end: float) -> Status:
        """The answer to the last question; those to earlier ones came too late."""
        while True:
            self._control.settimeout(max(end - time.monotonic(), 0.001))
            number, answer = json.loads(self._control.recv(1 << 16))
            if number == self._number:
                return {str(gateway): dict(side) for gateway, side in answer.items()}

    def _want(self, gateway: str, *words: str) -> None:
        if self._wanted.get(gateway, ()) != words:
            self._wanted.pop(gateway, None)
            if words:
                self._wanted[gateway] = words
            self.status()

    def _again(self, why: str) -> None:
        if time.monotonic() >= self._begun + PAUSE:
            self.close()
            self._log("sync", result=why, status=self._process.returncode if self._process else None)
            self._start()

    def _start(self) -> None:
        self._begun = time.monotonic()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", f"{__package__}.flowsync"]
        with (
            theirs,
            contextlib.suppress(OSError),
        ):  # no memory, no process: then there will be no answer either
            self._process = None
            self._process = subprocess.Popen(command, stdin=theirs.fileno())
            self._control.send(json.dumps(self._hello).encode())
