"""Values of a plan that are known only while it is carried out, as data: ids of things the plan itself makes."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from evernat.bundle import (
    ClusterConfig,
    GatewayConfig,
    NodeConfig,
    PortForward,
    agent_policy,
    cluster_policy,
    user_data,
)

Known = Mapping[str, str]
"""Names of references and the ids behind them."""

NONCE = "nonce"
"""The reference that client tokens are made of: one per run, so a retry in the same run is recognized by AWS."""


class UnresolvedError(LookupError):
    """A reference to something that does not exist yet."""


@dataclass(frozen=True)
class Ref:
    """The id of a part, for instance `Ref("interface")`."""

    name: str


@dataclass(frozen=True)
class Token:
    """A client token for the creation of a part."""

    part: str


@dataclass(frozen=True)
class Json:
    """A document that AWS takes as text."""

    value: Any


@dataclass(frozen=True)
class UserData:
    """The node's user data, base64. `config` has the fields of `bundle.NodeConfig` or `bundle.ClusterConfig`."""

    config: Mapping[str, Any]
    write_files: tuple[Mapping[str, Any], ...] = ()
    runcmd: tuple[Any, ...] = ()


@dataclass(frozen=True)
class AgentPolicy:
    """The inline policy of the node's role, as text. `arguments` are those of `bundle.permissions.agent_policy`."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class ClusterPolicy:
    """The same for nodes whose gateways are addresses: arguments of `bundle.permissions.cluster_policy`."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Secret:
    """32 random bytes, as hex. Made while the call is made and kept nowhere: not in the plan, not in a log."""


def resolve(value: Any, known: Known) -> Any:
    """`value` with every reference replaced. Raises UnresolvedError naming the first one that is not known."""
    if isinstance(value, Ref):
        if value.name not in known:
            raise UnresolvedError(value.name)
        return known[value.name]
    if isinstance(value, Token):
        return hashlib.sha256(f"{known[NONCE]} {value.part}".encode()).hexdigest()[:32]
    if isinstance(value, Json):
        return json.dumps(resolve(value.value, known), sort_keys=True)
    if isinstance(value, UserData):
        return _user_data(json.dumps([resolve(value.config, known), value.write_files, value.runcmd]))
    if isinstance(value, AgentPolicy):
        return json.dumps(agent_policy(**resolve(value.arguments, known)), sort_keys=True)
    if isinstance(value, ClusterPolicy):
        return json.dumps(cluster_policy(**resolve(value.arguments, known)), sort_keys=True)
    if isinstance(value, Secret):
        return secrets.token_hex(32)
    if isinstance(value, Mapping):
        return {key: resolve(inner, known) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(inner, known) for inner in value]
    return value


@lru_cache(maxsize=32)
def _user_data(asked: str) -> str:
    """User data for settings as JSON; one plan asks for the same several times, and it is slow to build."""
    settings, write_files, runcmd = json.loads(asked)
    config = _cluster_config(settings) if settings.get("identity") == "address" else _node_config(settings)
    made = user_data(config, write_files=write_files, runcmd=runcmd)
    return base64.b64encode(made).decode()


def _node_config(settings: dict[str, Any]) -> NodeConfig:
    return NodeConfig(**{**settings, "forwards": _forwards(settings)})


def _cluster_config(settings: dict[str, Any]) -> ClusterConfig:
    gateways = [GatewayConfig(**{**g, "forwards": _forwards(g)}) for g in settings["gateways"]]
    return ClusterConfig(**{**settings, "gateways": gateways})


def _forwards(settings: Mapping[str, Any]) -> tuple[PortForward, ...]:
    return tuple(PortForward(**forward) for forward in settings["forwards"])
