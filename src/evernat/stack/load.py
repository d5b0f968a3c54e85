"""Reading `evernat.toml`: every mistake becomes one clear message with field, value and what to do."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from evernat.stack.errors import BadInput, Problem, StackError
from evernat.stack.spec import Gateway

REMEDIES = {
    "missing": "add the field",
    "extra_forbidden": "remove it, or correct its spelling",
}


def read_table(path: Path) -> dict[str, Any]:
    """The file's top table. Raises StackError when it is not there or not TOML."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise StackError(
            f"there is no file {path}", "write one with  evernat init, or name another with --file"
        ) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise StackError(f"{path} cannot be read: {problem}", "check the file and its permissions") from None


def parse(text: str, name: str = "the text") -> dict[str, Any]:
    """The top table of TOML text. Raises StackError when it is not TOML; `name` says where it came from."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise StackError(f"{name} is not valid TOML: {problem}", "correct the line it names") from None
    except RecursionError:
        raise StackError(
            f"{name} has lists or tables too deep inside each other", "write them flat"
        ) from None


def gateway_from(table: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Gateway:
    """A checked Gateway. `overrides` that are None are left out. Raises BadInput with all problems at once."""
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    try:
        return Gateway.model_validate({**table, **given})
    except ValidationError as found:
        raise BadInput([_problem(error) for error in _distinct(found.errors())]) from None


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Gateway:
    """The gateway a file describes."""
    return gateway_from(read_table(path), overrides)


def _distinct(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without "too short" for a list whose wrong items pydantic has left out."""
    places = [error["loc"] for error in errors]

    def follows(error: ErrorDetails) -> bool:
        depth = len(error["loc"])
        return error["type"] == "too_short" and any(
            len(p) > depth and p[:depth] == error["loc"] for p in places
        )

    return [error for error in errors if not follows(error)]


def _problem(error: ErrorDetails) -> Problem:
    field = _field(error["loc"])
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(error["loc"][-1]), list(Gateway.model_fields), 1)
        remedy = f"did you mean {close[0]}?" if close else REMEDIES["extra_forbidden"]
        return Problem(field, _shown(error["input"]), "there is no such field", remedy)
    if error["type"] == "missing":
        return Problem(field, "", "is missing", f"add {field} to the file")
    cause = error["msg"].removeprefix("Value error, ")
    described = Gateway.model_fields[str(error["loc"][0])].description if error["loc"] else None
    return Problem(
        field,
        _shown(error["input"]),
        cause,
        f"{error['loc'][0]}: {described}" if described else "correct the value",
    )


def _field(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in ("int", "str", "tuple[str, ...]"):
            text += f".{part}" if text else part
    return text or "evernat.toml"


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # odd keys, circles, depth
        text = f"({type(value).__name__})"
    return text if len(text) <= 80 else text[:77] + "..."
