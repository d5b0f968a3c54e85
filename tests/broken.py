"""Ways to break a node's forwarding (`evernat lab disturb`) that a pair and a single are both tried with."""

from __future__ import annotations

from evernat.lab.disturbances import DISTURBANCES

FOREIGN = {
    "forward-drop": "table inet guard, chain forward",
    "docker-forward": "table ip filter, chain FORWARD",
    "firewalld-forward": "table inet firewalld, chain filter_FORWARD",
}
"""What drops clients' packets, and the table that the cause must name."""

APART = ("foreign-masquerade", "networkd", "check-on")
"""What has tests of its own."""

REPAIRED = tuple(how for how in DISTURBANCES if how not in (*FOREIGN, *APART))
"""What the node can repair itself."""
