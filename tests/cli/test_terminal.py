"""No text of nodes, tags or AWS acts on the operator's terminal."""

from __future__ import annotations

import dataclasses
import io
import re
import types
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from rich.text import Text

from evernat.cli import common, drill, failover, main, show
from evernat.cli import deploy as deploying
from evernat.cli import status as showing
from evernat.cli.terminal import Terminal, Waiting, document, safe
from evernat.drill.result import Result
from evernat.drill.watch import Outage
from evernat.stack.handover import Handover
from evernat.stack.status import Status
from evernat.stack.steps import Plan
from evernat.text import visible
from tests import hostile

EVIL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Categories of characters that do something, hide something or are nothing."""
TEMPLATES = (
    "{}",
    "[dim]{}[/]",
    "a {} b",
    "[bold]{}[/] [red]{}[/]",
    "[dim]({})[/]",
    "{}{}",
    "{}]",
)

SGR = re.compile(r"\x1b\[[0-9;]*m")
"""rich's own colours."""

Maker = Callable[[str], str]
"""Name of a field -> its text."""


def rendered(markup: str, **options: Any) -> str:
    """What a console writes."""
    file = io.StringIO()
    Terminal(file=file, width=10_000, **options).print(markup, end="")
    return file.getvalue()


def test_visible() -> None:
    """Everything that prints stays, everything else becomes an escape that prints."""
    for code in range(0x110000):
        shown = visible(chr(code))
        assert not {unicodedata.category(c) for c in shown} & EVIL
        assert shown in (chr(code), chr(code).encode("unicode_escape").decode())
    assert visible("é\u3000\u00a0日本😀 [x]") == "é\u3000\u00a0日本😀 [x]"
    assert visible("\x1b]8;;x\x07\n\u202e", keep="\n") == "\\x1b]8;;x\\x07\n\\u202e"


@pytest.mark.parametrize("seed", range(5))
def test_safe(seed: int) -> None:
    """In any line of ours a value shows as it is: it has no effect, ends no style of ours, takes no character away."""
    random = Random(seed)
    for _ in range(2000):
        template = random.choice(TEMPLATES)
        values = [hostile.text(random, 5, surrogates=True) for _ in range(template.count("{}"))]
        frame = Text.from_markup(template.replace("{}", "\0")).plain
        for value in values:
            frame = frame.replace("\0", visible(value), 1)
        assert rendered(template.format(*map(safe, values))) == frame


def test_net() -> None:
    """A value that is not made safe still cannot bring a control character to the terminal; ours stay."""
    shown = rendered("[red]\x1b[2J\x9b\u202e\ud800[/]\n\tx", force_terminal=True, color_system="standard")
    assert shown == "\x1b[31m\\x1b[2J\\x9b\\u202e\\ud800\x1b[0m\n\tx".replace("\t", "        ")


def test_spinner() -> None:
    """Nor beside a spinner, when the line begins, changes, or tells what somebody said."""
    file = io.StringIO()
    console = Terminal(file=file, force_terminal=True, color_system=None, width=200)
    with console.status("\x1b]0;a\x07") as spinner:
        spinner.update("b\x1b]0;b\x07")
        spinner.tell("[red]c\x1b]0;c\x07")
    assert isinstance(spinner, Waiting)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert "\x1b" not in plain
    assert "\x07" not in plain


def filled(kind: Any, make: Maker, name: str = "", within: tuple[Any, ...] = ()) -> Any:
    """A value of a type, with every text in it made by `make`, and one of each thing that may be several."""
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(
            **{f.name: filled(hints[f.name], make, f.name, (*within, kind)) for f in dataclasses.fields(kind)}
        )  # type: ignore[operator]
    if origin in (Union, types.UnionType):
        # What may hold another of its kind holds none.
        return None if arguments[0] in within else filled(arguments[0], make, name, within)
    if origin is tuple:
        return (filled(arguments[0], make, name, within),)
    if origin is Literal:
        return arguments[0]
    if origin is not None and issubclass(origin, Mapping):
        return {make(name): filled(arguments[1], make, name, within)}
    return {str: make(name), int: 3, float: 1.5, bool: True}.get(kind)


