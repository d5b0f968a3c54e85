"""The shape of a stack whose gateways are addresses: which node lives where, which gateway belongs to whom. Pure.

Nodes live in slots `a`, `b`, ... in the order of the public subnets, one Auto Scaling group each, so that where a node
lives and which gateways it serves never depends on chance. A pair has one gateway, home in `a`, and `b` stands by. A
ring has one gateway per slot, and the next slot stands by for it.

With `node_address = "own"` no gateway is ever on a node's primary private address. That one keeps the public address
which the node got at launch, so the node reaches the API whatever moves; and what is translated to a secondary address
without an Elastic IP has no public address at all, so no packet leaves with another one than the gateway's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evernat.stack import names
from evernat.stack.found import Environment
from evernat.stack.spec import Gateway, PortForward


@dataclass(frozen=True)
class Slot:
    """A node's place. `addresses` is how many private addresses its interface has."""

    name: str
    subnet: str
    addresses: int = 1


@dataclass(frozen=True)
class Shape:
    """One gateway: who can hold it, and by which of a node's private addresses (index 0 is the primary one)."""

    name: str
    home: str
    standby: str
    """Empty when nobody stands by."""
    index: Mapping[str, int]
    tables: tuple[str, ...]
    clients: tuple[str, ...]
    forwards: tuple[PortForward, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """Those who can hold it, home first."""
        return (self.home, self.standby) if self.standby else (self.home,)


@dataclass(frozen=True)
class Layout:
    """All slots and gateways of a stack."""

    slots: tuple[Slot, ...]
    gateways: tuple[Shape, ...]


def layout(gateway: Gateway, environment: Environment) -> Layout:
    """The layout of a stack. What `checks.ring` would refuse is left out of it."""
    if gateway.topology == "ring":
        return _ring(gateway, environment)
    first = int(gateway.on_secondary)
    shape = Shape(
        name=gateway.name,
        home="a",
        standby="b" if gateway.topology == "pair" else "",
        index=dict.fromkeys("ab" if gateway.topology == "pair" else "a", first),
        tables=gateway.private_route_table_ids,
        clients=gateway.private_subnets_cidr_blocks,
        forwards=gateway.port_forward,
    )
    # With one subnet both nodes of a pair live in it.
    places = {slot: gateway.subnets[min(i, len(gateway.subnets) - 1)] for i, slot in enumerate(shape.slots)}
    return Layout(tuple(Slot(name, subnet, first + 1) for name, subnet in places.items()), (shape,))


def _ring(gateway: Gateway, environment: Environment) -> Layout:
    places = dict(zip(names.SLOTS, gateway.subnets, strict=False))
    order, first = list(places), int(gateway.on_secondary)
    clients = _clients(gateway, environment)
    shapes = []
    for position, home in enumerate(order):
        standby = order[(position + 1) % len(order)]
        shapes.append(
            Shape(
                name=f"{gateway.name}-{home}",
                home=home,
                standby=standby,
                # A guest takes the address after the node's own gateway's.
                index={home: first, standby: first + 1},
                tables=tuple(
                    t
                    for t in gateway.private_route_table_ids
                    if slots_of_table(gateway, environment, t) == {home}
                ),
                clients=tuple(clients.get(home, ())),
                forwards=tuple(
                    f for f in gateway.port_forward if slot_of_forward(gateway, environment, f) == home
                ),
            )
        )
    return Layout(tuple(Slot(name, subnet, first + 2) for name, subnet in places.items()), tuple(shapes))


def zones(gateway: Gateway, environment: Environment) -> dict[str, str]:
    """Zone -> slot, of a ring."""
    return {
        environment.subnets[subnet].zone: slot
        for slot, subnet in zip(names.SLOTS, gateway.subnets, strict=False)
        if subnet in environment.subnets
    }


def slots_of_table(gateway: Gateway, environment: Environment, table: str) -> set[str]:
    """The slots a ring's route table belongs to by the zones of its subnets, or as `table_slots` says. One is right."""
    if table in gateway.table_slots:
        return {gateway.table_slots[table]}
    by_zone = zones(gateway, environment)
    users = [s for s in environment.subnets.values() if _table_of(environment, s.id) == table]
    return {by_zone[s.zone] for s in users if s.zone in by_zone}


def slot_of_subnet(gateway: Gateway, environment: Environment, subnet: str) -> str | None:
    """Which gateway of a ring the hosts of a subnet use: that of its route table, else that of its zone."""
    table = _table_of(environment, subnet)
    if table in gateway.private_route_table_ids:
        found = slots_of_table(gateway, environment, str(table))
        return min(found) if len(found) == 1 else None
    return zones(gateway, environment).get(environment.subnets[subnet].zone)


def slot_of_forward(gateway: Gateway, environment: Environment, forward: PortForward) -> str | None:
    """Which address of a ring takes a forward's connections.

    It must be the one the target's own replies leave by: any other gateway does not know the connection. What a Name
    tag stands for can change, so there the user has to say it.
    """
    if forward.slot:
        return forward.slot
    subnet = environment.target_subnets.get(forward.target)
    if subnet is None and not forward.target.startswith(("i-", "name:")):
        target = ipaddress.IPv4Address(forward.target)
        around = (s.id for s in environment.subnets.values() if target in ipaddress.IPv4Network(s.cidr))
        subnet = next(around, None)
    known = subnet is not None and subnet in environment.subnets
    return slot_of_subnet(gateway, environment, str(subnet)) if known else None


def _clients(gateway: Gateway, environment: Environment) -> dict[str, list[str]]:
    """Slot -> the private networks its gateway serves.

    They must not overlap: a node that holds two gateways tells by a packet's source which one it is for.
    """
    parts: dict[str, list[ipaddress.IPv4Network]] = {}
    for network, slot in _pieces(gateway, environment):
        parts.setdefault(slot, []).append(network)
    return {slot: [str(n) for n in ipaddress.collapse_addresses(found)] for slot, found in parts.items()}


def _pieces(gateway: Gateway, environment: Environment) -> Iterator[tuple[ipaddress.IPv4Network, str]]:
    blocks = [ipaddress.IPv4Network(block) for block in gateway.private_subnets_cidr_blocks]
    for subnet in environment.subnets.values():
        if subnet.id in gateway.subnets:
            continue
        network = ipaddress.IPv4Network(subnet.cidr)
        slot = slot_of_subnet(gateway, environment, subnet.id)
        for block in blocks:
            if slot and block.overlaps(network):
                yield (network if network.subnet_of(block) else block), slot


def _table_of(environment: Environment, subnet: str) -> str | None:
    table = environment.route_table_of(subnet)
    return table.id if table else None


def node_settings(
    gateway: Gateway, made: Layout, slot: Slot, addresses: Mapping[str, Any], version: str
) -> dict[str, Any]:
    """What the agent of a slot is told (agent.json). `addresses` gives each gateway's allocation id, or a reference."""
    return {
        "stack": gateway.name,
        "identity": "address",
        "slot": slot.name,
        "slots": [s.name for s in made.slots],
        "gateways": [
            {
                "name": shape.name,
                "address": addresses[shape.name],
                "home": shape.home,
                "standby": shape.standby,
                "index": dict(shape.index),
                "tables": list(shape.tables),
                "clients": list(shape.clients),
                "forwards": [f.for_node() for f in shape.forwards],
            }
            for shape in made.gateways
            # A node need not know of gateways that it can never hold.
            if slot.name in shape.slots
        ],
        "group": names.slot_name(gateway.name, slot.name),
        "hook": names.HOOK,
        "key_parameter": names.key_parameter(gateway.name),
        "port": names.PORT,
        "probe": None,
        "version": version,
        "firewall": gateway.firewall(),
        "places": list(gateway.egress_check),
    }
