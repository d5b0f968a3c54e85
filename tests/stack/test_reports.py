"""What the holder of a gateway told of it: read, shown, and taken away with the stack."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from evernat.cli.status import _report
from evernat.stack import library, names
from evernat.stack.reports import LIMIT, OLD, Egress, Report, Sync, read
from evernat.stack.status import GatewayStatus, status
from tests import hostile
from tests.stack.cluster import Agents
from tests.stack.support import pair, ring
from tests.stack.world import World

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
TOLD: dict[str, Any] = {
    "holder": "i-a",
    "since": "2026-07-01T11:00:01Z",
    "standby": ["i-b"],
    "taken": "2026-07-01T11:00:00Z",
    "why": "i-c is silent for 0.46 s",
    "sync": {"role": "serve", "synced": True, "lag_ms": 0.213, "entries": 1234},
    "at": "2026-07-01T12:00:00Z",
    "egress": {"ok": True, "hop": "", "cause": "", "address": "", "at": "2026-07-01T11:59:59Z"},
    "problems": ["fast path off"],
    "version": "0.1.0",
}


def after(seconds: float = 5, **changed: Any) -> Report | None:
    """What is read of a report some time after it was told."""
    return read(json.dumps({**TOLD, **changed}), "i-a", AT + timedelta(seconds=seconds))


def shown(report: Report | None, standby_slot: str = "b") -> str:
    """The line of `evernat status`."""
    rest = {"state": "ready", "why": "", "interface": "eni-a", "private_address": "10.0.0.1"}
    gateway = GatewayStatus(
        "main", "203.0.113.7", "i-a", **rest, home_slot="a", standby_slot=standby_slot, report=report
    )
    return _report(gateway)


def put(world: World, holder: str, gateway: str = "main", **changed: Any) -> None:
    """Report as a node does."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({**TOLD, "holder": holder, "at": at, **changed})
    name = names.report_parameter("main", gateway)
    world.client("ssm").put_parameter(Name=name, Value=text, Type="String", Overwrite=True)


def test_read() -> None:
    """All that is shown, and how old it is."""
    expected = Report(
        since=TOLD["since"],
        standby=("i-b",),
        sync=Sync(True, 0.21, 1234),
        taken=TOLD["taken"],
        why=TOLD["why"],
        age=5.0,
        stale=False,
        egress=Egress(True, age=6.0),
        problems=("fast path off",),
        version="0.1.0",
    )
    assert after() == expected
    assert shown(after()).startswith(
        "held since 2026-07-01T11:00:01Z  taken 2026-07-01T11:00:00Z: i-c is silent for 0.46 s  "
        "[green]in sync[/], 1234 connections, lag 0.2 ms"
    )
    assert "reported 5 s ago" in shown(after())


def test_a_clock_that_is_behind() -> None:
    """No report is from the future."""
    report = after(-30)
    assert report
    assert (report.age, report.stale) == (0, False)


def test_from_the_future() -> None:
    """A holder cannot keep its word fresh by dating it far ahead."""
    report = after(-3600)
    assert report
    assert (report.age, report.stale) == (0, True)


def test_stale() -> None:
    """After two missed reports it is shown with its age, and what that may mean."""
    assert "ago:" not in shown(after(OLD))
    assert "reported 5 min ago: no way to the API" in shown(after(300))


SYNC = TOLD["sync"]
EGRESS = TOLD["egress"]
NO_SYNC: list[Any] = [5, "x", [], {}, {"role": 5}]
BAD: list[dict[str, Any]] = [
    *({key: value} for key in ("holder", "at", "since") for value in (None, 5, "", "x", ["i-a"])),
    *(
        {"at": at}
        for at in ("2026-02-30T12:00:00Z", "2026-07-01T12:00:00", "2026-07-01", "٢٠٢٦-07-01T12:00:00Z")
    ),
    *({"taken": taken} for taken in (5, True, "yesterday", "2026-07-01T11:00:00Z\n")),
    *(
        {"standby": standby}
        for standby in ("i-b", None, [5], ["i-B"], ["i-b\x1b[2J"], ["i-b"] * 33, {"i-b": 1})
    ),
    *({"why": why} for why in (5, None, ["x"])),
    *({"sync": sync} for sync in NO_SYNC),
    *({"egress": egress} for egress in NO_SYNC[:4]),
    *({"egress": {**EGRESS, "ok": value}} for value in (1, "true", None)),
    *(
        {"egress": {**EGRESS, key: value}}
        for key in ("hop", "cause", "address")
        for value in (5, None, ["x"])
    ),
    {"egress": {**EGRESS, "at": "yesterday"}},
    *({"problems": problems} for problems in ("x", None, [5], ["x"] * 33, {"x": 1})),
    *({key: value} for key in ("version", "proven") for value in (5, None, ["x"])),
    *({"sync": {**SYNC, "synced": value}} for value in (1, "true", None)),
    *({"sync": {**SYNC, "entries": value}} for value in (-1, 1.5, "1", True, 10**12, None)),
    *({"sync": {**SYNC, "lag_ms": value}} for value in (-1, "1", True, float("nan"), float("inf"), 1e300)),
]


@pytest.mark.parametrize("changed", BAD, ids=str)
def test_wrong_fields(changed: dict[str, Any]) -> None:
    """A field that is not of its type, or out of its range, and nothing of the report counts."""
    assert after(**changed) is None


def test_unknown_fields() -> None:
    """What a newer agent tells beside it is left out, also where a copying node says more of itself."""
    assert after(news={"x": [1]}, sync={**SYNC, "position": 7}) == after()


def test_long_texts() -> None:
    """A long reason is cut; a report longer than a parameter can be is none."""
    report = after(why="x" * 1000)
    assert report
    assert (len(report.why), report.why[-2:]) == (500, "x…")
    assert after(why="x" * 8192) is None


