"""What lives and moves in the lab's cloud, and is therefore ours and not moto's.

moto keeps what only has to be stored: VPCs, subnets, gateways, security groups, tags, roles. Instances, interfaces,
addresses, launch templates and groups have behaviour that moto leaves out; they are plain records here.
"""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass, field
from typing import Any

from evernat.lab.world import InstanceState

STATE_CODES: dict[str, int] = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
"""EC2's numbers for instance states (API reference, InstanceState)."""


def new_id(prefix: str) -> str:
    """A fresh id in EC2's long form: prefix and 17 hexadecimal digits."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def new_mac() -> str:
    """A fresh MAC address, locally administered and unicast."""
    return "06:" + ":".join(f"{b:02x}" for b in secrets.token_bytes(5))


def utc_now() -> datetime.datetime:
    """Wall time for timestamps in answers. Decisions use the cloud's own clock."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


@dataclass
class Plug:
    """An interface's attachment to an instance."""

    id: str
    instance_id: str
    device_index: int
    delete_on_termination: bool
    since: datetime.datetime
    status: str = "attached"


@dataclass(frozen=True)
class RouteRecord:
    """A route that somebody made, or a gateway announced. `kind` is eni, igw, nat, or one of `ec2_targets`."""

    destination: str
    kind: str
    target_id: str
    origin: str = "CreateRoute"


@dataclass
class Interface:
    """A network interface; the primary private address comes first."""

    id: str
    vpc_id: str
    subnet_id: str
    zone: str
    mac: str
    addresses: list[str]
    groups: list[str]
    description: str = ""
    source_dest_check: bool = True
    plug: Plug | None = None
    auto_public: str = ""
    """An auto-assigned public address on the primary private address."""
    kind: str = "interface"
    """`interface`, or `nat_gateway` for one that a NAT gateway manages."""
    client_token: str = ""


@dataclass
class ElasticIp:
    """An Elastic IP and where it is associated. `effective` is when packets follow (clock of the cloud)."""

    allocation_id: str
    public_ip: str
    association_id: str = ""
    interface_id: str = ""
    private_ip: str = ""
    effective: float = 0.0


@dataclass
class Volume:
    """An EBS volume; the lab only keeps its record."""

    id: str
    zone: str
    size: int
    type: str
    encrypted: bool
    created: datetime.datetime
    iops: int = 3000
    throughput: int = 125
    snapshot_id: str = ""
    instance_id: str = ""
    device: str = ""
    delete_on_termination: bool = True


@dataclass
class NatGatewayRecord:
    """A managed NAT gateway with the interface it manages."""

    id: str
    vpc_id: str
    subnet_id: str
    interface_id: str
    allocation_id: str
    state: str
    created: datetime.datetime
    public: bool = True


@dataclass
class Machine:
    """An instance: what the API says about it, and what the machine behind it does."""

    id: str
    reservation_id: str
    state: InstanceState
    image_id: str
    instance_type: str
    architecture: str
    vpc_id: str
    subnet_id: str
    zone: str
    launched: datetime.datetime
    user_data: bytes = b""
    key_name: str = ""
    client_token: str = ""
    profile_arn: str = ""
    profile_association: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    shutdown_behavior: str = "stop"
    spot: bool = False
    spot_request_id: str = ""
    cpu_credits: str = ""
    monitoring: bool = False
    template: tuple[str, str] = ("", "")
    """(launch template id, version) it was launched from."""
    termination_protected: bool = False
    root_device: str = "/dev/xvda"
    auto_public_wanted: bool = False
    reason: tuple[str, str] = ("", "")
    """(code, message) of the last change of state."""
    host: str = ""
    boots: int = 0
    plugged_in: bool = True
    """False once somebody pulled the plug."""
    connected: bool = True
    lossy: int = 0
    parted: int = 0
    """The last two: see `world.Instance`."""
    healthy: bool = True
    """What the status checks say."""
    trouble: int = 0
    """Counts plug and cable events, so a status check timer knows whether its event still holds."""
    spot_action: tuple[str, str] | None = None
    rebalance: str = ""
    owner: str = ""
    """Name of the Auto Scaling group it belongs to."""
    posted: bytes = b""
    """Its console as of shortly after its last start or reboot."""

    @property
    def powered(self) -> bool:
        """Whether the machine runs: it stays on through shutting-down and stopping, as a real one does."""
        return self.plugged_in and self.state in ("running", "shutting-down", "stopping")

    @property
    def alive(self) -> bool:
        """Neither terminated nor on the way there."""
        return self.state not in ("shutting-down", "terminated")


@dataclass
class TemplateVersion:
    """One version of a launch template; `data` is a RequestLaunchTemplateData."""

    number: int
    data: dict[str, Any]
    description: str
    created: datetime.datetime


@dataclass
class Template:
    """A launch template."""

    id: str
    name: str
    created: datetime.datetime
    versions: dict[int, TemplateVersion]
    default: int = 1
    client_token: str = ""

    @property
    def latest(self) -> int:
        """The highest version number."""
        return max(self.versions)
