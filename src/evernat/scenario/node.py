"""A node in virtual time: the agent's real `elect.step` in a loop like that of `agent/cluster.py`.

`looks` and `acts` do what the loop asks for. What is a fact about the machine (`kernel`, `checked`, `copies`) is kept
apart from what the agent has seen of it (`seen`): it learns only by looking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from evernat.agent import elect
from evernat.agent.cluster_model import Action, Beat, Role, Rules, Seen, State
from evernat.agent.machine import packets
from evernat.scenario import acts, looks
from evernat.scenario.air import Ear, Said
from evernat.scenario.invariants import BrokenError

if TYPE_CHECKING:
    from evernat.scenario.world import World

BOOT = 1.0
"""Seconds from the launch of an instance to its agent's start."""

PULSE = 0.2
"""Seconds the kernel's switch stays on after the last heartbeat that renewed it."""

FOREVER = float("inf")

STALLED = 0.15
"""A round of the agent's loop that takes longer is a stall: what was seen before is of another time."""


class Node:
    """One instance and its agent."""

    STOPPED = 2.0
    """Seconds from a stop of the agent's unit to its next start."""

    def __init__(self, world: World, instance: str, slot: str, number: int):
        self.world, self.id, self.slot = world, instance, slot
        self.interface = "eni-" + instance.removeprefix("i-")
        self.addresses = tuple(f"172.18.128.{number + place}" for place in (10, 90, 170))
        self.config = world.layout.config(slot)
        self.mine = self.config.mine()
        self.launched = world.now
        self.powered = self.api = True
        self.running = False  # the agent's process
        self.connection = 0  # another number when its connections to the API broke
        self.offset = 0.0  # of its clock
        self.faults: list[tuple[str, str]] = []  # calls that will fail, and how
        self.kernel: Rules | None = None  # the rules in the kernel, None when there are none
        self.loading = 0.0  # until when rules are being loaded
        self.wiped = 0.0  # when somebody flushed them
        self.blocked = self.offline = False  # a foreign chain drops what it forwards; no internet for it
        self.quiet: dict[str, float] = {}  # then: since when it had not heard whom
        self.pulse = 0.0  # until when the kernel lets guarded gateways' packets out: the dead man's switch
        self.checked = True  # the source/destination check
        self.unchecked = False  # this process turned it off
        self.copies: dict[
            str, tuple[str, float]
        ] = {}  # gateway -> whose flows we copy, complete from when on
        self.lagging = 0.0  # until then the copies are behind
        self.ended: dict[str, float] = {}  # associations, and when it was told so
        self.notice = ""
        self.replaced = False
        self.replaces: Node | None = None  # to be terminated when this one is ready
        self.ready = False  # the launch hook was answered
        self.process = 0  # counts starts of the agent
        self.stalled = 0.0  # until then nothing of the agent runs
        self.said: Said | None = None  # its heartbeat, and since when it is this one
        self.state: State | None = None
        self.seen = self._nothing()
        self.newest: dict[str, float] = {}  # when the newest observation of a fact began
        self.ears: dict[str, Ear] = {}
        self.looked: dict[str, float] = {}  # when it looked for what
        self.flying: dict[str, list[float]] = {}  # and which looks are under way: when they began
        self.returns = False  # it was stopped, and will be started again
        self.fresh: dict[str, float] = {}  # when the last look began
        self.shown: dict[str, float] = {}  # when the last one began that was answered
        self.idle: dict[str, float] = {}  # looks that are left out, and their periods
        self.periods: Mapping[str, float] = {}  # of its looks, as they are now
        self.due = looks.PROMPTLY  # when the next look is
        self.decides = 0.0  # when the next decision is
        self.copying = 0.0  # until when flows are copied
        self.watching = 0.0  # until then it must not take anything, by the world's clock
        self.jumped = float("-inf")  # when its clock jumped, by the world's
        self._next = 0.0
        self._ticket = 0

    # -- what happens to it -------------------------------------------------------------------------------------------

    @property
    def speaks(self) -> bool:
        """Whether its heartbeats go out."""
        return self.running and self.said is not None and self.world.now >= self.stalled

    @property
    def local(self) -> float:
        """Its clock."""
        return self.world.now + self.offset

    def start(self) -> None:
        """The agent starts, remembering nothing; the kernel remembers."""
        if not self.powered or self.running:
            return
        self.process += 1
        self.running, self.notice, self.said = True, "", None
        self.copies, self.looked, self.flying, self.ended, self.newest = {}, {}, {}, {}, {}
        self.fresh, self.shown, self.idle = {}, {}, {}
        self.due, self.decides = looks.PROMPTLY, 0.0
        self.unchecked = False
        self.seen, self.state = self._nothing(), elect.begin(self.config, self.local)
        self.watching = self.world.now
        for ear in self.ears.values():
            ear.content = None
        self.wake()

    def kill(self) -> None:
        """The agent dies; what it asked AWS for goes on, and what the kernel was told."""
        self._fall_silent()
        self.running, self.said = False, None
        self.process += 1
        self._ticket += 1
        self._next = 0.0
        self.world.speak(self)
        if self.returns:
            self.returns = False
            self.world.later(self.STOPPED, self.start)

    def restart(self) -> None:
        """Killed, and started again by systemd."""
        self.kill()
        self.world.later(0.3, self.start)

    def stop(self) -> None:
        """The unit is stopped: the agent may hand over before it leaves."""
        if self.running:
            self.notice = "stop"
            self.forget("notice")  # a signal, no look
            self.wake()
            process = self.process
            self.world.later(acts.STOP_LIMIT, lambda: self.kill() if self.process == process else None)

    def die(self) -> None:
        """The power fails."""
        if self.powered:
            self.powered = False
            self.kill()

    def stall(self, seconds: float) -> None:
        """Nothing of the agent runs for that long."""
        self.world.listen()
        self._fall_silent()
        self.stalled = max(self.stalled, self.world.now + seconds)
        self.world.speak(self)
        self.world.later(self.stalled - self.world.now, self._recover, seconds)

    def jump(self, seconds: float) -> None:
        """Its clock jumps."""
        self.offset += seconds
        self.jumped = self.world.now
        for ear in self.ears.values():
            ear.offset = self.offset
            ear.again()
        self._disturbed(seconds)
        self.wake()

    def lag(self, seconds: float) -> None:
        """Its copies of the flows are behind."""
        self.lagging = max(self.lagging, self.world.now + seconds)
        self.wake()

    def _recover(self, seconds: float) -> None:
        if self.running and self.world.now >= self.stalled:
            self.world.speak(self)
            self._disturbed(seconds)
            self.wake()

    def _disturbed(self, seconds: float) -> None:
        """The loop notices a gap, or time that runs backwards; `cluster.py` sets `awake` then."""
        if self.running and seconds > STALLED:
            self.seen = self.seen._replace(awake=self.local)
            self.watching = self.world.now

    def notified(self, *names: str) -> None:
        """The kernel tells that something changed: look at once."""
        self.forget(*names)
        self.wake()

    def load(self, rules: Rules) -> None:
        """The kernel gets other rules, with a fresh switch."""
        self.kernel = rules
        self.pulse = max(self.pulse, self.world.now + PULSE)

    def passes(self, gateway: str) -> bool:
        """Whether the kernel lets the gateway's clients out."""
        rules = self.kernel
        if not self.powered or rules is None or gateway not in rules.open or gateway in rules.held:
            return False
        return gateway not in rules.guarded or self.pulse > self.world.now

    def _fall_silent(self) -> None:
        """No heartbeat renews the switch any more."""
        if self.pulse == FOREVER:
            self.quiet = {
                speaker: self.world.now - ear.heard for speaker, ear in self.ears.items() if ear.content
            }
        self.pulse = min(self.pulse, self.world.now + PULSE)

    def _renew(self) -> None:
        """Every heartbeat from now on renews the switch, or none does."""
        assert self.state is not None
        if not packets.renews(self.state, self.seen, self.local):
            self._fall_silent()
        elif self.pulse != FOREVER:
            if self.world.watcher:
                self.world.watcher.renewed(self.world, self)
            self.pulse = FOREVER

    def fate(self, call: str) -> str:
        """How the next call of that name will fail, "" when it does not."""
        if not self.api and call != "egress":
            return "before"
        for fault in self.faults:
            if fault[0] == call:
                self.faults.remove(fault)
                if self.world.watcher:
                    self.world.watcher.twice.clear()
                return fault[1]
        return ""

    # -- its loop -----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may have changed: the next round comes soon."""
        self.decides = 0.0
        if self.running and (self._next > self.world.now + looks.TURN or self._next < self.world.now):
            self._again(self.world.random.random() * looks.TURN)

    def forget(self, *names: str) -> None:
        """Look again at once."""
        for name in names:
            self.looked.pop(name, None)
            self.fresh.pop(name, None)
        self.due = looks.PROMPTLY

    def rouse(self, at: float) -> None:
        """There is a look to begin then."""
        self.due = min(self.due, at)
        if self._next > at or self._next < self.world.now:
            self._again(max(at - self.world.now, 0.0))

    def hear(self, at: float) -> None:
        """Something new arrives then."""
        self.decides = min(self.decides, at)
        if self.running and self._next > at:
            self._again(at - self.world.now)

    def soon(self) -> None:
        """A result came in: the next round comes at once."""
        if self.running and self.world.now >= self.stalled:
            self.decides = 0.0
            self._again(0.001)

    def _again(self, seconds: float) -> None:
        self._ticket += 1
        self._next = self.world.now + seconds
        self.world.later(seconds, self.turn, self._ticket)

    def turn(self, ticket: int) -> None:
        """Look, and where that could lead to anything, decide and act."""
        world = self.world
        if ticket != self._ticket or not self.running or world.now < self.stalled:
            return
        if world.now >= self.decides:
            self.decides = float("inf")  # unless something wakes us meanwhile
            soon = self._decide()
            pause = looks.TURN if soon else looks.rest(self)
            self.decides = min(self.decides, world.now + pause)
        looks.ask(self)
        self._again(max(min(max(self.due - world.now, looks.TURN), self.decides - world.now), 0.0))

    def _decide(self) -> bool:
        """One step of the agent; whether the next may follow from it."""
        world = self.world
        assert self.state is not None
        looks.look(self)
        before = self.state
        try:
            self.state, actions = elect.step(before, self.seen, self.local)
        except elect.IllegalTransitionError as error:
            raise BrokenError("7 transitions", f"{self.slot}: {error}") from error
        world.judge(self, before, actions)
        changed = self._tell(before)
        if changed:
            self.looked.clear()  # what was seen before is of another time
            self.fresh.pop("egress", None)  # which ways out are checked depends on the roles
            self.shown.pop("egress", None)
            self.due = looks.PROMPTLY
        self._speak(actions)
        for action in actions:
            acts.act(self, action)
        if self.running:
            self._renew()
        periods = elect.looks(self.state, self.seen, self.local)
        if periods is not self.periods:
            self.periods, self.due = periods, looks.PROMPTLY
        return changed or bool(actions)

    def _tell(self, before: State) -> bool:
        """Say how roles changed, if they did."""
        assert self.state is not None
        changed = False
        for name, gate in self.state.gates.items():
            was = before.gates[name]
            if gate.role is not was.role:
                changed = True
                self.world.say(f"{self.slot} {name}: {was.role.value} -> {gate.role.value} ({gate.cause})")
            if gate.role is not Role.HANDING and name in self.seen.drained:
                self.seen = self.seen._replace(drained=self.seen.drained - {name})
        return changed

    def _speak(self, actions: Iterable[Action]) -> None:
        """Say something else, if there is something else to say: before the actions, as the loop does."""
        assert self.state is not None
        beat = elect.speak(self.state, self.seen._replace(busy=self.seen.busy.union(actions)), self.local)
        if self.said is None or gist(self.said[0]) != gist(beat):
            self.said = beat, self.world.now
            self.world.speak(self)
            if beat.offers and self.world.watcher:
                self.world.watcher.offered(self.world, self, beat)

    def _nothing(self) -> Seen:
        return Seen(self.id, self.interface, self.addresses, self.local)

    def role(self, gateway: str) -> Role | None:
        """What it is to a gateway, None when its agent does not run."""
        if not self.running or self.state is None or gateway not in self.state.gates:
            return None
        return self.state.gates[gateway].role


def gist(beat: Beat) -> tuple[object, ...]:
    """What is new when it changes."""
    return (
        beat.holds,
        beat.offers,
        beat.draining,
        beat.ready.keys(),
        beat.ended,
        beat.egress >= 0,
        beat.leaving,
        beat.unguarded,
        beat.follows,
    )
