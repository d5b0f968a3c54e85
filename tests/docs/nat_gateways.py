"""What users of the managed NAT Gateway have: `make` leads all private tables to one, `check` looks whether they do.

Run in the environment that `evernat lab env` prints.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from evernat.lab import aws
from evernat.lab.checks import until

EVERYWHERE = "0.0.0.0/0"


def main(verb: str) -> None:
    """Exit code 1 when a table leads elsewhere."""
    ec2 = aws.client("ec2", os.environ)
    if verb == "make":
        made = _gateway(ec2)
        for table in _private(ec2):
            ec2.create_route(
                RouteTableId=table["RouteTableId"], DestinationCidrBlock=EVERYWHERE, NatGatewayId=made
            )
    led = [r for t in _private(ec2) for r in t["Routes"] if r["DestinationCidrBlock"] == EVERYWHERE]
    if len(led) != 3 or not all(route.get("NatGatewayId") for route in led):
        sys.exit(f"not led to a NAT Gateway: {led}")


def _private(ec2: Any) -> list[Any]:
    """The tables of subnets that are not public."""
    tables = ec2.describe_route_tables()["RouteTables"]
    return [
        table
        for table in tables
        if any("SubnetId" in a for a in table["Associations"])
        and not any(route.get("GatewayId", "").startswith("igw-") for route in table["Routes"])
    ]


def _gateway(ec2: Any) -> str:
    public = next(s for s in ec2.describe_subnets()["Subnets"] if s["CidrBlock"] == "172.18.128.0/20")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = ec2.create_nat_gateway(SubnetId=public["SubnetId"], AllocationId=address)["NatGateway"]
    identifier: str = made["NatGatewayId"]
    assert until(lambda: _state(ec2, identifier) == "available", 10)
    return identifier


def _state(ec2: Any, identifier: str) -> str:
    return str(ec2.describe_nat_gateways(NatGatewayIds=[identifier])["NatGateways"][0]["State"])


if __name__ == "__main__":
    main(sys.argv[1])
