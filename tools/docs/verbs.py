"""The reference of the command line, from its own definition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import typer

from evernat.cli import lab, main


def page() -> str:
    """Every verb with its arguments and options."""
    app = typer.Typer(name="evernat")
    for verb in main.VERBS:
        app.command(verb)(getattr(import_module(f"evernat.cli.{verb}"), verb))
    app.add_typer(lab.app, name="lab")
    return "\n".join(_group(typer.main.get_command(app), "evernat"))


def _group(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield f"## {path} {name}\n\n{_clean(command.help)}\n"
            yield from _group(command, f"{path} {name}")
        else:
            yield from _command(command, f"{path} {name}")


def _command(command: Any, path: str) -> Iterator[str]:
    level = "###" if path.count(" ") > 1 else "##"
    given = [p for p in command.params if p.param_type_name == "argument"]
    words = " ".join(p.name.upper() if p.required else f"[{p.name.upper()}]" for p in given)
    yield f"{level} {path}\n\n```text\n{f'{path} [OPTIONS] {words}'.rstrip()}\n```\n\n{_clean(command.help)}\n"
    if command.params:
        yield "| | | default |\n|---|---|---|"
        yield from (_parameter(parameter) for parameter in command.params)
        yield ""


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        shown = parameter.name.upper()
    else:
        shown = ", ".join([*parameter.opts, *parameter.secondary_opts])
    told = _default(parameter)
    if getattr(parameter, "envvar", None):
        told = f"{told}, or `${parameter.envvar}`"
    return f"| `{shown}` | {_clean(parameter.help) or _field(parameter)} | {told} |"


def _field(parameter: Any) -> str:
    """Flags without a text of their own stand for a field of the file."""
    fields = {"spot": "use_spot_instance"}
    return f"Instead of the file's `{fields.get(parameter.name, parameter.name)}`."


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.required:
        return "required"
    if default is True:
        return f"`{parameter.opts[0]}`"
    if default in (None, "", False) or callable(default) or "typer" in type(default).__module__:
        return ""
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _clean(text: str | None) -> str:
    """Help as it stands in a table: no line breaks inside a paragraph, nothing that means something to Markdown."""
    paragraphs = re.split(r"\n\s*\n", (text or "").strip())
    joined = "\n\n".join(" ".join(p.split()) for p in paragraphs)
    return joined.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
