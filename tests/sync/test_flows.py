"""Events of the kernel, made into records and back; what the kernel makes of them is read by conntrack(8)."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from evernat.agent import flows, sides
from evernat.agent.effects import conntrack
from evernat.lab.addresses import INTERNET_HOST
from tests.lab_fabric.support import CLIENT, NODE, NODE_2
from tests.sync.pair import HOME, A, B, Pair

OWN, OTHER = socket.inet_aton(NODE), socket.inet_aton(NODE_2)


def part(source: str, target: str, protocol: int, ports: bytes) -> bytes:
    """A tuple as the kernel lays it out, without the attribute around it."""
    head = struct.pack("=HH4s", 8, 1, socket.inet_aton(source)) + struct.pack(
        "=HH4s", 8, 2, socket.inet_aton(target)
    )
    inner = struct.pack("=HHB3x", 5, 1, protocol) + ports
    return struct.pack("=HH", 20, 0x8001) + head + struct.pack("=HH", 4 + len(inner), 0x8002) + inner


def ports(source: int, target: int) -> bytes:
    """Of TCP or UDP."""
    return struct.pack("=HH2s2x", 6, 2, source.to_bytes(2, "big")) + struct.pack(
        "=HH2s2x", 6, 3, target.to_bytes(2, "big")
    )


def event(there: bytes, back: bytes, kind: int = flows.NEW, writer: int = 0, rest: bytes = b"") -> bytes:
    """One message of ctnetlink."""
    pair = b"".join(
        struct.pack("=HH", 4 + len(each), 0x8000 | n) + each for n, each in enumerate((there, back), 1)
    )
    return flows.HEADER.pack(20 + len(pair) + len(rest), kind, 0, 0, writer, b"\2\0\0\0") + pair + rest


OUT = part(CLIENT, INTERNET_HOST, 17, ports(1000, 53))
BACK = part(INTERNET_HOST, NODE, 17, ports(53, 1000))


def collected(data: bytes, writer: int = 0) -> list[bytes]:
    found: flows.Batch = {}
    flows.collect(data, {OWN: found}, writer)
    return list(found.values())


def test_the_address_is_left_out() -> None:
    """A record holds 0.0.0.0 where the gateway's address was, and the client's and far end's as they are."""
    (record,) = collected(event(OUT, BACK))
    assert OWN not in record
    assert socket.inet_aton(CLIENT) in record
    assert OTHER in flows.messages(record, OTHER, known=False)


def test_own_echo() -> None:
    """What a program wrote, this one above all, is not passed on."""
    assert collected(event(OUT, BACK, writer=4242)) == []
    assert len(collected(event(OUT, BACK, writer=4242), writer=4242)) == 1


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (part(NODE, INTERNET_HOST, 17, ports(1, 2)), part(INTERNET_HOST, NODE, 17, ports(2, 1))),
        (part(INTERNET_HOST, NODE, 17, ports(1, 2)), part(NODE, INTERNET_HOST, 17, ports(2, 1))),
        (part(CLIENT, INTERNET_HOST, 17, ports(1, 2)), part(INTERNET_HOST, NODE_2, 17, ports(2, 1))),
        (part(CLIENT, INTERNET_HOST, 47, ports(1, 2)), part(INTERNET_HOST, NODE, 47, ports(2, 1))),
    ],
    ids=["from the node", "to the node", "another gateway's", "GRE"],
)
def test_not_the_gateways(there: bytes, back: bytes) -> None:
    """The node's own connections, other gateways' and protocols nobody translates stay here."""
    assert collected(event(there, back)) == []


def test_the_last_word_counts() -> None:
    """Of several events of a flow in one batch the last is kept."""
    (record,) = collected(event(OUT, BACK) + event(OUT, BACK, kind=flows.GONE))
    assert record[:1] == flows.DELETE


