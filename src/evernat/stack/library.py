"""The typed library: plan and apply a gateway, destroy a stack."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from evernat import version
from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.apply import Report, Run
from evernat.stack.boots import failed
from evernat.stack.checks import check
from evernat.stack.context import Context
from evernat.stack.discover import discover
from evernat.stack.environment import identify, look
from evernat.stack.errors import BadInput, NotReady, OutcomeUnknown, Problem, StackError
from evernat.stack.found import Found, RouteTable
from evernat.stack.giveback import give_back
from evernat.stack.parts.routes import LEAVE, stranded
from evernat.stack.plan import plan_deploy, plan_destroy
from evernat.stack.serving import survey
from evernat.stack.spec import Gateway
from evernat.stack.steps import Plan
from evernat.stack.targets import gone
from evernat.text import visible

REMEDY = f"set the table's default route yourself, {LEAVE}"

LOOKS = 4
"""How often a run looks again after a call whose outcome is unknown, before it gives up."""


def plan(
    gateway: Gateway, api: Api | None = None, *, replace_routes: bool = False, leave_routes: bool = False
) -> Plan:
    """What deploying the gateway would do. Changes nothing.

    `replace_routes`: the user agrees to replace default routes that lead elsewhere; `leave_routes`: to leave a table
    without a default route when it is no longer named and its former route cannot be put back.

    Raises BadInput with every problem of the input, ApiError when AWS refuses a query.
    """
    api = api or Api.of(gateway.region)
    if gateway.region not in (None, api.region):
        remedy = "make the two agree"
        raise BadInput(
            [Problem("region", str(gateway.region), f"AWS is being asked in {api.region}", remedy)]
        )
    environment, found = look(api, gateway)
    released = [t for t in found.route_tables if t.id not in gateway.private_route_table_ids]
    found = _with_gone(api, found, released, leave_routes)
    check(Context(gateway, environment, found, version()), replace_routes=replace_routes)
    return plan_deploy(gateway, environment, found, version())


def plan_removal(stack: str, api: Api, *, leave_routes: bool = False) -> Plan:
    """What destroying the stack would do. Changes nothing.

    Raises BadInput when a default route cannot be put back, unless with `leave_routes`: its table is left without one.
    """
    identify(api)
    found = discover(api, stack)
    found = _with_gone(api, found, list(found.route_tables), leave_routes)
    if not leave_routes:
        problems = [Problem("route table", table.id, why, REMEDY) for table, why in stranded(found)]
        if problems:
            raise BadInput(problems)
    return plan_destroy(found, api.region)


def _with_gone(api: Api, found: Found, released: list[RouteTable], leave_routes: bool) -> Found:
    """With what is known of the former targets of tables that are given back."""
    own = [t for t in released if t.tags.get(names.STACK_TAG) == found.stack]
    return replace(found, gone_targets=gone(api, own), leave_routes=leave_routes)


def apply(
    plan: Plan,
    api: Api | None = None,
    *,
    ready: bool = True,
    timeout: float = 600.0,
    report: Report | None = None,
) -> None:
    """Carry out a plan. With `ready` it waits for proof that NAT works (`timeout` seconds at most) and sets routes
    only then.

    Cut off at any point, planning and applying again converges. Raises OutcomeUnknown when a call that changes
    something got no answer: plan again and apply that; NotReady as `deploy` does.
    """
    run = Run(api or Api.of(plan.region), plan, timeout=timeout, ready=ready, report=report)
    if plan.purpose == "deploy":
        return _all(run)
    return run.all()


def deploy(
    gateway: Gateway,
    first: Plan,
    api: Api,
    *,
    replace_routes: bool = False,
    leave_routes: bool = False,
    ready: bool = True,
    timeout: float = 600.0,
    report: Report | None = None,
) -> None:
    """Apply `first`; after a call whose outcome is unknown look again, plan the rest and go on.

    Raises NotReady when it gave up waiting. By then routes that were taken from somebody else for a gateway that is not
    proven are put back; the cause says so, and what failed boots left behind.
    """
    nonce, current = uuid4().hex, first
    for attempt in range(1, LOOKS + 1):
        try:
            return _all(Run(api, current, timeout=timeout, ready=ready, report=report, nonce=nonce))
        except OutcomeUnknown:
            if attempt == LOOKS:
                raise
            api.clock.sleep(1.0 * attempt)
        current = plan(gateway, api, replace_routes=replace_routes, leave_routes=leave_routes)
    raise AssertionError("unreachable")


def _all(run: Run) -> None:
    """A whole deploy; when it gives up, what it took from others is put back."""
    try:
        run.all()
    except NotReady as error:
        raise _given_up(run.api, run.plan.stack, error) from error


def _given_up(api: Api, stack: str, error: NotReady) -> NotReady:
    """The same error with all that is known beside it. What cannot be found out is said, and hides nothing."""
    lines = [error.cause]
    try:
        lines += [one.text() for one in give_back(api, stack)]
        lines += [visible(line) for boot in failed(api, survey(api, stack)) for line in boot.lines()]
    except StackError as problem:
        lines.append(f"and then: {problem.cause}")
    return NotReady("\n".join(lines), error.remedy)


def destroy(
    first: Plan,
    api: Api,
    *,
    leave_routes: bool = False,
    timeout: float = 600.0,
    report: Report | None = None,
) -> None:
    """Apply a removal; after a call whose outcome is unknown look again and go on."""
    current = first
    for attempt in range(1, LOOKS + 1):
        try:
            return Run(api, current, timeout=timeout, report=report).all()
        except OutcomeUnknown:
            if attempt == LOOKS:
                raise
            api.clock.sleep(1.0 * attempt)
        current = plan_removal(first.stack, api, leave_routes=leave_routes)
    raise AssertionError("unreachable")
