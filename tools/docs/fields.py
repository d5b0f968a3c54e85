"""The reference of `evernat.toml`, from its schema."""

from __future__ import annotations

import json
from typing import Any

from evernat.stack.schema import schema


def page() -> str:
    """A table for the file, and one for each table inside it."""
    whole = json.loads(schema())
    parts = [_table(whole, whole)]
    for field, name in _tables(whole):
        inner = whole["$defs"][name]
        parts.append(f"## {field}\n\n{inner['description']}\n\n{_table(inner, whole)}")
    return "\n".join(parts)


def _tables(whole: dict[str, Any]) -> list[tuple[str, str]]:
    """(field, definition) of the fields that are tables themselves."""
    found = []
    for field, value in whole["properties"].items():
        reference = value.get("$ref") or value.get("items", {}).get("$ref")
        if reference:
            found.append((field, reference.rpartition("/")[2]))
    return found


def _table(part: dict[str, Any], whole: dict[str, Any]) -> str:
    required = part.get("required", [])
    rows = [
        f"| `{field}` | {_told(value)} | {_kind(value)} | {_default(field, value, required)} |"
        for field, value in part["properties"].items()
    ]
    return "\n".join(["| field | meaning | is | default |", "|---|---|---|---|", *rows, ""])


def _kind(value: dict[str, Any]) -> str:
    if "enum" in value:
        return " or ".join(f"`{choice}`" for choice in value["enum"])
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_kind(one) for one in value["anyOf"] if one.get("type") != "null"))
    if "$ref" in value:
        return "table, [below](#{})".format(
            value["$ref"].rpartition("/")[2].replace("RootVolume", "root_volume")
        )
    kind = value.get("type", "")
    if kind == "array":
        items = value["items"]
        return "tables, [below](#port_forward)" if "$ref" in items else f"list of {_kind(items)}"
    if kind == "integer" and "minimum" in value:
        most = value.get("maximum")
        return f"{value['minimum']} to {most}" if most is not None else f"at least {value['minimum']}"
    words = {"object": "table", "boolean": "`true` or `false`", "integer": "number"}
    return words.get(kind, str(kind))


def _default(field: str, value: dict[str, Any], required: list[str]) -> str:
    if field in required:
        return "required"
    default = value.get("default")
    return "–" if default in (None, "", [], {}) or isinstance(default, dict) else f"`{json.dumps(default)}`"


def _told(value: dict[str, Any]) -> str:
    return str(value.get("description", "")).replace("|", "\\|").replace("<", "&lt;")
