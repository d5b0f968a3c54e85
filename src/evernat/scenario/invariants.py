"""What must always hold, checked against the truth of the simulated world and not against what a node believes.

1 ready        a gateway is claimed only by a node that is ready, and has the connections or waited for them; who loses
               them while their holder lives is not ready any more
2 unknown      nobody is robbed who lives and is heard; unknown is not absent
3 one holder   a node that can see AWS's record does not go on holding what another one has; nothing flaps
4 watching     after a stall or a jump of its clock a node takes nothing for a while
5 converges    when the troubles are over every gateway has one holder that serves it, and the rest stand by
6 cut off      who has a gateway by AWS's record goes on forwarding, whatever the API does
7 transitions  roles change only along the table
8 packets      what leaves a node has the gateway's address, or its connection outlives the answer; what is handed over
               is what the other one knows
9 changes      a gateway whose holder's check fails and whose standby's passes changes hands
10 replaced    a node is replaced only while some node reaches the internet
11 proof       a route to what works elsewhere is taken only by who gets out
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evernat.agent import elect
from evernat.agent.cluster_model import Action, Beat, Gate, Release, Role, Rules, State, Take
from evernat.agent.machine import fitness, packets, view
from evernat.scenario.air import Ear
from evernat.scenario.cloud import FOREIGN, Association
from evernat.scenario.reads import way_out

if TYPE_CHECKING:
    from evernat.scenario.node import Node
    from evernat.scenario.world import World

HOLDS = (Role.TAKING, Role.HOLDING, Role.HANDING)
AUDIBLE = 0.29
"""Seconds since the last heartbeat in which nobody may call a node silent: detection begins at 0.3 s."""

WATCH = 0.9
"""Seconds after a disturbance in which a node may take nothing."""

UNSEEN_OWNER = 5.0
"""Seconds a node may hold, and forward for, what another one has."""

NOTICED = 0.2
"""Seconds after which a node must have drawn the consequence of what arrived: some rounds of its loop."""

REMEMBERED = 4.5
"""Seconds in which a node, whatever looks show, knows what it has done."""

BEHIND = 1.5
"""Seconds in which a standby that does not copy any more must have noticed."""

DRAINED = 1.0
"""Seconds in which all has to have gone well for what is handed over to have been drained."""

LOOKED = 5.5
"""Seconds after which a node must have noticed that somebody flushed its rules."""

CHANGED = 15.0
"""Seconds in which a gateway whose holder's check fails must be with a standby whose check passes."""

CALM = 1.0
"""Seconds a stack has to stand still to be called settled."""

MOVES = 3
"""Changes of owner that one event may cause for one gateway: away, back, and home in a ring."""


class BrokenError(Exception):
    """An invariant does not hold; `rule` names it."""

    def __init__(self, rule: str, how: str):
        super().__init__(f"{rule}: {how}")
        self.rule = rule


