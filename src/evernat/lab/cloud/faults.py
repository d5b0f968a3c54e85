"""Faults to inject into the API and the cloud behind it."""

from __future__ import annotations

import fnmatch
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from evernat.lab.cloud.errors import AwsError

THROTTLES = {"ec2": ("RequestLimitExceeded", 503)}
"""EC2 throttles with its own code (EC2 API error codes); the other services with `Throttling`."""

MESSAGES = {
    "AddressLimitExceeded": "The maximum number of addresses has been reached.",
    "RulesPerSecurityGroupLimitExceeded": "The maximum number of rules per security group has been reached.",
    "SecurityGroupLimitExceeded": "The maximum number of security groups has been reached.",
    "VcpuLimitExceeded": "You have requested more vCPU capacity than your current vCPU limit allows.",
    "InsufficientInstanceCapacity": "There is no capacity of the requested type in the requested zone.",
    "UnauthorizedOperation": "You are not authorized to perform this operation.",
    "AccessDenied": "User is not authorized to perform this operation.",
    "ExpiredToken": "The security token included in the request is expired",
    "RequestExpired": "Request has expired.",
}

STATUSES = {
    "UnauthorizedOperation": 403,
    "AccessDenied": 403,
    "ExpiredToken": 403,
    "InternalError": 500,
    "Unavailable": 503,
    "ServiceUnavailable": 503,
    "InsufficientInstanceCapacity": 500,
}

Kind = Literal["error", "throttle", "drop-before", "drop-after", "delay", "late", "stale"]

PLAIN: dict[str, Kind] = {
    "throttle": "throttle",
    "drop-before": "drop-before",
    "drop-after": "drop-after",
    "delay": "delay",
    "late": "late",
    "stale": "stale",
}
"""Every kind that is not an error code of AWS."""


@dataclass
class Fault:
    """One fault: on calls that match `action`, skip `nth - 1` of them, then strike `times` of them (-1: all)."""

    action: str
    kind: Kind
    code: str = ""
    seconds: float = 0.0
    times: int = 1
    nth: int = 1
    principal: str = "*"
    seen: int = 0
    struck: int = 0
    kept: dict[str, Any] = field(default_factory=dict)
    """Of a `stale` fault: what each read was answered first."""

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it should."""
        return 0 <= self.times <= self.struck

    def matches(self, service: str, action: str, principal: str) -> bool:
        """Whether a call is meant: by `Action` or `service:Action`, with shell patterns."""
        name = f"{service}:{action}"
        by_name = fnmatch.fnmatchcase(name, self.action) or fnmatch.fnmatchcase(action, self.action)
        return by_name and fnmatch.fnmatchcase(principal, self.principal)


@dataclass
class Faults:
    """The faults in force. All methods may be called from any thread."""

    listed: list[Fault] = field(default_factory=list)
    stuck_interface: float | None = None
    """Seconds from `terminated` to the release of its interfaces; None: what the profile says."""
    capacity: set[tuple[str, str]] = field(default_factory=set)
    """(instance type, zone) pairs without capacity; "*" stands for any."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        action: str,
        kind: str,
        *,
        times: int = 1,
        nth: int = 1,
        seconds: float = 0.0,
        principal: str = "*",
    ) -> Fault:
        """Strike calls of `action` ("RunInstances", "ec2:*", "*").

        `kind`: an error code of AWS, or `throttle`, `drop-before` (the connection is cut and nothing happened),
        `drop-after` (it happened, then the connection is cut), `delay` (it happens after `seconds`), `late` (it happens
        at once, the answer comes after `seconds`), `stale` (a read is answered as it was the first time it was asked
        in this way; strikes no write). `times`: -1 is for ever. `nth`: 1 is the next call. `principal`: pattern of the
        caller ("user", or an instance id).
        """
        fault = Fault(
            action=action,
            kind=PLAIN.get(kind, "error"),
            code="" if kind in PLAIN else kind,
            seconds=seconds,
            times=times,
            nth=nth,
            principal=principal,
        )
        with self._lock:
            self.listed.append(fault)
        return fault

    def interface_release(self, seconds: float | None) -> None:
        """How long a terminated instance keeps its persistent interface; None: as the profile says."""
        self.stuck_interface = seconds

    def no_capacity(self, instance_type: str = "*", zone: str = "*") -> None:
        """RunInstances finds no capacity for this type in this zone."""
        self.capacity.add((instance_type, zone))

    def lacks_capacity(self, instance_type: str, zone: str) -> bool:
        """Whether a launch of this type in this zone must fail."""
        pairs = ((instance_type, zone), ("*", zone), (instance_type, "*"), ("*", "*"))
        return any(pair in self.capacity for pair in pairs)

    def clear(self) -> None:
        """No faults any more."""
        with self._lock:
            self.listed.clear()
        self.stuck_interface = None
        self.capacity.clear()

    def strike(self, service: str, action: str, principal: str) -> Fault | None:
        """The fault that hits this call, if any; counts the call."""
        with self._lock:
            hit: Fault | None = None
            for fault in self.listed:
                if not fault.matches(service, action, principal):
                    continue
                fault.seen += 1
                if hit is None and fault.seen >= fault.nth and not fault.spent:
                    fault.struck += 1
                    hit = fault
            return hit


def as_error(fault: Fault, service: str) -> AwsError:
    """The error an `error` or `throttle` fault answers with."""
    if fault.kind == "throttle":
        code, status = THROTTLES.get(service, ("Throttling", 400))
        return AwsError(code, "Request limit exceeded." if service == "ec2" else "Rate exceeded", status)
    message = MESSAGES.get(fault.code, f"Injected by the lab: {fault.code}.")
    return AwsError(fault.code, message, STATUSES.get(fault.code, 400))
