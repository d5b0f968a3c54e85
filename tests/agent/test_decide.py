"""The decisions, without a machine: observations in, roles and actions out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from evernat.agent import decide
from evernat.agent.common import Forward
from evernat.agent.model import (
    Attach,
    Complete,
    Config,
    Detach,
    Element,
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
from evernat.agent.values import Egress

CONFIG = Config(
    "main", "eni", "eni-1", None, ("10.0.0.0/8",), (), "evernat-main", "evernat-ready", None, "1", ()
)
FREE = Interface("eni-1", "02:00:00:00:00:01", "172.18.128.50", "203.0.113.7", False, "vpc-1", "", "", "")
MINE = FREE._replace(holder="i-me", attachment="eni-attach-1")
THEIRS = FREE._replace(holder="i-other", attachment="eni-attach-2")
SEEN = Seen("i-me", "172.18.128.0/20", tools="", interface=FREE)
GATEWAY = Gateway("ens6", "172.18.128.50", "172.18.128.0/20")
PROVEN = SEEN._replace(
    interface=MINE, link="ens6", faults=(), proof=Egress(1e6, address="203.0.113.7"), hook="answered"
)


def at(role: Role, config: Config = CONFIG, **more: object) -> State:
    return State(config, role, **more)  # type: ignore[arg-type]


def roles(state: State, *observations: tuple[float, Seen]) -> Iterable[str]:
    for now, seen in observations:
        state, _ = decide.step(state, seen, now)
        yield state.role.value


def test_the_way_to_holding() -> None:
    """A free interface is attached, the kernel prepared, the answer awaited, and only then NAT is called proven."""
    there = SEEN._replace(interface=MINE, link="ens6")
    ready = there._replace(faults=())
    way = roles(
        at(Role.STARTING),
        (1, SEEN),
        (2, SEEN._replace(interface=MINE)),
        (3, there),
        (4, there),
        (5, ready),
        (6, ready),
        (7, ready._replace(proof=Egress(6, address="203.0.113.7"))),
    )
    assert list(way) == ["attaching", "attaching", "preparing", "preparing", "proving", "proving", "holding"]


def test_a_free_interface_is_asked_for() -> None:
    """Free: Attach; and not again before AGAIN seconds have passed."""
    state, actions = decide.step(at(Role.STARTING), SEEN, 1.0)
    assert actions == [Attach("eni-1")]
    state, actions = decide.step(state, SEEN, 1.0 + decide.AGAIN / 2)
    assert actions == []
    _, actions = decide.step(state, SEEN, 1.0 + decide.AGAIN)
    assert actions == [Attach("eni-1")]


@pytest.mark.parametrize("holder", ["pending", "running"])
def test_never_from_a_living_holder(holder: str) -> None:
    """However long it takes, an interface is not taken from an instance that lives."""
    state = at(Role.STARTING)
    for now in range(0, 1000, 2):
        state, actions = decide.step(
            state, SEEN._replace(interface=THEIRS._replace(state=holder)), float(now)
        )
        assert not any(isinstance(action, Detach) for action in actions)


@pytest.mark.parametrize(
    "seen",
    [
        SEEN._replace(interface=Unknown("timeout")),
        SEEN._replace(interface=Unknown("timeout"), tools="installing nftables"),
    ],
)
def test_unknown_is_not_absent(seen: Seen) -> None:
    """While the interface or its holder's state is unknown, nothing is attached or detached, in any role."""
    for role in (Role.STARTING, Role.WAITING, Role.RELEASING, Role.ATTACHING):
        state = at(role, interface=THEIRS)
        for now in range(0, 250, 2):
            state, actions = decide.step(state, seen, float(now))
            assert not [action for action in actions if isinstance(action, Attach | Detach)]


@pytest.mark.parametrize("holder", ["shutting-down", "terminated", "stopping", "stopped"])
def test_a_dead_holder_is_given_time_then_no_more(holder: str) -> None:
    """First wait, then detach, by force only at last."""
    state, detached = at(Role.STARTING), []
    for tenth in range(300):
        now = tenth / 10
        state, actions = decide.step(state, SEEN._replace(interface=THEIRS._replace(state=holder)), now)
        detached += [(now, action.force) for action in actions if isinstance(action, Detach)]
    assert state.role is Role.RELEASING
    assert detached[0] == (decide.GRACE, False)
    assert [force for now, force in detached] == [now >= decide.FORCE for now, _ in detached]
    assert detached[-1][1]


