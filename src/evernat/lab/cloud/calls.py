"""The log of every API call the front has seen, with what IAM needs to judge it afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evernat.lab.cloud.iam import Context, Resource


@dataclass
class Call:
    """One API call. `principal` is "user", or the instance whose role made it; `time` is wall time in seconds."""

    time: float
    principal: str
    role: str
    service: str
    action: str
    params: dict[str, Any] = field(repr=False)
    source: str = ""
    """The caller's address."""
    error: str | None = None
    """AWS's error code, `dropped` if a fault cut the connection before anything happened, None on success."""
    resources: tuple[Resource, ...] = ()
    context: Context = field(default_factory=dict)
    changed: bool = False
    """Whether the world looked different afterwards."""

    @property
    def name(self) -> str:
        """The action as a policy names it, such as `ec2:AttachNetworkInterface`."""
        return f"{self.service}:{self.action}"


def shown(action: str, params: dict[str, Any]) -> dict[str, Any]:
    """A call's parameters as the log may keep them: without the secret of a SecureString."""
    if action == "PutParameter" and params.get("Type") == "SecureString":
        return params | {"Value": "***"}
    return params
