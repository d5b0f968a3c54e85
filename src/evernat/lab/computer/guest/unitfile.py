"""Reading systemd unit files: the syntax of systemd.syntax(7), drop-ins, templates, specifiers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PATHS = tuple(
    Path(each)
    for each in (
        "/etc/systemd/system",
        "/run/systemd/system",
        "/usr/local/lib/systemd/system",
        "/.lab/units",
        "/usr/lib/systemd/system",
    )
)
"""Where unit files are looked for, most important first."""

Sections = dict[str, list[tuple[str, str]]]


class UnitError(Exception):
    """A unit cannot be loaded or run: says which and why."""


class UnitFile(NamedTuple):
    """A unit's settings in order of appearance, drop-ins after the file itself."""

    name: str
    path: Path
    sections: Sections

    def all(self, section: str, key: str) -> list[str]:
        """Every value of a list setting; an empty assignment forgets those before it (systemd.syntax(7))."""
        values: list[str] = []
        for each, value in self.sections.get(section, []):
            if each == key:
                values = [*values, value] if value else []
        return values

    def last(self, section: str, key: str, default: str = "") -> str:
        """The value of a single setting: the last one wins."""
        values = self.all(section, key)
        return values[-1] if values else default

    def words(self, section: str, key: str) -> list[str]:
        """A list of names, over all assignments."""
        return [word for value in self.all(section, key) for word in value.split()]


def parse(text: str, source: str) -> Sections:
    """Take one file apart. Raises UnitError for a line that is neither section, assignment nor comment."""
    sections: Sections = {}
    current: list[tuple[str, str]] | None = None
    for raw in re.sub(r"\\\n", " ", text).splitlines():
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            current = sections.setdefault(line[1:-1], [])
            continue
        key, equals, value = line.partition("=")
        if not equals or current is None:
            raise UnitError(f"{source}: expected a section or an assignment, found {line!r}")
        current.append((key.strip(), value.strip()))
    return sections


def canonical(name: str) -> str:
    """`web` is short for `web.service`."""
    return (
        name
        if re.search(r"\.(service|target|socket|timer|mount|path|slice|device)$", name)
        else f"{name}.service"
    )


def template_of(name: str) -> str:
    """`web@one.service` is made from `web@.service`; empty for a unit that is no instance of a template."""
    match = re.fullmatch(r"([^@]+@)[^@]+(\.\w+)", name)
    return match[1] + match[2] if match else ""


def find(name: str, paths: Sequence[Path] = PATHS) -> Path | None:
    """The file that defines a unit, or None."""
    for candidate in filter(None, (name, template_of(name))):
        for folder in paths:
            path = folder / candidate
            if path.exists():
                return path
    return None


def load(name: str, paths: Sequence[Path] = PATHS) -> UnitFile | None:
    """Read a unit with its drop-ins; None when there is no such unit. Raises UnitError when it cannot be read."""
    path = find(name, paths)
    if path is None:
        return None
    sections: Sections = {}
    drop_ins = {
        drop.name: drop
        for folder in reversed(paths)
        for each in filter(None, (template_of(name), name))
        for drop in sorted((folder / f"{each}.d").glob("*.conf"))
    }
    for file in (path, *(drop_ins[each] for each in sorted(drop_ins))):
        for section, settings in parse(file.read_text(errors="replace"), str(file)).items():
            sections.setdefault(section, []).extend((key, specify(value, name)) for key, value in settings)
    return UnitFile(name, path, sections)


def specify(value: str, name: str) -> str:
    """Fill in the specifiers of systemd.unit(5) that make sense here; unknown ones stay as they are."""
    stem = name.rsplit(".", 1)[0]
    prefix, _, instance = stem.partition("@")
    known = {
        "%": "%", "n": name, "N": stem, "p": prefix, "i": instance, "I": instance.replace("-", "/"),
        "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log", "E": "/etc", "h": "/root",
        "u": "root", "U": "0",
    }  # fmt: skip
    return re.sub(r"%(.)", lambda match: known.get(match[1], match[0]), value)


_UNITS = {
    "us": 1e-6, "usec": 1e-6, "ms": 1e-3, "msec": 1e-3, "": 1, "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60, "h": 3600, "hr": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400, "w": 604800, "week": 604800, "weeks": 604800,
}  # fmt: skip


def seconds(text: str) -> float | None:
    """A time span as in systemd.time(7): `90`, `1min 30s`; None for `infinity`. Raises UnitError otherwise."""
    if text.strip() == "infinity":
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text)
    if not parts or re.sub(r"[\d.\sa-z]", "", text) or any(unit not in _UNITS for _, unit in parts):
        raise UnitError(f"not a time span: {text!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def boolean(text: str) -> bool:
    """Yes or no in systemd's words. Raises UnitError otherwise."""
    word = text.lower()
    if word in ("1", "yes", "true", "on", "y", "t"):
        return True
    if word in ("0", "no", "false", "off", "n", "f"):
        return False
    raise UnitError(f"not a boolean: {text!r}")


def split(text: str) -> list[str]:
    """Words with quotes as in systemd.syntax(7). Raises UnitError for a quote left open."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError as error:
        raise UnitError(f"{error} in {text!r}") from error


def expand(word: str, environment: dict[str, str]) -> list[str]:
    """Fill in variables: `$NAME` alone becomes as many words as its value has, `${NAME}` anywhere stays one word."""
    alone = re.fullmatch(r"\$([A-Za-z_]\w*)", word)
    if alone:
        return environment.get(alone[1], "").split()
    return [
        re.sub(
            r"\$\$|\$\{([A-Za-z_]\w*)\}",
            lambda match: "$" if match[0] == "$$" else environment.get(match[1], ""),
            word,
        )
    ]
