"""A scenario's transcript as a Mermaid sequence diagram: what happens, and what nodes and AWS do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evernat.scenario.script import EVENTS

FOLDER = Path(__file__).parents[2] / "tests" / "scenarios"


def page(name: str) -> str:
    """The diagram of `tests/scenarios/NAME.txt`."""
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    nodes = ("a", "b")
    told = [text for line in lines for text in _line(line, nodes)]
    head = [f"participant {node} as node {node}" for node in nodes]
    body = "\n".join(f"    {text}" for text in [*head, "participant AWS as AWS", *told])
    return (
        f"```mermaid\nsequenceDiagram\n{body}\n```\n\n"
        f"Made from the transcript [{name}](scenarios.md#{name}). The seconds are the simulation's: no measurement.\n"
    )


def _line(line: str, nodes: tuple[str, ...]) -> Iterator[str]:
    """What one line of the transcript looks like; those without meaning for the picture have none."""
    matched = re.fullmatch(r"(> |  )(\d+\.\d+) (.+)", line)
    if not matched or matched[3] == "end":
        return
    at, text = f"{float(matched[2]):.2f} s", matched[3].replace(";", ",")
    if matched[1] == "> ":
        event, *words = text.split()
        where = words[0] if words and words[0] in nodes else "AWS"
        yield f"Note over {where}: {at}<br/>{EVENTS[event][1]}"
    elif found := re.fullmatch(r"(\w) \S+: (\w+) -> (\w+) \((.+)\)", text):
        yield f"Note over {found[1]}: {at}<br/>{found[2]} → {found[3]}<br/>{found[4]}"
    elif found := re.fullmatch(r"(\w) asks AWS: (\w+ \S+).*", text):
        yield f"{found[1]}->>AWS: {at}, {found[2]}"
    elif text.startswith("aws "):
        yield f"Note over AWS: {at}<br/>{text.removeprefix('aws ')}"
    elif " is told: " not in text:  # answers come when all is decided: by the next look
        raise ValueError(f"not understood: {line!r}")
