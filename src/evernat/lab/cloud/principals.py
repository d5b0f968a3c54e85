"""Who calls: the lab's user, who may do everything, or an instance by its role's credentials.

Role credentials are real here: the signature is checked (SigV4, with botocore's own signer), they expire, and they
die with the instance.
"""

from __future__ import annotations

import datetime
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SigningKeys

from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.request import ApiRequest

LIFETIME = datetime.timedelta(hours=6)
"""Validity of instance credentials; the metadata service renews them before (EC2 user guide)."""

RENEW = datetime.timedelta(minutes=15)
"""New ones are there at least this long before the old ones expire."""

EXPIRED = "EXPIRED"
"""An access key that begins so plays a user whose session is over."""

SKEW = datetime.timedelta(minutes=5)
"""A request may be this old (IAM user guide, signing)."""


@dataclass(frozen=True)
class Credentials:
    """An instance's role credentials as the metadata service hands them out. `expiration` is ISO 8601, UTC."""

    access_key_id: str
    secret_access_key: str
    token: str
    expiration: str
    role_name: str
    instance_id: str

    def document(self) -> dict[str, str]:
        """The JSON document of `iam/security-credentials/ROLE`."""
        return {
            "Code": "Success",
            "LastUpdated": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Type": "AWS-HMAC",
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key,
            "Token": self.token,
            "Expiration": self.expiration,
        }

    @property
    def expires(self) -> datetime.datetime:
        """When they stop being valid."""
        return datetime.datetime.fromisoformat(self.expiration.replace("Z", "+00:00"))


class Principals:
    """Issues role credentials and tells from a request who made it."""

    def __init__(self) -> None:
        self._issued: dict[str, Credentials] = {}
        self._current: dict[str, Credentials] = {}

    def issue(self, instance_id: str, role_name: str) -> Credentials:
        """The instance's current credentials; new ones when these are about to expire or the role changed."""
        current = self._current.get(instance_id)
        soon = datetime.datetime.now(datetime.UTC) + RENEW
        if current and current.role_name == role_name and current.expires > soon:
            return current
        expiration = datetime.datetime.now(datetime.UTC) + LIFETIME
        made = Credentials(
            access_key_id="ASIA" + secrets.token_hex(8).upper(),
            secret_access_key=secrets.token_urlsafe(30),
            token=secrets.token_urlsafe(48),
            expiration=expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
            role_name=role_name,
            instance_id=instance_id,
        )
        self._issued[made.access_key_id] = self._current[instance_id] = made
        return made

    def revoke(self, instance_id: str) -> None:
        """The instance is gone; its credentials are no longer accepted."""
        self._current.pop(instance_id, None)
        for key in [k for k, c in self._issued.items() if c.instance_id == instance_id]:
            del self._issued[key]

    def identify(self, request: ApiRequest) -> Credentials | None:
        """The instance credentials behind a request, None for the lab's user.

        Raises AwsError when they are wrong. Keys that begin with ASIA were issued by the lab or are forged.
        """
        if request.access_key.startswith(EXPIRED):
            raise _expired(request)
        if not request.access_key.startswith("ASIA"):
            return None
        found = self._issued.get(request.access_key)
        if found is None or not hmac.compare_digest(found.token, request.token):
            raise _refused(
                request, "InvalidClientTokenId", "The security token included in the request is invalid."
            )
        if found.expires <= datetime.datetime.now(datetime.UTC):
            raise _expired(request)
        _check_date(request)
        if not _signed_with(request, found):
            raise _refused(
                request,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )
        return found


def _refused(request: ApiRequest, code: str, message: str) -> AwsError:
    # EC2 has one code for all of it (EC2 API error codes); the others follow the common errors of the query API.
    if request.service == "ec2":
        return AwsError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    return AwsError(code, message, 403)


def _expired(request: ApiRequest) -> AwsError:
    if request.service == "ec2":
        return AwsError("RequestExpired", "Request has expired.", 400)
    return AwsError("ExpiredToken", "The security token included in the request is expired", 403)


def _check_date(request: ApiRequest) -> None:
    stamp = request.environ.get("HTTP_X_AMZ_DATE", "")
    try:
        signed = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        raise _refused(request, "IncompleteSignature", "X-Amz-Date is missing or malformed") from None
    if abs(datetime.datetime.now(datetime.UTC) - signed) > SKEW:
        raise AwsError("RequestExpired", f"Request has expired. Timestamp date is {stamp}", 400)


def _signed_with(request: ApiRequest, credentials: Credentials) -> bool:
    """Whether the Authorization header is what botocore would have made for the same request."""
    header = request.environ.get("HTTP_AUTHORIZATION", "")
    signature = re.search(r"Signature=([0-9a-f]{64})", header)
    names = re.search(r"SignedHeaders=([^,\s]+)", header)
    scope = re.search(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request", header)
    if not (signature and names and scope):
        return False
    headers = {name: _header(request.environ, name) for name in names[1].split(";")}
    path = quote(request.environ.get("PATH_INFO", "/") or "/", safe="/-_.~")
    query = request.environ.get("QUERY_STRING", "")
    url = f"http://{_header(request.environ, 'host')}{path}" + (f"?{query}" if query else "")
    again = AWSRequest(
        method=request.environ.get("REQUEST_METHOD", "POST"), url=url, data=request.body, headers=headers
    )
    again.context["timestamp"] = request.environ.get("HTTP_X_AMZ_DATE", "")
    again.context["payload_signing_enabled"] = True
    keys = SigningKeys(credentials.access_key_id, credentials.secret_access_key, credentials.token)
    signer = SigV4Auth(keys, scope[2], scope[1])
    to_sign = signer.string_to_sign(again, signer.canonical_request(again))
    return hmac.compare_digest(signer.signature(to_sign, again), signature[1])


def _header(environ: dict[str, Any], name: str) -> str:
    if name == "content-type":
        return str(environ.get("CONTENT_TYPE", ""))
    if name == "content-length":
        return str(environ.get("CONTENT_LENGTH", ""))
    return str(environ.get("HTTP_" + name.upper().replace("-", "_"), ""))