@pytest.mark.parametrize(("told", "kept"), [(30, 600), (1000, 1000), (3600, 3600)])
def test_a_copy_outlives_the_next_full_copy(told: int, kept: int) -> None:
    """Packets that keep a flow alive make no event, so its copy lives longer than full copies are apart."""
    (record,) = collected(event(OUT, BACK, rest=struct.pack("=HH4s", 8, 7, told.to_bytes(4, "big"))))
    assert int.from_bytes(flows.RECORD.unpack(record)[-1], "big") == kept
    assert int.from_bytes(flows.KEEP, "big") > 2 * sides.REFRESH


def life(protocol: int, rest: bytes) -> int:
    """Seconds a copy of such a flow lives."""
    there = part(CLIENT, INTERNET_HOST, protocol, ports(1000, 53))
    back = part(INTERNET_HOST, NODE, protocol, ports(53, 1000))
    (record,) = collected(event(there, back, rest=rest))
    return int.from_bytes(flows.RECORD.unpack(record)[-1], "big")


@pytest.mark.parametrize(("protocol", "kept"), [(6, 3600), (17, 600)])
@pytest.mark.parametrize("seconds", [0, 30, 86_400, 432_000], ids=["listed", "short", "a day", "five days"])
def test_an_offloaded_flow_has_no_time_of_its_own(protocol: int, kept: int, seconds: int) -> None:
    """What the kernel says of a flow in the flowtable, a day or nothing, is not how long its copy lives."""
    status = struct.pack("=HH", 8, 3) + (0x400E).to_bytes(4, "big")
    told = struct.pack("=HH4s", 8, 7, seconds.to_bytes(4, "big")) if seconds else b""
    assert life(protocol, status + told) == life(protocol, told + status) == kept


def test_other_bits_are_not_offloading() -> None:
    """Every other bit of the status leaves the time as it is told."""
    told = struct.pack("=HH4s", 8, 7, (5000).to_bytes(4, "big"))
    for status in (0x0E, 0x8000, 0x3FFF, 0xBFFF):
        assert life(17, struct.pack("=HH", 8, 3) + status.to_bytes(4, "big") + told) == 5000


@pytest.mark.parametrize("cut", range(1, 40))
def test_broken(cut: int) -> None:
    """Less than a message is no message, and one without a size does not hold us up."""
    assert collected(event(OUT, BACK)[:-cut][:19]) == []
    assert collected(bytes(cut)) == []


@pytest.mark.parametrize("size", [0, 1, 3])
@pytest.mark.parametrize("before", [b"", struct.pack("=HHI", 8, 3, 0x0E)], ids=["first", "second"])
def test_an_attribute_without_an_end(size: int, before: bytes) -> None:
    """The flow is left out, and the one after it is not."""
    odd = event(OUT, BACK, rest=before + struct.pack("=HH4x", size, 9))
    assert len(collected(odd + event(OUT, BACK))) == 1
    assert collected(odd) == []


def test_whatever_is_cut_or_changed() -> None:
    """No message ends the reading, or goes on for ever; what comes of it is a record, or nothing."""
    whole = event(OUT, BACK, rest=struct.pack("=HH4sHHI", 8, 7, b"\0\0\1\0", 8, 3, 0x0E))
    for at in range(16, len(whole)):
        for byte in (0, 1, 2, 3, 4, 0x40, 0x7F, 0xFF):
            changed = whole[:at] + bytes((byte,)) + whole[at + 1 :]
            for record in [*collected(changed), *collected(changed[:at]), *collected(changed + whole)]:
                flows.check(record)
                assert flows.messages(record, OTHER, known=True)


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EIO])
def test_a_listing_that_is_refused(number: int) -> None:
    """The kernel says so, and then nothing more: that is no end of a listing, or all flows would be gone."""
    refusal = struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -number) + bytes(16)
    with pytest.raises(OSError, match="ctnetlink refused") as caught:
        collected(event(OUT, BACK) + refusal)
    assert caught.value.errno == number


