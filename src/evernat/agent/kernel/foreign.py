"""Other programs' rules that stop what this node forwards: names them. Pure.

Docker sets the FORWARD chain's policy to drop when forwarding was off as it came; firewalld and others reject in chains
of their own. A packet has to pass every table, so an accept in ours does not help it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

OURS = ("evernat", "evernat-guard", "evernat-limits")
FAMILIES = ("ip", "inet")
STOPS = ("drop", "reject")

Key = tuple[str, str, str]
"""Family, table and name of a chain."""


def tables(listing: str) -> list[tuple[str, str]]:
    """Family and name of foreign tables with a chain on the forward hook. `listing`: of `nft -j list chains`."""
    try:
        chains = [chain for item in _items(listing) if (chain := item.get("chain"))]
        hooked = [c for c in chains if c.get("hook") == "forward"]
        return sorted({(c["family"], c["table"]) for c in hooked if _foreign(_key(c, ""))})
    except (ValueError, LookupError, TypeError, AttributeError):
        return []


def dropping(listings: Iterable[str], legacy: str = "") -> list[str]:
    """Foreign chains on the forward hook that stop packets, those that stop whatever is not let through first.

    `listings` are what `nft -j list table` prints, `legacy` the content of /proc/net/ip_tables_names, the tables of the
    older iptables, which nft does not show.
    """
    try:
        items = [item for listing in listings for item in _items(listing)]
        chains = {_key(c, c["name"]): c for item in items if (c := item.get("chain"))}
        rules: dict[Key, list[Any]] = {}
        for item in items:
            if rule := item.get("rule"):
                rules.setdefault(_key(rule, rule["chain"]), []).extend(rule.get("expr", ()))
        base = {key: c for key, c in chains.items() if c.get("hook") == "forward" and _foreign(key)}
        by_policy = [key for key, c in base.items() if c.get("policy") == "drop"]
        by_rule = [key for key in base if key not in by_policy and _stops(key, rules, set())]
        named = [*map(_name, by_policy), *map(_name, by_rule)]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []
    return [*named, *(["iptables (legacy) table filter"] if "filter" in legacy.split() else [])]


def _items(listing: str) -> list[Any]:
    found: list[Any] = json.loads(listing or '{"nftables": []}')["nftables"]
    return found


def _foreign(key: Key) -> bool:
    return key[0] in FAMILIES and key[1] not in OURS


def _key(item: Mapping[str, Any], chain: str) -> Key:
    return item["family"], item["table"], chain


def _name(key: Key) -> str:
    return f"table {key[0]} {key[1]}, chain {key[2]}"


def _stops(key: Key, rules: Mapping[Key, Iterable[Any]], seen: set[Key]) -> bool:
    """Whether a rule of the chain, or of one it leads to, drops or rejects."""
    if key in seen:
        return False
    seen.add(key)
    for expression in rules.get(key, ()):
        if any(verdict in expression for verdict in STOPS):
            return True
        if any(_stops((*key[:2], target), rules, seen) for target in _targets(expression)):
            return True
    return False


def _targets(expression: Any) -> Iterator[str]:
    """Names of chains that an expression jumps to; of verdict maps every one."""
    if isinstance(expression, dict):
        for word, value in expression.items():
            if word in ("jump", "goto") and isinstance(value, dict):
                yield str(value.get("target", ""))
            else:
                yield from _targets(value)
    elif isinstance(expression, list):
        for each in expression:
            yield from _targets(each)
