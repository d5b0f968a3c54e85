"""Frames that are forged, repeated, left out or cut change nothing."""

from __future__ import annotations

import pytest

from evernat.agent.syncwire import HEAD, ForgedError, Way

ONE, TWO = b"1" * 16, b"2" * 16


def ends(key: bytes = b"key") -> tuple[Way, Way]:
    return Way(b"key", ONE, TWO), Way(key, ONE, TWO)


def test_it_opens() -> None:
    """Frames open in their order, however they are cut on the way."""
    mine, theirs = ends()
    stream, inbox = b"".join(mine.seal(b"%d" % n * n) for n in range(9)), bytearray()
    found: list[bytes] = []
    for byte in stream:
        inbox.append(byte)
        found += theirs.open(inbox)
    assert found == [b"%d" % n * n for n in range(9)]


@pytest.mark.parametrize("at", range(HEAD + 5))
def test_changed(at: int) -> None:
    """No byte of a frame can be changed."""
    mine, theirs = ends()
    frame = bytearray(mine.seal(b"hello"))
    frame[at] ^= 1
    with pytest.raises(ForgedError):
        list(theirs.open(frame + bytes(1 << 16)))


def test_repeated() -> None:
    """A frame opens once."""
    mine, theirs = ends()
    frame = mine.seal(b"hello")
    assert list(theirs.open(bytearray(frame))) == [b"hello"]
    with pytest.raises(ForgedError):
        list(theirs.open(bytearray(frame)))


def test_left_out() -> None:
    """After a frame that never came none opens."""
    mine, theirs = ends()
    mine.seal(b"lost")
    with pytest.raises(ForgedError):
        list(theirs.open(bytearray(mine.seal(b"hello"))))


@pytest.mark.parametrize("other", [Way(b"kez", ONE, TWO), Way(b"key", TWO, ONE), Way(b"key", ONE, b"3" * 16)])
def test_of_somebody_else(other: Way) -> None:
    """Another key, the other direction and another connection do not open here."""
    _, theirs = ends()
    with pytest.raises(ForgedError):
        list(theirs.open(bytearray(other.seal(b"hello"))))


def test_a_mirror() -> None:
    """Who sends our own bytes back to us is not talked to."""
    with pytest.raises(ForgedError):
        Way(b"key", ONE, ONE)
