"""Text that tries to be more than text: for a terminal, for rich's markup, for YAML, for Terraform's templates."""

from __future__ import annotations

from random import Random

CONTROLS = [
    *map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0)),
    "\x1b[2J", "\x1b[31m", "\x1b]8;;http://x\x07", "\x1b]52;c;eA==\x1b\\", "\x9b31m", "\x9d0;x\x9c", "\r\n",
]  # fmt: skip
INVISIBLE = [
    "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\u200b", "\u200e", "\u200f", "\u061c", "\u00ad",
    "\ufeff", "\ufffe", "\uffff", "\ufdd0", "\ue000", "\U000e0041", "\U0001fffe", "\U0010ffff",
]  # fmt: skip
MARKUP = [
    "[red]", "[/]", "[/red]", "[bold", "]", "[", "[link=http://x]", "[@click=x()]", "[#fff]", "[/none]", "[none]",
    "\\", "\\\\", "\\[", ":smile:",
]  # fmt: skip
YAML = [
    "'", '"', "''", ": ", "- ", " #", "---", "...", "- path: /etc/x\n", "&a", "*a", "!!python/name:os.system", "!",
    "{", "}", ",", "|", ">", "<<", "=", "%", "@", "`", "~", "null", "yes", "1e3", "0o7", "1:30", "\\u0085", "\\N",
]  # fmt: skip
TEMPLATES = ["${x}", "$${", "%{if true}", "%%{", "<", ">", "&"]
WORDS = ["a", "web", "é", "日本", "\u3000", "\u00a0", "😀", "👩\u200d💻", "\U00010000", " ", "  "]
ALL = [*CONTROLS, *INVISIBLE, *MARKUP, *YAML, *TEMPLATES, *WORDS]


def text(random: Random, most: int = 12, *, surrogates: bool = False) -> str:
    """Up to `most` pieces of all kinds, and here and there any character at all."""
    pieces = [*ALL, *(["\ud800", "\udfff"] if surrogates else [])]
    made = (
        random.choice(pieces) if random.random() < 0.9 else _any(random)
        for _ in range(random.randint(1, most))
    )
    return "".join(made)


def _any(random: Random) -> str:
    code = random.choice((random.randrange(0x100), random.randrange(0x10000), random.randrange(0x110000)))
    return "?" if 0xD800 <= code < 0xE000 else chr(code)
