"""User data taken apart and merged, files written, commands quoted: without a machine."""

from __future__ import annotations

import ast
import base64
import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evernat.lab.computer.guest import cloudinit
from evernat.lab.computer.guest.cloudinit import merge, modules, parts


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("#cloud-config\na: 1", "cloud-config"), ("#!/bin/sh\n", "script"), ("\n\n#!/bin/sh\n", "script"),
        ("#cloud-boothook\n", "boothook"), ("#include\n", "include"), ("#include-once\n", "include"),
        ("#cloud-config-archive\n", "archive"), ("## template: jinja\n", "jinja"), ("hello", "unknown"),
    ],
)  # fmt: skip
def test_kinds(text: str, kind: str) -> None:
    """The first line tells the kind."""
    assert [part.kind for part in parts.split(text.encode())] == [kind]


def test_gzip() -> None:
    """Gzip is undone; broken gzip is an error that says so; nothing is no parts."""
    assert parts.split(gzip.compress(b"#!/bin/sh\n"))[0].text == "#!/bin/sh\n"
    with pytest.raises(ValueError, match="gzip but is broken"):
        parts.split(gzip.compress(b"#!/bin/sh\n" * 99)[:-9])
    assert parts.split(b"") == parts.split(b" \n") == []


def test_multipart() -> None:
    """Parts come in order with name and merge type; a nested multipart and a zipped part are opened."""
    inner = gzip.compress(b"#cloud-config\nb: 2\n")
    text = (
        'Content-Type: multipart/mixed; boundary="B"\nMIME-Version: 1.0\n\n'
        "--B\nContent-Type: text/cloud-config\nX-Merge-Type: list(append)\n\na: 1\n"
        '--B\nContent-Type: multipart/mixed; boundary="C"\n\n--C\nContent-Type: text/plain\n\n#!/bin/sh\n\n--C--\n'
        "--B\nContent-Type: application/gzip\nContent-Transfer-Encoding: base64\n"
        f'Content-Disposition: attachment; filename="z"\n\n{base64.b64encode(inner).decode()}\n--B--\n'
    )
    found = parts.split(text.encode())
    assert [(part.kind, part.name, part.merge) for part in found] == [
        ("cloud-config", "part-001", "list(append)"),
        ("script", "part-002", ""),
        ("cloud-config", "z", ""),
    ]


@pytest.mark.parametrize(
    ("how", "old", "new", "merged"),
    [
        (merge.DEFAULT, {"a": [1], "b": 1}, {"a": [2]}, {"a": [2], "b": 1}),
        ("list(append)+dict(recurse_array)+str()", {"a": [1], "b": {"c": [1]}}, {"a": [2], "b": {"c": [2]}},
         {"a": [1, 2], "b": {"c": [1, 2]}}),
        ("list(prepend)+dict(recurse_list)", {"a": [1]}, {"a": [2]}, {"a": [2, 1]}),
        ("list()+dict(recurse_array)", {"a": [1, 2, 3]}, {"a": [9]}, {"a": [9, 2, 3]}),
        ("list(no_replace)+dict(recurse_array)", {"a": [1]}, {"a": [9, 8]}, {"a": [1, 8]}),
        ("dict(no_replace)", {"a": 1, "b": {"x": 1}}, {"a": 2, "b": {"x": 2, "y": 3}}, {"a": 1, "b": {"x": 1, "y": 3}}),
        ("dict(recurse_str)+str(append)", {"a": "x"}, {"a": "y"}, {"a": "xy"}),
        ("dict(allow_delete)", {"a": 1}, {"a": None}, {}),
    ],
)  # fmt: skip
def test_merge(how: str, old: Any, new: Any, merged: Any) -> None:
    """Configs merge as their merge type says."""
    assert merge.merge(old, new, merge.parse(how)) == merged


def test_merge_how_as_list() -> None:
    """A merge type may be written as a list of names and settings."""
    how = [{"name": "list", "settings": ["append"]}, {"name": "dict", "settings": ["recurse_list"]}]
    assert merge.merge({"a": [1]}, {"a": [2]}, merge.parse(how)) == {"a": [1, 2]}


def test_shell_script() -> None:
    """Texts are lines of the script, words of lists are quoted so that the shell sees them as they are."""
    nasty = 'a\'b "c" $HOME `x` \\'
    script = modules.shell_script(["echo $0", ["printf", "%s", nasty], None])
    assert script.startswith("#!/bin/sh\necho $0\n")
    assert (
        subprocess.run(
            ["sh", "-c", script.split("\n", 2)[2]], capture_output=True, text=True, check=True
        ).stdout
        == nasty
    )


@pytest.mark.parametrize(
    ("encoding", "content"),
    [("", "text"), ("b64", base64.b64encode(b"text").decode()),
     ("gz+base64", base64.b64encode(gzip.compress(b"text", mtime=0)).decode()),
     ("gzip", gzip.compress(b"text", mtime=0)), ("text/plain", "text")],
)  # fmt: skip
def test_encodings(tmp_path: Path, encoding: str, content: str | bytes) -> None:
    """Content is decoded as its encoding says."""
    modules.write_file({"path": str(tmp_path / "f"), "encoding": encoding, "content": content}, print)
    assert (tmp_path / "f").read_text() == "text"


@pytest.mark.parametrize(
    ("permissions", "mode"), [(None, 0o644), ("0755", 0o755), ("0o600", 0o600), (0o640, 0o640), ("x", 0o644)]
)
def test_permissions(tmp_path: Path, permissions: Any, mode: int) -> None:
    """Permissions are octal text or a number; what cannot be read falls back to 0644, aloud."""
    said: list[str] = []
    modules.write_file({"path": str(tmp_path / "f"), "permissions": permissions}, said.append)
    assert (tmp_path / "f").stat().st_mode & 0o7777 == mode
    assert bool(said) == (permissions == "x")


@pytest.mark.parametrize(
    ("entry", "says"),
    [({"content": "x"}, "without path"), ({"path": "F", "encoding": "rot13"}, "unknown encoding"),
     ({"path": "F", "source": {"uri": "http://198.51.100.10/"}}, "not fetched"),
     ({"path": "F", "encoding": "b64", "content": "abc"}, "F")],
)  # fmt: skip
def test_bad_files(tmp_path: Path, entry: dict[str, Any], says: str) -> None:
    """A file that cannot be written is named with the reason; the next one is written."""
    said: list[str] = []
    bad = {key: str(tmp_path / "F") if value == "F" else value for key, value in entry.items()}
    modules.write_files({"write_files": [bad, {"path": str(tmp_path / "good")}]}, False, said.append)
    assert len(said) == 1
    assert says in said[0]
    assert (tmp_path / "good").exists()


def _guest_sources() -> list[Path]:
    return sorted(Path(cloudinit.__file__).parent.parent.rglob("*.py"))


def test_guest_python() -> None:
    """What runs inside an instance runs on Python 3.9, the oldest a machine's own may be."""
    command = [sys.executable, "-c", "import vermin; vermin.main()", "-t=3.9-", "--no-tips", "--violations"]
    sources = [str(path) for path in _guest_sources()]
    assert sources
    done = subprocess.run([*command, *sources], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_guest_imports() -> None:
    """It imports the standard library, PyYAML and itself only."""
    allowed = {*sys.stdlib_module_names, "yaml"}
    for path in _guest_sources():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert {name.split(".")[0] for name in names} <= allowed, path
