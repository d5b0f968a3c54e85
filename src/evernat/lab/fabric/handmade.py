"""Rules that nft's language cannot say, put together here and sent to the kernel as they are (nfnetlink).

**The packet that an ICMP error carries inside.** An error quotes the IP header and the first bytes of the packet it is
about. Where the address mapping changes an address of the outer header, the same address inside has to change too, or
the receiver knows no flow that it belongs to:

- coming in, the error is about a packet that went out: its inner *source* is the public address -> private;
- going out, it is about a packet that came in: its inner *destination* is the private address -> public.

nft can write an address at an offset, but not say that this changes the checksum of the *inner* header. The change of
the inner address and that of the inner checksum cancel each other out in the checksum of the ICMP message, which stays
right. Offsets count from the ICMP header: 8 bytes, then the inner IP header, of 20 bytes for what follows it.

**The time to live from a map.** nft writes it together with its neighbour, the protocol, and so cannot look up a value.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from evernat.lab.fabric.groups import PASSED
from evernat.lab.fabric.namespaces import Namespaces
from evernat.lab.fabric.nftables import TABLE
from evernat.lab.fabric.tools import FabricError

_TTL, _CHECKSUM = 8, 10
_INNER = 8
_INNER_PROTOCOL, _INNER_CHECKSUM, _INNER_SOURCE, _INNER_DESTINATION = (_INNER + at for at in (9, 10, 12, 16))
_INNER_SOURCE_PORT, _INNER_DESTINATION_PORT, _INNER_PING_ID = (_INNER + 20 + at for at in (0, 2, 4))

# linux/netfilter/nf_tables.h and nfnetlink.h
_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10
_NEW_RULE = _SUBSYSTEM << 8 | 6
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4
_NESTED = 0x8000
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_CHECKSUM_INET = 1
_META_MARK, _META_IIF, _META_OIF, _META_OIFNAME = 3, 4, 5, 7
_FIRST_REGISTER = 8  # the four-byte registers
_NAME_REGISTER = 1  # the first four of them together, for an interface's name


def install(namespaces: Namespaces, router: int) -> None:
    """Adds the rules to the chains that `ruleset.BASE` left empty for them, in one transaction."""
    table = TABLE.split()[1]
    rules = [
        ("keep_ttl", [_load(_NETWORK_HEADER, _TTL, 1, _FIRST_REGISTER), *_write_ttl("one_more")]),
        (
            "answer_ttl",
            [_expression("meta", {1: _NAME_REGISTER, 2: _META_OIFNAME}), *_write_ttl("hops", _NAME_REGISTER)],
        ),
        ("inner_source", _translate(_INNER_SOURCE, "to_private")),
        ("inner_destination", _translate(_INNER_DESTINATION, "to_public")),
        ("about_flow_out", _known_flow(_META_IIF, quoted_is_own=False)),
        ("about_flow_out", _known_ping(_META_IIF, quoted_is_own=False)),
        ("about_flow_in", _known_flow(_META_OIF, quoted_is_own=True)),
        ("about_flow_in", _known_ping(_META_OIF, quoted_is_own=True)),
    ]
    _send(namespaces, router, [_rule(table, chain, expressions) for chain, expressions in rules])


def _translate(offset: int, mapping: str) -> list[bytes]:
    """Replace the address at `offset` by what `mapping` says, and correct the inner header's checksum."""
    register = _FIRST_REGISTER
    load = _load(_TRANSPORT_HEADER, offset, 4, register)
    write = _write(_TRANSPORT_HEADER, offset, 4, register, _INNER_CHECKSUM)
    return [load, _lookup(mapping, register, register), write]


def _write_ttl(mapping: str, key: int = _FIRST_REGISTER) -> list[bytes]:
    """Set the time to live to what `mapping` says about the register `key`."""
    value = _FIRST_REGISTER
    return [_lookup(mapping, key, value), _write(_NETWORK_HEADER, _TTL, 1, value, _CHECKSUM)]


def _known_flow(interface: int, *, quoted_is_own: bool) -> list[bytes]:
    """Mark the error when the packet it quotes is of a flow in the set `flows`."""
    source = [(_INNER_SOURCE, 4), (_INNER_SOURCE_PORT, 2)]
    destination = [(_INNER_DESTINATION, 4), (_INNER_DESTINATION_PORT, 2)]
    ends = source + destination if quoted_is_own else destination + source
    return _known("flows", interface, [(_INNER_PROTOCOL, 1), *ends])