def test_an_instance_that_is_not_listed_gets_more_time() -> None:
    """A new instance may not be listed yet, so nothing is taken from it for FORCE seconds."""
    state, first = at(Role.STARTING), None
    for now in range(60):
        state, actions = decide.step(state, SEEN._replace(interface=THEIRS._replace(state="")), float(now))
        if actions and first is None:
            first = now
    assert first == decide.FORCE


def test_the_grace_begins_when_the_holder_dies() -> None:
    """Time spent waiting for a living holder does not count against a dying one."""
    living = SEEN._replace(interface=THEIRS._replace(state="running"))
    state, _ = decide.step(at(Role.STARTING), living, 0.0)
    state, _ = decide.step(state, living, 100.0)
    state, actions = decide.step(
        state, SEEN._replace(interface=THEIRS._replace(state="shutting-down")), 101.0
    )
    assert (state.role, actions) == (Role.RELEASING, [])


def test_it_gives_up_after_the_limit_and_says_why() -> None:
    """Short of holding for LIMIT seconds: failed, hook abandoned, the reason kept; after PAUSE from the start again."""
    seen = SEEN._replace(interface=THEIRS._replace(state="running"))
    state, _ = decide.step(at(Role.STARTING), seen, 0.0)
    state, actions = decide.step(state, seen, decide.LIMIT)
    assert state.role is Role.FAILED
    assert state.cause == "waiting for 300 s: i-other has eni-1 and is running"
    assert actions == [Complete("ABANDON")]
    state, _ = decide.step(state, seen, decide.LIMIT + decide.PAUSE)
    assert (state.role, state.started) == (Role.STARTING, decide.LIMIT + decide.PAUSE)


def test_a_holder_never_gives_up() -> None:
    """A holder of days whose kernel lost the rules prepares again, and again: only a launch can be given up."""
    broken = PROVEN._replace(faults=("no nftables table",))
    state, actions = decide.step(at(Role.HOLDING, interface=MINE), broken, 1e6)
    assert state.role is Role.PREPARING
    assert actions == [Prepare(GATEWAY, frozenset())]
    state, actions = decide.step(state, broken, 1e6 + decide.LIMIT)
    assert (state.role, actions) == (Role.PREPARING, [Prepare(GATEWAY, frozenset())])
    state, _ = decide.step(state, broken._replace(hook=""), 1e6 + decide.LIMIT)
    assert state.role is Role.FAILED


def test_two_repairers_do_not_spin() -> None:
    """What somebody takes away is put right at once; while he goes on taking it, ever more seldom."""
    broken = PROVEN._replace(faults=("no nftables table",))
    state, repairs = at(Role.HOLDING, interface=MINE), []
    for now in (1e6 + step / 100 for step in range(6000)):
        state, actions = decide.step(state, broken if int(now * 100) % 2 else PROVEN._replace(faults=()), now)
        repairs += [now for action in actions if isinstance(action, Prepare)]
    assert repairs[8] - repairs[0] < 0.5, "each of them within the second that clients wait"
    assert len(repairs) <= decide.REPAIRS + 60 / decide.PACE + 1
    assert repairs[-1] - repairs[-2] > decide.PACE - 0.1
    assert isinstance(decide.step(state, broken, 1e6 + 60 + decide.PACE)[1][0], Prepare)


FAILING = PROVEN._replace(proof=Egress(100.0, "foreign forward chain", "table ip filter, chain FORWARD"))


def replaced(seen: Seen, hook: str = "answered", seconds: float = 60.0, known: Interface = MINE) -> bool:
    """Whether a node whose checks fail for so long asks to be replaced. `seen.direct` began then."""
    state, direct = at(Role.PROVING, interface=known), seen.direct
    if isinstance(direct, Egress):
        direct = direct._replace(at=100.0 + seconds)
    for now in (100.5, 100.0 + seconds):
        proof = FAILING.proof._replace(at=now - 0.5) if isinstance(FAILING.proof, Egress) else FAILING.proof
        state, actions = decide.step(
            state, seen._replace(proof=proof, direct=direct, hook=hook, interface=known), now
        )
    return Replace() in actions


OUT = FAILING._replace(direct=Egress(0.0))


def test_a_node_of_no_use_is_replaced() -> None:
    """Clients do not get out for a minute, the node does: it asks to be replaced, and not before."""
    assert replaced(OUT)
    assert not replaced(OUT, seconds=59.0)


