"""`evernat.toml` from a module call: what is written out there, and the network, looked up where it is not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evernat.stack.errors import StackError
from evernat.stack.init import Candidate, network
from evernat.terraform.call import Read, read
from evernat.terraform.hcl import module_calls
from evernat.text import quoted, visible

NETWORK = ("vpc_id", "public_subnets", "private_subnets_cidr_blocks", "private_route_table_ids")


def find(path: Path, module: str | None) -> Read:
    """The call in a file; of several the one named `module`. Raises StackError when there is none, or no one."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise StackError(f"{path} cannot be read: {problem}", "check the file and its permissions") from None
    calls = module_calls(text)
    fit = {
        name: call for name, call in calls.items() if name == module or "private_subnets_cidr_blocks" in call
    }
    if module:
        fit = {name: call for name, call in fit.items() if name == module}
    if not fit:
        raise StackError(
            f"{path} has no call of a NAT module" + (f" named {module}" if module else ""),
            f"name the file with it; modules called there: {', '.join(calls) or 'none'}",
        )
    if len(fit) > 1:
        raise StackError(f"{path} has several calls: {', '.join(fit)}", "name one with --module")
    return read(next(iter(fit.values())))


def lacking(found: Read) -> bool:
    """Whether something about the network has to be looked up."""
    return any(
        not _there(found.fields, name) for name in NETWORK if name in found.open or name != NETWORK[-1]
    )


def text(found: Read, region: str, candidate: Candidate | None) -> str:
    """The file. `candidate` is the VPC, when it had to be looked at."""
    fields = dict(found.fields)
    looked = network(candidate, str(fields.get("topology", "single"))) if candidate else {}
    lines = [f"region = {quoted(region)}"] if region else []
    for name in NETWORK:
        if not _there(fields, name) and (name in found.open or name != NETWORK[-1]):
            lines += looked.get(name, [])
    forwards = fields.pop("port_forward", [])
    slots = fields.pop("table_slots", {})
    lines += [f"{name} = {toml(value)}" for name, value in fields.items()]
    lines += [f"table_slots = {toml(slots)}"] if slots else []
    lines += _left_out({n: t for n, t in found.open.items() if n not in (*NETWORK, "public_subnet")})
    for forward in forwards:
        lines += ["", "[[port_forward]]", *(f"{name} = {toml(value)}" for name, value in forward.items())]
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{quoted(k)} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def _there(fields: Mapping[str, Any], name: str) -> bool:
    return name in fields or (name == "public_subnets" and "public_subnet" in fields)


def _left_out(inputs: Mapping[str, str]) -> Iterator[str]:
    for name, given in inputs.items():
        yield f"# left out, write it yourself where there is such a field: {name} = {visible(' '.join(given.split()))}"