def _known_ping(interface: int, *, quoted_is_own: bool) -> list[bytes]:
    """Mark the error when it quotes an echo of the set `pings`."""
    ends = [(_INNER_SOURCE, 4), (_INNER_DESTINATION, 4)]
    return _known("pings", interface, [*(ends if quoted_is_own else ends[::-1]), (_INNER_PING_ID, 2)])


def _known(name: str, interface: int, parts: list[tuple[int, int]]) -> list[bytes]:
    first = _FIRST_REGISTER
    expressions = [_expression("meta", {1: first, 2: interface})]
    for register, (offset, size) in enumerate(parts, first + 1):
        expressions.append(_load(_TRANSPORT_HEADER, offset, size, register))
    expressions.append(_lookup(name, first))
    # A mark is in the machine's byte order, unlike everything on the wire.
    mark = _nested(2, _attribute(1, struct.pack("=I", int(PASSED, 16))))
    expressions.append(_named("immediate", _attribute(1, struct.pack(">I", first)) + mark))
    expressions.append(_expression("meta", {2: _META_MARK, 3: first}))
    return expressions


def _load(header: int, offset: int, size: int, register: int) -> bytes:
    return _expression("payload", {1: register, 2: header, 3: offset, 4: size})


def _write(header: int, offset: int, size: int, register: int, checksum: int) -> bytes:
    return _expression(
        "payload", {2: header, 3: offset, 4: size, 5: register, 6: _CHECKSUM_INET, 7: checksum}
    )


def _lookup(name: str, source: int, destination: int | None = None) -> bytes:
    attributes = _attribute(1, name.encode() + b"\0") + _attribute(2, struct.pack(">I", source))
    if destination is not None:
        attributes += _attribute(3, struct.pack(">I", destination))
    return _named("lookup", attributes)


def _expression(name: str, numbers: dict[int, int]) -> bytes:
    return _named(
        name, b"".join(_attribute(kind, struct.pack(">I", value)) for kind, value in numbers.items())
    )


def _named(name: str, attributes: bytes) -> bytes:
    return _nested(1, _attribute(1, name.encode() + b"\0") + _nested(2, attributes))


def _nested(kind: int, content: bytes) -> bytes:
    return _attribute(kind | _NESTED, content)


def _attribute(kind: int, content: bytes) -> bytes:
    padding = b"\0" * (-len(content) % 4)
    return struct.pack("=HH", 4 + len(content), kind) + content + padding


def _rule(table: str, chain: str, expressions: list[bytes]) -> bytes:
    return (
        _attribute(_RULE_TABLE, table.encode() + b"\0")
        + _attribute(_RULE_CHAIN, chain.encode() + b"\0")
        + _nested(_RULE_EXPRESSIONS, b"".join(expressions))
    )


def _message(kind: int, flags: int, number: int, family: int, resource: int, content: bytes) -> bytes:
    body = struct.pack(">BBH", family, 0, resource) + content
    return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, number, 0) + body


def _send(namespaces: Namespaces, router: int, rules: list[bytes]) -> None:
    batch = _message(_BATCH_BEGIN, 0, 0, socket.AF_UNSPEC, _SUBSYSTEM, b"")
    for number, rule in enumerate(rules, 1):
        batch += _message(_NEW_RULE, _ACK | _CREATE | _APPEND, number, socket.AF_INET, 0, rule)
    batch += _message(_BATCH_END, 0, len(rules) + 1, socket.AF_UNSPEC, _SUBSYSTEM, b"")
    link = namespaces.socket(router, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    with link:
        link.settimeout(5.0)
        link.bind((0, 0))
        link.send(batch)
        for _ in rules:
            _acknowledged(link.recv(65536))


def _acknowledged(answer: bytes) -> None:
    """Every message in one answer is an acknowledgement: error number 0, or the negative of what went wrong."""
    while answer:
        length, _, _, number, _, code = struct.unpack_from("=IHHIIi", answer)
        if code:
            name = errno.errorcode.get(-code, str(-code))
            raise FabricError(f"nfnetlink: hand-made rule {number}: {name}: {os.strerror(-code)}")
        answer = answer[(length + 3) & ~3 :]
