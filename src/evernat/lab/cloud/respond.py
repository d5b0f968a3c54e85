"""Answers on the wire: results by botocore's models, errors in each protocol's own shape."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from moto.core.serialize import SerializationContext, get_serializer_class

from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.request import ApiRequest

EC2_ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{id}</RequestID></Response>"""

QUERY_ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<ErrorResponse><Error><Type>{type}</Type><Code>{code}</Code><Message>{message}</Message></Error>\
<RequestId>{id}</RequestId></ErrorResponse>"""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def result(request: ApiRequest, value: dict[str, Any]) -> Answer:
    """A successful answer; `value` has the shape of botocore's output of that call."""
    serializer_class = get_serializer_class(request.service, request.protocol)
    serializer = serializer_class(request.operation, SerializationContext(str(uuid.uuid4())))
    made = serializer.serialize(value)
    body = made["body"]
    data = body.encode() if isinstance(body, str) else bytes(body)
    content_type = str(made["headers"].get("Content-Type", "text/xml"))
    return Answer(int(made["status_code"]), "text/xml" if content_type == "text" else content_type, data)


def error(problem: AwsError, protocol: str) -> Answer:
    """A refusal in the shape of the protocol: `ec2`, `query` or `json`."""
    request_id = str(uuid.uuid4())
    if protocol == "json":
        body = json.dumps({"__type": problem.code, "message": problem.message})
        header = ("x-amzn-ErrorType", problem.code)
        return Answer(problem.status, "application/x-amz-json-1.1", body.encode(), (header,))
    template = EC2_ERROR if protocol == "ec2" else QUERY_ERROR
    body = template.format(
        type="Receiver" if problem.status >= 500 else "Sender",
        code=escape(problem.code),
        message=escape(problem.message),
        id=request_id,
    )
    return Answer(problem.status, "text/xml", body.encode())
