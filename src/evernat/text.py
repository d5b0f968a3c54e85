"""Text that others wrote (names, tags, reports, messages), put where it must stay just text."""

from __future__ import annotations

import unicodedata

UNPRINTABLE = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF]))
"""What is no printable text in YAML 1.1 (5.1, 5.4), or ends a line there, and the byte order mark."""

SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
QUOTED = str.maketrans({c: f"\\u{ord(c):04x}" for c in UNPRINTABLE} | SHORT)


def visible(text: str, keep: str = "") -> str:
    r"""The text with everything that does not print, but for `keep`, as an escape such as `\x1b` or `\u202e`.

    That is controls, format characters (bidirectional, zero width, tags), surrogates, private and unassigned ones, and
    line separators. Blanks of all widths stay.
    """
    return "".join(c if _prints(c) or c in keep else _escaped(c) for c in text)


def quoted(text: str) -> str:
    """The text in quotes, as JSON, YAML, TOML and Terraform all read it."""
    return f'"{text.translate(QUOTED)}"'


def printable(text: str) -> bool:
    """Whether nothing of `UNPRINTABLE` is in a text, nor half of a character (a surrogate)."""
    return not any(c in UNPRINTABLE or "\ud800" <= c <= "\udfff" for c in text)


def _prints(character: str) -> bool:
    # Of the separators only those of lines and paragraphs do something.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
