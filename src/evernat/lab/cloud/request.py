"""One HTTP request, read as an AWS API call with the help of botocore's service models."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from botocore.exceptions import UnknownServiceError
from botocore.model import OperationNotFoundError
from moto.core.model import OperationModel, ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.utils import get_service_model

from evernat.lab.cloud.errors import AwsError

SERVICES = ("ec2", "autoscaling", "iam", "ssm", "sts")
"""The services the lab's cloud has."""

VERSIONS = {"2016-11-15": "ec2", "2011-01-01": "autoscaling", "2010-05-08": "iam", "2011-06-15": "sts"}
"""An unsigned request of the query protocol names its service by API version only."""

_SCOPE = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")


@dataclass(frozen=True)
class ApiRequest:
    """An API call: who calls (access key, empty if unsigned), from where, what, and with which parameters."""

    service: str
    region: str
    action: str
    params: dict[str, Any]
    access_key: str
    token: str
    source: str
    environ: dict[str, Any]
    body: bytes
    protocol: str

    @property
    def operation(self) -> OperationModel:
        """Botocore's model of the call."""
        return service_model(self.service).operation_model(self.action)


def service_model(service: str) -> ServiceModel:
    """Botocore's model of a service (cached by moto); unknown ones are an AWS-shaped error."""
    try:
        return get_service_model(service)
    except UnknownServiceError:
        raise AwsError("UnknownService", f"The lab's cloud has no service named {service}", 404) from None


def scope(environ: dict[str, Any]) -> tuple[str, str, str] | None:
    """(access key, region, service) of the SigV4 credential scope, from the header or a presigned URL."""
    match = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if match:
        return match[1], match[2], match[3]
    query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    match = _SCOPE.search("Credential=" + query.get("X-Amz-Credential", ""))
    return (match[1], match[2], match[3]) if match else None


def read_body(environ: dict[str, Any]) -> bytes:
    """The request's body; chunked ones have been put together by the server already."""
    length = environ.get("CONTENT_LENGTH") or "0"
    data = environ["wsgi.input"].read(int(length)) if int(length) else b""
    return bytes(data)


def parse(environ: dict[str, Any], default_region: str) -> ApiRequest:
    """Read the call. Raises AwsError when service or action are unknown or a parameter cannot be read."""
    body = read_body(environ)
    found = scope(environ)
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    form: dict[str, str] = {}
    if not target:
        form = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        form.update(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    if found:
        access_key, region, service = found
    else:
        access_key, region = "", default_region
        service = "ssm" if target.startswith("AmazonSSM.") else VERSIONS.get(form.get("Version", ""), "")
    if service not in SERVICES:
        raise AwsError(
            "UnknownService", f"The lab's cloud has no service named {service or '(unsigned)'}", 404
        )
    action = target.split(".")[-1] if target else form.get("Action", "")
    return ApiRequest(
        service=service,
        region=default_region if service == "iam" else region,
        action=action,
        params=_params(service, action, form, body),
        access_key=access_key,
        token=environ.get("HTTP_X_AMZ_SECURITY_TOKEN", ""),
        source=environ.get("REMOTE_ADDR", ""),
        environ=environ,
        body=body,
        protocol=protocol(service),
    )


def protocol(service: str) -> str:
    """The wire protocol of a service: `ec2`, `query` or `json`."""
    return str(service_model(service).protocol)


def _params(service: str, action: str, form: dict[str, str], body: bytes) -> dict[str, Any]:
    try:
        operation = service_model(service).operation_model(action)
    except OperationNotFoundError:
        raise AwsError("InvalidAction", f"The action {action} is not valid for this web service.") from None
    parser = PROTOCOL_PARSERS[protocol(service)](operation)
    try:
        if protocol(service) == "json":
            json.loads(body or b"{}")
        parsed: dict[str, Any] = parser.parse(
            {"method": "POST", "values": form, "headers": {}, "body": body, "url_path": "/", "url_params": {}}
        )
    except (ValueError, TypeError) as problem:
        raise AwsError("MalformedQueryString", f"A parameter of {action} cannot be read: {problem}") from None
    return parsed