class Watcher:
    """Looks on, and raises BrokenError."""

    def __init__(self) -> None:
        self.twice: dict[
            tuple[str, str], float
        ] = {}  # (gateway, node) -> since when it holds another's gateway
        self.learning: dict[
            tuple[str, int, str], float
        ] = {}  # since when a node's process copies connections
        self.behind: dict[
            tuple[str, int, str], float
        ] = {}  # since when a standby lacks the connections of a holder that it hears
        self.lost: dict[
            tuple[str, int, str], tuple[int, float]
        ] = {}  # how often in short order, and when it may claim again
        self.failing: dict[
            tuple[str, str], float
        ] = {}  # (gateway, holder) -> since when another should have it
        self.proven: set[tuple[str, str]] = set()  # (node, gateway): its clients got out there
        self.moves: dict[str, int] = {}
        self.owners: dict[str, str] = {}

    def judge(self, world: World, node: Node, before: State, actions: Sequence[Action]) -> None:
        """One decision of a node."""
        assert node.state is not None
        for name, gate in node.state.gates.items():
            was = before.gates[name]
            if gate.role is not was.role:
                self._transition(world, node, was, gate)
                self._backoff(world, node, was, gate)
            self._behind(world, node, gate)
            self._twice(world, node, name, was.role)
            self._fails(world, node, name, gate)
            if gate.passed or elect.proven(gate, node.seen):
                self.proven.add((node.id, name))
            self._forwards(world, node, gate)
        for action in actions:
            if isinstance(action, (Release, Take)):
                self._claim(world, node, action)

    def moved(self, world: World) -> None:
        """An address went somewhere."""
        for name, history in world.cloud.owners.items():
            if history.times[-1] == world.now:
                self._left(world, name, history.values[-2] if len(history.values) > 1 else None)
            owner, last = history.now, history.values[-2] if len(history.values) > 1 else None
            if owner and last and owner.instance != last.instance:
                raise BrokenError(
                    "3 one holder", f"{name} was taken from {last.instance} without ending its association"
                )
            if owner and self.owners.get(name) != owner.instance:
                if name in self.owners:
                    self.moves[name] = self.moves.get(name, 0) + 1
                    if self.moves[name] > MOVES * world.happened + 1:
                        raise BrokenError("3 one holder", f"{name} changed hands {self.moves[name]} times")
                self.owners[name] = owner.instance

    def end(self, world: World) -> None:
        """The scenario is over."""
        wrong = unsettled(world)
        if wrong and world.settings.rest:
            raise BrokenError("5 converges", wrong)

    def _transition(self, world: World, node: Node, was: Gate, gate: Gate) -> None:
        name, key = gate.config.name, (node.id, node.process, gate.config.name)
        if gate.role not in elect.ALLOWED[was.role]:
            raise BrokenError("7 transitions", f"{node.slot} {name}: {was.role.value} -> {gate.role.value}")
        if gate.role is Role.SYNCING:
            self.learning[key] = world.now
        if gate.role in (Role.SYNCING, Role.STANDBY):
            node.ended.clear()
        if gate.role is Role.STANDBY and was.role is Role.SYNCING and name not in node.seen.synced:
            waited = world.now - self.learning.get(key, world.now)
            if waited < WATCH - 0.1:
                raise BrokenError("1 ready", f"{node.slot} stands by for {name} without its connections")
        watched = world.now - node.watching
        claims = gate.role is Role.CLAIMING and was.role is Role.STANDBY
        if claims and watched < WATCH and not self._offered(node, name):
            raise BrokenError("4 watching", f"{node.slot} claims {name} {watched:.2f} s after a stall")
        if was.role is Role.HOLDING and gate.role not in HOLDS:
            history = world.cloud.owners[name]
            if history.now and history.now.instance == node.id and history.times[-1] <= world.now - 10.0:
                raise BrokenError("6 cut off", f"{node.slot} stops holding {name}, which is still its own")

    def _behind(self, world: World, node: Node, gate: Gate) -> None:
        """Whoever stands by has the connections of a holder that it hears, or has waited long enough for them."""
        name, record = gate.config.name, gate.record
        key, ear = (node.id, node.process, name), node.ears.get(record.instance) if record else None
        lacks = gate.role is Role.STANDBY and gate.cause != elect.LATE and name not in node.seen.synced
        if not lacks or not ear or ear.content is None or world.now - ear.heard >= AUDIBLE:
            self.behind.pop(key, None)
            return
        since = max(self.behind.setdefault(key, world.now), node.watching)
        if world.now - since > BEHIND:
            raise BrokenError(
                "1 ready", f"{node.slot} stands by for {name}, and does not copy its connections"
            )

    def _claim(self, world: World, node: Node, action: Release | Take) -> None:
        name = action.gateway
        wiped = node.kernel is None and world.now - node.wiped > LOOKED
        if wiped or node.checked:
            raise BrokenError("1 ready", f"{node.slot} claims {name}, and could not forward")
        if not isinstance(action, Release):
            return
        if world.now - node.ended.get(action.association, float("-inf")) < REMEMBERED:
            raise BrokenError("5 converges", f"{node.slot} ends {action.association} again")
        owner = world.cloud.owners[name].now
        if owner is None or owner.id != action.association or owner.instance == node.id:
            return
        ear, holder = world.ears[node.id, owner.instance], world.nodes[owner.instance]
        audible = holder.speaks and world.now - ear.heard < AUDIBLE and ear.content is not None
        if audible and not self._offered(node, name):
            raise BrokenError(
                "2 unknown", f"{node.slot} takes {name} from {owner.instance}, which lives and is heard"
            )

    def _offered(self, node: Node, name: str) -> bool:
        return any(beat.offers.get(name) == node.id for beat in node.seen.beats.values())

    def _twice(self, world: World, node: Node, name: str, was: Role) -> None:
        key, owner = (name, node.id), world.cloud.holder(name)
        blind = not node.api or world.slow or world.cloud.stale or node.faults
        forwards = node.kernel is not None and name in node.kernel.open
        if owner in ("", node.id) or blind or not (was in HOLDS or forwards):
            self.twice.pop(key, None)
            return
        since = max(self.twice.setdefault(key, world.now), node.watching)
        if world.now - since > UNSEEN_OWNER:
            what = "forwards for" if forwards else "holds"
            raise BrokenError(
                "3 one holder", f"{node.slot} {what} {name} for {world.now - since:.1f} s, which {owner} has"
            )

    def _backoff(self, world: World, node: Node, was: Gate, gate: Gate) -> None:
        """Whoever loses a gateway to another one waits twice as long each time before it claims again."""
        name, key = gate.config.name, (node.id, node.process, gate.config.name)
        count, until = self.lost.get(key, (0, 0.0))
        early = until - world.now
        jumped = node.jumped > until - 2.0**count
        claims = gate.role is Role.CLAIMING and was.role is Role.STANDBY
        if claims and early > NOTICED and not jumped and not self._offered(node, name):
            raise BrokenError("3 one holder", f"{node.slot} claims {name} {early:.1f} s too early")
        record = gate.record
        had = was.role in (Role.TAKING, Role.HOLDING) or (was.role is Role.CLAIMING and was.target)
        lost = had and gate.role in (Role.SYNCING, Role.STANDBY)
        if lost and record and record.association not in ("", was.target) and record.instance != node.id:
            count = count + 1 if world.now - until < elect.QUIET - 1.0 and not jumped else 1
            self.lost[key] = count, world.now + min(2.0**count, 120.0)

    def _forwards(self, world: World, node: Node, gate: Gate) -> None:
        """Whoever has a gateway forwards for it, also while it gives it away."""
        name, kernel = gate.config.name, node.kernel
        if gate.role not in (Role.HOLDING, Role.HANDING) or kernel is None or name in kernel.open:
            return
        if world.now - node.jumped < NOTICED:
            return
        if world.cloud.holder(name) == node.id and node.local - gate.since > NOTICED:
            raise BrokenError("6 cut off", f"{node.slot} is {gate.role.value} {name}, and does not forward")

    def loaded(self, world: World, node: Node, rules: Rules) -> None:
        """A node loads rules: it opens what it has, and translates to the address that AWS leads elsewhere."""
        assert node.state is not None
        for name in rules.open - (node.kernel.open if node.kernel else frozenset()):
            history, gate = world.cloud.owners[name], node.state.gates[name]
            recent = world.now - history.times[-1] < UNSEEN_OWNER + world.cloud.stale + world.slow
            owner = history.now
            if owner is None or owner.instance != node.id:
                if not recent and node.api:
                    raise BrokenError("8 packets", f"{node.slot} opens {name}, which it has not got")
            elif node.addresses[owner.place] != view.address(node.state, gate, node.seen):
                raise BrokenError("8 packets", f"{node.slot} translates to another address than {name}'s")

    def offered(self, world: World, node: Node, beat: Beat) -> None:
        """A node offers what it has: no connection begins there any more, and the other one knows them all."""
        assert node.state is not None
        for name, to in beat.offers.items():
            if node.kernel and name in node.kernel.open and name not in node.kernel.ending:
                raise BrokenError("8 packets", f"{node.slot} offers {name}, and lets connections begin")
            other, begun = world.nodes[to], world.now - DRAINED
            calm = max(world.shaken, node.watching, other.watching, other.lagging) < begun
            follows = world.follows(other, node, name) and other.copies[name][1] < begun
            if calm and follows and name not in node.seen.drained:
                raise BrokenError("8 packets", f"{node.slot} offers {name}, and did not drain it")

    def renewed(self, world: World, node: Node) -> None:
        """A node lets guarded packets out again: they must have the gateway's address."""
        assert node.state is not None
        for name in node.kernel.open - node.kernel.held if node.kernel else ():
            gate, history = node.state.gates[name], world.cloud.owners[name]
            elsewhere = history.now is not None and history.now.instance != node.id
            young = world.now - max(history.times[-1], world.shaken) < NOTICED
            woken = world.now - node.watching < WATCH  # later it is a matter of partitions, see `_leaks`
            blind = world.cloud.stale or world.slow or young or not woken
            if elsewhere and view.shared(node.state, gate) and not blind:
                raise BrokenError("8 packets", f"{node.slot} lets out clients of {name} with another address")

    def replaces(self, world: World, node: Node) -> None:
        """A node had itself replaced."""
        if world.now - world.online() > fitness.RECENT + NOTICED:
            raise BrokenError(
                "10 replaced", f"{node.slot} has itself replaced, and nobody reaches the internet"
            )

    def routed(self, world: World, node: Node, table: str, before: str) -> None:
        """A node had a default route point to it."""
        if before != FOREIGN:
            return
        name = next(g.name for g in world.layout.gateways if table in g.tables)
        proven = (node.id, name) in self.proven or fitness.passed(node.seen, name)
        if not proven:
            raise BrokenError("11 proof", f"{node.slot} takes {table} from a working NAT without a proof")

    def _fails(self, world: World, node: Node, name: str, gate: Gate) -> None:
        """The holder's clients do not get out, and those of a standby that both hear would."""
        key = (name, node.id)
        able = [
            other
            for other in world.nodes.values()
            if other is not node and self._could(world, node, other, name)
        ]
        helpless = gate.until > node.local or not fitness.may_hand_over(gate, node.local)
        steady = world.now - max(world.shaken, node.watching) > CALM and not (world.slow or world.cloud.stale)
        if gate.role is not Role.HOLDING or not way_out(node) or not able or helpless or not steady:
            self.failing.pop(key, None)
            return
        since = self.failing.setdefault(key, world.now)
        if world.now - since > CHANGED:
            raise BrokenError(
                "9 changes", f"{node.slot} keeps {name} for {world.now - since:.1f} s, and no client gets out"
            )

    def _could(self, world: World, node: Node, other: Node, name: str) -> bool:
        """Whether another node could take the gateway at once, and its clients would get out."""
        fit = other.role(name) is Role.STANDBY and other.speaks and other.api and not other.notice
        heard = world.talk(node, other) and not node.ears[other.id].loss and not other.ears[node.id].loss
        return fit and heard and not other.faults and not way_out(other)

    def _left(self, world: World, name: str, owner: Association | None) -> None:
        """An address leaves a node that forwards: resets from outside answer what leaves with another one now."""
        node = world.nodes.get(owner.instance) if owner else None
        if not node or node.kernel is None or name not in node.kernel.open:
            return
        begun = world.now - NOTICED
        self._leaks(world, node, name, begun)
        if not node.speaks:
            return
        doubtful = node.role(name) is Role.HANDING
        if node.role(name) is Role.HOLDING:
            for ear in node.ears.values():
                ear.listen(world.now)
                claims = ear.content and ear.content[0].holds.get(name) == "" and ear.learned < begun
                doubtful = doubtful or bool(claims and begun < ear.heard)
        changed = max(
            node.watching, world.shaken, node.state.gates[name].since - node.offset if node.state else 0.0
        )
        if doubtful and changed < begun and name not in node.kernel.contested:
            raise BrokenError("8 packets", f"{name} leaves {node.id}, which lets resets pass")

    def _leaks(self, world: World, node: Node, name: str, begun: float) -> None:
        """A shared address leaves a node whose kernel lets clients out: with which address?

        That is right only for who could not know: hearing the one that takes it until a moment ago.
        """
        index = next(g.places for g in world.layout.gateways if g.name == name)[node.slot]
        if index or not node.passes(name):
            return
        state = node.state
        if not state or world.shaken > begun or node.watching > begun:
            return
        takers = [o for o in world.nodes.values() if o is not node and o.role(name) is Role.CLAIMING]
        knew = [o for o in takers if o.id in node.ears and node.ears[o.id].content is not None]
        if not node.running or world.now < node.stalled:
            knew = [o for o in knew if node.quiet.get(o.id, packets.GUARD) < packets.GUARD - NOTICED]
        else:
            knew = [
                o
                for o in knew
                if self._noticed(node.ears[o.id], name, begun) and state.gates[name].role in HOLDS
            ]
        if knew:
            raise BrokenError(
                "8 packets", f"{name} leaves {node.id}, which lets clients out with another address"
            )

    @staticmethod
    def _noticed(ear: Ear, name: str, begun: float) -> bool:
        """Whether a node must have taken note that the other one claims, or fell silent, by then."""
        claims = ear.content is not None and ear.content[0].holds.get(name) == "" and ear.learned < begun
        quiet = begun - ear.heard
        return bool(claims) or view.SILENT < quiet < packets.CONFIRM - NOTICED

    def answered(self, world: World, node: Node, result: str) -> None:
        """A node answered its launch hook."""
        age = world.now - node.launched
        if result == "ABANDON" and age < elect.LIMIT:
            raise BrokenError("4 watching", f"{node.slot} is given up {age:.0f} s after its launch")


