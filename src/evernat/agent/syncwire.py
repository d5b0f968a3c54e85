"""Sealed frames over a connection between two nodes of a stack. Pure.

The holder opens with a challenge of 16 random bytes. The standby's first frame is its hello: 16 random bytes of its
own, then who asks whom for which gateway. Every later key comes of both, so nothing said on another connection opens
here. Each frame's seal also covers its number: what is changed, repeated, left out or out of order does not open, and
a connection on which that happens is closed.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator

CHALLENGE = 16
SEAL = 16
LIMIT = 65_000
"""Bytes of a frame's body, at most."""


class ForgedError(Exception):
    """A frame was not sealed by who must have sealed it, for this place in this conversation."""


def derive(key: bytes, *parts: bytes) -> bytes:
    """A key of `key` and what was said."""
    return hmac.digest(key, b"".join(parts), "sha256")


def hello(nonce: bytes, gateway: str, asker: str, asked: str) -> bytes:
    """The body of the standby's first frame; `asker` and `asked` are instance ids."""
    return nonce + f"{gateway} {asker} {asked}".encode()


def names(body: bytes) -> list[str]:
    """Gateway, asker and asked of a hello."""
    return body[CHALLENGE:].decode().split(" ")


class Sealer:
    """Numbers and seals what goes one way."""

    def __init__(self, key: bytes):
        self.key, self.count = key, 0

    def tag(self, body: bytes) -> bytes:
        """The seal of the next frame."""
        self.count += 1
        return derive(self.key, self.count.to_bytes(8, "big"), body)[:SEAL]

    def seal(self, body: bytes) -> bytes:
        """The frame of `body`."""
        return len(body).to_bytes(2, "big") + self.tag(body) + body

    def open(self, inbox: bytearray) -> Iterator[bytes]:
        """Take whole frames out of `inbox`, and give their bodies. ForgedError at the first that is not right."""
        while len(inbox) >= 2 + SEAL:
            end = 2 + SEAL + int.from_bytes(inbox[:2], "big")
            if len(inbox) < end:
                return
            seal, body = bytes(inbox[2 : 2 + SEAL]), bytes(inbox[2 + SEAL : end])
            del inbox[:end]
            if not hmac.compare_digest(seal, self.tag(body)):
                raise ForgedError
            yield body
