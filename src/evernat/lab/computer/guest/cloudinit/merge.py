"""How several cloud-configs become one (cloud-init's "merging user data sections").

A merge type is a text like `list(append)+dict(no_replace,recurse_list)+str()`. Without one, a later part's top-level
keys replace those of earlier parts, lists and all.
"""

from __future__ import annotations

import re
from typing import Any

DEFAULT = "dict(replace)+list()+str()"
Merger = dict[str, set[str]]


def parse(how: str | list[dict[str, Any]]) -> Merger:
    """Options for each kind of value, from either of the two ways to write them."""
    if isinstance(how, list):
        return {
            str(each.get("name", "")): {str(setting) for setting in each.get("settings", ())} for each in how
        }
    return {
        kind: {option.strip() for option in options.split(",") if option.strip()}
        for kind, options in re.findall(r"(\w+)\(([^)]*)\)", how)
    }


def merge(old: Any, new: Any, merger: Merger) -> Any:
    """Merge a later value into an earlier one; kinds that the merger does not name keep the earlier value."""
    if isinstance(old, dict) and "dict" in merger:
        return _dicts(old, new, merger) if isinstance(new, dict) else old
    if isinstance(old, list) and "list" in merger:
        return _lists(old, new, merger)
    if isinstance(old, str) and "str" in merger and isinstance(new, str):
        return old + new if "append" in merger["str"] else new
    return old


def _dicts(old: dict[Any, Any], new: dict[Any, Any], merger: Merger) -> dict[Any, Any]:
    options = merger["dict"]
    merged = dict(old)
    for key, value in new.items():
        if key not in merged:
            merged[key] = value
        elif value is None and "allow_delete" in options:
            del merged[key]
        else:
            merged[key] = _same_key(merged[key], value, merger)
    return merged


def _same_key(old: Any, new: Any, merger: Merger) -> Any:
    options = merger["dict"]
    if "replace" in options:
        return new
    lists = isinstance(new, list) and options & {"recurse_array", "recurse_list"}
    texts = isinstance(new, str) and "recurse_str" in options
    # Dicts in dicts are always merged, lists and texts only when asked.
    return merge(old, new, merger) if lists or texts or isinstance(new, dict) else old


def _lists(old: list[Any], new: Any, merger: Merger) -> list[Any]:
    options = merger["list"]
    added = new if isinstance(new, list) else [new]
    if "append" in options:
        return old + added
    if "prepend" in options:
        return added + old
    if "no_replace" in options:
        return old + added[len(old) :]
    return added + old[len(added) :]
