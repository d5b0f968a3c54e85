"""What the agent may be written in: Python 3.9's grammar and standard library, and nothing else of this project."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import evernat.agent
from evernat.bundle.sources import agent_sources, beside_sources

PACKAGE = Path(evernat.agent.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# Modules that came after 3.9, or are going: a module of this list would import here and not on a node.
PURE = ("kernel", "machine")
NOT_IN_3_9 = {"tomllib", "_pyrepl", "pathlib.types", "annotationlib", "compression"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_grammar(file: Path) -> None:
    """Every file parses as Python 3.9."""
    ast.parse(file.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize("identity", ["eni", "address"])
def test_grammar_of_what_travels(identity: str) -> None:
    """So does every file as it goes to a node."""
    for text in [*agent_sources().values(), *beside_sources(identity).values()]:
        ast.parse(text, feature_version=(3, 9))


@pytest.mark.parametrize(
    ("identity", "roots"),
    [("eni", {"run.py", "status.py"}), ("address", {"cluster.py", "flowsync.py", "status.py"})],
)
def test_what_travels_is_what_is_imported(identity: str, roots: set[str]) -> None:
    """A node gets the files that its daemons import, and no others, each of them by one way."""
    beside = set(beside_sources(identity))
    assert not beside & set(agent_sources())
    assert _reached({*roots, *agent_sources()}) == {*agent_sources(), *beside}


def test_what_is_imported_before_the_fetch() -> None:
    """What fetches the files beside the user data, and `status`, need none of them."""
    assert _reached({"beside.py", "status.py"}, late=False) == set(agent_sources())


def _reached(roots: set[str], *, late: bool = True) -> set[str]:
    """The agent's files that these import, and those import, and so on; `late`: within functions too.

    Not within those of `beside.py`: it imports the daemons of all identities.
    """
    found = {"__init__.py", "__main__.py"}
    todo = set(roots)
    while todo:
        path = todo.pop()
        found.add(path)
        todo |= set(_imported(path, late and path != "beside.py")) - found
    return found | {f"{Path(path).parent}/__init__.py" for path in found if "/" in path}


def _imported(path: str, late: bool) -> Iterator[str]:
    """The agent's files that a file imports."""
    tree = ast.parse((PACKAGE / path).read_text())
    for node in ast.walk(tree) if late else tree.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = (PACKAGE / path).parents[node.level - 1]
            module = folder.joinpath(*(node.module or "").split(".")) if node.module else folder
            for each in [module, *(module / alias.name for alias in node.names)]:
                if each.with_suffix(".py").is_file():
                    yield str(each.with_suffix(".py").relative_to(PACKAGE))


def test_library() -> None:
    """No call, module or syntax later than 3.9 (vermin's rules; annotations are never evaluated)."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("vermin"),
            "--target=3.9-",
            "--violations",
            "--no-tips",
            str(PACKAGE),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports(file: Path) -> None:
    """Imports are the standard library's, or relative and within the agent."""
    depth = len(file.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names, level = [alias.name for alias in node.names], 0
        elif isinstance(node, ast.ImportFrom):
            names, level = [node.module or ""], node.level
        else:
            continue
        if level:
            assert level <= depth, f"{file}: line {node.lineno} leaves the agent"
            continue
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names - NOT_IN_3_9, name


def test_decisions_are_pure() -> None:
    """What decides, renders and signs imports nothing that touches the world."""
    pure = {
        *("decide.py", "model.py", "routing.py", "ruleset.py", "sigv4.py", "sysctls.py", "common.py"),
        *("cluster_model.py", "elect.py", "beat.py", "rules.py", "contract.py"),
        *("values.py", "node/merge.py"),
        *(str(f.relative_to(PACKAGE)) for folder in PURE for f in (PACKAGE / folder).glob("*.py")),
    }
    allowed = {
        "__future__", "collections.abc", "enum", "hashlib", "hmac", "ipaddress", "json", "types", "typing",
        "", "model", "ruleset", "common", "cluster_model", "contract", "kernel", "values", "view", "math",
        "machine", "machine.packets", "machine.view", "node.merge", "kernel.firewall", "firewall", "sysctls",
    }  # fmt: skip
    for name in pure:
        for node in ast.walk(ast.parse((PACKAGE / name).read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= allowed, name
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "") in allowed, (name, node.module)
