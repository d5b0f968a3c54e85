"""The egress check's packets in our nftables table: a client of the agent's own (`contract`), pure.

They pass the forward hook as a client's do, so a foreign chain that stops clients stops them too. But they pass while
the gateway is still closed to clients: the proof comes first.
"""

from __future__ import annotations

from ..contract import LINK, NETWORK

ACCEPT = f'iifname "{LINK}" ip saddr {NETWORK} ct state new accept'


def translated(source: str, address: str) -> str:
    """How what comes from `source` leaves: as `address`, or when that is empty as the kernel chooses."""
    return f"ip saddr {source} {f'snat to {address}' if address else 'masquerade'}"
