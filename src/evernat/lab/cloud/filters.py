"""EC2's filters, worked out on described resources: one engine for every Describe call of the overlay."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any

from evernat.lab.cloud.errors import AwsError

Described = dict[str, Any]


def apply(
    found: Iterable[Described], filters: list[Described] | None, names: dict[str, str]
) -> list[Described]:
    """Those that match all filters; within a filter any value matches, `*` and `?` are wildcards.

    `names` maps a filter name to a dotted path in the described resource; lists on the way are searched through.
    `tag:KEY`, `tag-key` and `tag-value` work everywhere. A name nobody knows is refused, as AWS does.
    """
    kept = list(found)
    for wanted in filters or []:
        name, values = wanted.get("Name", ""), wanted.get("Values") or []
        if not name.startswith("tag:") and name not in ("tag-key", "tag-value") and name not in names:
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
        kept = [d for d in kept if _matches(_values(d, name, names), values)]
    return kept


def select(
    found: list[Described], key: str, wanted: list[str] | None, error: str, kind: str
) -> list[Described]:
    """Those with the wanted ids; an id that is not there is refused with `error`."""
    if not wanted:
        return found
    by_id = {d[key]: d for d in found}
    for identifier in wanted:
        if identifier not in by_id:
            raise AwsError(error, f"The {kind} ID '{identifier}' does not exist")
    return [by_id[identifier] for identifier in dict.fromkeys(wanted)]


def page(found: list[Described], params: dict[str, Any], key: str) -> dict[str, Any]:
    """One page of a listing under `key`, with MaxResults and NextToken as EC2 has them."""
    start = int(params.get("NextToken") or 0)
    size = int(params.get("MaxResults") or 1000)
    answer: dict[str, Any] = {key: found[start : start + size]}
    if start + size < len(found):
        answer["NextToken"] = str(start + size)
    return answer


def _values(described: Described, name: str, names: dict[str, str]) -> list[str]:
    tags = described.get("Tags") or described.get("TagSet") or []
    if name.startswith("tag:"):
        return [t["Value"] for t in tags if t["Key"] == name[4:]]
    if name == "tag-key":
        return [t["Key"] for t in tags]
    if name == "tag-value":
        return [t["Value"] for t in tags]
    return [_text(v) for v in _walk(described, names.get(name, "").split("."))]


def _walk(value: Any, path: list[str]) -> list[Any]:
    if isinstance(value, list):
        return [found for item in value for found in _walk(item, path)]
    if not path:
        return [value]
    if not isinstance(value, dict) or value.get(path[0]) is None:
        return []
    return _walk(value[path[0]], path[1:])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _matches(have: list[str], wanted: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(h, w.replace("[", "[[]")) for h in have for w in wanted)
