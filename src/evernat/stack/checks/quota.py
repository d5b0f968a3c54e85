"""Limits of the account that would stop a deploy half-way."""

from __future__ import annotations

from collections.abc import Iterator

from evernat.stack.api import QUOTAS
from evernat.stack.context import Context
from evernat.stack.errors import Problem
from evernat.stack.parts.security_group import ingress


def check(context: Context) -> Iterator[Problem]:
    """Elastic IPs per region, rules per security group."""
    environment = context.environment
    used, quota = len(environment.addresses), environment.address_quota
    if context.gateway.elastic_ip == "create" and quota is not None and used + _missing(context) > quota:
        yield Problem(
            "elastic_ip",
            "create",
            f"the account has {used} of {quota} Elastic IPs in {environment.identity.region}",
            QUOTAS["AddressLimitExceeded"],
        )
    rules = len(ingress(context.gateway))
    if rules > environment.rule_quota:
        yield Problem(
            "private_subnets_cidr_blocks + port_forward.sources",
            str(rules),
            f"needs {rules} rules, a security group takes {environment.rule_quota}",
            QUOTAS["RulesPerSecurityGroupLimitExceeded"],
        )


def _missing(context: Context) -> int:
    """How many addresses a deploy would allocate."""
    if not context.gateway.by_address:
        return int(context.address is None)
    return sum(context.address_of(shape.name) is None for shape in context.layout.gateways)
