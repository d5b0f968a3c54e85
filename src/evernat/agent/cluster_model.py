"""The values a cluster node thinks in (`identity = "address"`). All are frozen.

A gateway's *generation* is AWS's id of its address's association: single-valued, new with each association, never
used again. Ids are compared for equality only. An *instance* is named by its id; all times are of one monotonic clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, Optional, Union

from . import contract
from .common import Forward, Targets
from .kernel.firewall import DEFAULT, Firewall
from .values import Egress

NOTHING: Mapping[str, str] = MappingProxyType({})
OWN = ""
"""In place of a gateway's name: the node's own way out, from its primary address."""


class Role(Enum):
    """What this node is to one gateway; `elect.ALLOWED` says which may follow which."""

    STARTING = "starting"  # this node could not forward yet
    SYNCING = "syncing"  # it could, but knows not all connections yet
    STANDBY = "standby"  # it could take the gateway at once
    CLAIMING = "claiming"  # it asks AWS for the address
    TAKING = (
        "taking"  # the address is ours by AWS's record; routes follow, nothing is forwarded before the proof
    )
    HOLDING = "holding"
    HANDING = "handing"  # nothing new begins here; when drained it is offered to another node


class Gateway(NamedTuple):
    """As configured. `places`, in the file `index`: slot -> which of the node's private addresses it has there."""

    name: str
    address: str
    home: str
    standby: str
    places: Mapping[str, int]
    tables: tuple[str, ...]
    clients: tuple[str, ...]
    forwards: tuple[Forward, ...] = ()


class Config(NamedTuple):
    """/etc/evernat/agent.json, written by the bundle."""

    stack: str
    identity: str
    slot: str
    slots: tuple[str, ...]
    gateways: tuple[Gateway, ...]
    group: str
    hook: str
    key_parameter: str
    code: tuple[str, ...]
    port: int
    probe: Optional[str]
    version: str
    places: tuple[str, ...] = contract.PLACES  # of the internet, `address:port`, that the egress check asks
    firewall: Firewall = DEFAULT

    @classmethod
    def parse(cls, text: str) -> Config:
        """Read the file's text; a missing or unknown key is a TypeError that names it."""
        raw = json.loads(text)
        for g in raw["gateways"]:
            g["forwards"] = tuple(Forward(**{**f, "ports": tuple(f["ports"])}) for f in g["forwards"])
            g["places"] = g.pop("index")
        raw["gateways"] = tuple(Gateway(**g) for g in raw["gateways"])
        raw["firewall"] = Firewall.parse(raw.get("firewall", {}))
        return cls(**raw)

    def mine(self) -> list[Gateway]:
        """The gateways this node may ever hold."""
        return [g for g in self.gateways if self.slot in (g.home, g.standby)]


class Record(NamedTuple):
    """AWS's record of a gateway's address. All empty but `public` when it is associated with nothing.

    `at` is when a look for it *began*; the answer to Release or Take is a record as well, `at` when it came.
    Whoever keeps records lets none replace one with a later `at`.
    """

    association: str
    instance: str
    interface: str
    public: str
    handover: str  # the operator's wish: `SLOT:NONCE`, or ""
    at: float


class Member(NamedTuple):
    """An instance of the stack by AWS's record."""

    instance: str
    slot: str
    address: str
    state: str
    launched: str


class Beat(NamedTuple):
    """The last heartbeat of a peer; `at` is when it arrived here."""

    instance: str
    slot: str
    at: float
    holds: Mapping[str, str] = NOTHING  # gateway -> generation, "" when it is claimed
    ready: Mapping[str, float] = MappingProxyType({})  # gateway it could take at once -> for how many seconds
    offers: Mapping[str, str] = NOTHING  # gateway -> the instance it is offered to, drained
    draining: bool = False  # it is about to go: offer it nothing
    ended: Mapping[str, str] = NOTHING  # gateway it took -> the association that was over when it did
    egress: float = -1.0  # seconds since its last check of its own way out began, if that passed; else -1
    leaving: bool = False  # it is being stopped, and claims nothing any more
    unguarded: frozenset[str] = frozenset()  # gateways it holds whose packets go on when it falls silent
    follows: Mapping[str, str] = NOTHING  # gateway it stands by for -> the generation that has it


class Route(NamedTuple):
    """A table's default route: whether it points to us, and whether to a live target that is not of this stack.

    `at` is when the poll began, or when our ReplaceRoute was answered.
    """

    here: bool
    at: float
    foreign: bool = False


class Rules(NamedTuple):
    """What the kernel should know: the gateways whose clients may pass, where dynamic forwards lead, who may beat.

    `contested` are those that another node may be taking, `ending` those in which no connection may begin.
    `held` are open ones whose packets wait, because they might leave with another address; `guarded` those whose
    packets must stop by themselves when this process does, because another node would take over.
    """

    open: frozenset[str] = frozenset()
    targets: frozenset[tuple[str, str]] = frozenset()
    members: frozenset[str] = frozenset()
    contested: frozenset[str] = frozenset()
    ending: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    guarded: frozenset[str] = frozenset()


