"""moto as a library: one call in, one answer out, without its web server.

The caller holds the cloud's lock: moto is not thread-safe. Its answers are passed on as they are; what it raises
instead of answering becomes an error in AWS's shape.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Any

# The lab brings its own images, and moto's take a second to load.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

import moto.backends
from moto.core.request import Request
from moto.ec2.responses import EC2Response
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy
from moto.iam.responses import IamResponse
from moto.ssm.responses import SimpleSystemManagerResponse

from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.request import ApiRequest
from evernat.lab.cloud.respond import Answer

RESPONSES: dict[str, Any] = {
    "ec2": EC2Response,
    "iam": IamResponse,
    "ssm": SimpleSystemManagerResponse,
}

AWS_POLICIES = (
    "AmazonSSMManagedInstanceCore",
    "AmazonSSMManagedEC2InstanceDefaultPolicy",
    "AmazonEC2ReadOnlyAccess",
    "CloudWatchAgentServerPolicy",
)
"""AWS's own policies that somebody attaches to nodes, each with the whole text that AWS publishes for it."""


@lru_cache(maxsize=1)
def _published() -> dict[str, Any]:
    """The texts of AWS_POLICIES, of which moto keeps copies. Reading them takes some 70 ms."""
    every = json.loads(aws_managed_policies_data)
    return {name: every[name] for name in AWS_POLICIES}


def call(request: ApiRequest, account: str) -> Answer:
    """Let moto answer. Raises AwsError for what moto did not implement or could not digest."""
    headers = {
        "Content-Type": request.environ.get("CONTENT_TYPE", ""),
        "Authorization": request.environ.get("HTTP_AUTHORIZATION", ""),
        "X-Amz-Target": request.environ.get("HTTP_X_AMZ_TARGET", ""),
        "x-moto-account-id": account,
    }
    query = request.environ.get("QUERY_STRING", "")
    # The host name tells moto the region.
    url = f"http://{request.service}.{request.region}.amazonaws.com/" + (f"?{query}" if query else "")
    sent = Request.from_primitives(
        request.environ.get("REQUEST_METHOD", "POST"),
        url,
        {k: v for k, v in headers.items() if v},
        request.body,
    )
    try:
        status, answered, body = RESPONSES[request.service].dispatch(sent, url, sent.headers)
    except NotImplementedError:
        raise AwsError("InvalidAction", f"The action {request.action} is not valid here.") from None
    data = body.encode() if isinstance(body, str) else bytes(body)
    content_type = answered.get("Content-Type") or answered.get("content-type") or "text/xml"
    return Answer(int(status), str(content_type), data)


def fresh(account: str) -> None:
    """Forget everything moto knows of an account. moto's state is one per process."""
    for service in ("ec2", "iam", "ssm"):
        backend = moto.backends.get_backend(service)
        if account in backend:
            backend[account].reset()
    iam = moto.backends.get_backend("iam")[account]["aws"]
    for name, data in _published().items():
        policy = AWSManagedPolicy.from_data(name, account, "aws", data)
        iam.managed_policies[policy.arn] = policy


def policy_documents(iam: Any, role_name: str) -> list[dict[str, Any]]:
    """The policies in force for a role: inline ones first, then the attached ones' default versions."""
    role = next((r for r in iam.roles.values() if r.name == role_name), None)
    if role is None:
        return []
    inline = [json.loads(text) for text in role.policies.values()]
    return inline + [json.loads(_in_force(p)) for p in role.managed_policies.values()]


def _in_force(policy: Any) -> str:
    """The text of a managed policy's default version."""
    return next(str(v.document) for v in policy.versions if v.version_id == policy.default_version_id)
