"""The typed library: plan and apply a gateway, destroy a stack."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from evernat import version
from evernat.stack.api import Api
from evernat.stack.apply import Report, Run
from evernat.stack.boots import failed
from evernat.stack.checks import check
from evernat.stack.context import Context
from evernat.stack.discover import discover, gone
from evernat.stack.environment import identify, look
from evernat.stack.errors import BadInput, NotReady, OutcomeUnknown, Problem, StackError
from evernat.stack.giveback import give_back
from evernat.stack.plan import plan_deploy, plan_destroy
from evernat.stack.serving import survey
from evernat.stack.spec import Gateway
from evernat.stack.steps import Plan
from evernat.text import visible

LOOKS = 4
"""How often a run looks again after a call whose outcome is unknown, before it gives up."""


def plan(gateway: Gateway, api: Api | None = None, *, replace_routes: bool = False) -> Plan:
    """What deploying the gateway would do. Changes nothing.

    Raises BadInput with every problem of the input, ApiError when AWS refuses a query.
    """
    api = api or Api.of(gateway.region)
    if gateway.region not in (None, api.region):
        remedy = "make the two agree"
        raise BadInput(
            [Problem("region", str(gateway.region), f"AWS is being asked in {api.region}", remedy)]
        )
    environment, found = look(api, gateway)
    check(Context(gateway, environment, found, version()), replace_routes=replace_routes)
    return plan_deploy(gateway, environment, found, version())


def plan_removal(stack: str, api: Api) -> Plan:
    """What destroying the stack would do. Changes nothing."""
    identify(api)
    found = discover(api, stack)
    return plan_destroy(replace(found, gone_targets=gone(api, found)), api.region)


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
        current = plan(gateway, api, replace_routes=replace_routes)
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


def destroy(first: Plan, api: Api, *, timeout: float = 600.0, report: Report | None = None) -> None:
    """Apply a removal; after a call whose outcome is unknown look again and go on."""
    current = first
    for attempt in range(1, LOOKS + 1):
        try:
            return Run(api, current, timeout=timeout, report=report).all()
        except OutcomeUnknown:
            if attempt == LOOKS:
                raise
            api.clock.sleep(1.0 * attempt)
        current = plan_removal(first.stack, api)
    raise AssertionError("unreachable")
