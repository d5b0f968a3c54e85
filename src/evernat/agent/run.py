"""Observe -> decide -> act, for ever."""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import time
from pathlib import Path
from typing import Any

from . import decide, status
from .effects import link
from .effects.ec2 import Cloud, RefusedError
from .effects.imds import Metadata
from .effects.nft import Nft
from .effects.probe import seen_from
from .effects.web import UnansweredError
from .model import (
    Action,
    Attach,
    Complete,
    Config,
    Detach,
    Host,
    Interface,
    Prepare,
    Proof,
    Seen,
    State,
    Unknown,
)

CONFIG = "/etc/evernat/agent.json"
UNSEEN = Unknown("not looked at yet")
ERRORS = (UnansweredError, RefusedError, OSError)


def log(event: str, **fields: object) -> None:
    """One line on standard output."""
    print(json.dumps({"event": event, **fields}, default=sorted), flush=True)


def notify(text: str) -> None:
    """Tell systemd."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(text.encode(), path.replace("@", "\0", 1) if path[0] == "@" else path)


class Agent:
    """Holds the effects, and the facts last seen with the time of the look."""

    def __init__(self, config: Config, host: Host, cloud: Cloud):
        self.host, self.cloud = host, cloud
        self.nft = Nft(config.clients)
        now = time.monotonic()
        self.state = State(config, since=now, started=now, begun=now)
        self.facts: dict[str, Any] = {"tools": "not looked at yet", "link": ""}
        self.times: dict[str, float] = {}
        self.hook = self.trouble = ""
        self.said: dict[str, object] = {}
        self.notes: list[str] = []

    def turn(self) -> float:
        """One round; gives the seconds until the next."""
        for fact, period in decide.LOOKS[self.state.role].items():
            if time.monotonic() - self.times.get(fact, float("-inf")) >= period:
                self._look(fact)
        before, now = self.state, time.monotonic()
        self.state, actions = decide.step(before, self.seen(), now)
        if self.state.role is not before.role:
            log("role", old=before.role.value, new=self.state.role.value, cause=self.state.cause)
            self.times.pop("proof", None)
        for action in actions:
            self._perform(action)
        notes = [self.nft.note, *self.notes]
        status.write(status.report(self.state, self.seen(), self.host, notes, now, time.time()))
        notify("WATCHDOG=1")
        if actions or self.state.role is not before.role:
            return 0.0
        now, looks = time.monotonic(), decide.LOOKS[self.state.role]
        wait = min(self.times.get(fact, now) + period - now for fact, period in looks.items())
        return max(wait, 0.02) * random.uniform(0.9, 1.1)  # noqa: S311

    def seen(self) -> Seen:
        """The observation."""
        facts = {
            name: self.facts.get(name, UNSEEN)
            for name in ("interface", "holder", "faults", "proof", "targets")
        }
        return Seen(
            me=self.host.instance,
            subnet=self.host.subnet,
            tools=self.facts["tools"],
            link=self.facts["link"],
            elements=self.nft.elements,
            hook=self.hook,
            trouble=self.trouble,
            **facts,
        )

    def _look(self, fact: str) -> None:
        """Learn one fact; what cannot be learned is unknown, with the reason."""
        try:
            value = getattr(self, f"_look_{fact}")()
        except ERRORS as error:
            if fact in ("tools", "link"):
                raise  # nothing of the cloud's: out of memory or files; systemd starts us anew
            value = Unknown(str(error))
            if value != self.facts.get(fact):
                log("unknown", fact=fact, reason=value.reason)
        self.facts[fact] = value
        self.times[fact] = time.monotonic()

    def _look_tools(self) -> str:
        return self.nft.tools()

    def _look_interface(self) -> Interface:
        return self.cloud.interface(self.state.config.interface)

    def _look_holder(self) -> str | Unknown:
        interface = self.facts["interface"]
        if isinstance(interface, Unknown) or not interface.holder:
            return UNSEEN
        return self.cloud.state(interface.holder)

    def _look_link(self) -> str:
        interface = self.facts.get("interface", UNSEEN)
        known = self.state.interface if isinstance(interface, Unknown) else interface
        return link.device(known.mac) if known else ""

    def _look_faults(self) -> tuple[str, ...] | Unknown:
        gateway = decide.gateway(self.state, self.seen())
        return (*self.nft.faults(), *link.faults(gateway)) if gateway else UNSEEN

    def _look_proof(self) -> Proof | Unknown:
        known = self.state.interface
        if not known or not known.public:
            return UNSEEN
        url = self.state.config.probe or self.host.probe()
        return Proof(seen_from(known.address, url, self.host.endpoint("ec2")), time.monotonic())

    def _look_targets(self) -> dict[str, str]:
        wanted = {forward.target for forward in self.state.config.forwards if forward.dynamic}
        if not wanted or not self.state.interface:
            return {}
        return self.cloud.addresses(self.state.interface.vpc, sorted(wanted))

    def _perform(self, action: Action) -> None:
        self.trouble = ""
        try:
            result = self._act(action)
        except ERRORS as error:
            self.trouble = result = str(error)
        said = {"action": type(action).__name__, **action._asdict(), "result": result}
        if said != self.said:
            log("action", **said)
        self.said = said

    def _act(self, action: Action) -> str:
        config = self.state.config
        if isinstance(action, Attach):
            self.cloud.attach(action.interface)
        elif isinstance(action, Detach):
            self.cloud.detach(action.attachment, action.force)
        elif isinstance(action, Prepare):
            self.nft.load(action.gateway, action.elements)
            self.notes = [f"not set: {name}" for name in link.prepare(action.gateway)]
        elif isinstance(action, Complete):
            there = self.cloud.complete(config.group, config.hook, action.result)
            self.hook = "answered" if there else "none"
            return self.hook
        else:
            self.nft.update(action.elements)
        # What was seen before is of another time.
        self.times.clear()
        return "ok"


def main(arguments: list[str]) -> int:
    """Run the daemon."""
    config = Config.parse(Path(arguments[0] if arguments else CONFIG).read_text())
    notify("READY=1")
    metadata = Metadata()
    host = _host(metadata)
    log(
        "start",
        version=config.version,
        stack=config.stack,
        instance=host.instance,
        python=sys.version.split()[0],
    )
    agent = Agent(config, host, Cloud(host, metadata))
    while True:
        time.sleep(agent.turn())


def _host(metadata: Metadata) -> Host:
    """Wait for the metadata: after a reboot the network may come later than we do."""
    said = ""
    while True:
        try:
            return metadata.host()
        except UnansweredError as error:
            if said != str(error):
                log("unknown", fact="host", reason=str(error))
            said = str(error)
            notify("WATCHDOG=1")
            time.sleep(0.3)
