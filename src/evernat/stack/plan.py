"""The planner: what is wanted and what was found, in; ordered steps, out. Pure.

The order of a deploy: whatever a node needs exists before the group that launches it; routes lead to the interface only
after a node has proven that NAT works, so a network that has a way out keeps it until the new one works; what is no
longer used goes last. The order of a destroy is the reverse.

Where gateways are addresses, it is the nodes that put addresses on themselves and set routes, at the first start as in
a takeover: there is one way for both. The stack lends them the tables by tags, and waits.
"""

from __future__ import annotations

from evernat.stack.context import Context
from evernat.stack.cost import public_addresses
from evernat.stack.found import Environment, Found
from evernat.stack.parts import (
    address,
    gateway_address,
    group,
    interface,
    key,
    role,
    rolling,
    routes,
    security_group,
    template,
)
from evernat.stack.readiness import Address
from evernat.stack.spec import Gateway
from evernat.stack.steps import Plan, Step, Wait


def plan_deploy(gateway: Gateway, environment: Environment, found: Found, version: str) -> Plan:
    """Steps that turn what was found into what is wanted. The input must have passed `checks`."""
    context = Context(gateway, environment, found, version)
    steps = _by_address(context) if gateway.by_address else _by_interface(context)
    return Plan(
        stack=gateway.name,
        region=environment.identity.region,
        purpose="deploy",
        steps=tuple(steps),
        known=context.known,
        warnings=_warnings(context),
        resources=_resources(context),
        public_addresses=_public_addresses(context),
    )


def _by_interface(context: Context) -> list[Step]:
    return [
        *security_group.steps(context),
        *interface.steps(context),
        *address.steps(context),
        *key.steps(context),
        *role.steps(context),
        *template.steps(context),
        *group.steps(context),
        *_proof(context),
        *routes.steps(context),
        *key.cleanup(context),
        *address.cleanup(context),
        *interface.cleanup(context),
        *_served(context),
    ]


def _by_address(context: Context) -> list[Step]:
    """Addresses and routes are the nodes' to move: here they are made and lent, and then it is waited for.

    A table is given back before the nodes are replaced: a new one would not know it, and a moved gateway leaves it.
    """
    return [
        *security_group.steps(context),
        *gateway_address.steps(context),
        *key.steps(context),
        *routes.lent(context),
        *routes.given_back(context),
        *role.steps(context),
        *(step for slot in context.slots for step in template.steps(context, slot)),
        *(step for slot in context.slots for step in group.steps(context, slot)),
        *rolling.steps(context),
        *_proof(context),
        *rolling.cleanup(context),
        *template.cleanup(context),
        *key.cleanup(context),
        *gateway_address.cleanup(context),
    ]


def plan_destroy(found: Found, region: str) -> Plan:
    """Steps that remove everything the stack made and put back the routes it replaced."""
    steps = [
        *routes.removal(found),
        *group.removal(found),
        *address.removal(found),
        *interface.removal(found),
        *template.removal(found),
        *security_group.removal(found),
        *key.removal(found),
        *role.removal(found),
    ]
    return Plan(stack=found.stack, region=region, purpose="destroy", steps=tuple(steps), known={})


def _proof(context: Context) -> list[Step]:
    if not context.gateway.enabled:
        return []
    if context.gateway.by_address:
        title = "until every gateway is served and every node is ready"
        return [Step("wait", "gateway", title, (rolling.serving(context),))]
    return [Step("wait", "gateway", "until a node has proven that NAT works", (_ready(context, led=False),))]


def _served(context: Context) -> list[Step]:
    """A deploy ends with what `status` says then. Without tables the user sets routes, whenever that is."""
    if not context.gateway.enabled or not context.gateway.private_route_table_ids:
        return []
    return [Step("wait", "gateway", "until clients have internet by it", (_ready(context, led=True),))]


def _ready(context: Context, *, led: bool) -> Wait:
    address: Address = "own"
    if context.gateway.elastic_ip != "create":
        address = "any"  # one that the stack had before is released after the proof
    if context.gateway.elastic_ip == "none" and not routes.taken_over(context):
        address = "none"  # the user brings one, and nobody loses a working route meanwhile
    return Wait("ready", {"address": address, "led": led}, tuple(group.outdated(context)))


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


def _public_addresses(context: Context) -> int:
    gateways = len(context.layout.gateways) if context.gateway.by_address else 1
    return public_addresses(context.gateway, context.gateway.enabled * len(context.slots), gateways)


def _resources(context: Context) -> int:
    """Security group, role, profile; template, group and hook for each slot; one per route; and what gateways are."""
    gateway = context.gateway
    common = 3 + 3 * len(context.slots) + len(gateway.private_route_table_ids)
    if not gateway.by_address:
        return common + 1 + (gateway.elastic_ip == "create")
    addresses = len(context.layout.gateways) if gateway.elastic_ip == "create" else 0
    return common + 2 + addresses  # the key, and the agent's files
