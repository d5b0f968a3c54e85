"""Observe -> decide -> act, for ever.

One thread decides, and sees to the kernel of this machine. What may take its time (AWS's API, the metadata, the
internet) runs in threads and comes back as a change of what is seen, so a repair never waits for it.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, Optional

from . import contract, decide, report, ruleset, status
from .common import Host
from .contract import OPENINGS_EVERY
from .daemon import insist, log, notify, survive
from .effects import EffectError, kernel, link, openings, uplink
from .effects.ec2 import Cloud
from .effects.egress import DIRECT, Client
from .effects.guard import Guard
from .effects.imds import Metadata
from .effects.listen import Listener
from .effects.nft import Nft
from .effects.replacement import replace
from .kernel import firewall, limits
from .kernel.primary import Uplink
from .machine import hops
from .model import (
    UNSEEN,
    Action,
    Attach,
    Complete,
    Config,
    Detach,
    Elements,
    Gateway,
    Interface,
    Prepare,
    Replace,
    Seen,
    State,
    Uncheck,
    Unknown,
    Update,
)
from .values import Egress

CHECK = 2.0  # seconds a place of the internet has to answer: time for one SYN to be repeated
QUIET = (
    0.1  # seconds between two polls that the kernel's notifications cause: our own changes are notified too
)
BUSY = 1.0  # the same where somebody changes something all the time that is not ours
LONGEST = 30.0  # seconds without a turn, well below systemd's watchdog
KERNEL = ("link", "faults", "proof")
"""Facts that change when the kernel's settings do."""

ALWAYS = {
    "report": 2.0,
    "openings": OPENINGS_EVERY,
}  # seconds between two rounds of what no decision waits for


