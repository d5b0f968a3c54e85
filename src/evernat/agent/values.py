"""Values that both daemons think in. All are frozen."""

from __future__ import annotations

from typing import NamedTuple


class InvariantError(Exception):
    """What must always hold does not. Never caught on the way: going on would be worse than starting anew."""


class Egress(NamedTuple):
    """An egress check: a TCP connection to any of the places of the internet, the way a client's packets take.

    `at` is when it began (monotonic, seconds). `hop` is empty when it passed, else where packets end: "own table",
    "foreign forward chain", "route", "address", "check" (the check itself, or the source/destination check) or
    "beyond" (the node). `cause` says it in words. `address` is the public address that the internet last saw, empty
    when nobody said.
    """

    at: float
    hop: str = ""
    cause: str = ""
    address: str = ""

    @property
    def ok(self) -> bool:
        """Whether a client gets out."""
        return not self.hop
