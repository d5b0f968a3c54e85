"""Connections as the kernel tells them, as they travel, and as another node's kernel takes them. Pure.

A flow belongs to a gateway by the gateway's private address on the node: it is the source its packets leave with, or
the destination that a port forward turns into a target. The standby has another address. So on the way that address is
written as 0.0.0.0, and each node puts its own in its place.

Facts of ctnetlink (read in the kernel, tried on it):
- An event is one message. Its first two attributes are the original and the reply tuple, laid out as TUPLE.
- Create: the original tuple, its plain inverse as the reply tuple, and the NAT attributes; the kernel does the rest.
- Update: neither reply tuple nor NAT attributes, those answer EOPNOTSUPP. A status bit cannot be taken back: EBUSY.
- What a program did carries that program's port as nlmsg_pid, what a packet or the clock did carries 0.
"""

from __future__ import annotations

import functools
import operator
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

OWN = bytes(4)
DELETE, SET = b"\0", b"\1"
RECORD = struct.Struct("!1s 1s4s4s2s2s 4s2s4s2s 1s1s4s")
"""What to do; protocol, source, destination and their ports; the same of the reply, without the protocol; status, TCP
state (0: not told), seconds to live. For ICMP the ports are the id, and type with code."""

KEEP = 600
"""Seconds an entry lives at least where it was copied to: packets that keep it alive at home make no event. A full copy
comes more often than this."""

TCP, ICMP = b"\6", b"\1"
HEADER = struct.Struct("=IHHII")
TUPLE = struct.Struct("=HH8x4s4x4s8x1s7x2s6x2s")
ATTRIBUTE = struct.Struct("=HH")
NESTED = 0x8000
NEW, GET, GONE = 0x100, 0x101, 0x102
REQUEST, CREATE, DUMP = 0x1, 0x601, 0x301
INET = b"\2\0\0\0"
LIST = HEADER.pack(20, GET, DUMP, 0, 0) + INET

Batch = dict[bytes, bytes]  # key -> record, the last one known


def key(record: bytes) -> bytes:
    """What tells a flow from others."""
    return record[1:14]


def collect(data: bytes, batches: Mapping[bytes, Batch], writer: int) -> bool:
    """Put the flows in `data` into the batch of the address they belong to. Gives whether it ends a listing.

    Only what `writer` caused counts: 0 for packets and the clock, so that two nodes do not echo each other.
    """
    at, end = 0, len(data)
    while at + 20 <= end:
        size, kind, _, _, pid = HEADER.unpack_from(data, at)
        if kind == 3:  # NLMSG_DONE
            return True
        if size < 20:
            break
        if kind >> 8 == 1 and pid == writer and data[at + 16] == 2:
            _flow(data, at + 20, at + size, DELETE if kind == GONE else SET, batches)
        at += size + 3 & ~3
    return False


def _flow(data: bytes, at: int, end: int, what: bytes, batches: Mapping[bytes, Batch]) -> None:
    size, kind, source, target, protocol, sport, dport = TUPLE.unpack_from(data, at)
    back = at + size
    _, reply, rsource, rtarget, _, rsport, rdport = TUPLE.unpack_from(data, back)
    if rtarget != source and rtarget in batches:
        batch, rtarget = batches[rtarget], OWN
    elif rsource != target and target in batches:
        batch, target = batches[target], OWN
    else:  # the node's own, or another gateway's
        return
    if (kind | reply) & 0x3FFF != 3 or protocol not in b"\1\6\21":
        return
    if protocol == ICMP:
        dport, rdport = _icmp(data, at), _icmp(data, back)
    at, status, state, timeout = back + size, 0, 0, 0
    while at < end:
        size, kind = ATTRIBUTE.unpack_from(data, at)
        kind &= 0x3FFF
        if kind == 3:
            status = data[at + 7]
        elif kind == 4 and protocol == TCP:
            state = data[at + 12]
        elif kind == 7:
            timeout = int.from_bytes(data[at + 4 : at + 8], "big")
        at += size + 3 & ~3
    name = protocol + source + target + sport + dport
    if not state and name in batch:  # an event tells what changed
        state = batch[name][27]
    batch[name] = b"%b%b%b%b%b%b%c%c%b" % (
        what, name, rsource, rsport, rtarget, rdport, status & 6 | 8, state, max(timeout, KEEP).to_bytes(4, "big")
    )  # fmt: skip


def _icmp(data: bytes, at: int) -> bytes:
    return bytes((data[at + 48], data[at + 56]))