def test_what_is_no_record() -> None:
    """Of the wrong length, to do something else, with a tuple that is too short, too long or of another protocol."""
    (right,) = collected(event(OUT, BACK))
    flows.check(right)
    for at, byte in [(0, 2), (1, 0), (1, 49), (1, 61), (1, 255), (33, 47), (61, 0), (61, 61)]:
        with pytest.raises(ValueError, match="not a"):
            flows.check(right[:at] + bytes((byte,)) + right[at + 1 :])
    for wrong in (b"", right[:-1], right + b"\0"):
        with pytest.raises(ValueError, match="not a record"):
            flows.check(wrong)
    flows.check(flows.DELETE + right[1:61] + bytes(flows.RECORD.size - 61))


def test_guard_lets_churn_pass() -> None:
    """A tenth of the flows may go each second, for ever."""
    guard = flows.Guard()
    assert all(guard.allows(10_000, second + n / 1000) for second in range(1, 20) for n in range(1000))


def test_guard_refuses_a_mass() -> None:
    """Of a flush no more than a quarter gets through, however it goes on; later all is as before."""
    guard = flows.Guard()
    assert sum(guard.allows(10_000, 1.0) for _ in range(10_000)) == 2500
    assert guard.allows(10_000, 6.0)


def test_guard_leaves_few_alone() -> None:
    """A handful of flows may all go at once."""
    guard = flows.Guard()
    assert all(guard.allows(200, 1.0) for _ in range(200))


@pytest.mark.packets
def test_oracle(pair: Pair) -> None:
    """TCP, UDP, ICMP and a forwarded connection, some with a port changed on the way, are on the other node what they
    were here, but for the address: so says conntrack(8)."""
    made = [
        f"-p tcp --state ESTABLISHED -s {CLIENT} -d {INTERNET_HOST} --sport 1000 --dport 80 --src-nat {NODE}",
        f"-p tcp --state TIME_WAIT -s {CLIENT} -d {INTERNET_HOST} --sport 1001 --dport 80 --src-nat {NODE}:7777",
        f"-p tcp --state CLOSE_WAIT -s {INTERNET_HOST} -d {NODE} --sport 1002 --dport 80 --dst-nat {CLIENT}:8080",
        f"-p tcp --state ESTABLISHED -s {INTERNET_HOST} -d {NODE} --sport 1002 --dport 81 --dst-nat {CLIENT}:8080 "
        f"--src-nat {INTERNET_HOST}:3003",
        f"-p udp -s {CLIENT} -d {INTERNET_HOST} --sport 1000 --dport 53 --src-nat {NODE}",
        f"-p icmp -s {CLIENT} -d {INTERNET_HOST} --icmp-type 8 --icmp-code 0 --icmp-id 77 --src-nat {NODE}",
    ]
    for line in made:
        said = pair.net.run(A, f"conntrack -I {line} -t 1000 -u ASSURED,SEEN_REPLY")
        assert "1 flow entries" in said, said
    pair.net.run(HOME, f"ping -c1 -W1 {INTERNET_HOST}")

    def read() -> flows.Batch:
        kernel, found = conntrack.connect(), flows.Batch()
        kernel.send(flows.LIST)
        while not flows.collect(kernel.recv(1 << 16), {OWN: found}, kernel.getsockname()[0]):
            pass
        return found

    records = pair.inside(A, read).values()
    assert len(records) == 7
    for known in False, True:
        told = [flows.messages(record, OTHER, known) for record in records]
        assert pair.inside(B, lambda told=told: conntrack.write(conntrack.connect(), told)) == 0  # type: ignore[misc]
        assert {line.replace(NODE, NODE_2) for line in pair.flows(A)} == pair.flows(B)
    gone = [flows.messages(flows.DELETE + record[1:], OTHER, known=True) for record in records]
    pair.inside(B, lambda: conntrack.write(conntrack.connect(), gone))
    assert pair.flows(B) == set()
