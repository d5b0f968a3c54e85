"""Which slots and gateways a topology has, as the stack lays them out."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from evernat.agent.cluster_model import Config, Gateway

PUBLIC = {
    "main": "203.0.113.7",
    "main-a": "203.0.113.7",
    "main-b": "203.0.113.8",
    "main-c": "203.0.113.9",
}
CLIENTS = ("172.18.64.0/20",)


class Layout(NamedTuple):
    """A stack's shape."""

    slots: tuple[str, ...]
    gateways: tuple[Gateway, ...]

    @staticmethod
    @cache
    def of(topology: str, address: str = "shared") -> Layout:
        """By the topology's name: single, pair, ring2 or ring (three zones); and where its Elastic IPs sit."""
        first = 0 if address == "shared" else 1
        if topology == "single":
            return Layout(("a",), (_gateway("main", "a", "", {"a": first}, ("rtb-1", "rtb-2")),))
        if topology == "pair":
            places = {"a": first, "b": first}
            return Layout(("a", "b"), (_gateway("main", "a", "b", places, ("rtb-1", "rtb-2")),))
        slots = ("a", "b") if topology == "ring2" else ("a", "b", "c")
        return Layout(slots, tuple(_ring(slots, number, first) for number in range(len(slots))))

    def config(self, slot: str) -> Config:
        """The settings of a node in that slot."""
        return Config(
            "demo", "address", slot, self.slots, self.gateways, f"evernat-demo-{slot}", "evernat-ready",
            "/evernat/demo/key", (), 4817, None, "1",
        )  # fmt: skip

    def public(self, gateway: str) -> str:
        """Its Elastic IP."""
        return PUBLIC[gateway]


def _gateway(name: str, home: str, standby: str, index: dict[str, int], tables: tuple[str, ...]) -> Gateway:
    return Gateway(name, f"eipalloc-{name}", home, standby, index, tables, CLIENTS)


def _ring(slots: tuple[str, ...], number: int, first: int) -> Gateway:
    home, standby = slots[number], slots[(number + 1) % len(slots)]
    return _gateway(f"main-{home}", home, standby, {home: first, standby: first + 1}, (f"rtb-{home}",))
