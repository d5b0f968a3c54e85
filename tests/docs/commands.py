"""The shell blocks of the pages, as a script for a lab.

A comment `<!-- lab -->` before a block says that it runs there. Behind a colon may stand:

- `yes`: the questions of verbs that ask are answered, as a user at a terminal would;
- `stack`: before, a gateway is deployed, as the reader has one;
- `costs`: afterwards the public addresses are compared with those of the price list;
- `nat`: before, all private tables are led to a NAT Gateway; `back`: afterwards they must lead there again;
- `last`: it runs after all pages.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from tools.docs.pages import DOCS, ROOT

BLOCK = re.compile(r"(<!-- lab(?:: ([\w, ]+))? -->\n)?^```sh\n(.*?)^```$", re.S | re.M)
ASKS = "init|deploy|destroy|drill"


class Block(NamedTuple):
    """A block of shell commands."""

    page: str
    runs: bool
    marks: frozenset[str]
    text: str


def blocks(page: str) -> Iterator[Block]:
    """Those of a page, in order."""
    for comment, marks, text in BLOCK.findall((DOCS / page).read_text()):
        yield Block(page, bool(comment), frozenset(marks.replace(",", " ").split()), text)


def order() -> list[str]:
    """Pages as the site's navigation lists them, without those that the site takes in from elsewhere."""
    text = (ROOT / "mkdocs.yml").read_text()
    listed = re.findall(r"(\S+\.md)$", text[text.index("\nnav:") :], re.M)
    return [page for page in listed if (DOCS / page).exists()]


def script() -> str:
    """All that runs, each page in a folder of its own."""
    lines = [
        "set -euo pipefail",
        f'ask() {{ case "$1" in {ASKS}) command evernat "$@" --yes;; *) command evernat "$@";; esac; }}',
    ]
    there = [block for page in order() for block in blocks(page) if block.runs]
    current = ""
    for block in sorted(there, key=lambda block: "last" in block.marks):
        if block.page != current:
            current = block.page
            lines.append('cd "$(mktemp -d -p "$TOP")"')
        lines += _run(block)
    return "\n".join(lines)


def _run(block: Block) -> Iterator[str]:
    yield f'echo "@@ $SECONDS s {block.page}"'
    if "stack" in block.marks:
        yield "command evernat init --yes --include-isolated && command evernat deploy --yes"
    if "nat" in block.marks:
        yield _ours("nat_gateways make")
    yield 'evernat() { ask "$@"; }' if "yes" in block.marks else "unset -f evernat"
    yield block.text
    if "back" in block.marks:
        yield _ours("nat_gateways check")
    if "costs" in block.marks:
        yield f"evernat status --json | {_ours('addresses')}"


def _ours(words: str) -> str:
    return f"(cd {ROOT} && {sys.executable} -m tests.docs.{words})"
