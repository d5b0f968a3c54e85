"""What an instance's only interface needs to forward: its addresses, and a way out in the main table. Pure.

The image sets this up, and may take it away again: systemd-networkd drops addresses and routes that it did not make
whenever it configures a link, and people flush. What is there in another form (a metric, a protocol) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import NamedTuple

MAIN = "lookup main"


class Uplink(NamedTuple):
    """The interface: its device, its private addresses, the primary one first, and its subnet's CIDR block."""

    link: str
    addresses: tuple[str, ...]
    subnet: str

    @property
    def router(self) -> str:
        """The VPC's router is the first address of every subnet."""
        return str(IPv4Network(self.subnet)[1])


def show(uplink: Uplink) -> str:
    """The `ip` batch whose output `faults` and `commands` read."""
    return f"rule show\nroute show table main\naddress show dev {uplink.link}\n"


def faults(shown: str, uplink: Uplink) -> list[str]:
    """What is missing."""
    return [what for what, _ in _missing(shown, uplink)]


def commands(shown: str, uplink: Uplink) -> str:
    """The `ip` batch that puts it right."""
    return "".join(f"{command}\n" for _, command in _missing(shown, uplink))


def _missing(shown: str, uplink: Uplink) -> Iterator[tuple[str, str]]:
    """What is missing, and the command that adds it: addresses before the routes that need them."""
    lines = [f" {' '.join(line.split())} " for line in shown.splitlines()]
    link, length = uplink.link, uplink.subnet.partition("/")[2]
    for index, address in enumerate(uplink.addresses):
        if not any(line.startswith(f" inet {address}/") for line in lines):
            size = length if index == 0 else "32"
            yield f"no address {address}", f"address replace {address}/{size} dev {link}"
    if not any(MAIN in line for line in lines):
        yield "no rule for the main table", "rule add priority 32766 lookup main"
    here = [line for line in lines if f" dev {link} " in line]
    if not any(line.startswith(f" {uplink.subnet} ") for line in here):
        source = uplink.addresses[0]
        yield (
            f"no route to {uplink.subnet}",
            f"route replace {uplink.subnet} dev {link} scope link src {source}",
        )
    if not any(line.startswith(" default ") for line in here):
        yield "no default route", f"route replace default via {uplink.router} dev {link}"
