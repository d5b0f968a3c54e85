"""The lab's packets: brings namespaces, cables, routes and the router's ruleset in line with a World."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from evernat.lab.fabric import guest, handmade, layout, nat_gateway, nftables, routing, ruleset
from evernat.lab.fabric.namespaces import Namespaces
from evernat.lab.fabric.tools import Attempts, Tools
from evernat.lab.fabric.wiring import NAT_GATEWAY, Machine, Port, machines, wire
from evernat.lab.world import World


class Fabric:
    """The network around and between the instances of one lab.

    `apply` is the only thing that changes it (besides `stop`); it compares with what it did last and does the rest. The
    caller owns neither namespaces nor descriptors: it may use them until the next `apply` that removes the instance.
    Everything is gone when the process is.
    """

    def __init__(self, log: Callable[[str], None] = lambda line: None) -> None:
        self._log = log
        self._lock = threading.RLock()
        self._namespaces = Namespaces()
        self._tools = Tools(self._namespaces)
        self._places = {place: self._namespaces.create() for place in layout.PLACES}
        self._machines: dict[Machine, int] = {}
        self._ports: dict[str, Port] = {}
        self._routing: dict[str, routing.Entry] = {}
        self._ruleset = ruleset.EMPTY
        self._build()

    def apply(self, world: World) -> None:
        """Makes the network what `world` says. Doing it again changes nothing.

        Raises FabricError after doing all that could be done; what the kernel refused is tried again at the next call.
        """
        with self._lock:
            ports = wire(world)
            gone = [
                port
                for key, port in self._ports.items()
                if key not in ports or ports[key].cable != port.cable
            ]
            new = [port for key, port in ports.items() if key not in self._ports or self._ports[key] in gone]
            running = machines(world)
            for machine in running - self._machines.keys():
                self._machines[machine] = self._boot(machine)
            try:
                self._change(world, gone, new, ports)
            finally:
                self._release(running)

    def stop(self, instance_id: str) -> None:
        """Pulls all cables of an instance and lets its namespace go, before a World says so."""
        with self._lock:
            gone = {key: port for key, port in self._ports.items() if port.machine[0] == instance_id}
            self._tools.ip(self._places["router"], guest.unplug(gone.values()))
            self._routing = routing.surviving(self._routing, gone.values())
            self._ports = {key: port for key, port in self._ports.items() if key not in gone}
            self._release({machine for machine in self._machines if machine[0] != instance_id})

    def netns(self, instance_id: str) -> int:
        """The namespace of a powered instance, as a descriptor that stays the fabric's; KeyError if not powered."""
        with self._lock:
            for (known, _), namespace in self._machines.items():
                if known == instance_id:
                    return namespace
        raise KeyError(f"{instance_id} is not powered")

    def configure_again(self, instance_id: str) -> None:
        """Gives a machine the addresses, routes and rules of its interfaces anew, after somebody took them away."""
        with self._lock:
            for machine in [machine for machine in self._machines if machine[0] == instance_id]:
                self._configure(machine, [], list(self._ports.values()))

    def place(self, name: str) -> int:
        """The namespace of "router", "isp" or "internet", as a descriptor that stays the fabric's."""
        return self._places[name]

    def socket(
        self, where: str, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0
    ) -> socket.socket:
        """A socket inside a place or an instance."""
        return self._namespaces.socket(self._where(where), family, kind, protocol)

    def spawn(self, where: str, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Starts a program inside a place or an instance; `options` as for subprocess.Popen. The caller ends it."""
        return self._namespaces.spawn(self._where(where), command, **options)

    def set_path_mtu(self, mtu: int) -> None:
        """The largest packet, in bytes, that passes between the isp and the two sides of it; 1500 is no limit."""
        self._tools.ip(self._places["isp"], layout.path_mtu(mtu))

    def counters(self) -> dict[str, int]:
        """Packets the router dropped since it was made, by reason (`ruleset.REASONS`)."""
        answer = self._tools.nft_json(
            self._places["router"], "list", "counters", "table", *nftables.TABLE.split()
        )
        found = (item["counter"] for item in json.loads(answer)["nftables"] if "counter" in item)
        return {counter["name"]: int(counter["packets"]) for counter in found}

    def close(self) -> None:
        """Takes everything apart. Processes started in the fabric's namespaces must have ended."""
        with self._lock:
            self._tools.ip(self._places["router"], guest.unplug(self._ports.values()))
            self._ports.clear()
            self._release(set())
            for namespace in self._places.values():
                os.close(namespace)
            self._places.clear()
            self._namespaces.close()

    def _where(self, where: str) -> int:
        return self._places[where] if where in self._places else self.netns(where)

    def _build(self) -> None:
        router, isp, internet = (self._places[place] for place in layout.PLACES)
        self._tools.sysctl(router, layout.ROUTER_SETTINGS)
        self._tools.sysctl(isp, layout.FORWARDER_SETTINGS)
        self._tools.sysctl(internet, layout.INTERNET_SETTINGS)
        up = layout.cable(layout.IGW, "up0", isp, layout.INTERNET_MTU)
        self._tools.ip(router, [up], descriptors=[isp])
        out = layout.cable("in0", "eth0", internet, layout.INTERNET_MTU)
        self._tools.ip(
            isp, [out, *layout.ISP_SETUP, *layout.path_mtu(layout.INTERNET_MTU)], descriptors=[internet]
        )
        self._tools.ip(router, layout.ROUTER_SETUP)
        self._tools.ip(internet, layout.INTERNET_SETUP)
        self._tools.await_links(isp, ["up0", "in0"])
        self._tools.nft(router, ruleset.BASE)
        handmade.install(self._namespaces, router)

    def _change(self, world: World, gone: list[Port], new: list[Port], ports: Mapping[str, Port]) -> None:
        """Routes first, then the ruleset, then the machines, so that nobody inside sees a half-made network.

        What failed is not taken down as done, so the next change tries it again.
        """
        attempts = Attempts(self._log)
        router = self._places["router"]
        cables = {port: guest.cable(port, self._machines[port.machine]) for port in new}
        entries = routing.render(world, ports)
        lines = [*guest.unplug(gone), *itertools.chain.from_iterable(cables.values())]
        lines += routing.changes(routing.surviving(self._routing, gone), entries)
        attempts.take(lambda: self._tools.ip(router, lines, {self._machines[port.machine] for port in new}))
        plugged = [port for port in new if cables[port][0] not in attempts.failed]
        self._ports = {key: port for key, port in ports.items() if port not in new or port in plugged}
        self._routing = {
            remove: entry for remove, entry in entries.items() if entry.put not in attempts.failed
        }
        attempts.take(lambda: self._load(ruleset.render(world, ports)))
        for machine in self._machines.keys() & {port.machine for port in (*gone, *plugged)}:
            attempts.take(partial(self._configure, machine, gone, plugged))
        attempts.take(lambda: self._tools.await_links(router, [port.name for port in plugged]))
        attempts.finish()

    def _boot(self, machine: Machine) -> int:
        """A new network stack, as a machine has before anything is plugged in."""
        namespace = self._namespaces.create()
        managed = machine[1] == NAT_GATEWAY
        self._tools.sysctl(namespace, nat_gateway.SETTINGS if managed else guest.SETTINGS)
        if managed:
            self._tools.nft(namespace, nat_gateway.RULESET)
            self._tools.sysctl(namespace, nat_gateway.TRACKING)
        return namespace

    def _load(self, rules: nftables.Ruleset) -> None:
        self._tools.nft(self._places["router"], nftables.transaction(self._ruleset, rules))
        self._ruleset = rules

    def _configure(self, machine: Machine, gone: list[Port], new: list[Port]) -> None:
        """Takes from a machine what belonged to its former interfaces, and gives the new ones their addresses."""
        lines = [line for port in gone if port.machine == machine for line in guest.forget(port)]
        for port in sorted(new, key=lambda port: port.index):
            if port.machine == machine:
                lines += guest.configure(port)
        self._tools.ip(self._machines[machine], lines)

    def _release(self, wanted: Collection[Machine]) -> None:
        """Lets go of the namespaces of machines that are no more. Cables go first: the other way round is slow."""
        for machine in [machine for machine in self._machines if machine not in wanted]:
            os.close(self._machines.pop(machine))