class Seen(NamedTuple):
    """One observation. Whatever could not be learned is as it was last known: nothing is ever empty because of that.

    `awake` is since when this process has been running without a stall or a jump of the clock.
    """

    me: str
    interface: str  # our only one
    addresses: tuple[str, ...]  # its private addresses
    awake: float
    faults: tuple[str, ...] = ("not looked at yet",)  # what the kernel lacks to forward
    checked: Optional[bool] = None  # the source/destination check; None: not known yet
    loaded: Optional[Rules] = None  # into the kernel, by this process
    records: Mapping[str, Record] = MappingProxyType({})  # by gateway; what was never seen is not in here
    members: Mapping[str, Member] = MappingProxyType({})  # by instance, this one too
    listed: float = 0.0  # when the look that showed them began
    routes: Mapping[str, Route] = MappingProxyType({})  # by table; what was never seen is not in here
    beats: Mapping[str, Beat] = MappingProxyType({})  # by instance; those of the dead stay
    synced: frozenset[str] = (
        frozenset()
    )  # gateways whose connections we have, all of them, from the present holder
    drained: frozenset[str] = frozenset()  # gateways whose standby has every connection of ours
    egress: Mapping[str, Egress] = MappingProxyType({})  # last check of the way out: by gateway, and OWN
    targets: Targets = NOTHING
    notice: str = ""  # why this node should give away what it holds: "stop", or what the spot market says
    hook: str = ""  # the launch hook: "answered", "none" when AWS knew of none, "" before that
    replaced: float = 0.0  # before that this node does not ask to be replaced (again)
    busy: frozenset[Action] = frozenset()  # actions under way, or failed a moment ago


class Gate(NamedTuple):
    """What a node remembers of one gateway."""

    config: Gateway
    role: Role = Role.STARTING
    cause: str = "begun"
    since: float = 0.0  # when the role began
    record: Optional[Record] = None  # the last that was believed
    changed: float = 0.0  # since when it shows this generation, or none
    target: str = ""  # CLAIMING: the generation to end
    to: str = ""  # HANDING: the instance it is offered to
    until: float = 0.0  # no claim and no handover before that
    losses: int = 0  # how often another owner was seen, in short order
    nonce: str = ""  # the operator's last wish that was acted upon
    taken: float = 0.0  # when the claim began that made it ours, 0 when it was found here at the start
    why: str = ""  # and why
    previous: str = ""  # the last association known before the present one
    ended: str = ""  # the association that was over when we took it
    failed: float = 0.0  # HOLDING: since when its checks fail, 0 when the last one passed
    passed: float = 0.0  # when its last check that passed began
    behind: float = 0.0  # STANDBY: since when its holder is heard and its connections are not copied, else 0


class State(NamedTuple):
    """All a node remembers from one step to the next."""

    config: Config
    gates: Mapping[str, Gate]
    begun: float
    leaving: float = 0.0  # since when it is being stopped
    failed: float = 0.0  # since when the checks of our own way out fail, 0 when the last one passed
    passed: float = 0.0  # when the last one that passed began
    outdone: float = 0.0  # since when clients do not get out here while others do


# What a node may do. `verb` keeps two actions about one gateway apart: tuples of different types may be equal.


class Probe(NamedTuple):
    """Ask a silent peer for an immediate answer."""

    instance: str
    verb: str = "probe"


class Prepare(NamedTuple):
    """Make the kernel route and translate by these rules. No call to AWS: such a one may hang."""

    rules: Rules
    verb: str = "prepare"


class Uncheck(NamedTuple):
    """Turn the source/destination check off."""

    verb: str = "uncheck"


class Release(NamedTuple):
    """End an association: it succeeds for one of several who try. Success is a Record of nobody's."""

    gateway: str
    association: str
    verb: str = "release"


class Take(NamedTuple):
    """Associate the address with us; refused when it has an association. Success is a Record of ours."""

    gateway: str
    verb: str = "take"


class Point(NamedTuple):
    """Lead a table's default route to us, since we have this generation or ("") are about to. Success is a Route."""

    table: str
    association: str
    verb: str = "point"


class Drain(NamedTuple):
    """Wait until the standby has every connection (`Seen.drained`)."""

    gateway: str
    verb: str = "drain"


class Replace(NamedTuple):
    """Have the Auto Scaling group replace this node: it is of no use, and others get out."""

    cause: str
    verb: str = "replace"


class Complete(NamedTuple):
    """Answer the launch hook: CONTINUE or ABANDON."""

    result: str
    verb: str = "complete"


class Leave(NamedTuple):
    """End the process."""

    verb: str = "leave"


Action = Union[Probe, Prepare, Uncheck, Release, Take, Point, Drain, Replace, Complete, Leave]
