"""The part of a cluster node's agent that lies beside the user data, in SSM parameters.

User data takes 16,384 bytes, which is not enough for all that keeps connections alive. What decides, and what copies
connections, is put where the members' key already is: as plain text, readable like the rest. The names carry a digest
of the content, so a node gets just the files that belong to its user data, whatever was deployed since.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator

from evernat.bundle.sources import beside_sources

LONGEST = 4000
"""Characters of a parameter; a standard one takes 4,096 (Systems Manager API reference, PutParameter)."""


def parameters(stack: str) -> dict[str, str]:
    """Name -> text, in order, of the parameters of a stack."""
    digest, pieces = _pieces()
    return {f"{folder(stack)}/{digest}/{index}": piece for index, piece in enumerate(pieces)}


def folder(stack: str) -> str:
    """Below this lie the parameters of all versions of the agent that the stack has had."""
    return f"/evernat/{stack}/agent"


@functools.cache
def _pieces() -> tuple[str, tuple[str, ...]]:
    text = "".join(f"#file {path}\n{source}" for path, source in beside_sources().items())
    assert "{{" not in text, "SSM takes that for a reference to another parameter"
    return hashlib.sha256(text.encode()).hexdigest()[:16], tuple(_cut(text))


def _cut(text: str) -> Iterator[str]:
    """Pieces of whole lines, each behind a line of its own, so that none begins or ends with a blank."""
    piece = "#"
    for line in text.splitlines():
        if len(piece) + len(line) >= LONGEST:
            yield piece
            piece = "#"
        piece += f"\n{line}"
    yield piece
