"""SSM parameters: the files of the agent that do not fit into user data (`bundle.beside`), the key by which the nodes
of a pair or ring know each other's messages, and the reports of gateways' holders, which nodes make themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evernat.bundle import folder, parameters
from evernat.stack import names
from evernat.stack.context import Context
from evernat.stack.found import Found
from evernat.stack.names import Part, tag_list
from evernat.stack.steps import Call, Step
from evernat.stack.values import Secret

BATCH = 10
"""Names that one DeleteParameters takes (Systems Manager API reference)."""


def steps(context: Context) -> list[Step]:
    """Make what is not there. The key is kept through every later deploy, for running nodes have read it already."""
    stack, there = context.gateway.name, context.found.parameters
    made = []
    key = names.key_parameter(stack)
    if context.gateway.by_address and key not in there:
        # With the account's default key: no policy of a key of its own has to be kept in step with the role's.
        call = _put(context, "key", key, {"Type": "SecureString", "Value": Secret()})
        made.append(Step("create", "key", key, (call,)))
    missing = {name: text for name, text in _code(context).items() if name not in there}
    if missing:
        calls = tuple(
            _put(context, "code", name, {"Type": "String", "Value": text}) for name, text in missing.items()
        )
        made.append(Step("create", "code", next(iter(missing)).rpartition("/")[0], calls))
    return made


def cleanup(context: Context) -> list[Step]:
    """Delete files of former versions, once no node is made of them any more, and reports of former gateways."""
    stack, there = context.gateway.name, context.found.parameters
    code, reports = f"{folder(stack)}/", names.report_parameter(stack, "")
    gateways = [shape.name for shape in context.layout.gateways] if context.gateway.by_address else [stack]
    told = names.report_parameters(stack, gateways, (slot.name for slot in context.slots if slot))
    wanted = {*_code(context), *told}
    old = [n for n in there if n.startswith(code) and n not in wanted]
    lost = [n for n in there if n.startswith(reports) and n not in wanted]
    return [
        *([_deleted("code", folder(stack), old, "a newer version took their place")] if old else []),
        *([_deleted("report", lost[0], lost, "there is no such gateway any more")] if lost else []),
    ]


def removal(found: Found) -> list[Step]:
    """Delete them all, also reports that a node makes after the look."""
    start = names.report_parameter(found.stack, "")
    kept = tuple(n for n in found.parameters if not n.startswith(start))
    reports = [n for n in found.parameters if n.startswith(start)]
    if found.own_groups or found.nodes:
        reports += _expected(found)
    if not kept and not reports:
        return []
    part: Part = "key" if kept else "report"
    step = _deleted(part, f"/evernat/{found.stack}", kept)
    return [replace(step, actions=(*step.actions, *_forgotten(list(dict.fromkeys(reports)))))]


def _expected(found: Found) -> list[str]:
    gateways = [address.gateway for address in found.gateway_addresses] or [found.stack]
    slots = {s for g in found.own_groups if (s := g.tags.get(names.SLOT_TAG))} | {n.slot for n in found.nodes}
    return names.report_parameters(found.stack, gateways, sorted(slots - {""}))


def _forgotten(gone: Sequence[str]) -> Iterator[Call]:
    """Those that are not there are no error here (Systems Manager API reference, DeleteParameters)."""
    for start in range(0, len(gone), BATCH):
        yield Call("ssm", "delete_parameters", {"Names": list(gone[start : start + BATCH])})


def _code(context: Context) -> dict[str, str]:
    return parameters(context.gateway.name, "address" if context.gateway.by_address else "eni")


def _put(context: Context, part: Part, name: str, value: dict[str, object]) -> Call:
    params = {
        "Name": name,
        "Description": f"evernat gateway {context.gateway.name}: {part} of its nodes",
        "Tags": tag_list(context.tags(part)),
        **value,
    }
    return Call("ssm", "put_parameter", params, done=("ParameterAlreadyExists",))


def _deleted(part: Part, title: str, gone: Sequence[str], because: str = "") -> Step:
    calls = tuple(Call("ssm", "delete_parameter", {"Name": n}, done=("ParameterNotFound",)) for n in gone)
    return Step("delete", part, title, calls, (), because)
