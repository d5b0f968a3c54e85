"""AWS Signature Version 4 of what is posted to `/`: pure."""

from __future__ import annotations

import hashlib
import hmac

FORM = "application/x-www-form-urlencoded; charset=utf-8"
JSON = "application/x-amz-json-1.1"


def sign(
    service: str,
    region: str,
    host: str,
    body: str,
    key: str,
    secret: str,
    token: str,
    stamp: str,
    target: str = "",
) -> dict[str, str]:
    """The request's headers. `stamp` is the time as `20260131T235959Z`, `target` the action if the body is JSON."""
    headers = {"content-type": FORM, "host": host, "x-amz-date": stamp, "x-amz-security-token": token}
    if target:
        headers.update({"content-type": JSON, "x-amz-target": target})
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"POST\n/\n\n{lines}\n{names}\n{_hash(body)}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    signature = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{_hash(request)}"):
        signature = hmac.new(signature, part.encode(), hashlib.sha256).digest()
    return {
        **headers,
        "authorization": f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, "
        f"Signature={signature.hex()}",
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
