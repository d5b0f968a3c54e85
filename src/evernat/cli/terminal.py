"""What reaches a terminal: nobody else's text acts on it.

Nodes, tags and error messages are other people's text. A terminal obeys control characters (ECMA-48: colours, titles,
OSC 8 links, OSC 52 clipboard), bidirectional controls reorder a line (Unicode TR 36), and rich reads `[...]` as markup.
`safe` is for each value put into a line; `Terminal` is the net below it, for a value that somebody forgot.
"""

from __future__ import annotations

import json
import re
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from evernat.text import visible

NOTHING = "[none][/none]"
"""Markup that shows nothing. It parts a text from the markup behind it."""

BRACKET = re.compile(r"(\\*)\[(?=([a-z#/@][^[]*?\])?)")
"""A bracket and the backslashes before it; the second group is there when rich takes it for a tag (rich.markup)."""


def safe(value: object) -> str:
    """A value for a line with markup: one line, shown as it is, without effect."""
    text = BRACKET.sub(_literal, visible(str(value)))
    ending = len(text) - len(text.rstrip("\\"))
    text += "\\" * ending
    return f"{text}{NOTHING}" if ending or "[" in text else text


def document(value: Any, indent: int | None = 2) -> str:
    """JSON for programs, without any control character: it may end on a terminal too."""
    return json.dumps(value, indent=indent, default=str).replace("\x7f", "\\u007f")


class Terminal(Console):
    """A console whose output has no control characters but those of rich itself."""

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed passes here."""
        return super().render_str(visible(text, "\n\t"), **options)

    def status(self, status: Any, **options: Any) -> Waiting:
        """A line with a spinner, while something takes time."""
        return Waiting(status, console=self, **options)


class Waiting(Status):
    """A spinner's line. Its text is markup, as everywhere."""

    def __init__(self, status: Any, **options: Any) -> None:
        super().__init__(_cleaned(status), **options)

    def __enter__(self) -> Waiting:
        self.start()
        return self

    def update(self, status: Any = None, **options: Any) -> None:
        """Change the line."""
        super().update(_cleaned(status), **options)

    def tell(self, text: str) -> None:
        """Change the line to plain text, which may be anybody's."""
        self.update(safe(text))


def _cleaned(status: Any) -> Any:
    return visible(status) if isinstance(status, str) else status


def _literal(bracket: re.Match[str]) -> str:
    # Before what looks like a tag rich reads backslashes in pairs, before another bracket just one of them.
    return bracket[1] * (2 if bracket[2] else 1) + "\\["
