"""Keeps the kernel from answering, in our name, what it does not understand while our table is away.

After `nft flush ruleset`, by whomever, packets of clients' connections come to an address of this machine untranslated.
The kernel would reset the connections. So what it says from a gateway's address goes nowhere: by a table that has an
owner, which a flush leaves alone (nft(8), table flags) and which goes with its owner. That is an `nft` that waits.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from . import EffectError

TABLE = """\
add table ip evernat-guard { flags owner; }
add chain ip evernat-guard out { type filter hook output priority raw; }
add set ip evernat-guard gateways { type ipv4_addr; }
add rule ip evernat-guard out ip saddr @gateways tcp flags & rst == rst drop
add rule ip evernat-guard out ip saddr @gateways icmp type destination-unreachable drop
"""


class Guard:
    """The table and its owner; not for several threads at once."""

    def __init__(self) -> None:
        self._owner: subprocess.Popen[str] | None = None
        self._guarded: frozenset[str] = frozenset()

    def protect(self, addresses: Iterable[str]) -> None:
        """Have these private addresses guarded, and no others. EffectError when there is no `nft`."""
        wanted = frozenset(addresses)
        if self._owner and self._owner.poll() is None and wanted == self._guarded:
            return
        self.close()
        elements = (
            f"add element ip evernat-guard gateways {{ {', '.join(sorted(wanted))} }}\n" if wanted else ""
        )
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        try:
            self._owner = subprocess.Popen(["nft", "-i"], stdin=pipe, stdout=null, stderr=null, text=True)
            assert self._owner.stdin
            self._owner.stdin.write(TABLE + elements)
            self._owner.stdin.flush()
        except OSError as error:
            raise EffectError(f"nft: {error}") from error
        self._guarded = wanted

    def close(self) -> None:
        """End the owner; the table goes with it."""
        if self._owner:
            self._owner.kill()
            self._owner.communicate()
        self._owner, self._guarded = None, frozenset()
