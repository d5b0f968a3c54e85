"""The front: one HTTP request in, one AWS-shaped answer out, whatever happens in between.

    request -> who calls -> faults -> latency -> lock: [ permitted? -> overlay or moto -> publish ] -> answer

The world is published under the lock and before the answer, so that a caller who has the answer finds it true.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.exceptions import ServiceException
from waitress.channel import ClientDisconnected

from evernat.lab.cloud import authorize, iam, moto_app, respond
from evernat.lab.cloud.calls import Call, shown
from evernat.lab.cloud.cloud import Cloud
from evernat.lab.cloud.errors import AwsError, ConnectionCut
from evernat.lab.cloud.faults import Fault, as_error
from evernat.lab.cloud.principals import Credentials
from evernat.lab.cloud.registry import GUARDS, HANDLERS, MOTO, reads
from evernat.lab.cloud.request import SERVICES, ApiRequest, parse, protocol, scope
from evernat.lab.cloud.respond import Answer
from evernat.lab.cloud.state import Region

UNCHECKED = {("sts", "GetCallerIdentity")}
"""Allowed to everybody (STS API reference)."""

StartResponse = Callable[..., Any]


class Front:
    """The WSGI application over a cloud: the API of all services."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request. A fault that cuts the connection needs waitress as the server."""
        try:
            answer = self._answer(environ)
        except ConnectionCut:
            # waitress closes the connection without a word on this one.
            raise ClientDisconnected from None
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            *answer.headers,
        ]
        start_response(f"{answer.status} {_phrase(answer.status)}", headers)
        return [answer.body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        found = scope(environ)
        wire = protocol(found[2]) if found and found[2] in SERVICES else "query"
        if environ.get("HTTP_X_AMZ_TARGET"):
            wire = "json"
        try:
            request = parse(environ, self._cloud.region_name)
        except AwsError as problem:
            self._cloud.log(f"refused a request: {problem}")
            return respond.error(problem, wire)
        params = shown(request.action, request.params)
        call = Call(time.time(), "user", "", request.service, request.action, params, request.source)
        self._cloud.record(call)
        try:
            return self._judge(request, call)
        except AwsError as problem:
            call.error = problem.code
            return respond.error(problem, request.protocol)
        except ConnectionCut:
            raise
        except Exception as problem:
            # A bug of the lab must look like one of AWS's to the program under test, and loud to whoever runs it.
            call.error = "InternalError"
            self._cloud.log(f"{call.name} failed inside the lab: {problem}\n{traceback.format_exc()}")
            message = f"An internal error has occurred in the lab: {type(problem).__name__}: {problem}"
            return respond.error(AwsError("InternalError", message, 500), request.protocol)

    def _judge(self, request: ApiRequest, call: Call) -> Answer:
        cloud = self._cloud
        with cloud.lock:
            credentials = cloud.principals.identify(request)
        if credentials:
            call.principal, call.role = credentials.instance_id, credentials.role_name
        fault = cloud.faults.strike(request.service, request.action, call.principal)
        if fault:
            _before(fault, call)
        delay = cloud.profile.calls.get(request.action, cloud.profile.default_call)
        if fault and fault.kind == "delay":
            delay += fault.seconds
        if delay:
            cloud.sleep(delay)
        with cloud.lock:
            answer = self._perform(request, call, credentials)
        return _after(fault, call, answer, cloud.sleep) if fault else answer

    def _perform(self, request: ApiRequest, call: Call, credentials: Credentials | None) -> Answer:
        cloud = self._cloud
        cloud.run_timers()
        region = cloud.region(request.region)
        self._authorize(region, request, call, credentials)
        if request.params.get("DryRun"):
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        try:
            answer = _dispatch(region, request)
        finally:
            if not reads(request.action):
                call.changed = cloud.publish()
        if answer.status >= 400:
            call.error = _code(answer)
        return answer

    def _authorize(self, region: Region, request: ApiRequest, call: Call, who: Credentials | None) -> None:
        instance_id = who.instance_id if who else ""
        role = who.role_name if who else ""
        call.resources = authorize.resources(region, request.service, request.action, request.params)
        call.context = authorize.context(
            region, request.params, source=request.source, instance_id=instance_id, role=role
        )
        region.caller = (
            f"arn:aws:sts::{region.account}:assumed-role/{role}/{instance_id}"
            if who
            else f"arn:aws:iam::{region.account}:user/lab"
        )
        if who is None or (request.service, request.action) in UNCHECKED:
            return
        policies = moto_app.policy_documents(region.iam, role)
        decision = iam.evaluate(policies, call.name, call.resources, call.context)
        if not decision.allowed:
            self._cloud.log(f"{call.principal}: {call.name} on {decision.resource}: {decision.verdict}")
            raise authorize.refusal(request.service, request.action, region.caller, decision.resource)


def _before(fault: Fault, call: Call) -> None:
    if fault.kind in ("error", "throttle"):
        raise as_error(fault, call.service)
    if fault.kind == "drop-before":
        call.error = "dropped"
        raise ConnectionCut


def _after(fault: Fault, call: Call, answer: Answer, sleep: Callable[[float], None]) -> Answer:
    if fault.kind == "drop-after":
        raise ConnectionCut
    if fault.kind == "late":
        sleep(fault.seconds)
    if fault.kind == "stale" and reads(call.action):
        # AWS's API is eventually consistent: what was just written may not be seen (EC2 API reference).
        return fault.kept.setdefault(f"{call.principal} {call.name} {call.params}", answer)  # type: ignore[no-any-return]
    return answer


def _dispatch(region: Region, request: ApiRequest) -> Answer:
    key = (request.service, request.action)
    try:
        if key in HANDLERS:
            return respond.result(request, HANDLERS[key](region, request.params))
        if request.action not in MOTO.get(request.service, frozenset()):
            raise AwsError("InvalidAction", f"The lab's cloud does not know the action {request.action}.")
        if key in GUARDS:
            GUARDS[key](region, request.params)
        return moto_app.call(request, region.account)
    except ServiceException as problem:
        raise AwsError(problem.code, problem.message) from None


def _code(answer: Answer) -> str:
    body = answer.body.decode("utf-8", "replace")
    for start, end in (("<Code>", "</Code>"), ('"__type": "', '"')):
        if start in body:
            return body.split(start, 1)[1].split(end, 1)[0]
    return str(answer.status)


def _phrase(status: int) -> str:
    return {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}.get(
        status, "Error" if status >= 400 else "OK"
    )
