"""As much of Terraform's language as a module call takes: values written out, read and written.

A reference or function call cannot be worked out here; it is kept as the text it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evernat.stack.errors import StackError
from evernat.text import quoted

TOKEN = re.compile(
    r"""(?P<blank>(?:\s|\#[^\n]*|//[^\n]*|/\*.*?\*/)+)
      | (?P<heredoc><<-?(?P<mark>\w+)\n(?P<lines>.*?)^[ \t]*(?P=mark)$)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
      | (?P<word>[A-Za-z_][\w-]*)
      | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
WORDS = {"true": True, "false": False, "null": None}
OPENING, CLOSING = "([{", ")]}"


@dataclass(frozen=True)
class Expression:
    """Something that only Terraform can work out."""

    text: str


def written(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, Mapping):
        fields = ", ".join(f"{_key(key)} = {written(inner)}" for key, inner in value.items())
        return f"{{ {fields} }}" if fields else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, str):
        return re.sub(r"([$%])\{", r"\1\1{", quoted(value))
    return json.dumps(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w-]*", name) else written(name)


def module_calls(text: str) -> dict[str, dict[str, Any]]:
    """Name -> arguments of every module call in a file. Raises StackError where it is no such file."""
    reader = _Reader(text)
    found: dict[str, dict[str, Any]] = {}
    while reader.here:
        opening = reader.here
        if opening == "module" and reader.peek(1).startswith('"') and reader.peek(2) == "{":
            name = json.loads(reader.peek(1))
            reader.skip(3)
            found[name] = reader.fields("}")
        elif opening in OPENING:
            reader.expression()
        else:
            reader.skip(1)
    return found


class _Reader:
    """A cursor over the tokens; those that mean nothing are left out, but for where lines end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[re.Match[str]] = []
        self.breaks: set[int] = set()
        for match in TOKEN.finditer(text):
            if match.lastgroup != "blank" and match["blank"] is None:
                self.tokens.append(match)
            elif "\n" in match[0]:
                self.breaks.add(len(self.tokens))
        self.at = 0

    @property
    def here(self) -> str:
        return self.peek(0)

    def peek(self, ahead: int) -> str:
        """The text of a token; empty after the last."""
        at = self.at + ahead
        return self.tokens[at][0] if at < len(self.tokens) else ""

    def skip(self, count: int) -> None:
        self.at += count

    def fields(self, end: str) -> dict[str, Any]:
        """Arguments, or the entries of an object, up to the sign that ends them."""
        found: dict[str, Any] = {}
        while self.here != end:
            name, sign = self.here, self.peek(1)
            if sign not in ("=", ":") or not name:
                raise self._error()
            self.skip(2)
            found[_string(name) if name.startswith('"') else name] = self.value(end)
            if self.here == ",":
                self.skip(1)
        self.skip(1)
        return found

    def value(self, end: str) -> Any:
        """What is written out, or the expression as text."""
        start = self.at
        plain = self._plain()
        # A value ends with its line, or before what ends its surroundings.
        if not isinstance(plain, Expression) and (self.at in self.breaks or self.here in (",", end, "")):
            return plain
        self.at = start
        return self.expression()

    def expression(self) -> Expression:
        """Everything up to the end of the line, a comma or a closing sign, brackets and all."""
        depth, start = 0, self.at
        while self.here and not (depth == 0 and (self.here in CLOSING or self.here == ",")):
            depth += (self.here in OPENING) - (self.here in CLOSING)
            self.skip(1)
            if depth == 0 and self.at in self.breaks:
                break
        if depth or self.at == start:
            raise self._error()
        return Expression(self.text[self.tokens[start].start() : self.tokens[self.at - 1].end()])

    def _plain(self) -> Any:
        if self.at >= len(self.tokens):
            raise self._error()
        match = self.tokens[self.at]
        self.skip(1)
        if match[0] == "[":
            return self._items()
        if match[0] == "{":
            return self.fields("}") if self.here != "for" else Expression("")
        if match["heredoc"]:
            return Expression("") if "${" in match[0] or match[0].startswith("<<-") else match["lines"]
        if match["string"]:
            return _string(match[0])
        if match["number"]:
            return json.loads(match[0])
        return WORDS.get(match[0], Expression(""))

    def _items(self) -> Any:
        found = []
        while self.here != "]":
            if self.here == "for":
                return Expression("")
            found.append(self.value("]"))
            if self.here == ",":
                self.skip(1)
        self.skip(1)
        return found

    def _error(self) -> StackError:
        at = self.tokens[self.at].start() if self.at < len(self.tokens) else len(self.text)
        line = self.text.count("\n", 0, at) + 1
        return StackError(
            f"line {line} is not Terraform that can be read here", "check the file with  terraform validate"
        )


def _string(text: str) -> Any:
    """A quoted string; an expression when something is put into it."""
    if re.search(r"(?<![$%])[$%]\{", text):
        return Expression(text)
    plain: str = json.loads(re.sub(r"([$%])\1\{", r"\1{", text), strict=False)
    return plain
