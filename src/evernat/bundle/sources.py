"""The agent's files as they go to a node: without comments, docstrings and annotations, indented by one.

Only text is cut out, at positions the grammar gives; nothing is printed anew. So the result does not depend on the
Python that makes it, and reads like the source.
"""

from __future__ import annotations

import ast
import functools
import io
import tokenize
from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

Cut = tuple[int, int, str]
"""First and last offset, in bytes, and what stands there instead."""


ONLY = {
    "eni": {
        *("decide.py", "model.py", "report.py", "routing.py", "ruleset.py", "run.py"),
        *("effects/ec2.py", "effects/link.py"),
    },
    "address": {
        *(
            "beat.py",
            "cluster.py",
            "cluster_model.py",
            "cluster_report.py",
            "elect.py",
            "rules.py",
        ),
        *(
            "machine/fitness.py",
            "machine/packets.py",
            "machine/view.py",
        ),
        *("node/__init__.py", "node/merge.py"),
        *("flows.py", "flowsync.py", "sides.py", "sync.py", "syncline.py", "syncwire.py"),
        *(
            "effects/address.py",
            "effects/conntrack.py",
            "effects/peer.py",
        ),
    },
}
"""Files that only one identity needs."""


FIRST = {
    *(
        "__init__.py",
        "__main__.py",
        "beside.py",
        "common.py",
        "daemon.py",
        "sigv4.py",
        "status.py",
        "values.py",
    ),
    *("effects/__init__.py", "effects/api.py", "effects/imds.py", "effects/names.py"),
    *("effects/store.py", "effects/web.py"),
}
"""The files that fetch the others, and `status`. `bundle.beside` says how the others travel."""


@functools.cache
def agent_sources() -> dict[str, str]:
    """Path below the package -> text, in order of path: what travels in the user data of every node."""
    return _stripped(lambda path: path in FIRST)


@functools.cache
def beside_sources(identity: str = "address") -> dict[str, str]:
    """Path below the package -> text, in order of path: what lies beside the user data of a node of this identity."""
    (others,) = (paths for name, paths in ONLY.items() if name != identity)
    absent = others | FIRST
    return _stripped(lambda path: path not in absent)


def _stripped(wanted: Callable[[str], bool]) -> dict[str, str]:
    return {path: strip(text) for path, text in sorted(_walk(files("evernat.agent"), "")) if wanted(path)}


def strip(source: str) -> str:
    """The same program, smaller."""
    bare = _edit(source, [*_docstrings(source), *_annotations(source), *_comments(source)])
    bare = _edit(bare, _imports(bare))
    inside = _inside_strings(bare)
    rows = enumerate(bare.split("\n"), 1)
    return "".join(f"{line}\n" if row in inside else _line(line) for row, line in rows)


def _line(line: str) -> str:
    """Indented by one per level; nothing if it is blank."""
    code = line.strip()
    return f"{' ' * ((len(line) - len(line.lstrip())) // 4)}{code}\n" if code else ""


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, entry.read_text(encoding="utf-8")


def _docstrings(source: str) -> Iterator[Cut]:
    at = _offsets(source)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        if ast.get_docstring(node) is not None:
            alone = len(node.body) == 1 and not isinstance(node, ast.Module)
            yield (*_span(at, node.body[0]), "pass" if alone else "")


def _annotations(source: str) -> Iterator[Cut]:
    """Of functions and variables; the fields of a NamedTuple are made of theirs."""
    at = _offsets(source)
    fields: set[ast.AST] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "NamedTuple" for base in node.bases):
            fields.update(node.body)
        elif isinstance(node, ast.arg) and node.annotation:
            start = _span(at, node)[0] + len(node.arg)
            yield start, _span(at, node.annotation)[1], ""
        elif isinstance(node, ast.FunctionDef) and node.returns:
            start, end = _span(at, node.returns)
            yield source.encode().rindex(b")", 0, start) + 1, end, ""
        elif isinstance(node, ast.AnnAssign) and node not in fields:
            if node.value is None:
                raise ValueError(f"line {node.lineno}: an annotation without a value cannot be cut")
            yield _span(at, node.target)[1], _span(at, node.annotation)[1], ""


def _comments(source: str) -> Iterator[Cut]:
    lines = source.split("\n")
    at = _offsets(source)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            start = at[row - 1] + len(lines[row - 1][:column].encode())
            yield start, start + len(token.string.encode()), ""


def _imports(source: str) -> Iterator[Cut]:
    """Each import on one line, without names that only annotations needed."""
    tree = ast.parse(source)
    at = _offsets(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    # Fields keep their annotations, as text: a name in there counts, and they need the __future__ import.
    fields = [ast.unparse(node.annotation) for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
    for text in fields:
        used |= {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    if fields:
        used.add("annotations")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [
            each.name + (f" as {each.asname}" if each.asname else "")
            for each in node.names
            if (each.asname or each.name).split(".")[0] in used
        ]
        origin = f"from {'.' * node.level}{node.module or ''} " if isinstance(node, ast.ImportFrom) else ""
        yield (*_span(at, node), f"{origin}import {', '.join(names)}" if names else "")


def _edit(source: str, cuts: list[Cut] | Iterator[Cut]) -> str:
    text = source.encode()
    for start, end, instead in sorted(cuts, reverse=True):
        text = text[:start] + instead.encode() + text[end:]
    return text.decode()


def _offsets(source: str) -> list[int]:
    """Where each line begins, in bytes."""
    found = [0]
    for line in source.encode().split(b"\n"):
        found.append(found[-1] + len(line) + 1)
    return found


def _span(at: list[int], node: ast.AST) -> tuple[int, int]:
    assert isinstance(node, ast.stmt | ast.expr | ast.arg)
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return at[node.lineno - 1] + node.col_offset, at[node.end_lineno - 1] + node.end_col_offset


def _inside_strings(source: str) -> set[int]:
    """Lines that begin within a string: blanks there are part of the value."""
    return {
        row
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno
        for row in range(node.lineno + 1, node.end_lineno + 1)
    }
