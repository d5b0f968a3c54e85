"""What is written into user data: JSON that YAML 1.1 reads back as the very same value.

cloud-init reads user data as YAML 1.1, which is not what JSON was made for: U+0085, U+2028 and U+2029 end a line, so
what follows them can become an entry of its own; other characters, a long key or deep nesting make all of it
unreadable; and `1e3` is a text. So here strings hold printable characters only, the others as escapes, and what has no
such form is refused. Byte for byte it is Terraform's `jsonencode` with the same rule on top (`terraform/user_data.tf`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from evernat.text import UNPRINTABLE, printable

ESCAPED = str.maketrans({c: f"\\u{ord(c):04x}" for c in f"<>&{UNPRINTABLE}"})
"""Only strings can hold them, and there both spellings mean the same. The first three are those that Go escapes."""

LONGEST_KEY = 1000
"""Characters of a key as it is written: PyYAML looks for the colon within 1,024."""

DEEPEST = 4
"""Maps and lists inside each other; cloud-init's own entries have three. PyYAML's calls nest as they do, and Python's
end at a thousand."""

LARGEST = 10**18
"""Whole numbers are below that: Terraform's are exact much further, and no file mode or flag is near it."""


class UnfitError(ValueError):
    """A value has no form in user data; the text says where it stands and why."""


def encode(value: Any, deepest: int = DEEPEST) -> str:
    """The value on one line, with sorted keys and no blanks. Raises UnfitError."""
    for place, cause in unfit(value, deepest=deepest):
        raise UnfitError(f"{place} {cause}".strip())
    return _dumped(_plain(value)).translate(ESCAPED)


def unfit(value: Any, place: str = "", deepest: int = DEEPEST) -> Iterator[tuple[str, str]]:
    """(place, cause) of everything in a value that has no form in user data."""
    if isinstance(value, str):
        yield from _in_text(value, place)
    elif isinstance(value, float | int) and not isinstance(value, bool):
        # Neither nan nor inf is a whole number.
        if not (abs(value) < LARGEST and value == int(value)):
            yield place, "is a number, but not a whole one of at most 18 digits: write it as text, in quotes"
    elif isinstance(value, Mapping | list | tuple):
        yield from _in_several(value, place, deepest)
    elif not (value is None or isinstance(value, bool)):
        kind = type(value).__name__
        yield (
            place,
            f"is a {kind}, which cloud-init's files and commands have no place for: write it as text, in quotes",
        )


def _in_text(text: str, place: str) -> Iterator[tuple[str, str]]:
    if any("\ud800" <= c <= "\udfff" for c in text):
        yield place, "holds half of a character (a surrogate), which no file can hold"


def _in_several(value: Any, place: str, deepest: int) -> Iterator[tuple[str, str]]:
    if not deepest:
        yield place, f"is nested deeper than {DEEPEST} levels"
        return
    if not isinstance(value, Mapping):
        for index, inner in enumerate(value):
            yield from unfit(inner, f"{place}[{index}]", deepest - 1)
        return
    for key, inner in value.items():
        if not isinstance(key, str):
            yield place, f"has the key {key!r}, which is no text: write it in quotes"
            continue
        if not printable(key):
            yield place, f"has the key {key!r}, with a character that does not print, or ends a line"
        elif len(_dumped(key).translate(ESCAPED)) > LONGEST_KEY:
            yield place, f"has a key that takes more than {LONGEST_KEY - 2} characters"
        else:
            yield from unfit(inner, f"{place}.{key}", deepest - 1)


def _plain(value: Any) -> Any:
    """With numbers as Terraform writes them: it does not tell 1.0 from 1."""
    if isinstance(value, float):
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
