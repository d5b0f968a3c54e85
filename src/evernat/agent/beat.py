"""Heartbeats on the wire: authentic, fresh, each taken once. Pure: bytes in, bytes out.

A packet is a MAC of 16 bytes and a JSON list. Whoever starts draws a random session; what counts is only a packet that
repeats the receiver's session (`echo`), so none recorded in an earlier life counts, with a sequence number that grew.
A packet that repeats another one is answered by one that repeats its sender's: so two nodes get acquainted, and so a
node that sends an empty echo asks for a sign of life. A peer's session that was followed by another never comes back.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import NamedTuple, Optional

from .cluster_model import Beat

MAC = 16
LONGEST = 4096


class Heard(NamedTuple):
    """A packet that was taken; `beat` is None when it has to be answered only."""

    instance: str
    session: str
    beat: Optional[Beat]


class Wire:
    """Seals and opens; `counts` says how many packets were not taken, and why."""

    def __init__(self, key: bytes, stack: str, me: str, session: str):
        self._key, self._stack, self._me, self._session = key, stack, me, session
        self._number = 0
        self._last: dict[str, tuple[str, int]] = {}
        self._over: set[str] = set()
        self.counts = {"forged": 0, "replayed": 0}

    def echo(self, instance: str) -> str:
        """The peer's session, empty when it is not known."""
        return self._last.get(instance, ("", 0))[0]

    def seal(self, beat: Beat, echo: str) -> bytes:
        """A packet to the peer whose session is `echo`."""
        self._number += 1
        said = [beat.slot, beat.holds, beat.ready, beat.offers, beat.draining]
        body = json.dumps([self._stack, beat.instance, self._session, echo, self._number, *said]).encode()
        return self._mac(body) + body

    def open(self, packet: bytes, now: float) -> Optional[Heard]:
        """What came, None when it is not to be taken."""
        body = packet[MAC:]
        if len(packet) > LONGEST or not hmac.compare_digest(packet[:MAC], self._mac(body)):
            return self._refuse("forged")
        try:
            stack, instance, session, echo, number, slot, holds, ready, offers, draining = json.loads(body)
        except ValueError:  # another version's
            return self._refuse("forged")
        if stack != self._stack or instance == self._me:
            return self._refuse("forged")
        if echo != self._session:
            return Heard(instance, session, None)
        known, last = self._last.get(instance, ("", 0))
        if session in self._over or (session == known and number <= last):
            return self._refuse("replayed")
        if session != known:
            self._over.add(known)
        self._last[instance] = session, number
        return Heard(instance, session, Beat(instance, slot, now, holds, ready, offers, draining))

    def _refuse(self, why: str) -> Optional[Heard]:
        self.counts[why] += 1
        return None

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:MAC]
