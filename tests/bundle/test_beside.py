"""The part of a cluster node's agent in SSM parameters: what is stored, and what a node makes of it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evernat.agent.beside import joined, kept, unpack
from evernat.agent.cluster_model import Config
from evernat.agent.effects import EffectError
from evernat.bundle import ClusterConfig, GatewayConfig, beside, folder, parameters, user_data
from evernat.bundle.sources import agent_sources, beside_sources

ROOM = 12_000
"""Bytes of user data that evernat's part takes at most, so that the user's own has some."""


def gateway(name: str, home: str, standby: str, tables: int) -> GatewayConfig:
    """As long as they get: ids of full length, which do not compress."""
    digests = [hashlib.sha256(f"{name} {n}".encode()).hexdigest()[:17] for n in range(tables + 1)]
    index = {home: 0, standby: int(name != "main")}
    clients = [f"172.18.{64 + 16 * n}.0/20" for n in range(tables)]
    routes = [f"rtb-{digest}" for digest in digests[1:]]
    return GatewayConfig(name, f"eipalloc-{digests[0]}", home, standby, index, routes, clients)


PAIR = ClusterConfig(
    "main", "a", ("a", "b"), [gateway("main", "a", "b", 3)], "evernat-main-a", "/evernat/main/key"
)
RING = ClusterConfig(
    "main",
    "a",
    ("a", "b", "c"),
    [gateway("main-a", "a", "b", 1), gateway("main-c", "c", "a", 1)],
    "evernat-main-a",
    "/evernat/main/key",
)


def test_names_carry_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other content has other names, all of them below the stack's folder; the settings name them in order."""
    names = list(parameters("main"))
    (digest,) = {name.split("/")[-2] for name in names}
    assert names == [f"{folder('main')}/{digest}/{index}" for index in range(len(names))]
    assert list(Config.parse(PAIR.json()).code) == names
    sources = {**beside_sources(), "elect.py": beside_sources()["elect.py"] + "pass\n"}
    monkeypatch.setattr(beside, "beside_sources", lambda identity: sources)
    beside._pieces.cache_clear()
    try:
        other = set(parameters("main"))
    finally:
        beside._pieces.cache_clear()
    assert not other & set(names)


@pytest.mark.parametrize("piece", parameters("main").values())
def test_what_a_parameter_takes(piece: str) -> None:
    """A standard parameter takes 4,096 bytes, may lose blanks at its ends, and knows references."""
    assert 0 < len(piece.encode()) <= 4096
    assert piece == piece.strip()
    assert "{{" not in piece


def text(values: dict[str, str], config: ClusterConfig = PAIR) -> str:
    """What a node joins the values to."""
    return joined(Config.parse(config.json()).code, values)


def files_below(folder: Path) -> dict[str, str]:
    """Path -> text of all files."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's package."""
    (tmp_path / "effects").mkdir()
    (tmp_path / "kernel").mkdir()
    return tmp_path


def test_unpack(node: Path) -> None:
    """A node has the stripped sources, byte for byte, below its package."""
    values = {"/evernat/main/key": "00", **parameters("main")}
    unpack(str(node), text(values, RING))
    found = files_below(node)
    assert found.pop("beside.txt") == text(values)
    assert found == beside_sources()


def test_a_wrong_text_is_refused() -> None:
    """Changed, cut or exchanged pieces, in the first and in the last of them."""
    right = parameters("main")
    first, second, *_, last = right
    wrong = [
        {**right, second: right[second].replace("=", "-", 1)},
        {**right, last: right[last][:-1]},
        {**right, first: right[second], second: right[first]},
        {**right, last: ""},
    ]
    for values in wrong:
        with pytest.raises(EffectError, match="/0 and its likes were changed"):
            text(values)


def test_what_is_kept(node: Path) -> None:
    """What was unpacked is found again; a text that was cut off, changed, or is of another version, is not."""
    code = Config.parse(PAIR.json()).code
    assert kept(str(node), code) == ""
    right = text(parameters("main"))
    unpack(str(node), right)
    assert kept(str(node), code) == right
    assert kept(str(node), [name.replace(code[0].split("/")[-2], "f" * 16) for name in code]) == ""
    for wrong in (right[:-1], "", right.replace("return", "yield", 1)):
        (node / "beside.txt").write_text(wrong)
        assert kept(str(node), code) == ""
    (node / "beside.txt").write_bytes(b"\xff\xfe")
    assert kept(str(node), code) == ""


def test_a_full_file_system(node: Path) -> None:
    """Files that are right are not written; one that cannot be written is an EffectError, and stays as it was."""
    right = text(parameters("main"))
    unpack(str(node), right)
    for path in [path for path in node.rglob("*") if path.is_file()]:
        path.with_name(f"{path.name}.new").symlink_to("/dev/full")
    unpack(str(node), right)
    (node / "elect.py").write_text("cut o")
    with pytest.raises(EffectError, match="No space left"):
        unpack(str(node), right)
    assert (node / "elect.py").read_text() == "cut o"
    (node / "elect.py.new").unlink()
    unpack(str(node), right)
    assert (node / "elect.py").read_text() == beside_sources()["elect.py"]


@pytest.mark.parametrize("config", [PAIR, RING], ids=["pair", "ring"])
def test_size(config: ClusterConfig) -> None:
    """What remains in the user data leaves room for the user's own."""
    assert len(user_data(config)) <= ROOM


def test_a_node_begins_with_its_user_data_alone(tmp_path: Path) -> None:
    """Everything up to the fetch is in the user data; with what was fetched the daemon and the copying load too."""
    package = tmp_path / "agent"
    for path, source in agent_sources().items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(source)
    assert loads(tmp_path, "beside", "status") == ""
    assert "ModuleNotFoundError" in loads(tmp_path, "cluster") + loads(tmp_path, "flowsync")
    unpack(str(package), text(parameters("main")))
    assert loads(tmp_path, "cluster", "flowsync") == ""


def loads(folder: Path, *modules: str) -> str:
    """Import them as on a node; what went wrong."""
    code = "; ".join(f"import agent.{module}" for module in modules)
    program = [sys.executable, "-SEs", "-B", "-c", f"import sys; sys.path.insert(0, '.'); {code}"]
    done = subprocess.run(
        program, cwd=folder, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )
    return done.stderr
