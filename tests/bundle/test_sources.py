"""The stripping: same program, no comments, docstrings or annotations."""

from __future__ import annotations

import ast

import pytest

from evernat.bundle.sources import agent_sources, beside_sources, strip

SOURCE = '''\
"""Module."""

from __future__ import annotations

import os, sys
from typing import (
    Any,
    NamedTuple,
)

LIMIT: int = 3  # three


class Empty(Exception):
    """Only this."""


class Pair(NamedTuple):
    """Two."""

    a: int
    b: str | None = None  # or none


def f(
    x: int, *rest: Any, y: dict[str, int] | None = None
) -> tuple[int, str]:
    """Doc
    of two lines."""
    text = """ # not a comment

  "kept"
"""
    z: str = "# nor this"
    return x, text + z + str(y) + str(rest) + "ü"  # ü
'''

STRIPPED = '''\
from __future__ import annotations
from typing import NamedTuple
LIMIT = 3
class Empty(Exception):
 pass
class Pair(NamedTuple):
 a: int
 b: str | None = None
def f(
 x, *rest, y = None
):
 text = """ # not a comment

  "kept"
"""
 z = "# nor this"
 return x, text + z + str(y) + str(rest) + "ü"
'''


def test_strip() -> None:
    """What is cut and what stays, by example."""
    assert strip(SOURCE) == STRIPPED


def test_same_program() -> None:
    """The functions of the stripped source do what the others do."""
    spaces: list[dict[str, object]] = [{"__name__": "a"}, {"__name__": "b"}]
    for space, text in zip(spaces, (SOURCE, strip(SOURCE)), strict=True):
        exec(text, space)
    one, two = (space["f"](1, 2, y={"k": 1}) for space in spaces)  # type: ignore[operator]
    assert one == two


@pytest.mark.parametrize(
    "text", {**agent_sources(), **beside_sources("eni"), **beside_sources("address")}.values()
)
def test_nothing_is_left(text: str) -> None:
    """No docstring, no comment line, no blank line outside of a string in any of the agent's files."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            assert ast.get_docstring(node) is None
    assert not [line for line in text.splitlines() if line.lstrip().startswith("#")]
