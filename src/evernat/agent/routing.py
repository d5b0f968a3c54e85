"""Addresses and policy routes of a gateway: pure.

What is wanted is written as `ip` prints it, so that comparing is comparing text. Forwarded packets, what the node sends
from the gateway's address, and resets (by their mark) leave by the gateway's interface through a table of its own; the
instance's own routes stay as they are, hence `noprefixroute`. So do the packets of the agent's own client, which takes
a client's way; what comes back for it goes to its cable.

When the kernel offloads a flow it looks up the way back as if the node itself sent by the interface the flow came in
by (nft_flow_route). Without a rule for that (`oif`) it takes the far end for a neighbour, and the flow is black-holed.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from . import contract
from .model import Gateway
from .ruleset import MARK

TABLE = 9000  # and the rules' priority: after `local`, before `main` and the image's own per-interface rules
FIRST = TABLE - 1  # priority of the way back to the agent's own client


def show(gateway: Gateway) -> str:
    """The `ip` batch whose output `faults` and `commands` read."""
    return f"address show dev {gateway.link}\nrule show\nroute show table {TABLE}\n"


def faults(shown: str, gateway: Gateway) -> list[str]:
    """What is missing or too much."""
    have = _lines(shown)
    missing = [text for text in (*_rules(gateway), *_routes(gateway)) if text not in have]
    if not _has_address(have, gateway):
        missing.append(f"address {gateway.address}")
    return [f"no {text}" for text in missing] + [f"stray {text}" for text in _strays(have, gateway)]


def commands(shown: str, gateway: Gateway) -> str:
    """The `ip` batch that puts it right."""
    have, link = _lines(shown), gateway.link
    lines = [f"link set {link} up"]
    if not _has_address(have, gateway):
        length = gateway.subnet.split("/")[1]
        lines.append(f"address replace {gateway.address}/{length} dev {link} noprefixroute")
    lines += [f"route replace table {TABLE} {text}" for text in _routes(gateway)]
    lines += [f"rule del priority {text.replace(':', '', 1)}" for text in _strays(have, gateway)]
    lines += [f"rule add priority {text.replace(':', '', 1)}" for text in _rules(gateway) if text not in have]
    return "\n".join(lines) + "\n"


def _rules(gateway: Gateway) -> list[str]:
    link = gateway.link
    ours = f"all iif {link}", f"all oif {link}", gateway.address, contract.client(0), f"all fwmark {MARK}"
    back = f"{FIRST}: from all to {contract.NETWORK} lookup main"
    return [back, *(f"{TABLE}: from {what} lookup {TABLE}" for what in ours)]


def _routes(gateway: Gateway) -> list[str]:
    router = IPv4Network(gateway.subnet)[1]  # the VPC's router is the first address of every subnet
    return [
        f"{gateway.subnet} dev {gateway.link} scope link src {gateway.address}",
        f"default via {router} dev {gateway.link}",
    ]


def _lines(shown: str) -> set[str]:
    return {" ".join(line.replace("[detached]", "").split()) for line in shown.splitlines()}


def _has_address(have: set[str], gateway: Gateway) -> bool:
    return any(line.startswith(f"inet {gateway.address}/") for line in have)


def _strays(have: set[str], gateway: Gateway) -> list[str]:
    return sorted(x for x in have if x.startswith((f"{FIRST}:", f"{TABLE}:")) and x not in _rules(gateway))