def test_nobody_is_replaced_for_the_internet() -> None:
    """When the node does not get out either, or nobody knows, the internet may be at fault."""
    assert not replaced(FAILING._replace(direct=Egress(0.0, "beyond", "no answer")))
    assert not replaced(FAILING)
    state, _ = decide.step(
        at(Role.PROVING, interface=MINE),
        FAILING._replace(direct=Egress(100.0, "beyond", "no answer")),
        101.0,
    )
    assert state.cause.endswith("nor does the node itself: the internet is at fault")


def test_what_a_new_node_would_lack_too() -> None:
    """A node is not replaced for its interface's sake, nor while it is launching: then it gives its hook back."""
    assert not replaced(OUT, known=MINE._replace(public=""))
    assert not replaced(OUT, known=MINE._replace(checked=True))
    assert not replaced(OUT, hook="")


def test_an_old_check_of_the_node_counts_for_nothing() -> None:
    """That the node got out before its clients did not says nothing, nor what was long ago."""
    state = at(Role.PROVING, interface=MINE, failing=100.0)
    for began in (99.0, 200.0 - decide.FRESH):
        _, actions = decide.step(state, FAILING._replace(direct=Egress(began)), 200.0)
        assert Replace() not in actions
    _, actions = decide.step(state, FAILING._replace(direct=Egress(199.0)), 200.0)
    assert Replace() in actions


def test_it_insists_once_a_minute() -> None:
    """Asking is repeated after INSIST seconds (the stack may have had a replacement), and ends when clients get out."""
    state, asked = at(Role.PROVING, interface=MINE, failing=100.0), []
    for now in range(160, 400):
        seen = FAILING._replace(direct=Egress(now - 0.5))
        state, actions = decide.step(state, seen, float(now))
        asked += [now for action in actions if action == Replace()]
    assert asked == [160, 220, 280, 340]
    state, _ = decide.step(state, PROVEN._replace(proof=Egress(400.0, address=MINE.public)), 401.0)
    assert (state.role, state.failing) == (Role.HOLDING, 0.0)


def test_a_failing_check_says_where() -> None:
    """The hop and the cause are told, and the node stays where it is."""
    state, actions = decide.step(at(Role.HOLDING, interface=MINE), FAILING, 101.0)
    assert (state.role, actions) == (Role.PROVING, [])
    assert state.cause == "clients do not get out: foreign forward chain: table ip filter, chain FORWARD"


def test_a_holder_without_the_api_goes_on() -> None:
    """A failed query changes nothing for a holder."""
    blind = PROVEN._replace(interface=Unknown("timeout"), targets=Unknown("timeout"))
    state, actions = decide.step(at(Role.HOLDING, interface=MINE), blind, 1e6)
    assert (state.role, actions) == (Role.HOLDING, [])


def test_an_answer_from_before_proves_nothing() -> None:
    """Only an answer that came after the kernel was set up counts."""
    early = PROVEN._replace(proof=Egress(9.0, address="203.0.113.7"))
    assert list(roles(at(Role.PREPARING, interface=MINE), (10, early), (11, early))) == ["proving", "proving"]


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (
            PROVEN._replace(proof=Egress(20, address="192.0.2.5")),
            "the internet sees 192.0.2.5 instead of 203.0.113.7",
        ),
        (PROVEN._replace(proof=Unknown("timeout")), "timeout"),
    ],
)
def test_not_proven(seen: Seen, cause: str) -> None:
    """Another address, or no answer: not proven, and the hook not answered."""
    state, actions = decide.step(at(Role.PROVING, interface=MINE), seen._replace(hook=""), 10.0)
    assert (state.role, state.cause, actions) == (Role.PROVING, cause, [])


def test_the_source_check_is_turned_off() -> None:
    """Whoever turned it on: the node says so, turns it off, and says why it could not; at the start and later."""
    seen = PROVEN._replace(interface=MINE._replace(checked=True), hook="")
    cause = "the source/destination check of eni-1 is on"
    for role in (Role.PROVING, Role.HOLDING):
        state, actions = decide.step(at(role, interface=MINE), seen, 10.0)
        assert (state.role, state.cause, actions) == (Role.PROVING, cause, [Uncheck("eni-1")])
    refused = seen._replace(trouble="ModifyNetworkInterfaceAttribute: UnauthorizedOperation: no")
    state, actions = decide.step(state, refused, 11.0)
    assert (state.cause, actions) == (f"{cause}: {refused.trouble}", [])
    assert decide.step(state, refused, 12.0)[1] == [Uncheck("eni-1")]
    blind = seen._replace(interface=Unknown("timeout"))
    assert decide.step(at(Role.PROVING, interface=MINE._replace(checked=True)), blind, 10.0)[1] == []


