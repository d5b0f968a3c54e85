"""An evaluator of IAM policies: policy documents, a request, a decision. Pure.

It follows the IAM user guide, "Policy evaluation logic" for identity policies of one account: an explicit Deny wins,
else any Allow, else the implicit deny. Conditions: the string, ARN, numeric, date, bool, IP and Null operators with
`IfExists`, `ForAllValues:` and `ForAnyValue:`. What it does not know it refuses loudly: a wrong "allowed" would be
worse than an error.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Context = Mapping[str, "str | Sequence[str]"]
"""Condition keys (case does not matter) and their values."""

Verdict = Literal["allowed", "denied", "implicitly denied"]


class UnknownElementError(ValueError):
    """A policy uses something the evaluator does not know."""


@dataclass(frozen=True)
class Resource:
    """One resource of a request with the condition keys that are its own (its tags)."""

    arn: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What the policies say. `matched`: (policy index, statement index, action pattern) of what allowed it."""

    verdict: Verdict
    resource: str = ""
    """The first resource that was not allowed."""
    matched: tuple[tuple[int, int, str], ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the request may go ahead."""
        return self.verdict == "allowed"


def evaluate(
    policies: Sequence[Mapping[str, Any]], action: str, resources: Sequence[Resource], context: Context
) -> Decision:
    """Decide on `action` ("ec2:AttachNetworkInterface"). Each resource must be allowed on its own."""
    matched: list[tuple[int, int, str]] = []
    for resource in resources or [Resource("*")]:
        keys = {k.lower(): v for k, v in {**context, **resource.context}.items()}
        allows: list[tuple[int, int, str]] = []
        for policy_index, policy in enumerate(policies):
            for statement_index, statement in enumerate(_listed(policy.get("Statement", []))):
                pattern = _applies(statement, action, resource.arn, keys)
                if pattern is None:
                    continue
                if statement.get("Effect") == "Deny":
                    return Decision("denied", resource.arn)
                allows.append((policy_index, statement_index, pattern))
        if not allows:
            return Decision("implicitly denied", resource.arn)
        matched += [a for a in allows if a not in matched]
    return Decision("allowed", matched=tuple(matched))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _applies(statement: Mapping[str, Any], action: str, arn: str, keys: Mapping[str, Any]) -> str | None:
    """The action pattern by which a statement applies, None if it does not."""
    unknown = set(statement) - {
        "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal",
    }  # fmt: skip
    if unknown:
        raise UnknownElementError(f"unknown element in a policy statement: {sorted(unknown)}")
    pattern: str | None = None
    if "NotAction" in statement:
        if any(like(p.lower(), action.lower()) for p in _listed(statement["NotAction"])):
            return None
        pattern = "NotAction"
    else:
        pattern = next((p for p in _listed(statement.get("Action")) if like(p.lower(), action.lower())), None)
    if pattern is None:
        return None
    if "NotResource" in statement:
        if any(_arn_like(_expand(p, keys), arn) for p in _listed(statement["NotResource"])):
            return None
    elif not any(_arn_like(_expand(p, keys), arn) for p in _listed(statement.get("Resource"))):
        return None
    return pattern if conditions_hold(statement.get("Condition") or {}, keys) else None


def like(pattern: str, text: str) -> bool:
    """IAM's wildcards: `*` any run of characters, `?` exactly one; nothing else is special."""
    regex = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(regex, text, re.DOTALL) is not None


def _arn_like(pattern: str, arn: str) -> bool:
    # A call that names no resource is evaluated against "*", which only the pattern "*" covers.
    if arn == "*":
        return pattern == "*"
    return like(pattern, arn)


def _expand(text: str, keys: Mapping[str, Any]) -> str:
    """Policy variables `${aws:...}`; one without a value matches nothing."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in ("*", "?", "$"):
            return name
        found = _listed(keys.get(name.lower()))
        return str(found[0]) if len(found) == 1 else "\0"

    return re.sub(r"\$\{([^}]+)\}", value, text)


def conditions_hold(condition: Mapping[str, Mapping[str, Any]], keys: Mapping[str, Any]) -> bool:
    """Whether every operator and key of a Condition block holds. `keys` are in lower case."""
    return all(
        _operator_holds(operator, _listed(keys.get(key.lower())), key.lower() in keys, _listed(wanted), keys)
        for operator, block in condition.items()
        for key, wanted in block.items()
    )


def _operator_holds(
    operator: str, have: list[Any], present: bool, wanted: list[Any], keys: Mapping[str, Any]
) -> bool:
    name, _, rest = operator.rpartition(":")
    quantifier = name.lower()
    base = rest.lower()
    if_exists = base.endswith("ifexists")
    base = base.removesuffix("ifexists")
    if base == "null":
        return (not present) == (str(wanted[0]).lower() == "true")
    negated = base in NEGATED
    compare = OPERATORS.get(NEGATED.get(base, base))
    if compare is None or quantifier not in ("", "forallvalues", "foranyvalue"):
        raise UnknownElementError(f"unknown condition operator: {operator}")
    if not present:
        # A missing key fails a positive operator and satisfies a negated one; `...IfExists` and ForAllValues pass.
        return if_exists or negated or quantifier == "forallvalues"
    values = [_expand(str(w), keys) for w in wanted]

    def one(value: Any) -> bool:
        return any(compare(str(value), w) for w in values) != negated

    if quantifier == "forallvalues":
        return all(one(v) for v in have)
    if quantifier == "foranyvalue" or not negated:
        return any(one(v) for v in have)
    return all(one(v) for v in have)


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda have, wanted: compare(float(have), float(wanted))


def _date(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def moment(text: str) -> float:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

    return lambda have, wanted: compare(moment(have), moment(wanted))


def _in_network(have: str, wanted: str) -> bool:
    return ipaddress.ip_address(have) in ipaddress.ip_network(wanted, strict=False)


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "stringequals": lambda have, wanted: have == wanted,
    "stringequalsignorecase": lambda have, wanted: have.lower() == wanted.lower(),
    "stringlike": lambda have, wanted: like(wanted, have),
    "arnequals": lambda have, wanted: like(wanted, have),
    "arnlike": lambda have, wanted: like(wanted, have),
    "bool": lambda have, wanted: have.lower() == wanted.lower(),
    "ipaddress": _in_network,
    "numericequals": _number(lambda a, b: a == b),
    "numericlessthan": _number(lambda a, b: a < b),
    "numericlessthanequals": _number(lambda a, b: a <= b),
    "numericgreaterthan": _number(lambda a, b: a > b),
    "numericgreaterthanequals": _number(lambda a, b: a >= b),
    "dateequals": _date(lambda a, b: a == b),
    "datelessthan": _date(lambda a, b: a < b),
    "datelessthanequals": _date(lambda a, b: a <= b),
    "dategreaterthan": _date(lambda a, b: a > b),
    "dategreaterthanequals": _date(lambda a, b: a >= b),
}

NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
    "notipaddress": "ipaddress",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
}
