"""The run loop of a node whose gateways are addresses.

One thread decides and beats and never waits for anything; whatever may take time runs in a thread of its own and comes
back as a change of what is seen. Looks may overlap: when an address lands on this node or leaves it, its connections
die without a word, and only a fresh one finds out.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Optional

from . import cluster_report, contract, elect, rules, status
from .beat import Wire
from .cluster_model import OWN, Action, Beat, Config, Gate, Leave, Probe, Record, Route, Rules, Seen
from .common import Host
from .daemon import log, notify, survive
from .effects import EffectError, kernel, openings, uplink
from .effects.address import Cloud
from .effects.egress import OWN_WAY, Client
from .effects.guard import Guard
from .effects.imds import Metadata
from .effects.listen import Listener
from .effects.nft import Nft
from .effects.peer import Peers, urgent
from .effects.replacement import replace
from .kernel import firewall, limits
from .kernel.primary import Uplink
from .machine import fitness, hops, packets, view
from .node.merge import STOP, merge
from .sync import SyncProcess
from .values import Egress

BEAT = 0.05  # seconds between two heartbeats
STALL = 0.15  # a turn longer than this is a stall; below elect.DEAD - view.SILENT
AGAIN = 0.5  # seconds until a failed action may be tried again
AT_ONCE = 6  # looks at one fact under way,
HANGS = 1.0  # not counting those that began so long ago: their connection died as an address moved
MOST = 40  # but these too
ALWAYS = {  # seconds between two rounds of what no decision waits for
    "sync": 0.2,
    "report": 2.0,
    "openings": contract.OPENINGS_EVERY,
}
CHECK = 2.0  # seconds a place of the internet has to answer: time for one SYN to be repeated
LANDING = 1.0  # the same while an address moves: then a fresh connection is worth more than a repeated packet
QUIET = (
    0.1  # seconds between two looks that the kernel's notifications cause: our own changes are notified too
)

Found = dict[str, Any]
"""Fields of `Seen`."""


class Agent:
    """The effects, and what was last seen through them."""

    def __init__(self, config: Config, host: Host, metadata: Metadata, key: bytes):
        mac = metadata.get("meta-data/mac")
        card = f"meta-data/network/interfaces/macs/{mac}/"
        now = time.monotonic()
        self.config, self.host = config, host
        self.link = kernel.device(mac)
        addresses = tuple(metadata.addresses())
        self.uplink = Uplink(self.link, addresses, host.subnet)
        self.state = elect.begin(config, now)
        self.seen = Seen(host.instance, metadata.get(f"{card}interface-id"), addresses, now)
        self.newest: dict[str, float] = {}  # when the newest observation of a fact began
        self.beat = elect.speak(self.state, self.seen, now)  # the last one sent
        self.wire = Wire(key, config.stack, host.instance, os.urandom(8).hex())
        self.peers, self.nft = Peers(config.port), Nft(config.firewall.fast_path == "on")
        self.clients = [block for g in config.mine() for block in g.clients]
        self.site, self.openings = openings.found(metadata, host.subnet, self.clients)
        self.sentry = Guard()
        self.listener = Listener()
        self.client = Client(config.places, config.probe or host.probe(), len(config.mine()))
        self.suspect = False  # whether the check's own client may have been disturbed
        self.told_at = now  # when the kernel's notifications last caused a look
        self.sync = SyncProcess(key, config.port, host.instance, log)
        self.copies: Mapping[str, Any] = {}
        self.told: dict[str, cluster_report.Told] = {}
        self.clouds: list[Cloud] = []
        self.results: deque[tuple[float, Found]] = deque()
        self.ended: deque[tuple[Action, float]] = deque()
        self.bell, self.waker = socket.socketpair()
        self.waker.setblocking(False)
        self.machine = threading.Lock()  # one at a time changes the kernel
        self.busy: dict[Action, float] = {}  # and until when
        self.times: dict[str, float] = {}
        self.running: dict[str, list[float]] = {}  # looks under way: when they began
        self.unknown: dict[str, str] = {}
        self.said: dict[str, str] = {}  # the last outcome of each kind of action
        self.where: dict[str, str] = {}  # addresses of peers, by instance
        self.over: set[str] = set()  # associations that we ended
        self.notes: list[str] = []
        self.pace = ""  # why this process does not come first, empty when it does
        self.vpc = ""
        self.caught: dict[str, int] = {}  # unforeseen errors, by what was being done
        self.turned = self.beaten = self.written = now

    def run(self) -> NoReturn:
        """For ever."""
        self.pace = urgent()
        signal.signal(signal.SIGTERM, lambda *_: self.put({"notice": STOP}))
        while True:
            until = max(self.beaten + BEAT - time.monotonic(), 0.0)
            heard: list[Any] = [self.peers.socket, self.bell, self.listener]
            select.select(heard, [], [], until)
            survive("turn", self.turn, self.caught)

    def turn(self) -> None:
        """One round."""
        self._receive()
        now = time.monotonic()
        if not 0 <= now - self.turned < STALL:
            self.seen = self.seen._replace(awake=now)
        self.turned = now
        self.busy = {action: until for action, until in self.busy.items() if until > now}
        draining = {n for n, g in self.state.gates.items() if g.role is elect.HANDING}
        self.seen = self.seen._replace(busy=frozenset(self.busy), drained=self.seen.drained & draining)
        before = self.state
        self.state, actions = elect.step(before, self.seen, now)
        changed = False
        for name, gate in self.state.gates.items():
            if gate.role is not before.gates[name].role:
                changed = True
                log(
                    "role",
                    gateway=name,
                    old=before.gates[name].role.value,
                    new=gate.role.value,
                    cause=gate.cause,
                )
        # Said before it is done: who hears us last must know what our kernel may do next.
        self.seen = self.seen._replace(busy=self.seen.busy.union(actions))
        beat = elect.speak(self.state, self.seen, now)
        if now - self.beaten >= BEAT and packets.renews(self.state, self.seen, now):
            self.peers.renew()
        if now - self.beaten >= BEAT or elect.urgent(beat, self.beat):
            self._beat(beat, now)
        for action in actions:
            self._start(action, now)
        self._look(now, changed)
        if changed or now - self.written >= 1.0:
            self.written = now
            notify("WATCHDOG=1")
            status.write(self.report(now))

    def put(self, found: Found, at: float = 0.0) -> None:
        """Change what is seen, as observed at that time (now); from any thread."""
        self.results.append((at or time.monotonic(), found))
        self.ring()

    def ring(self) -> None:
        """Have the loop look at once what came."""
        with contextlib.suppress(OSError):
            self.waker.send(b"!")

    def _receive(self) -> None:
        if self.bell in select.select([self.bell], [], [], 0)[0]:
            self.bell.recv(4096)
        while self.results:
            at, found = self.results.popleft()
            self.seen = merge(self.seen, at, found, self.newest)
        self._hear_kernel()
        while self.ended:
            action, until = self.ended.popleft()
            self.busy[action] = until
        now = time.monotonic()
        for packet, address in self.peers.received():
            heard = self.wire.open(packet, now)
            if heard and heard.beat:
                self.where[heard.instance] = address
                self.seen = self.seen._replace(beats={**self.seen.beats, heard.instance: heard.beat})
            elif heard:
                self.peers.send(
                    self.wire.seal(elect.speak(self.state, self.seen, now), heard.session), address
                )

    def _hear_kernel(self) -> None:
        """Look at once when anybody changed the kernel's links, addresses, routes, rules or tables."""
        now = time.monotonic()
        if self.listener.drain():
            self.times.pop("faults", None)
            if now - self.told_at >= QUIET:
                self.told_at, self.suspect = now, True
                self.times.pop("egress", None)

    def _beat(self, beat: Beat, now: float) -> None:
        self.beaten, self.beat = now, beat
        for member in self.seen.members.values():
            if member.instance != self.seen.me and member.state in view.AUDIBLE:
                self.peers.send(self.wire.seal(beat, self.wire.echo(member.instance)), member.address)

    def _look(self, now: float, changed: bool) -> None:
        for fact, period in {**elect.looks(self.state, self.seen, now), **ALWAYS}.items():
            since = now - self.times.get(fact, -1e9)
            running = self.running.setdefault(fact, [])
            young = sum(now - began < HANGS for began in running)
            if young < AT_ONCE and len(running) < MOST and (since >= period or changed):
                self.times[fact] = now
                running.append(now)
                if not self._thread(self._learn, fact, now):
                    running.remove(now)

    def _learn(self, fact: str, began: float) -> None:
        try:
            self.put(self._with(getattr(self, f"_look_{fact}")), began)
            self.unknown.pop(fact, None)
        except EffectError as error:
            if self.unknown.get(fact) != str(error):
                log("unknown", fact=fact, reason=str(error))
            self.unknown[fact] = str(error)
        finally:
            self.running[fact].remove(began)

    def _with(self, use: Callable[..., Found], *asked: object) -> Found:
        """With a connection of its own, a fresh one while an address moves."""
        try:
            cloud = self.clouds.pop()
        except IndexError:
            cloud = Cloud(self.host, Metadata())
        now = time.monotonic()
        if any(elect.moving(gate, self.seen, now) for gate in self.state.gates.values()):
            cloud.hang_up()
        try:
            return use(cloud, *asked)
        finally:
            self.clouds.append(cloud)

    def _start(self, action: Action, now: float) -> None:
        if isinstance(action, Leave):
            self._beat(elect.speak(self.state, self.seen, now), now)  # the last word: we claim nothing
            log("leave")
            os._exit(0)
        if isinstance(action, Probe):
            address = self.where.get(action.instance)
            if address:
                self.busy[action] = now + BEAT / 2
                self.peers.send(self.wire.seal(elect.speak(self.state, self.seen, now), ""), address)
            return
        self.busy[action] = now + 1e9
        if not self._thread(self._act, action):
            self.busy[action] = now + AGAIN

    def _act(self, action: Action) -> None:
        *asked, verb = action
        result, wait = "crashed", AGAIN
        try:
            self.put(self._with(getattr(self, f"_do_{verb}"), *asked))
            result, wait = "ok", 0.0
        except EffectError as error:
            result = str(error)
        finally:
            self.ended.append((action, time.monotonic() + wait))
            self.ring()
            if self.said.get(verb) != result:
                log("action", action=verb, asked=asked, outcome=result)
            self.said[verb] = result

    def _thread(self, run: Callable[..., None], *arguments: object) -> bool:
        """False when there is no memory for one more."""

        def body() -> None:
            urgent()
            survive(run.__name__, lambda: run(*arguments), self.caught)

        try:
            threading.Thread(target=body, daemon=True).start()
        except RuntimeError as error:
            log("caught", what="thread", error=str(error))
            return False
        return True

    def _own(self, name: str) -> str:
        return view.address(self.state, self.state.gates[name], self.seen)

    # Looks and actions (`_do_` and the action's verb): each gives what it changes of what is seen.

    def _look_faults(self, cloud: Cloud) -> Found:
        with self.machine:
            wrong = self.nft.tools()
            found = [wrong] if wrong else [*self.nft.faults(), *uplink.faults(self.uplink)]
        return {"faults": tuple(found)}

    def _look_openings(self, cloud: Cloud) -> Found:
        """Observes nothing that decisions wait for; keeps the firewall open for what users let in."""
        if self.openings.look(cloud):
            with self.machine:
                if self.seen.loaded:
                    self.nft.change(firewall.reopened(self.openings.current))
        return {}

    def _look_check(self, cloud: Cloud) -> Found:
        checked, self.vpc = cloud.checked(self.seen.interface)
        return {"checked": checked}

    def _look_records(self, cloud: Cloud) -> Found:
        # What AWS told us is over never comes back: a look that shows it is an old one.
        found = cloud.records(self.config)
        return {"records": {name: r for name, r in found.items() if r.association not in self.over}}

    def _look_members(self, cloud: Cloud) -> Found:
        at = time.monotonic()
        return {"members": cloud.members(self.config.stack), "listed": at}

    def _look_routes(self, cloud: Cloud) -> Found:
        tables = [table for gateway in self.config.mine() for table in gateway.tables]
        return {"routes": cloud.routes(tables, self.seen.interface, self.seen.members)} if tables else {}

    def _look_egress(self, cloud: Cloud) -> Found:
        now, last = time.monotonic(), self.seen.egress.get(OWN)
        if self.suspect and not self.client.whole():
            self.client.close()
        self.suspect = False
        for number, gate in enumerate(self.state.gates.values()):
            if gate.role in (elect.CLAIMING, *elect.OURS):
                moving = elect.moving(gate, self.seen, now)
                if moving:  # another public address may be seen now
                    self.client.renew(number)
                self._check(gate.config.name, number, LANDING if moving else CHECK, last)
        if not last or not last.ok or now - last.at >= contract.CHECK_EVERY - 1:
            self._check(OWN, OWN_WAY, CHECK, None)
        return {}

    def _check(self, way: str, number: int, timeout: float, own: Optional[Egress]) -> None:
        found = self.client.check(number, timeout)
        if not found.ok:
            self.suspect = True
            found = hops.located(found, self.seen.faults, self.nft.foreign(), own)
        self.put({"egress": {way: found}})

    def _look_targets(self, cloud: Cloud) -> Found:
        wanted = {f.target for g in self.config.mine() for f in g.forwards if f.dynamic}
        return {"targets": cloud.addresses(self.vpc, sorted(wanted))} if wanted and self.vpc else {}

    def _look_notice(self, cloud: Cloud) -> Found:
        metadata = Metadata()  # of its own: looks overlap, a connection is for one at a time
        for path in ("spot/instance-action", "events/recommendations/rebalance"):
            with contextlib.suppress(EffectError):  # there is none
                metadata.get(f"meta-data/{path}")
                return {"notice": path}
        return {}

    def _look_sync(self, cloud: Cloud) -> Found:
        for name, gate in self.state.gates.items():
            other = self._partner(gate)
            member = self.seen.members.get(other)
            if gate.role in elect.OURS and member:
                self.sync.serve(name, member.address, other, self._own(name))
            elif gate.role in (elect.SYNCING, elect.STANDBY) and member:
                self.sync.follow(name, member.address, other, self._own(name))
            elif gate.role is not elect.CLAIMING and not (gate.record and not gate.record.association):
                self.sync.stop(name)  # but what nobody has is followed no less: we may have its connections
        self.copies = self.sync.status()
        synced = frozenset(n for n, c in self.copies.items() if c["role"] == "follow" and c["synced"])
        return {"synced": synced}

    def _look_report(self, cloud: Cloud) -> Found:
        """Learns nothing: tells of what we hold those who reach AWS's API only."""
        now = time.monotonic()
        for name, told in cluster_report.due(self.state, self.seen, self.copies, self.told, now).items():
            report = self.report(now)
            text = json.dumps({**report["gateways"][name], "at": report["at"]})
            cloud.put(contract.report(self.config.stack, name), text)
            self.told[name] = told  # one that is lost, because the address moved, is made up for at once
        return {}

    def _partner(self, gate: Gate) -> str:
        """With whom connections are exchanged."""
        if gate.role is elect.HANDING:
            return gate.to
        if gate.role in elect.OURS:
            others = view.peers(gate, self.seen, time.monotonic())
            return others[0].instance if others else ""
        return gate.record.instance if gate.record else ""

    def _do_prepare(self, cloud: Cloud, wanted: Rules) -> Found:
        addresses = {name: self._own(name) for name in self.state.gates}
        with self.machine:
            tools = self.nft.tools()
            if tools:
                raise EffectError(tools)
            self.sentry.protect(filter(None, addresses.values()))
            port, gateways = self.config.port, self.config.mine()
            first, settings = self.seen.addresses[0], self.config.firewall
            place = first, self.site, settings, self.openings.current
            self.nft.load(
                lambda fast: rules.table(gateways, addresses, wanted, port, self.link, fast, *place)
            )
            self.peers.renew()  # the new table has a fresh switch
            self.put({"loaded": wanted})  # before another one may load
            if self.seen.faults:
                refused = uplink.prepare(self.uplink, settings.idle_timeout)
                unlimited = self.nft.bound(limits.of(self.clients, len(gateways), settings, kernel.room()))
                missing = [self.pace, self.nft.note, unlimited, *(f"not set: {r}" for r in refused)]
                self.notes = [*filter(None, missing)]
        return self._look_faults(cloud)

    def _do_uncheck(self, cloud: Cloud) -> Found:
        cloud.uncheck(self.seen.interface)
        return {"checked": False}

    def _do_release(self, cloud: Cloud, gateway: str, association: str) -> Found:
        cloud.release(association)
        self.over.add(association)
        return self._written(gateway, "", "", "")

    def _do_take(self, cloud: Cloud, gateway: str) -> Found:
        address = self.state.gates[gateway].config.address
        association = cloud.take(address, self.seen.interface, self._own(gateway))
        return self._written(gateway, association, self.seen.me, self.seen.interface)

    def _written(self, gateway: str, association: str, instance: str, interface: str) -> Found:
        """Our own change is the newest there is."""
        old = self.seen.records[gateway]
        return {
            "records": {
                gateway: Record(association, instance, interface, old.public, old.handover, time.monotonic())
            }
        }

    def _do_point(self, cloud: Cloud, table: str, association: str) -> Found:
        cloud.point(table, self.seen.interface)
        return {"routes": {table: Route(True, time.monotonic())}}

    def _do_drain(self, cloud: Cloud, gateway: str) -> Found:
        if self.sync.drain(gateway, packets.DRAIN) is None:
            raise EffectError(f"the standby lacks connections after {packets.DRAIN} s")
        return {"drained": self.seen.drained | {gateway}}

    def _do_replace(self, cloud: Cloud, cause: str) -> Found:
        log("replace", cause=cause)
        self.put({"replaced": time.monotonic() + fitness.USELESS})  # whatever comes of it
        replace(cloud, self.config.stack, self.seen.me)
        return {}

    def _do_complete(self, cloud: Cloud, result: str) -> Found:
        if result == "ABANDON":
            text = json.dumps(cluster_report.of_node(self.state, self.seen, time.time()))
            with contextlib.suppress(EffectError):  # worse than not knowing why is not to be replaced
                cloud.put(contract.report(self.config.stack, f"node-{self.config.slot}"), text)
        there = cloud.complete(self.config.group, self.config.hook, result)
        return {"hook": "answered" if there else "none"}

    def report(self, now: float) -> Found:
        """The status as plain values."""
        return {
            **cluster_report.report(self.state, self.seen, self.copies, now, time.time()),
            "refused": self.wire.counts,
            "unknown": self.unknown,
            "notes": [*self.notes, *self.openings.notes],
            "caught": self.caught,
        }
