"""Latency profiles: how long the lab's cloud takes for things AWS takes time for. Seconds throughout."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Profile:
    """One set of latencies. `calls`: API action -> delay before its effect, `default_call` for the rest."""

    name: str
    calls: dict[str, float] = field(default_factory=dict)
    default_call: float = 0.0
    pending: float = 0.0
    """RunInstances accepted -> running (the machine begins to boot)."""
    boot: float = 0.0
    """Added before user data runs."""
    shutting_down: float = 0.0
    """TerminateInstances -> terminated."""
    interface_release: float = 0.3
    """terminated -> its persistent interface is available."""
    health: float = 1.0
    """machine dead or unreachable -> status check failed."""
    group_tick: float = 0.2
    """How often the Auto Scaling reconciler looks."""
    public_address: float = 0.0
    """AssociateAddress answered -> packets follow."""
    package_install: float = 0.0
    """`dnf install nftables`."""


NONE = Profile(name="none")

AWS = Profile(
    name="aws",
    # None of these was measured on AWS by this project.
    calls={
        # 3-6 s until traffic flows, reported in the field: the call, then `public_address`.
        "AssociateAddress": 1.0,
        # Nothing was found; taken for a write like any other.
        "DisassociateAddress": 0.5,
        # 1-3 s to take effect, reported in the field.
        "ReplaceRoute": 1.5,
        "CreateRoute": 1.0,
        # Boot path only; writes like any other.
        "ModifyNetworkInterfaceAttribute": 0.5,
        "ModifyInstanceAttribute": 0.5,
        "CompleteLifecycleAction": 0.3,
        "RunInstances": 1.5,
        "AttachNetworkInterface": 1.0,
    },
    # An API round trip within the region: every Describe, GetParameter and all that is not named above.
    default_call=0.12,
    pending=3.0,
    boot=15.0,
    shutting_down=5.0,
    interface_release=8.0,
    health=60.0,
    group_tick=10.0,
    public_address=3.0,
    package_install=4.0,
)

PROFILES = {p.name: p for p in (NONE, AWS)}
