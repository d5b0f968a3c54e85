"""The syntax of unit files: sections, lists, drop-ins, templates, time spans, quotes, variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from evernat.lab.computer.guest.settings import read_environment_files, remarks, settings
from evernat.lab.computer.guest.unitfile import (
    UnitError,
    expand,
    load,
    parse,
    seconds,
    specify,
    split,
    template_of,
)


def _unit(tmp_path: Path, text: str, name: str = "a.service"):  # type: ignore[no-untyped-def]
    (tmp_path / name).write_text(text)
    unit = load(name, (tmp_path,))
    assert unit
    return unit


def test_sections_and_comments() -> None:
    """Comments and blank lines are skipped, a backslash continues a line."""
    text = "# x\n; y\n\n[Unit]\nDescription = a \\\n b\n[Service]\nExecStart=x\n[Unit]\nAfter=c\n"
    assert parse(text, "f") == {
        "Unit": [("Description", "a   b"), ("After", "c")],
        "Service": [("ExecStart", "x")],
    }


@pytest.mark.parametrize("text", ["Description=outside\n", "[Unit]\nnonsense\n"])
def test_bad_lines(text: str) -> None:
    """A line that is neither section nor assignment, or stands outside any section, is an error that names the file."""
    with pytest.raises(UnitError, match="f: "):
        parse(text, "f")


def test_list_reset(tmp_path: Path) -> None:
    """An empty assignment forgets the values before it; single settings take the last."""
    unit = _unit(
        tmp_path, "[Service]\nEnvironment=A=1\nEnvironment=\nEnvironment=B=2\nType=simple\nType=exec\n"
    )
    assert unit.all("Service", "Environment") == ["B=2"]
    assert unit.last("Service", "Type") == "exec"


def test_drop_ins(tmp_path: Path) -> None:
    """Drop-ins come after the file, in order of their names."""
    folder = tmp_path / "a.service.d"
    folder.mkdir()
    (folder / "20.conf").write_text("[Service]\nNice=2\n")
    (folder / "10.conf").write_text("[Service]\nNice=1\n")
    assert _unit(tmp_path, "[Service]\nNice=0\n").last("Service", "Nice") == "2"


def test_template(tmp_path: Path) -> None:
    """An instance is made from its template, with its name filled in."""
    (tmp_path / "web@.service").write_text("[Service]\nExecStart=serve %i %n %p 100%%\n")
    unit = load("web@one.service", (tmp_path,))
    assert unit
    assert unit.last("Service", "ExecStart") == "serve one web@one.service web 100%"
    assert template_of("web.service") == ""


def test_precedence(tmp_path: Path) -> None:
    """A file in an earlier directory hides one of the same name; a missing unit is None."""
    for name in ("etc", "lib"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.service").write_text(f"[Unit]\nDescription={name}\n")
    unit = load("a.service", (tmp_path / "etc", tmp_path / "lib"))
    assert unit
    assert unit.last("Unit", "Description") == "etc"
    assert load("b.service", (tmp_path / "etc",)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("1min 30s", 90),
        ("200ms", 0.2),
        ("1.5h", 5400),
        ("2 days", 172800),
        ("infinity", None),
        ("0", 0),
    ],
)
def test_seconds(text: str, expected: float | None) -> None:
    """Time spans have systemd's units, seconds by default."""
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "5 parsecs", "-1", "1:30"])
def test_bad_seconds(text: str) -> None:
    """Anything else is an error."""
    with pytest.raises(UnitError):
        seconds(text)


def test_words() -> None:
    """Quotes keep words together; an open quote is an error; `$NAME` splits, `${NAME}` does not, `$$` is a dollar."""
    assert split("a 'b c' \"d e\"") == ["a", "b c", "d e"]
    with pytest.raises(UnitError):
        split("'open")
    environment = {"X": "1 2"}
    assert expand("$X", environment) == ["1", "2"]
    assert expand("a${X}b", environment) == ["a1 2b"]
    assert expand("$$X", environment) == ["$X"]
    assert expand("${MISSING}", environment) == [""]
    assert specify("%t/x %Z", "a.service") == "/run/x %Z"


def test_defaults(tmp_path: Path) -> None:
    """Without a word about it: simple, no restart, 100 ms, 90 s, 5 starts in 10 s; a oneshot may start for ever."""
    plain = settings(_unit(tmp_path, "[Service]\nExecStart=x\n"))
    assert (plain.type, plain.restart, plain.restart_delay, plain.start_timeout, plain.start_limit) == (
        "simple",
        "no",
        0.1,
        90,
        (10, 5),
    )
    assert settings(_unit(tmp_path, "[Service]\nType=oneshot\nExecStart=x\n")).start_timeout is None
    assert settings(_unit(tmp_path, "[Service]\nExecStart=x\nTimeoutSec=3\n")).stop_timeout == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [("Type=dbus\nExecStart=x", "Type=dbus"), ("Type=simple", "exactly one ExecStart"),
     ("ExecStart=x\nRestart=maybe", "Restart=maybe"),
     ("ExecStart=x\nKillSignal=SIGNOPE", "SIGNOPE"),
     ("ExecStart=x\nRestartSec=soon", "soon"), ("ExecStart=-", "names no program")],
)  # fmt: skip
def test_bad_settings(tmp_path: Path, text: str, says: str) -> None:
    """A value that makes no sense is refused by name."""
    with pytest.raises(UnitError, match=says):
        settings(_unit(tmp_path, f"[Service]\n{text}\n"))


def test_remarks(tmp_path: Path) -> None:
    """Confining settings and unknown ones are told apart; X- sections are nobody's business."""
    unit = _unit(
        tmp_path,
        "[Unit]\nFoo=1\n[Service]\nExecStart=x\nProtectHome=yes\nLimitNOFILE=5\nBar=1\n[X-Mine]\nA=b\n",
    )
    assert remarks(unit) == (["Service.ProtectHome", "Service.LimitNOFILE"], ["Unit.Foo", "Service.Bar"])


def test_environment_file(tmp_path: Path) -> None:
    """Comments are skipped, quotes taken off; a missing file counts unless it is written with a dash."""
    file = tmp_path / "env"
    file.write_text("# c\nA=1\nB=\"x y\"\nC='z'\n\nD=plain words\n")
    assert read_environment_files((str(file), "-/nowhere")) == {
        "A": "1",
        "B": "x y",
        "C": "z",
        "D": "plain words",
    }
    with pytest.raises(UnitError, match="/nowhere"):
        read_environment_files(("/nowhere",))
