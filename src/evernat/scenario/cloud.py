"""The part of AWS that decides who owns a gateway, in virtual time: associations, routes, instances, failing calls.

Writes take effect half-way between asking and answering. Reads may show the past. A call may be refused, throttled,
lost before it had an effect, or after: then nobody hears that it had one. An Elastic IP that comes to a node's primary
address, or leaves it, breaks that node's connections at that moment: answers that were under way are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from evernat.scenario.layout import Layout

T = TypeVar("T")

TIMEOUT = 5.0
"""Seconds until a node gives up waiting for an answer."""

HANG = 60.0
"""The same, when the answer begins to come, and does not end."""


FOREIGN = "nat-1"
"""Somebody else's NAT, where a route may lead at first; it works."""


class History(Generic[T]):
    """One value, and what it was before."""

    __slots__ = ("times", "values")

    def __init__(self, value: T, now: float = float("-inf")):
        self.times, self.values = [now], [value]

    @property
    def now(self) -> T:
        """The value."""
        return self.values[-1]

    def set(self, value: T, now: float) -> None:
        """Change it."""
        self.times.append(now)
        self.values.append(value)

    def at(self, time: float) -> T:
        """What it was then."""
        for index in range(len(self.times) - 1, 0, -1):
            if self.times[index] <= time:
                return self.values[index]
        return self.values[0]


class Association(NamedTuple):
    """Where an Elastic IP leads."""

    id: str
    interface: str
    instance: str
    place: int  # the number of the private address on its interface


class Instance(NamedTuple):
    """An instance, by AWS's record. Its interface and first private address go by its name."""

    id: str
    slot: str
    state: str


class Refused(NamedTuple):
    """AWS said no; nothing was done."""

    code: str


BUSY = Refused("RequestLimitExceeded")
DENIED = Refused("UnauthorizedOperation")


class Unanswered(NamedTuple):
    """Nobody knows whether it was done."""


class Cloud:
    """AWS's record.

    `cut` is told which instances lose their connections, `stir` that looks of some names are about to show another
    thing, and who will lose its connections by that. `led` is where the tables lead at first.
    """

    def __init__(
        self,
        layout: Layout,
        cut: Callable[[str], None],
        stir: Callable[..., None] = lambda *_, cut="": None,
        led: str = "",
    ):
        names = [gateway.name for gateway in layout.gateways]
        self.owners: dict[str, History[Association | None]] = {name: History(None) for name in names}
        self.routes = {table: History(led) for gateway in layout.gateways for table in gateway.tables}
        self.wishes = {name: History("") for name in names}
        self.instances: dict[str, History[Instance]] = {}
        self.cut, self.stir = cut, stir
        self.stale = 0.0
        self.associations = 0  # made so far
        self.moves = 0  # of addresses

    def launch(self, slot: str, now: float) -> Instance:
        """A new instance in that slot: i-a1, then i-a2, ..."""
        number = sum(1 for name in self.instances if name[2] == slot) + 1
        made = Instance(f"i-{slot}{number}", slot, "running")
        self.stir("members")
        self.instances[made.id] = History(made, now)
        return made

    def change(self, instance: str, state: str, now: float) -> None:
        """Another state. A terminated instance loses its Elastic IP; routes to it stay, and lead nowhere."""
        record = self.instances[instance]
        self.stir("members", "records", "egress")
        record.set(record.now._replace(state=state), now)
        if state == "terminated":
            for history in self.owners.values():
                if history.now and history.now.instance == instance:
                    history.set(None, now)

    def there(self, interface: str) -> bool:
        """Whether the interface exists: it goes with its instance."""
        record = self.instances.get("i-" + interface.removeprefix("eni-"))
        return bool(record) and record.now.state != "terminated"  # type: ignore[union-attr]

    def holder(self, gateway: str) -> str:
        """The instance that owns the gateway, "" when nobody does."""
        owner = self.owners[gateway].now
        return owner.instance if owner else ""

    def associate(self, gateway: str, interface: str, place: int, now: float) -> Any:
        """AllowReassociation=false: fails when somebody has it already."""
        if self.owners[gateway].now:
            return Refused("Resource.AlreadyAssociated")
        if not self.there(interface):
            return Refused("InvalidNetworkInterfaceID.NotFound")
        if any(h.now and (h.now.interface, h.now.place) == (interface, place) for h in self.owners.values()):
            return Refused("Resource.AlreadyAssociated")
        instance = "i-" + interface.removeprefix("eni-")
        self.associations += 1
        made = Association(f"eipassoc-{self.associations}", interface, instance, place)
        self.stir("records", "egress", cut="" if place else instance)
        self.owners[gateway].set(made, now)
        self.moves += 1
        if place == 0:
            self.cut(instance)
        return made.id

    def disassociate(self, association: str, now: float) -> Any:
        """Succeeds once: afterwards the id is not known any more."""
        for history in self.owners.values():
            if history.now and history.now.id == association:
                old = history.now
                self.stir("records", "egress", cut="" if old.place else old.instance)
                history.set(None, now)
                self.moves += 1
                if old.place == 0:
                    self.cut(old.instance)
                return None
        return Refused("InvalidAssociationID.NotFound")

    def replace_route(self, table: str, interface: str, now: float) -> Any:
        """The default route leads to that interface from now on."""
        if not self.there(interface):
            return Refused("InvalidNetworkInterfaceID.NotFound")
        if self.routes[table].now != interface:
            self.stir("routes")
            self.routes[table].set(interface, now)
        return None