def message(record: bytes, own: bytes, number: int, known: bool) -> bytes:
    """What the kernel is told, with `own` as the gateway's address. `known`: it is there, update it."""
    what, *fields = RECORD.unpack(record)
    _, source, target, _, dport, rsource, _, rtarget, rdport, _, state, _ = fields
    if target == OWN:
        fields[2] = target = own
    if rtarget == OWN:
        fields[7] = rtarget = own
    if fields[0] == ICMP:
        fields += dport[:1], dport[1:], rdport[:1], rdport[1:]
    kind = GONE if what == DELETE else NEW
    text, pick = _template(fields[0], kind, known, state != b"\0", rtarget != source, rsource != target)
    return text % pick((*fields, number.to_bytes(4, "little")))


# The fields of a record without its first, by their place; then those of ICMP.
PROTOCOL, SOURCE, DESTINATION, SPORT, DPORT, RSOURCE, RSPORT, RTARGET, RDPORT, STATUS, STATE, LIFE = range(12)
TYPE, CODE, RTYPE, RCODE = range(12, 16)


@functools.lru_cache(None)
def _template(
    protocol: bytes, kind: int, known: bool, state: bool, snat: bool, dnat: bool
) -> tuple[bytes, Callable[[Any], tuple[bytes, ...]]]:
    """The message with gaps, and what picks the fields to fill them with.

    A field's gap is first made of a byte that occurs nowhere else, so that lengths come out right. No constant here
    is a percent sign: all lengths are multiples of 4 but 5 and 6.
    """
    icmp = protocol == ICMP
    body = INET + _tuple(1, SOURCE, DESTINATION, SPORT, (TYPE, CODE) if icmp else DPORT)
    if kind == NEW:
        if not known:
            back = (SPORT, (RTYPE, RCODE)) if icmp else (DPORT, SPORT)
            body += _tuple(2, DESTINATION, SOURCE, *back)
            body += _nat(6, RTARGET, RSPORT if icmp else RDPORT) if snat else b""
            body += _nat(13, RSOURCE, RSPORT) if dnat else b""
        body += _attribute(3, b"\0\0\0" + _gap(STATUS, 1)) + _attribute(7, _gap(LIFE, 4))
        if protocol == TCP and state:  # windows were not copied: be liberal (flag 8), both ways
            liberal = _attribute(4, b"\10\10") + _attribute(5, b"\10\10")
            body += _nest(4, _nest(1, _attribute(1, _gap(STATE, 1)) + liberal))
    flags = CREATE if kind == NEW and not known else REQUEST
    head = HEADER.pack(16 + len(body), kind, flags, 0, 0)
    text = _gap(16 if icmp else 12, 4) + bytes(4) + body
    gaps = re.compile(rb"([\xe0-\xff])\1*")
    fields = [ord(gap) - 0xE0 for gap in gaps.findall(text)]
    return head[:8] + gaps.sub(b"%b", text), operator.itemgetter(*fields)


def _gap(field: int, size: int) -> bytes:
    return bytes([0xE0 + field]) * size


def _attribute(kind: int, body: bytes) -> bytes:
    return ATTRIBUTE.pack(4 + len(body), kind) + body + bytes(-len(body) % 4)


def _nest(kind: int, body: bytes) -> bytes:
    return _attribute(NESTED | kind, body)


def _tuple(kind: int, source: int, target: int, first: int, second: Any) -> bytes:
    addresses = _attribute(1, _gap(source, 4)) + _attribute(2, _gap(target, 4))
    ports = _attribute(1, _gap(PROTOCOL, 1))
    if isinstance(second, tuple):
        rest = zip((5, 6), second)
        ports += _attribute(4, _gap(first, 2)) + b"".join(_attribute(n, _gap(f, 1)) for n, f in rest)
    else:
        ports += _attribute(2, _gap(first, 2)) + _attribute(3, _gap(second, 2))
    return _nest(kind, _nest(1, addresses) + _nest(2, ports))


def _nat(kind: int, address: int, port: int) -> bytes:
    ports = _attribute(1, _gap(port, 2)) + _attribute(2, _gap(port, 2))
    return _nest(kind, _attribute(1, _gap(address, 4)) + _nest(3, ports))


class Guard:
    """Refuses a mass of deletions: so says a holder that flushes as it dies.

    What was refused is deleted when the holder lives to tell what it has.
    """

    def __init__(self) -> None:
        self._level = self._last = 0.0

    def allows(self, known: int, now: float) -> bool:
        """One more of `known` flows may go: at most a quarter of them, or 256, within a second."""
        limit = max(256, known / 4)
        self._level = max(0.0, self._level - (now - self._last) * limit) + 1
        self._last = now
        return self._level <= limit
