"""Text that others wrote: names, tags, reports, messages."""

from __future__ import annotations

import unicodedata


def visible(text: str, keep: str = "") -> str:
    r"""The text with everything that does not print, but for `keep`, as an escape such as `\x1b` or `\u202e`.

    That is controls, format characters (bidirectional, zero width, tags), surrogates, private and unassigned ones, and
    line separators. Blanks of all widths stay.
    """
    return "".join(c if _prints(c) or c in keep else _escaped(c) for c in text)


def _prints(character: str) -> bool:
    # Of the separators only those of lines and paragraphs do something.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
