"""Whatever stands in the input, cloud-init reads back just that, and no file or command that nobody asked for."""

from __future__ import annotations

import datetime
import gzip
import json
from random import Random
from typing import Any

import pytest
import yaml

from evernat.bundle import NodeConfig, PortForward, cloud_config_text, user_data
from evernat.bundle.text import DEEPEST, UnfitError, encode
from evernat.text import UNPRINTABLE, printable
from tests import hostile
from tests.bundle.test_cloudconfig import CONFIG

OURS = yaml.safe_load(cloud_config_text(CONFIG))
PATHS = [file["path"] for file in OURS["write_files"]]


def config(*targets: str) -> NodeConfig:
    """The settings of a node with port forwards to these."""
    forwards = [
        PortForward("tcp", (80 + n, 80 + n), f"name:{t}", 80, ("0.0.0.0/0",)) for n, t in enumerate(targets)
    ]
    return NodeConfig("main", "eni-0a", ("10.0.0.0/8",), "evernat-main", forwards=forwards)


def value(random: Random, depth: int = 0) -> Any:
    """Anything that has a form in user data."""
    if depth < DEEPEST - 1 and random.random() < 0.3:
        inner = [value(random, depth + 1) for _ in range(random.randint(0, 3))]
        return random.choice((inner, {key(random): v for v in inner}))
    return random.choice(
        (hostile.text(random), hostile.text(random), True, None, 0, -7, 0o755, 10**18 - 1, 2.0, "")
    )


def key(random: Random) -> str:
    """A key: it prints, whatever it may look like."""
    return "".join(c for c in hostile.text(random) if printable(c))


def _file(random: Random) -> dict[str, Any]:
    odd = {key(random): value(random, 1) for _ in range(3)}
    return {**odd, "path": f"/{hostile.text(random)}", "content": hostile.text(random, 60)}


@pytest.mark.parametrize("seed", range(8))
def test_anything(seed: int) -> None:
    """Any text in settings, files and commands: the files are ours, then the user's, each exactly as it was given."""
    random = Random(seed)
    for _ in range(6):
        targets = [hostile.text(random) for _ in range(5)]
        files = [_file(random) for _ in range(random.randint(0, 5))]
        commands = [
            random.choice((hostile.text(random), [hostile.text(random) for _ in range(3)])) for _ in range(4)
        ]
        text = cloud_config_text(config(*targets), files, commands)
        assert yaml.load(text, yaml.CSafeLoader) == yaml.safe_load(text)
        read = yaml.safe_load(text)
        assert set(read) == {"write_files", "runcmd"}
        assert [file["path"] for file in read["write_files"]] == PATHS + [file["path"] for file in files]
        assert read["write_files"][len(PATHS) :] == files
        assert read["runcmd"] == OURS["runcmd"] + commands
        (settings,) = (f["content"] for f in read["write_files"] if f["path"] == "/etc/evernat/agent.json")
        assert [f["target"] for f in json.loads(settings)["forwards"]] == [f"name:{t}" for t in targets]


def test_every_character() -> None:
    """Each character comes back, alone and between others; what is written prints in YAML."""
    codes = [*range(0xD800), *range(0xE000, 0x10000), *range(0x10000, 0x110000, 509), 0x10FFFE, 0x10FFFF]
    characters = [chr(c) for c in codes]
    for start in range(0, len(characters), 50_000):
        part = characters[start : start + 50_000]
        text = encode([*part, "".join(part)])
        assert yaml.load(text, yaml.CSafeLoader) == [*part, "".join(part)]
        assert not set(text) & set(UNPRINTABLE)
    special = [
        *map(chr, range(0x180)),
        *UNPRINTABLE,
        *map(chr, range(0x2000, 0x2070)),
        "\ud7ff",
        "\ue000",
        "\U0010ffff",
    ]
    assert yaml.safe_load(encode(special)) == special  # the parser that cloud-init uses


def test_an_entry_cannot_be_put_in() -> None:
    """A line break of YAML 1.1 that JSON does not know makes no entry (found: root on the node)."""
    for end in ("\x85", "\u2028", "\u2029", "\n", "\r"):
        text = cloud_config_text(
            config(f'x"}}]}}{end}- path: /etc/cron.d/x{end}  content: "* * * * * root id"')
        )
        assert [file["path"] for file in yaml.safe_load(text)["write_files"]] == PATHS


UNFIT: list[tuple[Any, str]] = [
    (datetime.date(2026, 1, 1), "is a date"),
    (datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "is a datetime"),
    (datetime.time(1), "is a time"),
    (b"x", "is a bytes"),
    ({1, 2}, "is a set"),
    (object(), "is a object"),
    (1.5, "not a whole one"),
    (float("nan"), "not a whole one"),
    (float("-inf"), "not a whole one"),
    (10**18, "not a whole one"),
    (-(10**5000), "not a whole one"),
    ("\ud800", "surrogate"),
    ({"\udfff": 1}, "does not print"),
    ({"a\x85b": 1}, "does not print"),
    ({1: "x"}, "no text"),
    ({None: "x"}, "no text"),
    ({"k" * 999: 1}, "more than 998 characters"),
    ({"<" * 200: 1}, "more than 998 characters"),
    ([[[[[]]]]], "deeper than 4"),
    ({"a": [{"b": {"c": {}}}]}, "deeper than 4"),
]


@pytest.mark.parametrize(("wrong", "cause"), UNFIT, ids=[cause for _, cause in UNFIT])
def test_unfit(wrong: Any, cause: str) -> None:
    """What has no form in user data is refused, deep inside too, and never written as something else."""
    for inside in (wrong, [wrong], {"a": wrong}):
        with pytest.raises(UnfitError, match=cause):
            encode(inside)


def test_at_the_limits() -> None:
    """What is just allowed is read: a long key, deep nesting, a large number, a long text."""
    allowed: list[Any] = [
        {"k" * 998: 1},
        {"<" * 166: 1},
        [[[{}]]],
        -(10**18) + 1,
        ["x" * 100_000],
        {"a": "\x85" * 5000},
    ]
    for fit in allowed:
        assert yaml.safe_load(f"x:\n- {encode(fit)}\n") == {"x": [fit]}


def test_encoded() -> None:
    """User data is UTF-8, whatever was put in."""
    data = user_data(config("\U0001f600\ufffe"), [{"path": "/x", "content": "\uffff\U0010ffff"}])
    assert yaml.safe_load(gzip.decompress(data).decode())["write_files"][-1]["content"] == "\uffff\U0010ffff"
