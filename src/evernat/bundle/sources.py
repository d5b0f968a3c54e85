"""The agent's files as they go to a node: without comments and docstrings, otherwise letter for letter."""

from __future__ import annotations

import ast
import io
import tokenize
from importlib.resources import files
from importlib.resources.abc import Traversable


def agent_sources() -> dict[str, str]:
    """Path below the package -> text, in order of path."""
    return {path: strip(text) for path, text in sorted(_walk(files("evernat.agent"), ""))}


def strip(source: str) -> str:
    """The same program without comments, docstrings and runs of blank lines. Strings and line breaks stay."""
    lines = source.splitlines()
    for first, last in _docstrings(ast.parse(source)):
        lines[first - 1 : last] = [""] * (last - first + 1)
    comments = [
        token.start
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline)
        if token.type == tokenize.COMMENT
    ]
    for row, column in comments:
        lines[row - 1] = lines[row - 1][:column].rstrip()
    inside = _inside_strings("\n".join(lines) + "\n")
    kept = [line for row, line in enumerate(lines, 1) if line.strip() or row in inside]
    return "".join(f"{line}\n" for line in kept)


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            found.append((prefix + entry.name, entry.read_text(encoding="utf-8")))
    return found


def _docstrings(tree: ast.Module) -> list[tuple[int, int]]:
    """First and last line of each. A body of nothing else would be left empty, so there it stays."""
    spans = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        if ast.get_docstring(node) is None or (len(node.body) == 1 and not isinstance(node, ast.Module)):
            continue
        first = node.body[0]
        spans.append((first.lineno, first.end_lineno or first.lineno))
    return spans


def _inside_strings(source: str) -> set[int]:
    """Lines that lie within a string of several lines: a blank one there is part of the value."""
    return {
        row
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.STRING
        for row in range(token.start[0], token.end[0])
    }
