"""Connections as the kernel tells them, as they travel, and as another node's kernel takes them. Pure.

A flow belongs to a gateway by the gateway's private address on the node: it is the source its packets leave with, or
the destination that a port forward turns into a target. The standby has another address. So on the way that address is
written as 0.0.0.0, and each node puts its own in its place.

Facts of ctnetlink (read in the kernel, tried on it):
- An event is one message. Its first two attributes are the original and the reply tuple. In a tuple the addresses are
  at 12 and 20, the protocol at 32, its ports at 40 and 48; for ICMP the id is at 40 and the type at 48.
- Create wants the original tuple, its plain inverse as the reply, and how addresses are rewritten; the kernel does the
  rest. Update refuses that (EOPNOTSUPP), and refuses to take a status bit back (EBUSY): so an entry is replaced.
- An offloaded flow has a time to live that means nothing (IPS_OFFLOAD), and in a listing no TCP state.
- What a program did carries that program's port as nlmsg_pid, what a packet or the clock did carries 0.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

OWN = bytes(4)
DELETE, SET = b"\0", b"\1"
RECORD = struct.Struct("!c60s60sBB4s")
"""What to do; original and reply tuple, as many bytes as the first says; status, TCP state, seconds to live."""

KEEP = b"\0\0\2\x58"
"""600 seconds an entry lives at least where it was copied to: packets that keep it alive at home make no event. A full
copy comes more often than this."""
OFFLOADED = 0x40  # of the second byte of the status: IPS_OFFLOAD, bit 14
IDLE = b"\0\0\x0e\x10"
"""3600 seconds an offloaded TCP connection lives where it was copied to. The kernel names none in a listing, and a day
in an event, for UDP too: the flowtable keeps such entries from timing out, and the copy's node has no such flow."""

PROTOCOLS = (1, 6, 17)  # ICMP, TCP, UDP

NEW, GET, GONE = 0x100, 0x101, 0x102
HEADER = struct.Struct("=IHHII4s")
ATTRIBUTE = struct.Struct("=HH")

Batch = dict[bytes, bytes]  # original tuple -> record, the last one known


def key(record: bytes) -> bytes:
    """What tells a flow from others."""
    return record[1:61]


def collect(data: bytes, batches: Mapping[bytes, Batch], writer: int) -> bool:
    """Put the flows in `data` into the batch of the address they belong to. Gives whether it ends a listing.

    Only what `writer` caused counts: 0 for packets and the clock, so that two nodes do not echo each other.
    OSError when the kernel says that there will be no more.
    """
    at = 0
    while at + 20 <= len(data):
        size, kind, _, _, pid, family = HEADER.unpack_from(data, at)
        if kind == 3:  # NLMSG_DONE
            return True
        if kind == 2:  # NLMSG_ERROR
            raise OSError(-int.from_bytes(family, "little", signed=True), "ctnetlink refused")
        begun, at = at, at + max(16, size + 3 & ~3)
        if kind >> 8 == 1 and pid == writer and family[0] == 2:
            try:
                _flow(data, begun + 20, begun + size, DELETE if kind == GONE else SET, batches)
            except (LookupError, ValueError, struct.error):
                continue  # not laid out as it should be: one flow less is copied
    return False


def _flow(data: bytes, at: int, end: int, what: bytes, batches: Mapping[bytes, Batch]) -> None:
    there = data[at : at + data[at]]
    at += len(there)
    back = data[at : at + data[at]]
    own = back[20:24]
    if own in batches and own != there[12:16]:
        back = back[:20] + OWN + back[24:]
    else:
        own = there[20:24]
        if own not in batches or own == back[12:16]:  # the node's own, or another gateway's
            return
        there = there[:20] + OWN + there[24:]
    if there[32] not in PROTOCOLS:
        return
    at += len(back)
    status, state, life = 0, 3, KEEP  # an event tells what changed; 3 is an established TCP connection
    offloaded = 0
    while at < end:
        size, kind = ATTRIBUTE.unpack_from(data, at)
        if size < 4:
            raise ValueError("an attribute without an end")
        kind &= 0x3FFF
        if kind == 3:
            status, offloaded = data[at + 7], data[at + 6] & OFFLOADED
        elif kind == 4:
            state = data[at + 12]
        elif kind == 7:
            life = max(life, data[at + 4 : at + 8])
        at += size + 3 & ~3
    if offloaded:
        life = IDLE if there[32] == 6 else KEEP
    # Of the status: reply seen, assured; and confirmed, as all are that packets have made.
    record = RECORD.pack(what, there, back, status & 6 | 8, state, life)
    check(record)
    batches[own][there] = record


def check(record: bytes) -> None:
    """ValueError when it is no record: a tuple has ports at 48, and more than 60 bytes travel nowhere."""
    if len(record) != RECORD.size or record[:1] not in (DELETE, SET):
        raise ValueError("not a record")
    if not (50 <= record[1] <= 60 and record[33] in PROTOCOLS):
        raise ValueError("not a tuple")
    if not (50 <= record[61] <= 60 or record[:1] == DELETE):
        raise ValueError("not a reply's tuple")


def messages(record: bytes, own: bytes, known: bool) -> bytes:
    """What the kernel is told, with `own` as the gateway's address. `known`: there is an entry, and it has to go."""
    what, there, back, status, state, life = RECORD.unpack(record)
    there, back = _place(there, own), _place(back, own)
    told = _message(GONE, 1, there) if known else b""
    if what == DELETE:
        return told
    plain = bytearray(back)
    plain[12:16], plain[20:24] = there[20:24], there[12:16]
    port = back[48:50]
    if there[32] == 1:
        port, plain[40:42] = back[40:42], there[40:42]
    else:
        plain[40:42], plain[48:50] = there[48:50], there[40:42]
    body = there + plain + struct.pack("=HH3xBHH4s", 8, 3, status, 8, 7, life)
    # Of a forwarded flow the source's port alone may have been changed: another one to the same target had it.
    if plain[20:24] != back[20:24] or plain[48:50] != back[48:50]:
        body += _nat(0x8006, back[20:24], port)
    if plain[12:16] != back[12:16]:
        body += _nat(0x800D, back[12:16], back[40:42])
    if there[32] == 6:  # windows were not copied: be liberal (flag 8), both ways
        body += struct.pack("=6HB3x8H", 32, 0x8004, 28, 0x8001, 5, 1, state, 6, 4, 0x808, 0, 6, 5, 0x808, 0)
    return told + _message(NEW, 0x601, body)


def _place(part: bytes, own: bytes) -> bytes:
    return part[:20] + (own if part[20:24] == OWN else part[20:24]) + part[24 : part[0]]


def _nat(kind: int, address: bytes, port: bytes) -> bytes:
    return struct.pack("=4H4s4H4s2H4s", 32, kind, 8, 1, address, 20, 0x8003, 6, 1, port, 6, 2, port)


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return HEADER.pack(20 + len(body), kind, flags, 0, 0, b"\2\0\0\0") + body


LIST = _message(GET, 0x301, b"")


class Guard:
    """Refuses a mass of deletions: so says a holder that flushes as it dies.

    What was refused is deleted when the holder lives to make its next full copy.
    """

    def __init__(self) -> None:
        self._level = self._last = 0.0

    def allows(self, known: int, now: float) -> bool:
        """One more of `known` flows may go: at most a quarter of them, or 256, within a second."""
        limit = max(256, known / 4)
        self._level = max(0.0, self._level - (now - self._last) * limit) + 1
        self._last = now
        return self._level <= limit
