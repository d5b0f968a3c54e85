"""Bulk whose every byte is known by its place in the stream, so that a lost or repeated one is seen."""

from __future__ import annotations

PERIOD = 251  # a prime: no power of two of bytes can go missing unseen
CHUNK = 16384
"""Bytes of bulk sent at once."""

_WHEEL = bytes(range(PERIOD)) * (2 * CHUNK // PERIOD + 2)


def at(offset: int, size: int) -> bytes:
    """`size` bytes (at most twice CHUNK) of the stream from `offset` on."""
    start = offset % PERIOD
    return _WHEEL[start : start + size]


def holds(offset: int, data: bytes) -> bool:
    """Whether `data` is what belongs at `offset`."""
    step = CHUNK
    return all(
        data[n : n + step] == at(offset + n, len(data[n : n + step])) for n in range(0, len(data), step)
    )
