"""A ruleset as a value, and the transaction that turns one into another. Pure.

What a transaction does not name it leaves alone: the sets in which the kernel remembers flows, the counters, and the
rules of `handmade` survive every change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TABLE = "ip fabric"


@dataclass(frozen=True)
class Holder:
    """A named set or map: its kind ("set" or "map"), its type as nft declares it, and its elements."""

    kind: str
    declaration: str
    elements: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ruleset:
    """Named sets and maps, and regular chains. Of what other chains there are it knows nothing."""

    holders: Mapping[str, Holder] = field(default_factory=dict)
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def transaction(old: Ruleset, new: Ruleset) -> str:
    """The nft text that leads from `old` to `new`; empty when there is nothing to do.

    The order matters to nft: a name exists before it is referred to, and is not referred to when it goes.
    """
    lines = [
        f"add {holder.kind} {TABLE} {name} {{ {holder.declaration}; }}"
        for name, holder in new.holders.items()
        if name not in old.holders
    ]
    lines += [f"add chain {TABLE} {name}" for name in new.chains if name not in old.chains]
    changed = [name for name, rules in new.chains.items() if old.chains.get(name, ()) != rules]
    lines += [f"flush chain {TABLE} {name}" for name in changed if name in old.chains]
    lines += [f"add rule {TABLE} {name} {rule}" for name in changed for rule in new.chains[name]]
    nothing = Holder("", "")
    for name in {**old.holders, **new.holders}:
        before = old.holders.get(name, nothing).elements
        after = new.holders.get(name, nothing).elements
        lines += _elements("delete", name, before - after) + _elements("add", name, after - before)
    gone = [name for name in old.chains if name not in new.chains]
    lines += [f"flush chain {TABLE} {name}" for name in gone]
    lines += [f"delete chain {TABLE} {name}" for name in gone]
    lines += [
        f"delete {holder.kind} {TABLE} {name}"
        for name, holder in old.holders.items()
        if name not in new.holders
    ]
    return "".join(f"{line}\n" for line in lines)


def _elements(verb: str, name: str, elements: frozenset[str]) -> list[str]:
    if not elements:
        return []
    return [f"{verb} element {TABLE} {name} {{ {', '.join(sorted(elements))} }}"]
