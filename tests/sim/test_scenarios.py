"""The scenarios in tests/scenarios, the pages made of them, and the command that plays them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from evernat.cli.scenario import scenario
from evernat.scenario import ScenarioError, parse, play, read, states
from evernat.scenario.script import EVENTS

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests/scenarios").glob("*.txt"))

app = typer.Typer()
app.command()(scenario)
command = CliRunner()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    """The nodes decide as the file says, and no invariant breaks."""
    played = play(read(path))
    assert played.broken is None
    assert played.differences == []
    assert played.text == path.read_text()


def owners(name: str) -> list[str]:
    played = play(read(ROOT / f"tests/scenarios/{name}.txt"))
    found = (re.match(r"aws main: (i-\S+) has it", text) for _, text in played.journal)
    return [one[1] for one in found if one]


@pytest.mark.parametrize("name", ["partition", "one-way"])
def test_one_change_in_a_partition(name: str) -> None:
    """However long nodes cannot hear each other, the gateway changes hands once."""
    assert owners(name) == ["i-b1"]


@pytest.mark.parametrize("name", ["no-api", "standby-stalls", "standby-dies"])
def test_no_change_without_need(name: str) -> None:
    """A holder without the API, a standby that stood still, or none at all: the holder stays."""
    assert owners(name) == []


def test_detection_time() -> None:
    """A holder without power is replaced from 0.4 to 0.6 s after its last heartbeat."""
    journal = play(read(ROOT / "tests/scenarios/power-off.txt")).journal
    assert 0.3 < next(at for at, text in journal if "claiming" in text) < 0.6


def test_states_page() -> None:
    """docs/states.md is what the tables say; `python -m evernat.scenario.states > docs/states.md` writes it."""
    assert (ROOT / "docs/states.md").read_text() == states.page()


def test_scenarios_page() -> None:
    """docs/scenarios.md shows the scenarios as they are; `python -m evernat.scenario.examples` writes it."""
    from evernat.scenario import examples

    assert (ROOT / "docs/scenarios.md").read_text() == examples.page(FILES)


def test_command_plays(tmp_path: Path) -> None:
    """`evernat scenario FILE` prints the transcript; JSON for programs."""
    answer = command.invoke(app, [str(FILES[0])])
    assert answer.exit_code == 0
    assert play(read(FILES[0])).lines[0] in answer.output
    answer = command.invoke(app, [str(FILES[0]), "--json"])
    assert json.loads(answer.output)["broken"] is None


def test_command_compares(tmp_path: Path) -> None:
    """Other decisions than those in the file: exit code 1 and a diff; --update writes the new ones."""
    path = tmp_path / "other.txt"
    path.write_text(
        "topology pair\n\n> 0.000 power-off a\n  0.100 b main: standby -> holding (magic)\n> 3.000 end\n"
    )
    answer = command.invoke(app, [str(path)])
    assert answer.exit_code == 1
    assert "-  0.100 b main: standby -> holding (magic)" in answer.output
    assert command.invoke(app, [str(path), "--update"]).exit_code == 0
    assert command.invoke(app, [str(path)]).exit_code == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("topology star\n> 1 end\n", "line 1: topology 'star' is not known"),
        ("colour red\n> 1 end\n", "line 1: 'colour red' is no setting"),
        ("api fast\n> 1 end\n", "line 1: 'fast' is no number"),
        ("topology pair\n", "no event"),
        ("> end\n", "line 1: an event begins with its time"),
        ("> 1 explode a\n", "line 1: event 'explode' is not known"),
        ("> 1 stall a\n", "line 1: stall takes NODE SECONDS"),
        ("> 1 stall a -1\n", "line 1: '-1' is no seconds"),
        ("> 1 stall z 1\n> 2 end\n", "line 1: 'z' is no slot of a pair"),
        ("> 1 failover b b\n> 2 end\n", "line 1: 'b' is no gateway of a pair"),
        ("> 1 fail a take sideways\n", "line 1: 'sideways' is no way to fail"),
        ("> 2 wipe a\n> 1 end\n", "line 2: time runs backwards"),
        ("> 1 wipe a\n", "the last event is not `end`"),
    ],
)
def test_bad_files(text: str, error: str) -> None:
    """What cannot be read is refused, with the line and what would be right."""
    with pytest.raises(ScenarioError, match=re.escape(error)):
        parse(text)


def test_missing_file() -> None:
    """A file that is not there is one clear message."""
    with pytest.raises(ScenarioError, match="cannot read"):
        read(Path("nowhere.txt"))


def test_every_event_is_documented_and_done() -> None:
    """What the reader knows, the world can do."""
    from evernat.scenario.happen import DO

    assert DO.keys() == EVENTS.keys()
