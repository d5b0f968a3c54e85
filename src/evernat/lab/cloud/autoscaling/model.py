"""Auto Scaling groups and what belongs to them, as plain records."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.resources import utc_now

LifecycleState = Literal[
    "Pending",
    "Pending:Wait",
    "Pending:Proceed",
    "InService",
    "Terminating",
    "Terminating:Wait",
    "Terminating:Proceed",
    "Terminated",
    "Standby",
]

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"

PROCESSES = (
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
)
"""Processes that can be suspended (user guide, suspend and resume)."""


@dataclass
class GroupTag:
    """A tag of a group, and whether its instances get it too."""

    key: str
    value: str
    propagate: bool


@dataclass
class Hook:
    """A lifecycle hook. Times in seconds."""

    name: str
    transition: str
    heartbeat: float = 3600.0
    default_result: str = "ABANDON"
    metadata: str = ""

    @property
    def total(self) -> float:
        """How long an instance may wait in all: 48 hours or 100 heartbeats, whichever is less."""
        return min(172800.0, 100 * self.heartbeat)


@dataclass
class Wait:
    """An instance waits for a hook. Times by the cloud's clock."""

    hook: str
    token: str
    deadline: float
    limit: float


@dataclass
class Member:
    """An instance of a group."""

    instance_id: str
    zone: str
    subnet_id: str
    instance_type: str
    template: tuple[str, str, str]
    """(id, name, version) of its launch template."""
    spot: bool
    joined: float
    state: LifecycleState = "Pending"
    healthy: bool = True
    sentenced: bool = False
    """Unhealthy because somebody said so (SetInstanceHealth)."""
    protected: bool = False
    in_service_since: float | None = None
    wait: Wait | None = None
    hooks_done: list[str] = field(default_factory=list)
    retiring: str = ""
    """Why it is to be replaced by one that is launched before it ends; empty if it is not."""
    activity: Activity | None = None
    skip_hooks: bool = False

    @property
    def leaving(self) -> bool:
        """On the way out."""
        return self.state.startswith("Terminat")


@dataclass
class Activity:
    """A scaling activity."""

    id: str
    description: str
    cause: str
    start: datetime.datetime
    status: str = "InProgress"
    message: str = ""
    end: datetime.datetime | None = None
    details: str = "{}"

    def finish(self, status: str, message: str = "") -> None:
        """It ended well or badly."""
        self.status, self.message, self.end = status, message, utc_now()


@dataclass
class Refresh:
    """An instance refresh."""

    id: str
    start: datetime.datetime
    preferences: dict[str, Any]
    todo: list[str]
    """Instances still to be replaced, the one being replaced first."""
    total: int
    since: float
    """When it began, by the cloud's clock."""
    status: str = "Pending"
    reason: str = ""
    end: datetime.datetime | None = None
    desired_configuration: dict[str, Any] | None = None


@dataclass
class Group:
    """An Auto Scaling group."""

    name: str
    arn: str
    minimum: int
    maximum: int
    desired: int
    subnets: list[str]
    created: datetime.datetime
    template: dict[str, Any] | None = None
    mixed: dict[str, Any] | None = None
    tags: dict[str, GroupTag] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    activities: list[Activity] = field(default_factory=list)
    refreshes: list[Refresh] = field(default_factory=list)
    suspended: set[str] = field(default_factory=set)
    cooldown: int = 300
    grace: float = 0.0
    health_check_type: str = "EC2"
    policies: list[str] = field(default_factory=lambda: ["Default"])
    protect_new: bool = False
    capacity_rebalance: bool = False
    max_lifetime: int | None = None
    maintenance: dict[str, int] | None = None
    warmup: int | None = None
    deleting: bool = False
    retry_at: float = 0.0
    failures: int = 0
    cause: str = ""
    """Why the next change of capacity happens, for the activity log."""

    def runs(self, process: str) -> bool:
        """Whether a process is not suspended."""
        return process not in self.suspended

    def staying(self) -> list[Member]:
        """The members that are not on the way out."""
        return [m for m in self.members.values() if not m.leaving]

    def log(self, description: str, cause: str) -> Activity:
        """Begin a scaling activity."""
        stamp = utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
        activity = Activity(str(uuid.uuid4()), description, f"At {stamp} {cause}", utc_now())
        self.activities.insert(0, activity)
        del self.activities[100:]
        return activity


def new_arn(region: str, account: str, name: str) -> str:
    """The ARN of a group."""
    return (
        f"arn:aws:autoscaling:{region}:{account}:autoScalingGroup:{uuid.uuid4()}:autoScalingGroupName/{name}"
    )


def make_hook(params: dict[str, Any]) -> Hook:
    """A hook from the parameters of PutLifecycleHook or of a LifecycleHookSpecification."""
    transition = params.get("LifecycleTransition", "")
    if transition not in (LAUNCHING, TERMINATING):
        raise AwsError("ValidationError", f"Unknown lifecycle transition: {transition!r}")
    heartbeat = float(params.get("HeartbeatTimeout") or 3600)
    if not 30 <= heartbeat <= 7200:
        raise AwsError("ValidationError", "HeartbeatTimeout must be between 30 and 7200 seconds.")
    return Hook(
        name=params.get("LifecycleHookName", ""),
        transition=transition,
        heartbeat=heartbeat,
        default_result=params.get("DefaultResult") or "ABANDON",
        metadata=params.get("NotificationMetadata") or "",
    )
