"""What a topology costs: computed here, so that no page says otherwise."""

from __future__ import annotations

from typing import NamedTuple

from evernat.stack.cost import HOURS, PUBLIC_IPV4

READ = "March 2026"
"""When the prices below were last looked up."""
REGION = "us-east-1"

ON_DEMAND, ON_DEMAND_TYPE = 0.0042, "t4g.nano"
SPOT, SPOT_TYPE = 0.0017, "t3a.nano"
"""About: spot prices change by the hour and the zone."""
DISK, DISK_SIZE = 0.08, 8
"""gp3, USD per GB and month; the size of Amazon Linux 2023's image."""
NAT_GATEWAY, NAT_GATEWAY_GB = 0.045, 0.045
"""USD an hour and per GB, in either direction."""
ZONE_CROSSING = 0.01
"""USD per GB, in each direction."""


class Setup(NamedTuple):
    """A way out for private subnets in some zones."""

    name: str
    nodes: int
    addresses: int
    """Public IPv4 ones that are paid for: Elastic IPs, and those nodes got at launch and still have."""

    def month(self, node_hour: float) -> float:
        """USD a month, without traffic."""
        node = node_hour * HOURS + DISK * DISK_SIZE
        return self.nodes * node + self.addresses * PUBLIC_IPV4 * HOURS


SETUPS = (
    # The gateway's Elastic IP is on the persistent interface; the node's own address is its way to the API.
    Setup("`single`", 1, 2),
    # An Elastic IP on a node's primary address stands in for the address that the node got at launch.
    Setup('`single`, `identity = "address"`', 1, 1),
    # On a secondary one it does not.
    Setup("`pair`", 2, 3),
    Setup('`pair`, `node_address = "shared"`', 2, 2),
    Setup("`ring`, two zones", 2, 2),
    Setup("`ring`, three zones", 3, 3),
)


def managed(zones: int, gigabytes: float = 0) -> float:
    """USD a month for a managed NAT Gateway in each zone."""
    return zones * (NAT_GATEWAY + PUBLIC_IPV4) * HOURS + gigabytes * NAT_GATEWAY_GB


def table() -> str:
    """The page's table, and what it rests on."""
    rows = [
        f"| {s.name} | {s.nodes} | {s.addresses} | {s.month(ON_DEMAND):.2f} | {s.month(SPOT):.2f} | 0 |"
        for s in SETUPS
    ]
    rows += [
        f"| managed NAT Gateway, {zones} zone{'s' if zones > 1 else ''} | – | {zones} | "
        f"{managed(zones):.2f} | – | {NAT_GATEWAY_GB} per GB |"
        for zones in (1, 2, 3)
    ]
    return "\n".join(
        [
            f"| | nodes | public IPv4 | USD a month, on demand ({ON_DEMAND_TYPE}) "
            f"| on spot (about, {SPOT_TYPE}) | for traffic |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"{REGION}, list prices as of {READ}, {HOURS} hours a month. "
            f"A public IPv4 address {PUBLIC_IPV4} USD an hour, {ON_DEMAND_TYPE} {ON_DEMAND} on demand, "
            f"{SPOT_TYPE} about {SPOT} on spot, a disk of {DISK_SIZE} GB at {DISK} per GB; "
            f"a managed NAT Gateway {NAT_GATEWAY} an hour and {NAT_GATEWAY_GB} per GB in either direction. "
            "Computed by `tools/docs/prices.py`.",
            "",
        ]
    )


def traffic() -> str:
    """What the same traffic costs beside it."""
    pair = next(s for s in SETUPS if s.name == "`pair`")
    rows = [
        f"| {amount:,} GB | {pair.month(ON_DEMAND):.2f} | {managed(1, amount):,.2f} | {managed(3, amount):,.2f} |"
        for amount in (0, 100, 1000, 10000)
    ]
    head = "| through the gateway in a month | `pair`, on demand | one managed NAT Gateway | three |"
    return "\n".join([head, "|---|---|---|---|", *rows, ""])