def test_no_public_address() -> None:
    """Without an Elastic IP the node is ready and says so; one that the stack has but the interface not is awaited."""
    bare = PROVEN._replace(interface=MINE._replace(public=""))
    state, _ = decide.step(at(Role.PROVING, interface=MINE), bare, 10.0)
    assert (state.role, state.cause) == (Role.HOLDING, "ready, without public address")
    config = CONFIG._replace(address="eipalloc-1")
    state, _ = decide.step(at(Role.PROVING, config, interface=MINE), bare, 10.0)
    assert (state.role, state.cause) == (Role.PROVING, "eipalloc-1 is not on eni-1")


def test_the_hook_is_answered_once() -> None:
    """CONTINUE until AWS took it; a hook AWS does not know may still come, but not for ever."""

    def asked(hook: str, now: float) -> bool:
        return bool(decide.step(at(Role.HOLDING, interface=MINE), PROVEN._replace(hook=hook), now)[1])

    assert asked("", 5.0)
    assert asked("none", 5.0)
    assert not asked("none", decide.HOOK)
    assert not asked("answered", 5.0)


def test_nothing_is_loaded_before_nft_is_there() -> None:
    """While nftables is being installed the node waits, and says for what."""
    waiting = SEEN._replace(interface=MINE, link="ens6", tools="installing nftables")
    state, actions = decide.step(at(Role.PREPARING, interface=MINE), waiting, 5.0)
    assert (state.role, state.cause, actions) == (Role.PREPARING, "installing nftables", [])


def test_a_lost_interface_starts_over() -> None:
    """A holder whose device went away starts from the beginning, and does not fight for it."""
    lost = SEEN._replace(interface=THEIRS._replace(state="running"))
    assert list(roles(at(Role.HOLDING, interface=MINE), (5, lost), (6, lost))) == ["starting", "waiting"]


def test_a_forward_follows_its_target() -> None:
    """A new address of a target changes the elements; an unknown one does not; a vanished one closes the forward."""
    forward = Forward("tcp", (8080, 8080), "name:web", 80, ("0.0.0.0/0",))
    state = at(Role.HOLDING, CONFIG._replace(forwards=(forward,)), interface=MINE)
    one = frozenset({Element("move", "0.0.0.0/0 . tcp . 8080", "172.18.64.10 . 80")})
    state, actions = decide.step(state, PROVEN._replace(targets={"name:web": "172.18.64.10"}), 1.0)
    assert actions == [Update(one)]
    state, actions = decide.step(state, PROVEN._replace(targets=Unknown("timeout"), elements=one), 10.0)
    assert actions == []
    state, actions = decide.step(state, PROVEN._replace(targets={}, elements=one), 20.0)
    assert actions == [Update(frozenset())]


def test_an_illegal_transition_raises_and_changes_nothing() -> None:
    """STARTING may not become HOLDING; the error names both."""
    state = at(Role.STARTING)
    with pytest.raises(decide.IllegalTransitionError, match="starting -> holding"):
        decide.become(state, Role.HOLDING, "by magic", 1.0)
    assert state == at(Role.STARTING)


def test_the_table_is_complete() -> None:
    """Every role has its transitions and its looks, and holding is reached by proving alone."""
    assert set(decide.ALLOWED) == set(decide.LOOKS) == set(Role)
    assert [role for role, after in decide.ALLOWED.items() if Role.HOLDING in after] == [Role.PROVING]


def test_no_observation_asks_for_an_illegal_transition() -> None:
    """From every role, whatever is seen, step follows the table (it raises where it does not)."""
    interfaces: list[Interface | Unknown] = [
        FREE,
        MINE,
        MINE._replace(public=""),
        MINE._replace(checked=True),
        Unknown("?"),
    ]
    interfaces += [THEIRS._replace(state=state) for state in ("running", "terminated", "")]
    everything = itertools.product(
        Role, interfaces, ("", "ens6"), ((), ("x",), Unknown("?")), (None, MINE), (0.0, 10.0, 1e4)
    )
    for role, interface, link, faults, known, now in everything:
        seen = PROVEN._replace(interface=interface, link=link, faults=faults)
        decide.step(at(role, interface=known), seen, now)
