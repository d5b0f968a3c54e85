"""The values the agent thinks in. All are frozen; ids, addresses and CIDR blocks are text as AWS writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, Union

from . import contract
from .common import Forward, Targets
from .kernel.firewall import DEFAULT, Firewall
from .values import Egress


class Role(Enum):
    """What this node is doing about its gateway; `decide.ALLOWED` says which may follow which."""

    STARTING = "starting"
    WAITING = "waiting"  # another instance has the interface, and is alive for all we know
    RELEASING = "releasing"  # the instance that has it is gone or going
    ATTACHING = "attaching"
    PREPARING = "preparing"  # the interface is here, the kernel is not yet as it must be
    PROVING = "proving"
    HOLDING = "holding"
    FAILED = "failed"


class Config(NamedTuple):
    """/etc/evernat/agent.json, written by the bundle."""

    stack: str
    identity: str
    interface: str
    address: str | None
    clients: tuple[str, ...]
    forwards: tuple[Forward, ...]
    group: str
    hook: str
    probe: str | None
    version: str
    code: tuple[str, ...]
    places: tuple[str, ...] = contract.PLACES  # of the internet, `address:port`, that the egress check asks
    firewall: Firewall = DEFAULT

    @classmethod
    def parse(cls, text: str) -> Config:
        """Read the file's text; a missing or unknown key is a TypeError that names it."""
        raw = json.loads(text)
        forwards = (Forward(**{**f, "ports": tuple(f["ports"])}) for f in raw.pop("forwards"))
        raw["firewall"] = Firewall.parse(raw.get("firewall", {}))
        return cls(forwards=tuple(forwards), **raw)


class Unknown(NamedTuple):
    """What could not be learned, and why. Never the same as absent: nothing is ever taken away because of it."""

    reason: str


UNSEEN = Unknown("not looked at yet")


class Interface(NamedTuple):
    """The persistent interface by AWS's record. Empty text: no public address, no holder.

    `state` is the holder's when that is another instance, empty when AWS lists no such instance.
    """

    id: str
    mac: str
    address: str
    public: str
    checked: bool
    vpc: str
    attachment: str
    holder: str
    state: str


class Gateway(NamedTuple):
    """What the kernel has to know of the gateway; `subnet` is the CIDR block its address lies in."""

    link: str
    address: str
    subnet: str


class Element(NamedTuple):
    """One element of a map in our nftables table."""

    map: str
    key: str
    value: str


Elements = frozenset[Element]


class Seen(NamedTuple):
    """One observation; each field is as fresh as `decide.LOOKS` demands, or unknown."""

    me: str
    subnet: str
    interface: Interface | Unknown = UNSEEN
    tools: str = "not looked for yet"  # why nft cannot be run yet, "" when it can
    link: str = ""  # the device with the interface's MAC, "" when it is not plugged in here
    faults: tuple[str, ...] | Unknown = UNSEEN  # what the kernel lacks
    elements: Elements = frozenset()  # loaded in the maps
    proof: Egress | Unknown = UNSEEN  # the last check of the clients' way out
    direct: Egress | Unknown = UNSEEN  # of the node's own sockets; looked at while the other one fails
    targets: Targets | Unknown = UNSEEN
    hook: str = ""  # the launch hook: "answered", "none" when AWS knew of none, "" before that
    trouble: str = ""  # why the last action failed


class State(NamedTuple):
    """All the agent remembers from one step to the next. Times are those of the clock that is passed in."""

    config: Config
    role: Role = Role.STARTING
    cause: str = ""
    since: float = 0.0  # when the role began
    started: float = 0.0  # when the way to HOLDING began
    begun: float = 0.0  # when the agent began
    asked: Sequence[Action] = ()  # last, in this role, and when
    asked_at: float = 0.0
    failing: float = (
        0.0  # when the first of the checks began that fail in a row, 0.0 when the last one passed
    )
    repaired: float = 0.0  # when the kernel was last set up, and how often lately
    repairs: float = 0.0
    insisted: float = float("-inf")  # when this node last asked to be replaced
    interface: Interface | None = None  # as last known
    targets: Targets = MappingProxyType({})


class Attach(NamedTuple):
    """Plug the interface into this instance."""

    interface: str


class Detach(NamedTuple):
    """Unplug it from an instance that is gone or going."""

    attachment: str
    force: bool


class Uncheck(NamedTuple):
    """Turn the interface's source/destination check off: with it AWS drops what clients send."""

    interface: str


class Prepare(NamedTuple):
    """Make the kernel route and translate: rules first, forwarding last."""

    gateway: Gateway
    elements: Elements


class Update(NamedTuple):
    """Replace the map elements that changed."""

    elements: Elements


class Replace(NamedTuple):
    """Have the Auto Scaling group replace this node."""


class Complete(NamedTuple):
    """Answer the launch hook: CONTINUE or ABANDON."""

    result: str


Action = Union[Attach, Detach, Uncheck, Prepare, Update, Replace, Complete]
