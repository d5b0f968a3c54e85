"""A connection of an instance's own, that tells what became of it."""

from __future__ import annotations

import subprocess
import sys

from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.client import Lab

TALK = """
import socket, sys
s = socket.create_connection((sys.argv[1], 7), 2)
s.settimeout(2)
while True:
    try:
        s.send(b"x")
        print("heard" if s.recv(1) == b"x" else "closed", flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
    if not sys.stdin.readline():
        break
"""


class Talk:
    """An instance's connection to the internet that says what became of each word."""

    def __init__(self, lab: Lab, instance: str) -> None:
        self._process = lab.popen(
            instance,
            [sys.executable, "-c", TALK, INTERNET_HOST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._heard() == "heard"

    def _heard(self) -> str:
        assert self._process.stdout is not None
        return str(self._process.stdout.readline()).strip()

    def again(self) -> str:
        """Say another word: "heard", or how it failed."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._heard()

    def end(self) -> None:
        """Hang up."""
        self._process.communicate(timeout=5)
