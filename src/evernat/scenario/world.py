"""A stack in virtual time: nodes that run the agent's real decisions, their network, and AWS.

Nothing here is random but by the scenario's seed, and nothing waits: time jumps from one event to the next.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from random import Random
from typing import Any

from evernat.agent.cluster_model import Action, State
from evernat.scenario import looks
from evernat.scenario.air import Ear
from evernat.scenario.cloud import BUSY, DENIED, FOREIGN, HANG, TIMEOUT, Cloud, Unanswered
from evernat.scenario.invariants import CALM, Watcher, unsettled
from evernat.scenario.layout import Layout
from evernat.scenario.node import BOOT, Node
from evernat.scenario.script import Script

Task = Callable[..., object]

NONE = -1
"""In place of the number of a node's connections to the API."""


class World:
    """All there is. Scenario time 0 is `origin`; the watcher looks on at each decision and each move."""

    def __init__(self, script: Script):
        self.settings = script.settings
        self.layout = Layout.of(script.settings.topology, script.settings.address)
        self.random = Random(script.settings.seed)  # noqa: S311
        self.now = self.origin = 0.0
        self.slow = 0.0
        self.dark = False  # nobody reaches the internet
        self.lit = 0.0  # when somebody last did
        self.replaced = float("-inf")  # when a node last had itself replaced
        self.stirred = dict.fromkeys(looks.FACTS, 0.0)  # when what such a look shows last changed
        led = FOREIGN if script.settings.routes else ""
        self.cloud = Cloud(self.layout, self._cut_connections, self.stir, led)
        self.nodes: dict[str, Node] = {}
        self.ears: dict[tuple[str, str], Ear] = {}
        self.paths: dict[tuple[str, str], tuple[bool, float]] = {}  # slots -> (up, loss)
        self.journal: list[tuple[float, str]] = []
        self.events = 0
        self.calls = 0  # of the API that are under way
        self.happened = 0  # events of the scenario
        self.shaken = 0.0  # when the last one was
        self.limits = looks.limits()
        self._calm = 0.0
        self.retire: Callable[[Node, bool], None] = lambda node, replace: (
            None
        )  # AWS terminates; set by `play`
        self.watcher: Watcher | None = None
        self._queue: list[tuple[float, int, Task, tuple[Any, ...]]] = []
        self._numbers = itertools.count()

    # -- time ---------------------------------------------------------------------------------------------------------

    def later(self, seconds: float, task: Task, *words: Any) -> None:
        """Do it then."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._numbers), task, words))

    def run(self, until: float) -> None:
        """Let time pass."""
        queue, watcher, moves = self._queue, self.watcher, -1
        while queue and queue[0][0] <= until:
            self.now, _, task, words = heapq.heappop(queue)
            task(*words)
            self.events += 1
            if watcher and self.cloud.moves != moves:
                moves = self.cloud.moves
                watcher.moved(self)
        self.now = max(self.now, until)

    def jitter(self, seconds: float) -> float:
        """About that long."""
        return seconds * (0.5 + self.random.random())

    def online(self) -> float:
        """When a node last reached the internet, now included."""
        if not self.dark and any(
            n.powered and n.kernel is not None and not n.offline for n in self.nodes.values()
        ):
            self.lit = self.now
        return self.lit

    def hook(self, node: Node, result: str) -> None:
        """The launch hook was answered: an instance it replaces may go, or it must go itself."""
        if self.watcher:
            self.watcher.answered(self, node, result)
        if result == "ABANDON":
            self.retire(node, True)
        elif node.replaces and node.replaces.powered:
            self.retire(node.replaces, False)

    def judge(self, node: Node, before: State, actions: list[Action]) -> None:
        """A node decided."""
        if self.watcher:
            self.watcher.judge(self, node, before, actions)

    def settled(self) -> bool:
        """Whether all is as it should be, and has been for a while."""
        if unsettled(self):
            self._calm = self.now
        return self.now - self._calm >= CALM

    def transcript(self) -> str:
        """What happened so far."""
        return "\n".join(f"{at:.3f} {text}" for at, text in self.journal)

    def say(self, text: str) -> None:
        """A line of the transcript."""
        self.journal.append((self.now - self.origin, text))

    def close(self) -> None:
        """Let go of all, so that nothing is left to be collected as garbage."""
        self._queue.clear()
        self.nodes.clear()
        self.ears.clear()
        del self.cloud.cut, self.cloud.stir, self.retire

    # -- nodes --------------------------------------------------------------------------------------------------------

    def launch(self, slot: str, boot: bool = True) -> Node:
        """A new instance in that slot; its agent starts when it has booted."""
        instance = self.cloud.launch(slot, self.now)
        node = self.nodes[instance.id] = Node(self, instance.id, slot, len(self.nodes))
        if boot:
            self.later(self.jitter(BOOT), node.start)
        for other in self.nodes.values():
            if other is not node:
                for ear, speaker in ((node, other), (other, node)):
                    made = Ear(self.random.random() * 0.05, self.random.randrange(1 << 16))
                    made.up, made.loss = self.paths.get((ear.slot, speaker.slot), (True, 0.0))
                    made.offset = ear.offset
                    made.last = int(self.now / 0.05)
                    self.ears[ear.id, speaker.id] = ear.ears[speaker.id] = made
        return node

    def node(self, slot: str) -> Node | None:
        """The youngest instance of a slot, alive or not."""
        return next((node for node in reversed(self.nodes.values()) if node.slot == slot), None)

    def listen(self) -> None:
        """Bring all ears up to date, before something about speaking or hearing changes."""
        for ear in self.ears.values():
            ear.listen(self.now)

    def speak(self, node: Node) -> None:
        """The node says something else from now on, or falls silent."""
        for (listener, speaker), ear in self.ears.items():
            if speaker == node.id:
                ear.listen(self.now)
                spoke = ear.beats
                known = ear.content
                ear.say(node.said if node.speaks and listener in node.seen.members else None, self.now)
                if spoke and not ear.beats:
                    self.nodes[listener].wake()  # to begin to wait
                news = ear.next(self.now) if ear.content is known else self.now
                self.nodes[listener].hear(news)

    def path(self, ear: str, speaker: str, up: bool | None = None, loss: float | None = None) -> None:
        """Change the path from the nodes of one slot to those of another."""
        was = self.paths.get((ear, speaker), (True, 0.0))
        self.paths[ear, speaker] = new = (was[0] if up is None else up, was[1] if loss is None else loss)
        self.listen()
        for (to, by), one in self.ears.items():
            if self.nodes[to].slot == ear and self.nodes[by].slot == speaker:
                one.up, one.loss = new
                one.again()
                self.nodes[to].wake()

    def talk(self, one: Node, other: Node) -> bool:
        """Whether the path between two nodes is there, both ways."""
        return self.ears[one.id, other.id].up and self.ears[other.id, one.id].up

    def stir(self, *names: str, cut: str = "") -> None:
        """What these looks show is about to change: those that were left out come back, those under way too.

        That instance is about to lose its connections.
        """
        for name in names:
            self.stirred[name] = self.now
            for node in self.nodes.values():
                if name in node.idle:
                    looks.resume(node, name, node.id == cut)

    def follows(self, follower: Node, holder: Node, gateway: str) -> bool:
        """Whether a node copies the flows of a gateway from its holder, and is not behind."""
        source, complete = follower.copies.get(gateway, ("", 0.0))
        current = source == holder.id and self.now >= max(complete, follower.lagging)
        return follower.running and current and self.talk(holder, follower)

    def wake(self) -> None:
        """Something happened: nobody dozes."""
        for node in self.nodes.values():
            node.wake()

    # -- the AWS API --------------------------------------------------------------------------------------------------

    def call(
        self, node: Node, action: str, effect: Callable[[float], Any], answer: Callable[[Any], None]
    ) -> None:
        """A node asks AWS; it is told the result, Refused or Unanswered, unless it is gone by then."""
        half, how = self.jitter(self.settings.api) / 2, node.fate(action)
        if not self._fails(how, 2 * half, answer):
            self.calls += 1
            self.later(half + self.slow, self._commit, node, effect, answer, node.connection, how)

    def read(
        self,
        node: Node,
        name: str,
        show: Callable[[float], Any],
        answer: Callable[[Any], None],
        ago: float = 0.0,
        cut: bool = False,
    ) -> bool:
        """A node asks AWS for what is, or asked so long ago.

        False: it has got its answer already, or will get one that shows the past, if its connection is not cut.
        """
        half, rest = self.jitter(self.settings.api) / 2 + self.slow, self.jitter(self.settings.api) / 2
        how = node.fate(name)
        if ago >= (half + rest if cut else half) and ago:
            return False
        if not self._fails(how, half + rest, answer):
            self.calls += 1
            at = self.now - ago + half
            # A check of the way out does not ask AWS.
            connection = NONE if name == "egress" else node.connection
            self.later(half + rest - ago, self._answer, node, answer, connection, how, lambda: show(at))
        return True

    def _fails(self, how: str, seconds: float, answer: Callable[[Any], None]) -> bool:
        """Whether the call does not get as far as having an effect."""
        if how == "before":
            self.later(TIMEOUT, answer, Unanswered())
        elif how in ("throttle", "refuse"):
            self.later(seconds, answer, BUSY if how == "throttle" else DENIED)
        return how in ("before", "throttle", "refuse")

    def _commit(
        self,
        node: Node,
        effect: Callable[[float], Any],
        answer: Callable[[Any], None],
        connection: int,
        how: str,
    ) -> None:
        result = effect(self.now)
        rest = self.jitter(self.settings.api) / 2
        self.later(rest, self._answer, node, answer, connection, how, lambda: result)

    def _answer(
        self,
        node: Node,
        answer: Callable[[Any], None],
        connection: int,
        how: str,
        result: Callable[[], Any],
    ) -> None:
        self.calls -= 1
        if how == "hang":
            self.later(HANG, answer, Unanswered())
        elif how == "after" or (connection != NONE and (node.connection != connection or not node.api)):
            self.later(TIMEOUT, answer, Unanswered())
        else:
            answer(result())

    def _cut_connections(self, instance: str) -> None:
        """An Elastic IP came to that node's primary address, or left it."""
        if instance in self.nodes:
            self.nodes[instance].connection += 1
