"""The part of the agent that lies beside the user data, in SSM parameters.

User data takes 16,384 bytes, which is not enough for all that keeps connections alive. It holds the files that fetch
the others (`sources.FIRST`). The others are put where the key of a pair's nodes is: as plain text, readable like the
rest. The names carry a digest of the content, so a node gets just the files that belong to its user data, whatever was
deployed since.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator

from evernat.bundle.sources import beside_sources

LONGEST = 4000
"""Characters of a parameter; a standard one takes 4,096 (Systems Manager API reference, PutParameter)."""

REFERENCE = re.compile(r"\{(?=\{)")
"""Two braces refer to another parameter, and are refused (Systems Manager User Guide): they travel as `{#{`."""


def parameters(stack: str, identity: str = "address") -> dict[str, str]:
    """Name -> text, in order, of the parameters of a stack whose gateways have this identity."""
    digest, pieces = _pieces(identity)
    return {f"{folder(stack)}/{digest}/{index}": piece for index, piece in enumerate(pieces)}


def folder(stack: str) -> str:
    """Below this lie the parameters of all versions of the agent that the stack has had."""
    return f"/evernat/{stack}/agent"


@functools.cache
def _pieces(identity: str = "address") -> tuple[str, tuple[str, ...]]:
    sources = beside_sources(identity)
    text = "".join(f"#file {path}\n{source}" for path, source in sources.items())
    assert text.count("#file ") == len(sources), "a node would cut a file there"
    assert "{#" not in text, "a node would take that for half of a reference"
    text = REFERENCE.sub("{#", text)
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
