"""Which parts of which pages are made from code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from evernat.scenario import examples, states
from evernat.stack.schema import schema
from tools.docs import fields, policy, prices, sequence, verbs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

PARTS: dict[str, Callable[[], str]] = {
    "cli": verbs.page,
    "toml": fields.page,
    "permissions-single": lambda: policy.page("single"),
    "permissions-cluster": lambda: policy.page("cluster"),
    "prices": prices.table,
    "traffic": prices.traffic,
    "takeover": lambda: sequence.page("power-off"),
    "handover": lambda: sequence.page("handover-operator"),
}
"""By the name in the marks around a part: `<!-- made: NAME -->` and `<!-- end -->`."""

MARKED = re.compile(r"(<!-- made: (\S+) -->\n).*?(<!-- end -->)", re.S)


def current() -> dict[Path, str]:
    """Every page that is made, or has a made part, as it should be."""
    made = {
        DOCS / "states.md": states.page(),
        DOCS / "scenarios.md": examples.page(sorted((ROOT / "tests/scenarios").glob("*.txt"))),
        DOCS / "evernat.schema.json": schema(),
    }
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text()
        if path not in made and MARKED.search(text):
            made[path] = MARKED.sub(lambda m: f"{m[1]}\n{PARTS[m[2]]()}\n{m[3]}", text)
    return made
