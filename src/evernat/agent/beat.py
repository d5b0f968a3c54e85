"""Heartbeats on the wire: authentic, fresh, each taken once. Pure: bytes in, bytes out.

A packet is a MAC of 16 bytes and a JSON list. Whoever starts draws a random session; what counts is only a packet that
repeats the receiver's session (`echo`), so none recorded in an earlier life counts, with a sequence number that grew.
A packet that repeats another one is answered by one that repeats its sender's: so two nodes get acquainted, and so a
node that sends an empty echo asks for a sign of life. A peer's session that was followed by another never comes back.

What a release adds travels under keys that no gateway's name can have, so that nodes of the release before read the
rest: while a stack is upgraded both are there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from .cluster_model import Beat

MAC = 16
LONGEST = 4096
ENDED = "/ended"  # behind a gateway's name in `holds`
EGRESS = "/egress"  # in `ready`
LEAVING = "/leaving"  # in `ready`
FOLLOWS = "/follows"  # behind a gateway's name in `holds`
UNGUARDED = "/unguarded"  # behind a gateway's name in `ready`


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
        holds = {**beat.holds, **{f"{name}{ENDED}": ended for name, ended in beat.ended.items()}}
        holds.update({f"{name}{FOLLOWS}": followed for name, followed in beat.follows.items()})
        ready = {**beat.ready, EGRESS: beat.egress} if beat.egress >= 0 else dict(beat.ready)
        if beat.leaving:
            ready[LEAVING] = 0.0
        ready.update({f"{name}{UNGUARDED}": 0.0 for name in beat.unguarded})
        said = [beat.slot, holds, ready, dict(beat.offers), beat.draining]
        body = json.dumps([self._stack, beat.instance, self._session, echo, self._number, *said]).encode()
        return self._mac(body) + body

    def open(self, packet: bytes, now: float) -> Optional[Heard]:
        """What came, None when it is not to be taken."""
        body = packet[MAC:]
        if len(packet) > LONGEST or not hmac.compare_digest(packet[:MAC], self._mac(body)):
            return self._refuse("forged")
        try:
            stack, instance, session, echo, number, *said = json.loads(body)
            beat = _beat(instance, now, *said)
            _typed(str, stack, session, echo)
            _typed(int, number)
        except (ValueError, TypeError, OverflowError, RecursionError):  # another version's
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
        return Heard(instance, session, beat)

    def _refuse(self, why: str) -> Optional[Heard]:
        self.counts[why] += 1
        return None

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:MAC]


def _beat(instance: Any, now: float, slot: Any, holds: Any, ready: Any, offers: Any, draining: Any) -> Beat:
    """What a peer said; ValueError when a part of it is not of its type."""
    _typed(str, instance, slot)
    _typed(dict, holds, ready, offers)
    _typed(str, *holds.values(), *offers.values())
    seconds = {name: _seconds(value) for name, value in ready.items()}
    egress, leaving = seconds.pop(EGRESS, -1.0), seconds.pop(LEAVING, None) is not None
    unguarded = frozenset(name[: -len(UNGUARDED)] for name in seconds if name.endswith(UNGUARDED))
    seconds = {name: value for name, value in seconds.items() if not name.endswith(UNGUARDED)}
    ended, follows = _behind(ENDED, holds), _behind(FOLLOWS, holds)
    plain = {name: value for name, value in holds.items() if not name.endswith((ENDED, FOLLOWS))}
    told = ended, egress, leaving, unguarded, follows
    return Beat(instance, slot, now, plain, seconds, offers, bool(draining), *told)


def _behind(end: str, values: Mapping[str, str]) -> Mapping[str, str]:
    """What travels under gateways' names with that ending."""
    return {name[: -len(end)]: value for name, value in values.items() if name.endswith(end)}


def _typed(kind: type, *values: object) -> None:
    if not all(isinstance(value, kind) and not isinstance(value, bool) for value in values):
        raise ValueError(f"not of type {kind.__name__}")


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("no number of seconds")
    return float(value)
