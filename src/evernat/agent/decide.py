"""What to do next: pure, without clock, socket or random.

`step(state, seen, now)` takes what the agent remembers and what it sees, and gives what it remembers from now on and
the actions to perform. What must always hold:

1. HOLDING is reached only through PREPARING and PROVING: rules loaded, routes in, forwarding on, the source/destination
   check off, and after all that a packet that took a client's way was answered by the internet.
2. Unknown is not absent: an interface is detached only from an instance known to be gone or going.
3. The interface is never taken from a living holder.
4. Nothing goes on for ever in silence: short of HOLDING for LIMIT seconds after its launch, the node gives up and says
   why.
5. A node has itself replaced only when clients do not get out through it, the node itself gets out, and a new node
   would be better off.
6. Roles change only along ALLOWED; anything else raises and changes nothing.
"""

from __future__ import annotations

from . import contract, ruleset
from .model import (
    Action,
    Attach,
    Complete,
    Detach,
    Elements,
    Gateway,
    Interface,
    Prepare,
    Replace,
    Role,
    Seen,
    State,
    Uncheck,
    Unknown,
    Update,
)
from .values import Egress, InvariantError

STARTING, WAITING, RELEASING, ATTACHING, PREPARING, PROVING, HOLDING, FAILED = Role

ALLOWED = {
    STARTING: {WAITING, RELEASING, ATTACHING, FAILED},
    WAITING: {RELEASING, ATTACHING, FAILED},
    RELEASING: {WAITING, ATTACHING, FAILED},
    ATTACHING: {WAITING, RELEASING, PREPARING, FAILED},
    PREPARING: {PROVING, STARTING, FAILED},
    PROVING: {HOLDING, PREPARING, STARTING, FAILED},
    HOLDING: {PROVING, PREPARING, STARTING},
    FAILED: {STARTING},
}

# Seconds between two looks at a fact, by role and in this order; a fact that is not listed is not looked at.
LOOKS = {
    STARTING: {"tools": 1.0, "interface": 0.5},
    WAITING: {"tools": 1.0, "interface": 1.0},
    RELEASING: {"tools": 1.0, "interface": 0.5},
    ATTACHING: {"tools": 1.0, "interface": 1.0, "link": 0.02},
    PREPARING: {"tools": 0.1, "link": 1.0, "faults": 0.5, "interface": 5.0, "proof": contract.CHECK_EVERY},
    PROVING: {"link": 1.0, "faults": 5.0, "interface": 3.0, "proof": 1.0},
    HOLDING: {
        "link": 5.0,
        "faults": 10.0,
        "interface": 10.0,
        "proof": contract.CHECK_EVERY,
        "targets": 10.0,
    },
    FAILED: {"interface": 5.0},
}

LIMIT = 300.0  # seconds to get to HOLDING as long as the launch hook waits; it must wait longer than this
PAUSE = 30.0  # in FAILED, then from the start again
AGAIN = 2.0  # the same is not asked for sooner
GRACE = 2.0  # AWS gives a dead instance's interface back by itself, mostly
FORCE = 20.0  # a forced detach can leave the device index of the old instance unusable: the last resort

REPAIRS = 10.0  # of the kernel, at once; and while somebody else goes on undoing them, one in
PACE = 5.0  # seconds

FRESH = 15.0  # seconds for which a check of the node's own sockets counts
INSIST = 60.0  # seconds after which a node that is to be replaced asks again

HOOK = 120.0  # that long the launch hook may still be to come; after a reboot there is none

HERE = (ATTACHING, PREPARING, PROVING, HOLDING)  # roles in which the device is looked for
ALIVE = ("pending", "running")


class IllegalTransitionError(InvariantError):
    """A role that may not follow; the state is as it was."""


def become(state: State, role: Role, cause: str, now: float) -> State:
    """The only way to change role."""
    if role not in ALLOWED[state.role]:
        raise IllegalTransitionError(f"{state.role.value} -> {role.value} ({cause})")
    fresh = role is STARTING or state.role is HOLDING
    started = now if fresh else state.started
    return state._replace(role=role, cause=cause, since=now, started=started, asked=[])


def step(state: State, seen: Seen, now: float) -> tuple[State, list[Action]]:
    """Take in one observation."""
    if not isinstance(seen.interface, Unknown):
        state = state._replace(interface=seen.interface)
    if not isinstance(seen.targets, Unknown):
        state = state._replace(targets=seen.targets)
    state = _note(state, seen)
    role, cause = _where(state, seen, now)
    state = state._replace(cause=cause) if role is state.role else become(state, role, cause, now)
    actions = _actions(state, seen, now)
    if _useless(state, seen, now) and now - state.insisted >= INSIST:
        state = state._replace(insisted=now)
        actions = [*actions, Replace()]
    repairing = any(isinstance(action, Prepare) for action in actions)
    again = seen.trouble or not repairing  # a repair that was done may be undone before the next step
    if again and actions == state.asked and now - state.asked_at < AGAIN:
        return state, []
    if repairing:
        state = state._replace(repaired=now, repairs=_repairs(state, now) + 1)
    return state._replace(asked=actions, asked_at=now), actions


def gateway(state: State, seen: Seen) -> Gateway | None:
    """The gateway as the kernel here must know it, when the interface is plugged in."""
    if not seen.link or state.interface is None:
        return None
    return Gateway(seen.link, state.interface.address, seen.subnet)


def elements(state: State) -> Elements:
    """The port forwards as map elements, with the targets last known."""
    return ruleset.elements(state.config.forwards, state.targets)


