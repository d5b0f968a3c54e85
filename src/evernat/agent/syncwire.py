"""Sealed frames over a connection between two nodes of a stack. Pure.

Each end begins with 16 random bytes. The key of what it says is made of the stack's key, its own and the other's
bytes, so nothing said on another connection opens here. Each frame's seal also covers its number: what is changed,
repeated, left out or out of order does not open, and a connection on which that happens is closed.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator

RANDOM = 16
HEAD = 18
"""Bytes before a frame's body: 2 for its length, 16 of seal."""


class ForgedError(ValueError):
    """A frame was not sealed by who must have sealed it, for this place in this conversation."""


class Way:
    """What goes one way: sealed at one end, opened at the other."""

    def __init__(self, secret: bytes, mine: bytes, theirs: bytes):
        if mine == theirs:  # somebody plays back to us what we say
            raise ForgedError
        self.key, self.count = hmac.digest(secret, mine + theirs, "sha256"), 0

    def _seal(self, body: bytes) -> bytes:
        self.count += 1
        return hmac.digest(self.key, self.count.to_bytes(8, "big") + body, "sha256")[:16]

    def seal(self, body: bytes) -> bytes:
        """The next frame; the body is shorter than 64 KB."""
        return len(body).to_bytes(2, "big") + self._seal(body) + body

    def open(self, inbox: bytearray) -> Iterator[bytes]:
        """Take whole frames out of `inbox`, and give their bodies. ForgedError at the first that is not right."""
        while len(inbox) >= HEAD:
            end = HEAD + int.from_bytes(inbox[:2], "big")
            if len(inbox) < end:
                return
            seal, body = inbox[2:HEAD], bytes(inbox[HEAD:end])
            del inbox[:end]
            if not hmac.compare_digest(seal, self._seal(body)):
                raise ForgedError
            yield body
