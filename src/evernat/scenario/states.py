"""docs/states.md, written from the agent's tables: `python -m evernat.scenario.states > docs/states.md`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from evernat.agent import decide, elect

PAGE = """# Roles

Written by `python -m evernat.scenario.states` from the tables in the agent's sources; a test compares.
A change of role that is not drawn here cannot happen: `become` raises, and nothing changes.

## A gateway on a node (identity `address`: pair, ring)

`agent/elect.py`, one role for each gateway the node may hold.

{elect}

## The node of a single gateway (identity `eni`)

`agent/decide.py`.

{decide}
"""


def diagram(allowed: Mapping[Any, Any]) -> str:
    """A table of allowed transitions as a Mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(allowed)).value}"]
    for role, following in allowed.items():
        order = list(allowed)
        for other in sorted(following, key=order.index):
            lines.append(f"    {role.value} --> {other.value}")
    return "\n".join([*lines, "```"])


def page() -> str:
    """The whole page."""
    return PAGE.format(elect=diagram(elect.ALLOWED), decide=diagram(decide.ALLOWED))


if __name__ == "__main__":
    sys.stdout.write(page())
