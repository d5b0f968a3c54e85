"""A plan as data. Whoever carries it out has nothing left to decide.

Order matters for safety, and stands here: a step's calls run in order, steps run in order, and a run may be cut off
after any call. That is safe because every call either creates a thing already tagged with the stack's name (so the
next plan finds it), or changes one that the next plan looks at again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evernat.stack.names import Part

Verb = Literal["create", "change", "replace", "delete", "wait"]


@dataclass(frozen=True)
class Call:
    """One API call. Params may hold the references of `values`."""

    service: str
    operation: str
    params: Mapping[str, Any]
    yields: tuple[tuple[str, str], ...] = ()
    """(reference name, path in the answer such as `NetworkInterface.NetworkInterfaceId`)."""
    done: tuple[str, ...] = ()
    """AWS error codes that mean it is so already, for instance NotFound when deleting."""
    patient: tuple[str, ...] = ()
    """Error codes (or words of the message) that pass by themselves: tried again for a bounded time."""
    otherwise: Call | None = None
    """What to do instead when AWS refuses it."""
    undo: Call | None = None
    """What takes it back when AWS refuses a later call of the same step."""
    remedy: str = ""
    """What the user can do when AWS refuses it, where that is known better than by the error's code."""


@dataclass(frozen=True)
class Wait:
    """Wait for the world. `what` names a condition in `wait`, `subject` is what it is about.

    Two of them ask for what they wait for: `vacated` for handovers, `replaced` for an instance refresh.
    """

    what: Literal["ready", "group-gone", "interface-free", "serving", "vacated", "replaced"]
    subject: Any = ""
    rolled: tuple[str, ...] = ()
    """For `ready`: instances that are being replaced, which do not count. For `replaced`: those that shall go.

    The subject of `ready` has `address`, for `readiness.unproven`, and `led`: whether route tables count too."""


@dataclass(frozen=True)
class Change:
    """A field that gets another value."""

    field: str
    old: str
    new: str


@dataclass(frozen=True)
class Step:
    """What happens to one part: `because` says why when it is not plain from the changes."""

    verb: Verb
    part: Part | Literal["gateway"]
    title: str
    actions: tuple[Call | Wait, ...]
    changes: tuple[Change, ...] = ()
    because: str = ""


@dataclass(frozen=True)
class Plan:
    """Ordered steps for one stack, with the ids that are known before the first of them."""

    stack: str
    region: str
    purpose: Literal["deploy", "destroy"]
    steps: tuple[Step, ...]
    known: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    resources: int = 0
    """How many resources the stack consists of once it is complete."""
    public_addresses: int = 0
    """How many public IPv4 addresses are paid for then."""

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.verb != "wait")

    def count(self, verb: Verb) -> int:
        """How many steps do this."""
        return sum(step.verb == verb for step in self.steps)
