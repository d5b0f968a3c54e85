"""Heartbeats: only what is authentic, meant for this life of the receiver, and new is taken."""

from __future__ import annotations

import random

from evernat.agent.beat import LONGEST, Wire
from evernat.agent.cluster_model import Beat

KEY = b"k" * 32
BEAT = Beat("i-a", "a", 0.0, {"main": "as-1"}, {"other": 3.5}, {}, True)


def node(instance: str, session: str, key: bytes = KEY, stack: str = "main") -> Wire:
    return Wire(key, stack, instance, session)


def acquainted() -> tuple[Wire, Wire]:
    a, b = node("i-a", "sa"), node("i-b", "sb")
    assert b.open(a.seal(BEAT, "sb"), 0.0) is not None
    return a, b


def test_a_beat_arrives_as_it_was_sent() -> None:
    """What was sealed comes out, with the time of its arrival."""
    heard = node("i-b", "sb").open(node("i-a", "sa").seal(BEAT, "sb"), 7.0)
    assert heard is not None
    assert heard.beat == BEAT._replace(at=7.0)


def test_what_a_release_adds_arrives_too() -> None:
    """Under keys that are no gateway's name: none is taken for one, neither by this release nor by the one before."""
    told = BEAT._replace(ended={"main": "as-0"}, egress=2.5, leaving=True, unguarded=frozenset({"main", "b"}))
    told = told._replace(follows={"b": "as-3"})
    heard = node("i-b", "sb").open(node("i-a", "sa").seal(told, "sb"), 7.0)
    assert heard is not None
    assert heard.beat == told._replace(at=7.0)


def test_strangers_get_acquainted() -> None:
    """A packet that does not repeat our session only gets an answer; that answer is taken, and so is what follows."""
    a, b = node("i-a", "sa"), node("i-b", "sb")
    first = b.open(a.seal(BEAT, a.echo("i-b")), 0.0)
    assert first is not None
    assert first.beat is None
    answer = a.open(b.seal(BEAT._replace(instance="i-b"), first.session), 0.0)
    assert answer is not None
    assert answer.beat is not None
    second = b.open(a.seal(BEAT, a.echo("i-b")), 0.0)
    assert second is not None
    assert second.beat is not None


def test_forgeries_change_nothing_and_are_counted() -> None:
    """Another key, another stack, a changed, cut or too long packet, noise: refused, counted, and the next is taken."""
    a, b = acquainted()
    good = a.seal(BEAT, "sb")
    noise = random.Random(1).randbytes(200)
    bad = [
        node("i-a", "sa", key=b"x" * 32).seal(BEAT, "sb"),
        node("i-a", "sa", stack="other").seal(BEAT, "sb"),
        *(good[:n] for n in range(len(good))),
        *(good[:n] + bytes([good[n] ^ 1]) + good[n + 1 :] for n in range(len(good))),
        good + b"x",
        good + b" " * LONGEST,
        noise,
        b"",
    ]
    for packet in bad:
        assert b.open(packet, 0.0) is None
    assert b.counts == {"forged": len(bad), "replayed": 0}
    assert b.open(good, 0.0) is not None


def test_replays_and_old_order_are_refused() -> None:
    """A packet is taken once, and none after a later one."""
    a, b = acquainted()
    first, second = a.seal(BEAT, "sb"), a.seal(BEAT, "sb")
    assert b.open(second, 0.0) is not None
    assert b.open(second, 0.0) is None
    assert b.open(first, 0.0) is None
    assert b.counts["replayed"] == 2


def test_a_former_life_does_not_come_back() -> None:
    """After a peer began anew, packets of its life before are refused, also the ones never seen."""
    a, b = acquainted()
    kept = a.seal(BEAT, "sb")
    again = node("i-a", "sa2")
    assert b.open(again.seal(BEAT, "sb"), 0.0) is not None
    assert b.open(kept, 0.0) is None
    assert b.echo("i-a") == "sa2"


def test_what_was_said_to_a_former_life_of_ours_is_only_answered() -> None:
    """Packets recorded before this agent began change nothing."""
    a, _ = acquainted()
    young = node("i-b", "sb2")
    heard = young.open(a.seal(BEAT, "sb"), 0.0)
    assert heard is not None
    assert heard.beat is None
    assert young.echo("i-a") == ""


def test_our_own_words_are_refused() -> None:
    """A packet thrown back at its sender is not taken."""
    a, _ = acquainted()
    assert a.open(a.seal(BEAT, "sa"), 0.0) is None
