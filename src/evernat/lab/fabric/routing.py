"""The router's routes, from the VPC's route tables. Pure: a World and its ports to `ip` lines, and what changed.

Each port's packets are looked up in the table of its subnet (`ip rule iif`). A `local` route there hands over (`throw`)
to the main table, which has one route for every address that is plugged in and sends the rest of the VPC into the hole.
So a more specific route of a table still wins over `local`, as in AWS.
"""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evernat.lab.fabric.layout import HOLE, IGW, ISP_ADDRESS, ROUTER_ADDRESS
from evernat.lab.fabric.wiring import Port
from evernat.lab.world import Route, World

_PREFERENCE = 1000


@dataclass(frozen=True)
class Entry:
    """How to put one thing in place, and the port whose removal takes it along ("" for none)."""

    put: str
    port: str = ""


Entries = Mapping[str, Entry]
"""Entries by the line that removes them."""


def render(world: World, ports: Mapping[str, Port]) -> dict[str, Entry]:
    """Everything the router's routing must hold. `ports` by interface id."""
    entries: dict[str, Entry] = {}
    for port in ports.values():
        entries.update(_port(port))
    for cidr in world.vpc_cidrs:
        entries[f"route del {cidr}"] = Entry(f"route replace {cidr} dev {HOLE} src {ROUTER_ADDRESS}")
    for table in world.route_tables:
        number = table_number(table.id)
        routes = {_network(route): _hop(route, ports) for route in table.routes}
        routes.setdefault("0.0.0.0/0", _NOWHERE)
        for destination, (kind, hop, port_name) in routes.items():
            where = f"{destination} table {number}"
            entries[f"route del {where}"] = Entry(f"route replace {kind}{where}{hop}", port_name)
    return entries


def surviving(entries: Entries, unplugged: Iterable[Port]) -> dict[str, Entry]:
    """What is left of `entries` once the kernel has removed these ports: rules outlive the interface they name."""
    names = {port.name for port in unplugged}
    return {
        remove: entry
        for remove, entry in entries.items()
        if entry.port not in names or remove.startswith("rule ")
    }


def changes(old: Entries, new: Entries) -> list[str]:
    """The lines that lead from `old` to `new`.

    What is new is put in place before what is old goes, so that no packet falls through to another table.
    """
    puts = [entry.put for remove, entry in new.items() if old.get(remove) != entry]
    return puts + [remove for remove in old if remove not in new]


def table_number(route_table_id: str) -> int:
    """The kernel's table for a route table: a function of its id, away from the numbers the kernel uses itself."""
    return 0x10000 | zlib.crc32(route_table_id.encode())


def _port(port: Port) -> dict[str, Entry]:
    rule = f"pref {_PREFERENCE} iif {port.name} lookup {table_number(port.route_table_id)}"
    entries = {f"rule del {rule}": Entry(f"rule add {rule}", port.name)}
    for address in port.addresses:
        # The VPC knows where each address is and asks nobody: no ARP towards the machines.
        neighbour = f"{address} dev {port.name}"
        put = f"neigh replace {address} lladdr {port.mac} dev {port.name} nud permanent"
        entries[f"neigh del {neighbour}"] = Entry(put, port.name)
        route = f"route replace {address}/32 dev {port.name} src {ROUTER_ADDRESS}"
        entries[f"route del {address}/32"] = Entry(route, port.name)
    return entries


_NOWHERE = ("", f" dev {HOLE}", "")


def _hop(route: Route, ports: Mapping[str, Port]) -> tuple[str, str, str]:
    """Route type, next hop and the port it leads through. A target that is not plugged in is a black hole."""
    if route.kind == "local":
        return ("throw ", "", "")
    if route.kind == "igw":
        return ("", f" via {ISP_ADDRESS} dev {IGW}", "")
    port = ports.get(route.target_id)
    if port is None:
        return _NOWHERE
    return ("", f" via {port.addresses[0]} dev {port.name} onlink", port.name)


def _network(route: Route) -> str:
    """AWS takes a destination with bits beyond its prefix for the network (API reference, CreateRoute)."""
    return str(ipaddress.ip_network(route.destination, strict=False))
