"""A reduced schema as Terraform's plugin protocol wants it, and walks over values that follow it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tf.gen import tfplugin_pb2 as pb

NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}

Node = dict[str, Any]


def attributes(node: Node) -> Node:
    """With those blocks that the protocol knows as attributes."""
    written = {k: b for k, b in node.get("blocks", {}).items() if b.get("attr_as_block")}
    as_types = {
        k: {"type": [b["nesting"], b], "optional": True, "computed": b.get("computed", False)}
        for k, b in written.items()
    }
    return {**node["attributes"], **as_types}


def blocks(node: Node) -> Node:
    """The real ones."""
    return {k: b for k, b in node.get("blocks", {}).items() if not b.get("attr_as_block")}


def wire(node: Node) -> pb.Schema:
    """The schema of a resource, data source or provider."""
    return pb.Schema(block=_block(node))


def walk(node: Node, value: Any, leaf: Callable[[str, Node, Any], Any]) -> Any:
    """The value with each attribute, in blocks too, replaced by what `leaf(name, attribute, value)` gives."""
    if not isinstance(value, dict):
        return value
    out = {**value, **{k: leaf(k, a, value.get(k)) for k, a in attributes(node).items()}}
    for name, block in blocks(node).items():
        inner = value.get(name)
        if isinstance(inner, list):
            out[name] = [walk(block, each, leaf) for each in inner]
        elif isinstance(inner, dict):
            out[name] = walk(block, inner, leaf)
    return out


def _block(node: Node) -> pb.Schema.Block:
    return pb.Schema.Block(
        attributes=[
            pb.Schema.Attribute(
                name=name,
                type=json.dumps(_type(a["type"])).encode(),
                **{flag: a.get(flag, False) for flag in ("required", "optional", "computed", "sensitive")},
            )
            for name, a in attributes(node).items()
        ],
        block_types=[
            pb.Schema.NestedBlock(
                type_name=name,
                block=_block(b),
                nesting=NESTING[b["nesting"]],
                min_items=0 if b["nesting"] == "single" else b["min"],
                max_items=0 if b["nesting"] == "single" else b["max"],
            )
            for name, b in blocks(node).items()
        ],
    )


def _type(kind: Any) -> Any:
    if isinstance(kind, str):
        return kind
    if isinstance(kind, dict):
        fields = {k: _type(a["type"]) for k, a in kind["attributes"].items()}
        fields |= {k: [b["nesting"], _type(b)] for k, b in kind.get("blocks", {}).items()}
        return ["object", fields]
    return _type(kind[1]) if kind[0] == "object" else [kind[0], _type(kind[1])]
