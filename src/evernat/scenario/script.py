"""The text of a scenario: what happens to a stack, line by line, and what its nodes decided.

    # A comment says what the scenario shows.
    topology pair
    start new

    > 0.000 power-off a
      0.450 b main: standby -> probing (no word from i-a1 for 0.41 s)
    > 5.000 end

Lines with `>` go in: a time in seconds and an event. All other lines below the first event come out; they are compared
with what the nodes do now. The settings stand above: see `Settings`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from evernat.errors import EvernatError
from evernat.scenario.layout import Layout

EVENTS = {
    "power-off": ("NODE", "its power fails"),
    "terminate": ("NODE", "AWS terminates it, politely: its units are stopped first"),
    "restart": ("NODE", "the agent is killed and started again"),
    "stop": ("NODE", "the agent's unit is stopped, and started again two seconds later"),
    "stall": ("NODE SECONDS", "nothing of the agent runs for that long"),
    "jump": ("NODE SECONDS", "its clock jumps ahead"),
    "cut": ("NODE NODE", "the first no longer hears the second"),
    "mend": ("NODE NODE", "the first hears the second again"),
    "loss": ("NODE NODE SHARE", "that share of the second's heartbeats does not reach the first"),
    "api-off": ("NODE", "its way to the AWS API is cut"),
    "api-on": ("NODE", "and is there again"),
    "fail": (
        "NODE ACTION HOW",
        "its next such call fails: throttle, refuse, before, after (done, unanswered), hang (for a minute)",
    ),
    "slow": ("SECONDS", "every call takes that much longer, until told otherwise"),
    "stale": ("SECONDS", "reads show what was true that long ago, until told otherwise"),
    "spot": ("NODE", "a spot interruption notice; two minutes are made short: it ends 12 s later"),
    "rebalance": ("NODE", "a rebalance recommendation"),
    "roll": ("NODE", "a new node starts beside the old one, which is terminated when the new one is ready"),
    "failover": ("GATEWAY SLOT", "the operator wants it there"),
    "lag": ("NODE SECONDS", "its copy of the flows is behind for that long"),
    "wipe": ("NODE", "somebody flushes its packet filter rules"),
    "block": ("NODE", "somebody's packet filter drops what it forwards"),
    "unblock": ("NODE", "and does so no longer"),
    "offline": ("NODE", "it reaches no place of the internet, but the AWS API and other nodes"),
    "online": ("NODE", "and does so again"),
    "blackout": ("", "nobody reaches the internet, but everybody the AWS API"),
    "light": ("", "and it is there again"),
    "mend-all": ("", "all faults of network, API and packet filters end"),
    "end": ("", "the scenario ends here"),
}
"""What may happen: the words that follow, and what it means."""


HOWS = ("throttle", "refuse", "before", "after", "hang")
CHOICES = {
    "topology": ("single", "pair", "ring", "ring2"),
    "start": ("steady", "new"),
    "address": ("own", "shared"),
    "routes": ("", "foreign"),
    "rest": ("", "required"),
}


class ScenarioError(EvernatError):
    """The file cannot be read as a scenario."""


class Event(NamedTuple):
    """Something that happens at `at` seconds."""

    at: float
    what: str
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([f"{self.at:.3f}", self.what, *self.words])


class Settings(NamedTuple):
    """How the world is at the beginning; the lines above the first event, `name value`."""

    topology: str = "pair"  # single, pair, ring (three zones) or ring2
    start: str = "steady"  # steady: all slots ready; new: nodes have just been launched
    seed: int = 1  # of the jitter of network, AWS and the nodes' own turns
    api: float = 0.1  # seconds a call of the AWS API takes, half of them before it has an effect
    heal: float = 2.0  # seconds until the Auto Scaling group replaces a dead node
    rest: str = ""  # `required`: all must be well at the end
    address: str = "own"  # own: an Elastic IP sits on a secondary address; shared: on the node's primary one
    routes: str = ""  # `foreign`: at a new start the tables lead to somebody else's NAT, which works


class Script(NamedTuple):
    """One scenario. `expected` are the lines that come out, `comment` those at the top."""

    settings: Settings
    events: tuple[Event, ...]
    comment: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()

    @property
    def end(self) -> float:
        """When it is over."""
        return self.events[-1].at if self.events else 0.0


def read(path: Path) -> Script:
    """Read a file; ScenarioError says what is wrong, and in which line."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"cannot read {path}: {error}") from error
    return parse(text, str(path))