def unsettled(world: World) -> str:
    """What is not yet as it should be at rest, "" when all is."""
    for slot in world.layout.slots:
        there = [
            i.now.id
            for i in world.cloud.instances.values()
            if i.now.slot == slot and i.now.state == "running"
        ]
        if len(there) != 1:
            return f"slot {slot} has {len(there)} instances"
        node = world.nodes[there[0]]
        if not node.running or node.notice or not node.ready:
            return f"{node.id} is not at work"
    for gateway in world.layout.gateways:
        wrong = _unserved(world, gateway.name)
        if wrong:
            return f"{gateway.name}: {wrong}"
    return ""


def _unserved(world: World, name: str) -> str:
    owner = world.cloud.owners[name].now
    if owner is None:
        return "nobody has it"
    holder = world.nodes[owner.instance]
    for node in world.nodes.values():
        role = node.role(name)
        wanted = Role.HOLDING if node is holder else Role.STANDBY
        if role is not None and role is not wanted:
            return f"{node.id} is {role.value} while {holder.id} has it"
    if holder.role(name) is not Role.HOLDING:
        return f"{holder.id} does not hold it"
    gateway = next(g for g in world.layout.gateways if g.name == name)
    if len(world.layout.gateways) > 1 and holder.slot != gateway.home:
        return f"{holder.id} has it, and is not its home"
    for table in gateway.tables:
        if world.cloud.routes[table].now != holder.interface:
            return f"{table} leads to {world.cloud.routes[table].now or 'nowhere'}"
    if holder.kernel is None or name not in holder.kernel.open:
        return f"{holder.id} does not translate for it"
    return ""
