"""A node's settings: what becomes /etc/evernat/agent.json (the agent's own view of it is `agent.model.Config`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, Literal

from evernat.agent.contract import PLACES
from evernat.bundle.beside import parameters
from evernat.bundle.text import encode

VERSION = version("evernat")

NESTED = 8
"""Levels of the settings. They are JSON in a file, where YAML does not nest: this is no limit of it."""


@dataclass(frozen=True)
class PortForward:
    """A port forward. `ports` is inclusive; `target` an address, an instance id, or `name:` and a Name tag.

    The first port goes to `target_port`, the second to the one after, and so on. `sources` are CIDR blocks.
    """

    protocol: Literal["tcp", "udp"]
    ports: tuple[int, int]
    target: str
    target_port: int
    sources: Sequence[str]


@dataclass(frozen=True)
class NodeConfig:
    """All a node is told. `interface` is an eni- id, `address` an eipalloc- id, or None when the stack has none."""

    stack: str
    interface: str
    clients: Sequence[str]
    group: str
    address: str | None = None
    forwards: Sequence[PortForward] = ()
    hook: str = "evernat-ready"
    identity: Literal["eni"] = "eni"
    probe: str | None = None
    version: str = VERSION
    firewall: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the agent's `Firewall` that are not as usual; see `Gateway.firewall`."""
    places: Sequence[str] = PLACES
    """Of the internet, `address:port`, that the egress check asks."""

    def json(self) -> str:
        """The file's text, the same for equal settings."""
        return _text(self)


@dataclass(frozen=True)
class GatewayConfig:
    """A gateway that is an address, as its nodes know it. `standby` is empty when nobody stands by.

    `index`: slot -> which of the node's private addresses the gateway uses there. `tables` are route table ids.
    """

    name: str
    address: str
    home: str
    standby: str
    index: Mapping[str, int]
    tables: Sequence[str]
    clients: Sequence[str]
    forwards: Sequence[PortForward] = ()


@dataclass(frozen=True)
class ClusterConfig:
    """All a node in a slot is told: the gateways it can hold, and how members find and trust each other."""

    stack: str
    slot: str
    slots: Sequence[str]
    gateways: Sequence[GatewayConfig]
    group: str
    key_parameter: str
    port: int = 4817
    hook: str = "evernat-ready"
    identity: Literal["address"] = "address"
    probe: str | None = None
    version: str = VERSION
    firewall: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the agent's `Firewall` that are not as usual; see `Gateway.firewall`."""
    places: Sequence[str] = PLACES
    """Of the internet, `address:port`, that the egress check asks."""

    def json(self) -> str:
        """The file's text, the same for equal settings."""
        return _text(self)


def _text(config: NodeConfig | ClusterConfig) -> str:
    code = list(parameters(config.stack, config.identity))
    return f"{encode({**asdict(config), 'code': code}, NESTED)}\n"
