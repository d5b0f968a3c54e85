"""Compares the public addresses in a lab with what the price list counts, for the stack whose status is read.

Run in the environment that `evernat lab env` prints.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from tools.docs.prices import SETUPS

from evernat.lab import aws


def main(status: dict[str, Any]) -> None:
    """Exit code 1 when they differ."""
    ec2 = aws.client("ec2", os.environ)
    elastic = {address["PublicIp"] for address in ec2.describe_addresses()["Addresses"]}
    launched = {
        interface["Association"]["PublicIp"]
        for interface in ec2.describe_network_interfaces()["NetworkInterfaces"]
        if "Association" in interface
    }
    found = len(status["nodes"]), len(elastic | launched)
    setup = next(setup for setup in SETUPS if setup.name == _name(status))
    if found != (setup.nodes, setup.addresses):
        sys.exit(f"{setup.name}: nodes and public addresses are {found}, the price list says {setup[1:]}")


def _name(status: dict[str, Any]) -> str:
    topology = status["topology"]
    if topology == "ring":
        return "`ring`, three zones"
    by_address = topology == "single" and status["gateways"][0]["home_slot"]
    return f'`{topology}`, `identity = "address"`' if by_address else f"`{topology}`"


if __name__ == "__main__":
    main(json.load(sys.stdin))
