"""Draws the two kinds of Mermaid diagrams that the pages use, as SVG that takes its colours from the page.

GitHub draws the same text itself. A browser would have to fetch Mermaid's program to do so; the site fetches nothing.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple
from zlib import crc32

Edge = tuple[str, str]


class Picture(NamedTuple):
    """What is drawn, and the size it is drawn in."""

    width: float
    height: float
    parts: list[str]
    title: str
    narrowest: float
    """Drawn any smaller it could not be read; then it is scrolled."""

    def svg(self) -> str:
        """The element, for a page."""
        name = f"p{crc32(''.join(self.parts).encode()):x}"
        head = (
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto-start-reverse"><path class="head" d="M0 0L8 4L0 8z"/></marker>'
        )
        body = "".join(self.parts).replace("HEAD", f"url(#{name})")
        return (
            f'<div class="picture"><svg role="img" aria-label="{escape(self.title)}" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" style="max-width:{self.width:g}px;'
            f'min-width:{min(self.width, self.narrowest):g}px"><defs>{head}</defs>{body}</svg></div>'
        )


def draw(text: str) -> str:
    """A diagram's SVG. Raises ValueError for text that is not understood."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kind, rest = (lines[0], lines[1:]) if lines else ("", [])
    if kind == "stateDiagram-v2":
        return _states(rest).svg()
    if kind == "sequenceDiagram":
        return _sequence(rest).svg()
    raise ValueError(f"no such diagram can be drawn: {kind!r}")


# States: one below the other; what goes on runs down the right side, what goes back up the left one.

BOX_WIDTH, BOX_HEIGHT, ROW = 112, 30, 66


def _states(lines: Sequence[str]) -> Picture:
    edges: list[Edge] = []
    for line in lines:
        matched = re.fullmatch(r"(\S+) --> (\S+)", line)
        if not matched:
            raise ValueError(f"not a transition: {line!r}")
        edges.append((matched[1], matched[2]))
    # In the order of the text, which is that of the table.
    order = [name for name in dict.fromkeys([a for a, _ in edges] + [b for _, b in edges]) if name != "[*]"]
    first = next(b for a, b in edges if a == "[*]")
    place = {name: index for index, name in enumerate(order)}
    arcs = [(a, b) for a, b in edges if a != "[*]" and place[b] - place[a] != 1]
    longest = max((abs(place[a] - place[b]) for a, b in arcs), default=1)
    middle = BOX_WIDTH / 2 + _bulge(longest) * 0.75 + 10
    rows = {name: 46 + ROW * index for name, index in place.items()}
    parts = [f'<circle class="start" cx="{middle:g}" cy="12" r="6"/>']
    parts.append(_line(middle, 18, middle, rows[first] - BOX_HEIGHT / 2))
    for a, b in edges:
        if a != "[*]" and place[b] - place[a] == 1:
            parts.append(_line(middle, rows[a] + BOX_HEIGHT / 2, middle, rows[b] - BOX_HEIGHT / 2))
    parts += _arcs(arcs, place, rows, middle)
    for name, y in rows.items():
        parts.append(_box(middle - BOX_WIDTH / 2, y - BOX_HEIGHT / 2, BOX_WIDTH, BOX_HEIGHT, "state"))
        parts.append(_text(middle, y + 5, name))
    height = max(rows.values()) + BOX_HEIGHT / 2 + 8
    return Picture(middle * 2, height, parts, f"state diagram: {', '.join(order)}", 330)


def _bulge(span: int) -> float:
    return 22 + 20 * span


def _arcs(
    arcs: Sequence[Edge], place: Mapping[str, int], rows: Mapping[str, float], middle: float
) -> list[str]:
    """Each end of an arc has a place of its own at the side of its box."""
    parts = []
    ends: dict[tuple[str, bool], list[tuple[int, Edge]]] = {}
    for a, b in arcs:
        down = place[b] > place[a]
        ends.setdefault((a, down), []).append((place[b] - place[a], (a, b)))
        ends.setdefault((b, down), []).append((place[a] - place[b], (a, b)))
    offset: dict[tuple[str, Edge], float] = {}
    for (name, _), there in ends.items():
        for index, (_, edge) in enumerate(sorted(there)):
            offset[name, edge] = (index - (len(there) - 1) / 2) * min(7.0, 24 / max(len(there) - 1, 1))
    for a, b in arcs:
        down = place[b] > place[a]
        side = 1 if down else -1
        x = middle + side * BOX_WIDTH / 2
        out = x + side * _bulge(abs(place[a] - place[b]))
        y1, y2 = rows[a] + offset[a, (a, b)], rows[b] + offset[b, (a, b)]
        parts.append(
            f'<path class="{"go" if down else "back"}" marker-end="HEAD" '
            f'd="M{x:g} {y1:g}C{out:g} {y1:g} {out:g} {y2:g} {x:g} {y2:g}"/>'
        )
    return parts


# Sequences: a column for each participant, time runs down.

COLUMN, NOTE, LINE = 190, 176, 16


def _sequence(lines: Sequence[str]) -> Picture:
    names: dict[str, str] = {}
    parts: list[str] = []
    y = 62.0
    for line in lines:
        if matched := re.fullmatch(r"participant (\S+) as (.+)", line):
            names[matched[1]] = matched[2]
        elif matched := re.fullmatch(r"Note over (\S+?): (.+)", line):
            drawn, y = _note(_column(names, matched[1]), y, matched[2])
            parts += drawn
        elif matched := re.fullmatch(r"(\S+?)(--?)>>(\S+?): (.+)", line):
            ends = _column(names, matched[1]), _column(names, matched[3])
            drawn, y = _message(*ends, y, matched[4], answer=len(matched[2]) == 2)
            parts += drawn
        else:
            raise ValueError(f"not understood: {line!r}")
    heads: list[str] = []
    for name, label in names.items():
        x = _column(names, name)
        heads.append(f'<path class="life" d="M{x:g} 36V{y:g}"/>')
        heads.append(_box(x - 60, 8, 120, 28, "state") + _text(x, 27, label))
    width = COLUMN * len(names)
    return Picture(width, y + 4, heads + parts, f"sequence of {', '.join(names.values())}", 500)


def _column(names: dict[str, str], name: str) -> float:
    if name not in names:
        raise ValueError(f"no participant {name!r}")
    return COLUMN * (list(names).index(name) + 0.5)


def _note(x: float, y: float, text: str) -> tuple[list[str], float]:
    lines = [part for piece in text.split("<br/>") for part in textwrap.wrap(piece, 27)]
    height = LINE * len(lines) + 8
    parts = [_box(x - NOTE / 2, y - 14, NOTE, height, "note")]
    parts += [_text(x, y + 1 + LINE * index, line, "small") for index, line in enumerate(lines)]
    return parts, y + height + 8


def _message(begin: float, end: float, y: float, text: str, *, answer: bool) -> tuple[list[str], float]:
    middle = (begin + end) / 2
    kind = "back" if answer else "go"
    parts = [_text(middle, y, text, "small over"), _line(begin, y + 7, end, y + 7, kind)]
    return parts, y + 30


def _box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"/>'


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="middle">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "go") -> str:
    return f'<path class="{kind}" marker-end="HEAD" d="M{x1:g} {y1:g}L{x2:g} {y2:g}"/>'