@pytest.mark.parametrize("seed", range(4))
def test_anything(seed: int) -> None:
    """Of any text at all there is a report with all its types right, or none; never an error."""
    random = Random(seed)
    read_any = 0
    for _ in range(1000):
        text = _mutated(random)
        report = read(text, "i-a", AT)
        if report is not None:
            read_any += 1
            assert _sound(report)
            assert shown(report)
    assert read_any > 50
    for text in (
        "[" * LIMIT,
        '{"holder":' * 800,
        '"\\ud800"',
        "1" * LIMIT,
        "\ud800",
        "\x00",
        "\ufeff{}",
        "1e999",
    ):
        assert read(text, "i-a", AT) is None


def _mutated(random: Random) -> str:
    """A report with one or two values replaced by anything, or its text by something near it."""
    told = json.loads(json.dumps(TOLD))
    for _ in range(random.randint(1, 2)):
        inner = [told[key] for key in ("sync", "egress") if isinstance(told.get(key), dict)]
        place = random.choice((told, *inner))
        place[random.choice((*place, hostile.text(random)))] = _value(random)
    text = json.dumps(told, ensure_ascii=random.random() < 0.5)
    at = random.randrange(len(text))
    return (
        text if random.random() < 0.6 else text[:at] + random.choice(("", '"', "\x00", "[")) + text[at + 1 :]
    )


def _value(random: Random, depth: int = 0) -> Any:
    values: list[Any] = [
        None, True, 0, -1, 1.5, 10**30, float("nan"), "", "i-a", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z",
        hostile.text(random, surrogates=True), hostile.text(random) * 50,
    ]  # fmt: skip
    if depth < 3 and random.random() < 0.3:
        inner = [_value(random, depth + 1) for _ in range(random.randint(0, 40))]
        return random.choice((inner, {str(v): v for v in inner}))
    return random.choice(values)


def _sound(report: Report) -> bool:
    words = (report.since, report.taken or "", report.why, report.version, *report.standby, *report.problems)
    sync, egress = report.sync, report.egress
    if egress:
        words = (*words, egress.hop, egress.cause, egress.address)
    return (
        all(isinstance(word, str) and len(word) <= 500 for word in words)
        and isinstance(report.standby, tuple)
        and len(report.standby) <= 32
        and type(report.age) is float
        and 0 <= report.age < 1e12
        and type(report.stale) is bool
        and (egress is None or type(egress.ok) is bool)
        and (sync is None or (type(sync.synced), type(sync.lag_ms), type(sync.entries)) == (bool, float, int))
    )


@pytest.mark.parametrize("text", [None, "", "{}", "[]", "no JSON"])
def test_nothing_to_read(text: str | None) -> None:
    """No report, or none that makes sense: not reported yet."""
    assert read(text, "i-a", AT) is None
    assert "not reported yet" in shown(None)


def test_of_another_holder() -> None:
    """What the former holder told says nothing of the present one, nor when nobody has it."""
    for holder in ("i-b", None):
        assert read(json.dumps(TOLD), holder, AT) is None


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"standby": []}, "hears no standby that is ready"),
        ({"sync": None}, "being copied"),
        ({"sync": {**TOLD["sync"], "role": "follow"}}, "being copied"),
        ({"sync": {**TOLD["sync"], "synced": False}}, "being copied"),
    ],
)
def test_not_backed(changed: dict[str, Any], line: str) -> None:
    """Nobody stands by, or not with all connections: that is what counts then."""
    assert line in shown(after(**changed))


def test_never_taken() -> None:
    """A gateway found at the start was not taken over; a single one has no standby to copy to."""
    line = shown(after(taken=0, why="", standby=[], sync=None, problems=[]), standby_slot="")
    assert line == "held since 2026-07-01T11:00:01Z  [green]internet reached[/]  [dim]reported 5 s ago[/]"


def test_status(world: World) -> None:
    """Each gateway of a ring with its own report; without one, with none."""
    agents = Agents(world)
    world.deploy(ring(world))
    holders = agents.holders()
    put(world, holders["main-a"], "main-a")
    put(world, holders["main-c"], "main-b")
    world.client("ssm").delete_parameter(Name=names.report_parameter("main", "main-c"))
    found = {g["name"]: g["report"] for g in status(world.api(), "main").as_dict()["gateways"]}
    assert found["main-b"] is None  # told by another than its holder
    assert found["main-c"] is None
    assert found["main-a"]["sync"] == {"synced": True, "lag_ms": 0.21, "entries": 1234}
    assert not found["main-a"]["stale"]


def test_no_drift(world: World) -> None:
    """A report is nothing that a plan sees, and goes with the stack."""
    agents = Agents(world)
    world.deploy(pair(world))
    put(world, agents.holders()["main"])
    assert library.plan(pair(world), world.api()).changes == ()
    world.destroy()
    world.gone()


def test_made_during_destroy(world: World) -> None:
    """One that a node makes after destroy has looked goes as well."""
    agents = Agents(world)
    world.deploy(pair(world))
    api = world.api()
    plan = library.plan_removal("main", api)
    put(world, agents.holders()["main"])
    library.destroy(plan, api)
    world.gone()


def test_of_a_former_gateway(world: World) -> None:
    """The report of a gateway that the stack has no more is deleted by deploy."""
    Agents(world)
    world.deploy(pair(world))
    put(world, "i-old", "main-b")
    (step,) = library.plan(pair(world), world.api()).changes
    assert (step.verb, step.part, step.title) == ("delete", "report", "/evernat/main/report/main-b")
    world.deploy(pair(world))
    assert library.plan(pair(world), world.api()).changes == ()