class Numbered:
    """Makes text after text, and remembers them."""

    def __init__(self, text: Callable[[int], str]) -> None:
        self.text = text
        self.made: list[str] = []

    def __call__(self, _name: str) -> str:
        self.made.append(self.text(len(self.made)))
        return self.made[-1]


def _plan(console: Terminal, make: Maker) -> None:
    show.plan_text(filled(Plan, make), console)


def _progress(console: Terminal, make: Maker) -> None:
    (step,) = filled(Plan, make).steps
    pipe = Terminal(file=console.file, width=10_000)  # a terminal shows the words beside the spinner only
    progress = show.Progress(pipe, pipe.status(""))
    progress(step, "begin")
    progress(step, make("text"))
    progress(step, "done")


def _done(console: Terminal, make: Maker) -> None:
    for gateway in filled(Status, make).gateways:
        console.print(deploying._line(gateway))


def _error(console: Terminal, make: Maker) -> None:
    main._tell(make("cause"), make("remedy"))


SCREENS: dict[str, Callable[[Terminal, Maker], None]] = {
    "status": lambda _, make: showing._text(filled(Status, make)),
    "plan": _plan,
    "progress": _progress,
    "deploy": _done,
    "failover": lambda _, make: failover._text(filled(Handover, make)),
    "drill": lambda _, make: drill._text(Result(filled(Outage, make))),
    "error": _error,
}


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    console = Terminal(file=file, width=10_000, force_terminal=True, color_system="standard")
    monkeypatch.setattr(common, "out", console)
    monkeypatch.setattr(common, "err", console)
    monkeypatch.setattr(main, "Terminal", lambda **_: console)
    monkeypatch.setattr("sys.argv", ["evernat"])
    return file


@pytest.mark.parametrize("name", SCREENS)
def test_screens(screen: io.StringIO, name: str) -> None:
    """Whatever stands in any text of what is shown, the screen is that of harmless texts with these put in."""

    def shown(text: Callable[[int], str]) -> tuple[str, list[str]]:
        screen.seek(0)
        screen.truncate()
        make = Numbered(text)
        SCREENS[name](common.out, make)
        return screen.getvalue(), make.made

    plain, tokens = shown(lambda n: f"token{n:04}x")
    assert sum(token in plain for token in tokens) >= 2
    for seed in range(100):
        random = Random(seed)
        # A launch time is cut to 19 characters; a line break parts an error's lines.
        made, values = shown(lambda _, r=random: hostile.text(r, 6, surrogates=True)[:19])  # type: ignore[misc]
        expected = plain
        for token, value in zip(tokens, values, strict=True):
            lines = value.split("\n") if name == "error" else [value]
            expected = expected.replace(token, "\n  ".join(map(visible, lines)))
        assert SGR.sub("", made) == SGR.sub("", expected)
        assert set(SGR.findall(made)) <= set(SGR.findall(plain))


def test_document() -> None:
    """JSON for programs holds no control character either, and reads back as it was."""
    import json

    for seed in range(200):
        value = {hostile.text(Random(seed), surrogates=True): [hostile.text(Random(seed + 1000))]}
        text = document(value)
        assert json.loads(text) == value
        assert not {unicodedata.category(c) for c in text.replace("\n", "")} & EVIL


def test_one_console() -> None:
    """No verb has a console, or a way to escape markup, of its own."""
    folder = Path(common.__file__).parent
    own = re.compile(r"rich\.(markup|text)|\bConsole\(|\(Console\)")
    found = [p.name for p in folder.glob("*.py") if own.search(p.read_text(encoding="utf-8"))]
    assert found == ["terminal.py"]