class Agent:
    """The effects, and what was last seen through them; `times` says when a poll of each fact last began."""

    def __init__(self, config: Config, host: Host):
        now = time.monotonic()
        self.state = State(config, since=now, started=now, begun=now)
        self.seen = Seen(host.instance, host.subnet)
        self.config, self.host = config, host
        self.nft, self.guard, self.listener = Nft(config.firewall.fast_path == "on"), Guard(), Listener()
        self.client = Client(config.places, config.probe or host.probe(), 1)
        self.times: dict[str, float] = {}
        self.in_flight: set[str] = set()
        self.acted = now  # when the last action ended: what was seen before is of another time
        self.heard = now  # when the kernel's notifications last caused a poll
        self.quiet = QUIET
        self.disturbed = False  # since then there were more
        self.clouds: dict[str, Cloud] = {}  # a connection is for one thread at a time
        self.results: deque[Callable[[], None]] = deque()
        self.bell, self.waker = socket.socketpair()
        self.waker.setblocking(False)
        self.uplink: Optional[Uplink] = None
        self.elements: Elements = frozenset()  # loaded in the maps
        self.said: dict[str, object] = {}
        self.notes: list[str] = []
        self.site, self.openings = openings.found(Metadata(), host.subnet, config.clients)
        self.loaded = False  # the table, by this process
        self.caught: dict[str, int] = {}
        self.told = report.Told()
        self.untold: object = None
        self.local: dict[str, Callable[[], Any]] = {
            "tools": self.nft.tools,
            "link": self._link,
            "faults": self._faults,
        }
        self.remote: dict[str, Callable[[Cloud], Any]] = {
            "interface": lambda cloud: cloud.interface(config.interface),
            "proof": self._proof,
            "targets": self._targets,
            "report": self._report,
            "openings": self.openings.look,
        }
        self.acts: dict[type, Callable[..., Any]] = {
            Prepare: self._prepare,
            Update: self._update,
            Attach: Cloud.attach,
            Detach: Cloud.detach,
            Uncheck: Cloud.uncheck,
            Replace: lambda cloud: replace(cloud, config.stack, host.instance),
            Complete: self._complete,
        }

    def run(self) -> NoReturn:
        """For ever."""
        wait = 0.0
        while True:
            heard: list[Any] = [self.bell, self.listener]
            select.select(heard, [], [], wait)
            survive("turn", self.turn, self.caught)
            wait = self._due()

    def turn(self) -> None:
        """One round."""
        notify("WATCHDOG=1")
        self._receive()
        self._hear_kernel()
        for fact in [*self._periods()]:
            if self._wait(fact, time.monotonic()) <= 0:
                self._poll(fact)
        before, now = self.state, time.monotonic()
        self.state, actions = decide.step(before, self.seen, now)
        if self.state.role is not before.role:
            log("role", old=before.role.value, new=self.state.role.value, cause=self.state.cause)
            self.seen = self.seen._replace(trouble="")  # of a role that is over
            self.times.pop("proof", None)
        for action in actions:
            self._act(action)
        status.write(report.status(self.state, self.seen, self._problems(), now, time.time()))

    def _periods(self) -> dict[str, float]:
        return {**decide.LOOKS[self.state.role], **ALWAYS}

    def _wait(self, fact: str, now: float) -> float:
        """Seconds until a fact has to be polled again."""
        if fact in self.in_flight:
            return LONGEST
        return self.times.get(fact, float("-inf")) + self._periods()[fact] - now

    def _due(self) -> float:
        now = time.monotonic()
        soonest = min(self._wait(fact, now) for fact in self._periods())
        if self.disturbed:
            soonest = min(soonest, self.heard + self.quiet - now)
        return min(max(soonest, 0.02) * random.uniform(0.9, 1.1), LONGEST)  # noqa: S311

    def _receive(self) -> None:
        """Take in what threads brought."""
        if select.select([self.bell], [], [], 0)[0]:
            self.bell.recv(4096)
        while self.results:
            self.results.popleft()()

    def _hear_kernel(self) -> None:
        """Poll at once when anybody changed this machine's links, addresses, routes, rules or tables."""
        self.disturbed = self.listener.drain() or self.disturbed
        now = time.monotonic()
        if self.disturbed and now - self.heard >= self.quiet:
            self.quiet = min(2 * self.quiet, BUSY) if now - self.heard < 2 * BUSY else QUIET
            self.heard, self.disturbed = now, False
            self._forget(*KERNEL)

    def _forget(self, *facts: str) -> None:
        """Have them polled at once."""
        for fact in facts:
            self.times.pop(fact, None)

    def _poll(self, fact: str) -> None:
        now = self.times[fact] = time.monotonic()
        if fact in self.local:
            self._learn(fact, now, _known(self.local[fact]))
        else:
            look = self.remote[fact]
            self._later(fact, lambda cloud: look(cloud), lambda found: self._learn(fact, now, found))

    def _learn(self, fact: str, began: float, found: Any) -> None:
        """Take in one fact; what cannot be learned is unknown, with the reason."""
        if fact == "report":
            self._untold(found)
            return
        if fact == "openings":
            self._reopen(found)
            return
        if began < self.acted:
            self._forget(fact)
            return
        if isinstance(found, Unknown) and found not in (UNSEEN, getattr(self.seen, fact)):
            log("unknown", fact=fact, reason=found.reason)
        if fact == "faults" and found:
            self.quiet = QUIET
        known = self.state.interface
        if known and isinstance(found, Interface) and found.public != known.public:
            self.client.renew(0)
        changes = {fact: found}
        if fact == "proof" and not isinstance(found, Unknown):
            changes = dict(zip(("proof", "direct"), found))
            if known and found[0].address != known.public:
                self.client.renew(0)
        self.seen = self.seen._replace(**changes)

    def _reopen(self, changed: Any) -> None:
        """Keep the firewall open for what users let in by rules of their own."""
        if isinstance(changed, Unknown):
            log("unknown", fact="openings", reason=changed.reason)
        elif changed and self.loaded:
            opened = _known(lambda: self.nft.change(firewall.reopened(self.openings.current)))
            if isinstance(opened, Unknown):
                log("unknown", fact="openings", reason=opened.reason)

    def _untold(self, found: Any) -> None:
        """A report that did not arrive: logged when the reason is another one."""
        if isinstance(found, Unknown) and found != self.untold:
            log("unknown", fact="report", reason=found.reason)
        self.untold = found

    def _act(self, action: Action) -> None:
        """Do it; it says which fields of `seen` it changes, besides those that are polled anyway."""
        do, name = self.acts[type(action)], type(action).__name__
        local = isinstance(action, (Prepare, Update))

        def ended(result: Any) -> None:
            trouble = result.reason if isinstance(result, Unknown) else ""
            self.acted = time.monotonic()
            more = {} if trouble else result or {}
            self.seen = self.seen._replace(trouble=trouble, elements=self.elements, **more)
            self._forget(*(KERNEL if local else self.times.copy()))
            said = {"action": name, **action._asdict(), "result": trouble or "ok"}
            if said != self.said:
                log("action", **said)
            self.said = said

        if local:
            ended(_known(lambda: do(*action)))
        elif name not in self.in_flight:
            self._later(name, lambda cloud: do(cloud, *action), ended)

    def _later(self, name: str, do: Callable[[Cloud], Any], then: Callable[[Any], None]) -> None:
        """Do it in a thread, then go on here with what it gives, or with Unknown."""
        result: list[Any] = [Unknown(f"{name} crashed")]

        def work() -> None:
            cloud = self.clouds.setdefault(name, Cloud(self.host, Metadata()))
            result[0] = _known(lambda: do(cloud))

        def finish() -> None:
            self.in_flight.discard(name)
            then(result[0])

        def body() -> None:
            try:
                survive(name, work, self.caught)
            finally:
                self.results.append(finish)
                with contextlib.suppress(OSError):
                    self.waker.send(b"!")

        threading.Thread(target=body, daemon=True).start()
        self.in_flight.add(name)

    def _problems(self) -> list[str]:
        return report.problems(self.seen, [*self.notes, *self.openings.notes], self.caught)

    # Facts.

    def _link(self) -> str:
        return kernel.device(self.state.interface.mac) if self.state.interface else ""

    def _faults(self) -> tuple[str, ...] | Unknown:
        gateway = decide.gateway(self.state, self.seen)
        if not gateway:
            return UNSEEN
        own = uplink.faults(self.uplink) if self.uplink else []
        return (*self.nft.faults(), *link.faults(gateway), *own)

    def _proof(self, cloud: Cloud) -> tuple[Egress, Egress | Unknown] | Unknown:
        """The check of the clients' way; when that fails, at which hop, and whether the node itself gets out."""
        known = self.state.interface
        if not known or not known.public:
            return UNSEEN
        found = self.client.check(0, CHECK)
        if found.ok:
            return found, UNSEEN
        direct = self.client.check(DIRECT, CHECK)
        faults = () if isinstance(self.seen.faults, Unknown) else self.seen.faults
        return hops.located(found, faults, self.nft.foreign(), direct), direct

    def _targets(self, cloud: Cloud) -> dict[str, str]:
        wanted = {forward.target for forward in self.config.forwards if forward.dynamic}
        known = self.state.interface
        return cloud.addresses(known.vpc, sorted(wanted)) if wanted and known else {}

    def _report(self, cloud: Cloud) -> None:
        """Learns nothing: tells of what we hold those who reach AWS's API only."""
        if not self.uplink:
            self._find_uplink()
        now, wrong = time.monotonic(), self._problems()
        told = report.due(self.state, self.seen, wrong, self.told, now)
        if told:
            text = json.dumps(report.of_gateway(self.state, self.seen, wrong, now, time.time()))
            cloud.put(contract.report(self.config.stack, self.config.stack), text)
            self.told = told  # one that got lost is made up for soon: a connection dies when an address moves

    def _find_uplink(self) -> None:
        metadata = Metadata()
        mac = metadata.get("meta-data/mac")
        addresses = metadata.get(f"meta-data/network/interfaces/macs/{mac}/local-ipv4s").split()
        device = kernel.device(mac)
        if device and addresses:
            self.uplink = Uplink(device, tuple(addresses), self.host.subnet)

    # Actions.

    def _prepare(self, gateway: Gateway, elements: Elements) -> None:
        clients, settings = self.config.clients, self.config.firewall
        place = self.site, settings, self.openings.current
        self.guard.protect([gateway.address])
        if self.nft.faults() or elements != self.elements:
            self.nft.load(lambda fast: ruleset.table(gateway, clients, elements, fast, *place))
            self.elements, self.loaded = elements, True
        if self.uplink:
            uplink.prepare(self.uplink)
        refused = link.prepare(gateway, settings.idle_timeout)
        unlimited = self.nft.bound(limits.of(clients, 1, settings, kernel.room()))
        missing = [self.nft.note, unlimited, *(f"not set: {path}" for path in refused)]
        self.notes = [*filter(None, missing)]

    def _update(self, elements: Elements) -> None:
        self.nft.change(ruleset.update(self.elements, elements))
        self.elements = elements

    def _complete(self, cloud: Cloud, result: str) -> dict[str, str]:
        config = self.config
        if result == "ABANDON":
            text = json.dumps(report.of_node(self.state, self.seen, self._problems(), time.time()))
            with contextlib.suppress(EffectError):
                cloud.put(contract.report(config.stack, "node"), text)
        there = cloud.complete(config.group, config.hook, result)
        return {"hook": "answered" if there else "none"}


def _known(do: Callable[[], Any]) -> Any:
    """What it gives, or Unknown with the reason why it does not."""
    try:
        return do()
    except EffectError as error:
        return Unknown(str(error))


def run(settings: str, host: Host) -> NoReturn:
    """The daemon, for ever."""
    config = Config.parse(settings)
    insist("metadata", lambda: Agent(config, host)).run()