def parse(text: str, name: str = "scenario") -> Script:
    """The text of a scenario as a value."""
    settings: dict[str, str | int | float] = {}
    events: list[Event] = []
    comment, expected, lines = [], [], []
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}, line {number}"
        if line.startswith(">"):
            events.append(_event(line[1:].split(), where))
            lines.append(where)
            if len(events) > 1 and events[-1].at < events[-2].at:
                raise ScenarioError(f"{where}: time runs backwards", "order the events by time")
        elif line.startswith(("  ", "! ")):
            expected.append(line)
        elif line.startswith("#"):
            comment.append(line[1:].strip())
        elif line.strip():
            key, value = _setting(line.split(), where)
            settings[key] = value
    if not events:
        raise ScenarioError(f"{name}: no event", "write at least  > 5.000 end")
    if events[-1].what != "end":
        raise ScenarioError(
            f"{name}: the last event is not `end`", "say when it is over, such as  > 5.000 end"
        )
    made = Settings(**settings)  # type: ignore[arg-type]
    for event, where in zip(events, lines, strict=True):
        _known(event, made.topology, where)
    return Script(made, tuple(events), tuple(comment), tuple(expected))


def _known(event: Event, topology: str, where: str) -> None:
    """Whether the slots and gateways of an event are there in that topology."""
    layout = Layout.of(topology)
    known = {"slot": layout.slots, "gateway": tuple(gateway.name for gateway in layout.gateways)}
    for word, kind in zip(event.words, EVENTS[event.what][0].split(), strict=True):
        what = {"NODE": "slot", "SLOT": "slot", "GATEWAY": "gateway"}.get(kind)
        if what and word not in known[what]:
            raise ScenarioError(
                f"{where}: {word!r} is no {what} of a {topology}", f"one of {', '.join(known[what])}"
            )


def header(script: Script) -> list[str]:
    """The lines above the first event."""
    usual = Settings()
    changed = [
        f"{key} {value}"
        for key, value in script.settings._asdict().items()
        if value != getattr(usual, key) or key in ("topology", "start")
    ]
    return [*(f"# {line}".rstrip() for line in script.comment), *changed, ""]


def _setting(words: list[str], where: str) -> tuple[str, str | int | float]:
    usual = Settings()._asdict()
    if words[0] not in usual or len(words) != 2:
        raise ScenarioError(
            f"{where}: {' '.join(words)!r} is no setting",
            f"one of {', '.join(Settings._fields)}, and a value",
        )
    choices = CHOICES.get(words[0])
    kind = type(usual[words[0]])
    if choices and words[1] not in choices:
        raise ScenarioError(f"{where}: {words[0]} {words[1]!r} is not known", f"one of {', '.join(choices)}")
    try:
        return words[0], kind(words[1])
    except ValueError:
        raise ScenarioError(f"{where}: {words[1]!r} is no number") from None


def _event(words: list[str], where: str) -> Event:
    try:
        at = float(words[0])
    except (IndexError, ValueError):
        raise ScenarioError(
            f"{where}: an event begins with its time", "such as  > 1.500 power-off a"
        ) from None
    what, rest = words[1] if len(words) > 1 else "", tuple(words[2:])
    form = EVENTS.get(what)
    if form is None:
        raise ScenarioError(f"{where}: event {what!r} is not known", f"one of {', '.join(EVENTS)}")
    wanted = form[0].split()
    if len(rest) != len(wanted):
        raise ScenarioError(f"{where}: {what} takes {' '.join(wanted) or 'nothing'}")
    for word, kind in zip(rest, wanted, strict=True):
        if kind in ("SECONDS", "SHARE") and not _positive(word):
            raise ScenarioError(f"{where}: {word!r} is no {kind.lower()}", "a number, 0 or more")
        if kind == "HOW" and word not in HOWS:
            raise ScenarioError(f"{where}: {word!r} is no way to fail", f"one of {', '.join(HOWS)}")
    return Event(at, what, rest)


def _positive(word: str) -> bool:
    try:
        return 0 <= float(word) < float("inf")
    except ValueError:
        return False
