"""What the node, the stack and the Terraform module agree on: addresses, names of parameters, limits. Pure."""

from __future__ import annotations

LINK = "evernat0"
"""The node's end of the cable to the agent's own client (`effects.egress`); the client's end is INSIDE."""

INSIDE = "evernat1"
NETWORK = "169.254.82.0/24"
NODE = "169.254.82.1"
OWN = "169.254.82.2"
"""The client's address whose packets are translated to the node's primary private address: the node's own way out."""

PLACES = ("1.1.1.1:443", "8.8.8.8:443")
"""Places of the internet that the egress check asks: public resolvers of two companies, by address."""

RENEW = "127.82.0.1"
"""A datagram to this address renews the kernel's dead man's switch (`rules`)."""

MARK = "evernat"
"""Description of the stack's own security group rules. Rules without it are the user's."""

OPENINGS_EVERY = 30.0
"""Seconds between two looks at what users let in by rules of their own."""

CHECK_EVERY = 5.0
"""Seconds between two egress checks, of a holder and of a standby."""

ADDRESS_EVERY = 60.0
"""Seconds after which the client asks again which public address the internet sees."""

REPORT_EVERY = 60.0
"""Seconds between two reports without news. A reader calls a report stale after REPORT_STALE."""

REPORT_STALE = 120.0

REPLACE_AFTER = 60.0
"""Seconds of failing egress checks after which a node has itself replaced, when no other node can serve."""

REPLACE_PAUSE = 900.0
"""Seconds in which a stack replaces at most one node for that reason."""


def client(gateway: int) -> str:
    """The client's address whose packets are treated as those of clients of the node's gateway of that index."""
    return f"169.254.82.{10 + gateway}"


def report(stack: str, name: str) -> str:
    """The SSM parameter in which a node reports. `name` is a gateway, `node-SLOT` or `replacement`.

    Not a tag on its address: AWS Config charges for each change of an Elastic IP, and this one changes every minute.
    """
    return f"/evernat/{stack}/report/{name}"
