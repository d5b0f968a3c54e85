"""Ways to break a node's forwarding (`evernat lab disturb`) that a pair and a single are both tried with."""

from __future__ import annotations

REPAIRED = (
    "flush",
    "forwarding-off",
    "link-forwarding-off",
    "rules-flush",
    "routes-flush",
    "addresses-flush",
)
"""What the node can repair itself."""

FOREIGN = {
    "forward-drop": "table inet guard, chain forward",
    "docker-forward": "table ip filter, chain FORWARD",
    "firewalld-forward": "table inet firewalld, chain filter_FORWARD",
}
"""What drops clients' packets, and the table that the cause must name."""