def _note(state: State, seen: Seen) -> State:
    """Remember since when clients do not get out."""
    if not isinstance(seen.proof, Egress):
        return state
    return state._replace(failing=0.0 if seen.proof.ok else state.failing or seen.proof.at)


def _where(state: State, seen: Seen, now: float) -> tuple[Role, str]:
    if state.role is FAILED:
        return (STARTING, "trying again") if now - state.since >= PAUSE else (FAILED, state.cause)
    if state.role in HERE and seen.link and state.interface:
        role, cause = _serve(state, seen, state.interface, now)
    else:
        role, cause = _get(state, seen)
    launching = not _settled(state, seen, now)
    if launching and role is not HOLDING and state.role is not HOLDING and now - state.started >= LIMIT:
        return FAILED, f"{role.value} for {LIMIT:.0f} s: {cause}"
    return role, cause


def _serve(state: State, seen: Seen, interface: Interface, now: float) -> tuple[Role, str]:
    """The interface is plugged in here."""
    if state.role is ATTACHING:
        return PREPARING, f"{interface.id} is {seen.link}"
    if isinstance(seen.faults, Unknown) or seen.faults:
        faults = seen.faults.reason if isinstance(seen.faults, Unknown) else ", ".join(seen.faults)
        return PREPARING, seen.tools or seen.trouble or faults
    if state.role is PREPARING:
        return PROVING, "the kernel is set up"
    if interface.checked:
        trouble = f": {seen.trouble}" if seen.trouble else ""
        return PROVING, f"the source/destination check of {interface.id} is on{trouble}"
    if not interface.public:
        wanted = state.config.address
        return (
            (PROVING, f"{wanted} is not on {interface.id}")
            if wanted
            else (HOLDING, "ready, without public address")
        )
    return _proved(state, seen, interface, now)


def _proved(state: State, seen: Seen, interface: Interface, now: float) -> tuple[Role, str]:
    """All is set up: what the check of the clients' way out says."""
    proof = seen.proof
    if isinstance(proof, Unknown):
        return PROVING, proof.reason
    if not proof.ok:
        blame = _blame(seen, now)
        return PROVING, f"clients do not get out: {proof.hop}: {proof.cause}{blame}"
    if proof.address not in ("", interface.public):
        return PROVING, f"the internet sees {proof.address} instead of {interface.public}"
    if state.role is PROVING and proof.at < state.since:
        return PROVING, "waiting for an answer"
    return HOLDING, f"NAT proven as {interface.public}"


def _get(state: State, seen: Seen) -> tuple[Role, str]:
    """The interface is not plugged in here."""
    if state.role in HERE and state.role is not ATTACHING:
        return STARTING, "the interface is no longer in this machine"
    interface = seen.interface
    if isinstance(interface, Unknown):
        return state.role, interface.reason
    if interface.holder in ("", seen.me):
        return ATTACHING, seen.trouble or f"{interface.id} is {'coming' if interface.holder else 'free'}"
    cause = f"{interface.holder} has {interface.id} and is {interface.state or 'gone'}"
    return (WAITING, cause) if interface.state in ALIVE else (RELEASING, seen.trouble or cause)


def _actions(state: State, seen: Seen, now: float) -> list[Action]:
    """What the role asks for. Whatever takes something away needs facts that are known now."""
    known, waited = seen.interface, now - state.since
    if isinstance(known, Interface):
        if state.role is ATTACHING and not known.holder:
            return [Attach(known.id)]
        # An instance AWS does not list may be too new to be listed: wait longer.
        if state.role is RELEASING and waited >= (GRACE if known.state else FORCE):
            return [Detach(known.attachment, force=waited >= FORCE)]
    here = gateway(state, seen)
    if state.role is PREPARING and here and not seen.tools:
        return [Prepare(here, elements(state))] if _repairs(state, now) < REPAIRS else []
    actions: list[Action] = []
    if state.role is PROVING and isinstance(known, Interface) and known.checked:
        actions.append(Uncheck(known.id))
    if state.role is HOLDING and elements(state) != seen.elements:
        actions.append(Update(elements(state)))
    if state.role in (HOLDING, FAILED) and not _settled(state, seen, now):
        actions.append(Complete("CONTINUE" if state.role is HOLDING else "ABANDON"))
    return actions


def _repairs(state: State, now: float) -> float:
    """Repairs lately: a level that falls by one in PACE seconds."""
    return max(state.repairs - (now - state.repaired) / PACE, 0.0)


def _settled(state: State, seen: Seen, now: float) -> bool:
    """Whether the launch hook is answered, or there is none."""
    return seen.hook == "answered" or (seen.hook == "none" and now - state.begun >= HOOK)


def _gets_out(state: State, seen: Seen, now: float) -> bool:
    """Whether the node itself reaches the internet while its clients do not."""
    direct = seen.direct
    known = isinstance(direct, Egress) and state.failing <= direct.at and now - direct.at < FRESH
    return known and isinstance(direct, Egress) and direct.ok


def _blame(seen: Seen, now: float) -> str:
    """What a failing check of the node's own sockets means."""
    if isinstance(seen.direct, Unknown) or seen.direct.ok or now - seen.direct.at >= FRESH:
        return ""
    return "; nor does the node itself: the internet is at fault"


def _useless(state: State, seen: Seen, now: float) -> bool:
    """Whether another node should take the place of this one.

    It would have the same interface: what that lacks no new node brings.
    """
    interface = state.interface
    if state.role not in (PREPARING, PROVING) or not interface or not interface.public or interface.checked:
        return False
    failed = bool(state.failing) and now - state.failing >= contract.REPLACE_AFTER
    return failed and _settled(state, seen, now) and _gets_out(state, seen, now)
