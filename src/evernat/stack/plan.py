"""The planner: what is wanted and what was found, in; ordered steps, out. Pure.

The order of a deploy: whatever a node needs exists before the group that launches it; routes lead to the interface only
after a node has proven that NAT works, so a network that has a way out keeps it until the new one works; what is no
longer used goes last. The order of a destroy is the reverse.
"""

from __future__ import annotations

from evernat.stack.context import Context
from evernat.stack.found import Environment, Found
from evernat.stack.parts import address, group, interface, role, routes, security_group, template
from evernat.stack.spec import Gateway
from evernat.stack.steps import Plan, Step, Wait


def plan_deploy(gateway: Gateway, environment: Environment, found: Found, version: str) -> Plan:
    """Steps that turn what was found into what is wanted. The input must have passed `checks`."""
    context = Context(gateway, environment, found, version)
    before = [
        *security_group.steps(context),
        *interface.steps(context),
        *address.steps(context),
        *role.steps(context),
        *template.steps(context),
        *group.steps(context),
    ]
    steps = [
        *before,
        *_proof(context),
        *routes.steps(context),
        *address.cleanup(context),
        *interface.cleanup(context),
    ]
    return Plan(
        stack=gateway.name,
        region=environment.identity.region,
        purpose="deploy",
        steps=tuple(steps),
        known=context.known,
        warnings=_warnings(context),
        resources=_resources(gateway),
    )


def plan_destroy(found: Found, region: str) -> Plan:
    """Steps that remove everything the stack made and put back the routes it replaced."""
    steps = [
        *routes.removal(found),
        *group.removal(found),
        *address.removal(found),
        *interface.removal(found),
        *template.removal(found),
        *security_group.removal(found),
        *role.removal(found),
    ]
    return Plan(stack=found.stack, region=region, purpose="destroy", steps=tuple(steps), known={})


def _proof(context: Context) -> list[Step]:
    if not context.gateway.enabled:
        return []
    rolled = tuple(group.outdated(context))
    return [
        Step("wait", "gateway", "until a node has proven that NAT works", (Wait("ready", rolled=rolled),))
    ]


def _warnings(context: Context) -> tuple[str, ...]:
    told = []
    burstable = {t.burstable for t in context.environment.types.values()}
    if len(burstable) == 2:
        told.append(
            "instance_types mixes types with and without CPU credits: T types may bill surplus credits"
        )
    if not context.gateway.enabled:
        told.append("enabled = false: no node runs, so traffic to the gateway goes nowhere")
    return tuple(told)


def _resources(gateway: Gateway) -> int:
    """Security group, interface, role, profile, template, group, hook; an address if created; one per route."""
    return 7 + (gateway.elastic_ip == "create") + len(gateway.private_route_table_ids)
