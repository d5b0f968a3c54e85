"""Observe -> decide -> act, for ever."""

from __future__ import annotations

import random
import time
from typing import Any, NoReturn

from . import decide, report, ruleset, status
from .common import Host, Proof
from .contract import OPENINGS_EVERY
from .daemon import log, notify
from .effects import EffectError, kernel, link, openings
from .effects.ec2 import Cloud
from .effects.imds import Metadata
from .effects.nft import Nft
from .effects.probe import seen_from
from .kernel import firewall, limits
from .model import (
    UNSEEN,
    Action,
    Attach,
    Complete,
    Config,
    Detach,
    Elements,
    Gateway,
    Prepare,
    Seen,
    State,
    Unknown,
    Update,
)


class Agent:
    """The effects, and what was last seen through them; `times` says when each fact was looked at."""

    def __init__(self, config: Config, host: Host, cloud: Cloud):
        now = time.monotonic()
        self.state = State(config, since=now, started=now, begun=now)
        self.seen = Seen(host.instance, host.subnet)
        self.times: dict[str, float] = {}
        self.said: dict[str, object] = {}
        self.notes: list[str] = []
        self.host, self.cloud, self.nft = host, cloud, Nft(config.firewall.fast_path == "on")
        self.site, self.openings = openings.found(Metadata(), host.subnet, config.clients)
        self.opened = float("-inf")  # when it was looked at what users let in
        self.loaded = False  # the table, by this process
        self.elements: Elements = frozenset()  # loaded in the maps
        self.looks = {
            "tools": self.nft.tools,
            "interface": lambda: cloud.interface(config.interface),
            "link": lambda: kernel.device(self.state.interface.mac) if self.state.interface else "",
            "faults": self._faults,
            "proof": self._proof,
            "targets": self._targets,
        }
        self.acts: dict[type, Any] = {
            Attach: cloud.attach,
            Detach: cloud.detach,
            Prepare: self._prepare,
            Update: self._update,
            Complete: self._complete,
        }

    def turn(self) -> float:
        """One round; gives the seconds until the next."""
        for fact, period in decide.LOOKS[self.state.role].items():
            if time.monotonic() - self.times.get(fact, float("-inf")) >= period:
                self._look(fact)
                notify("WATCHDOG=1")
        before, now = self.state, time.monotonic()
        self.state, actions = decide.step(before, self.seen, now)
        changed = self.state.role is not before.role
        if changed:
            log("role", old=before.role.value, new=self.state.role.value, cause=self.state.cause)
            self.times.pop("proof", None)
        for action in actions:
            self._act(action)
        self._open(now)
        notes = [*self.notes, *self.openings.notes]
        status.write(report.report(self.state, self.seen, notes, now, time.time()))
        if actions or changed:
            return 0.0
        due = min(self.times[fact] + period for fact, period in decide.LOOKS[self.state.role].items())
        return max(due - time.monotonic(), 0.02) * random.uniform(0.9, 1.1)  # noqa: S311

    def _look(self, fact: str) -> None:
        """Learn one fact; what cannot be learned is unknown, with the reason."""
        try:
            value: Any = self.looks[fact]()
        except EffectError as error:
            value = Unknown(str(error))
            if value != getattr(self.seen, fact):
                log("unknown", fact=fact, reason=value.reason)
        self.seen = self.seen._replace(**{fact: value})
        self.times[fact] = time.monotonic()

    def _act(self, action: Action) -> None:
        trouble = ""
        try:
            self.acts[type(action)](*action)
        except EffectError as error:
            trouble = str(error)
        self.seen = self.seen._replace(trouble=trouble, elements=self.elements)
        self.times.clear()  # what was seen before is of another time
        said = {"action": type(action).__name__, **action._asdict(), "result": trouble or "ok"}
        if said != self.said:
            log("action", **said)
        self.said = said

    def _open(self, now: float) -> None:
        """Keep the firewall open for what users let in by rules of their own."""
        if now - self.opened < OPENINGS_EVERY:
            return
        self.opened = now
        try:
            if self.openings.look(self.cloud) and self.loaded:
                self.nft.change(firewall.reopened(self.openings.current))
        except EffectError as error:
            log("unknown", fact="openings", reason=str(error))

    def _faults(self) -> tuple[str, ...] | Unknown:
        gateway = decide.gateway(self.state, self.seen)
        return (*self.nft.faults(), *link.faults(gateway)) if gateway else UNSEEN

    def _proof(self) -> Proof | Unknown:
        known = self.state.interface
        if not known or not known.public:
            return UNSEEN
        url = self.state.config.probe or self.host.probe()
        return Proof(seen_from(known.address, url, self.host.endpoint("ec2")), time.monotonic())

    def _targets(self) -> dict[str, str]:
        wanted = {forward.target for forward in self.state.config.forwards if forward.dynamic}
        known = self.state.interface
        return self.cloud.addresses(known.vpc, sorted(wanted)) if wanted and known else {}

    def _prepare(self, gateway: Gateway, elements: Elements) -> None:
        clients, settings = self.state.config.clients, self.state.config.firewall
        place = self.site, settings, self.openings.current
        self.nft.load(lambda fast: ruleset.table(gateway, clients, elements, fast, *place))
        self.elements, self.loaded = elements, True
        refused = link.prepare(gateway, settings.idle_timeout)
        unlimited = self.nft.bound(limits.of(clients, 1, settings, kernel.room()))
        missing = [self.nft.note, unlimited, *(f"not set: {path}" for path in refused)]
        self.notes = [*filter(None, missing)]

    def _update(self, elements: Elements) -> None:
        self.nft.change(ruleset.update(self.elements, elements))
        self.elements = elements

    def _complete(self, result: str) -> None:
        config = self.state.config
        there = self.cloud.complete(config.group, config.hook, result)
        self.seen = self.seen._replace(hook="answered" if there else "none")


def run(settings: str, host: Host) -> NoReturn:
    """The daemon, for ever."""
    agent = Agent(Config.parse(settings), host, Cloud(host, Metadata()))
    while True:
        time.sleep(agent.turn())
