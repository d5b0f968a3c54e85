"""Parameter Store: what moto keeps, without its ways to give a secret away.

Rules: Systems Manager API reference of PutParameter, GetParameter(s), GetParametersByPath; user guide, SecureString.
With the account's default key (`alias/aws/ssm`) whoever may call GetParameter may also decrypt, so no KMS permission is
asked for; other keys would need a KMS, which the lab has not.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
from typing import Any

from evernat.lab.cloud import images
from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.filters import page
from evernat.lab.cloud.registry import Params, guards, handles
from evernat.lab.cloud.resources import utc_now
from evernat.lab.cloud.state import Region

DEFAULT_KEY = "alias/aws/ssm"

LONGEST = 4096
"""Bytes of a standard parameter's value (API reference, PutParameter)."""

MOST = 10
"""Names that one GetParameters takes, and parameters that one GetParametersByPath gives (API reference)."""


@guards("ssm", "PutParameter")
def check_put(_region: Region, params: Params) -> None:
    """Refuse what the lab cannot do as AWS does: other keys, long values."""
    key = params.get("KeyId")
    if key and key != DEFAULT_KEY:
        raise AwsError("InvalidKeyId", f"The lab has no KMS key {key}, only {DEFAULT_KEY}.")
    if len(params.get("Value", "").encode()) > LONGEST and params.get("Tier") != "Advanced":
        raise AwsError(
            "ValidationException", f"Standard tier parameters support a maximum of {LONGEST} characters."
        )
    if "{{" in params.get("Value", ""):
        # User guide, "Parameter values": no `{{}}`, no `{{ssm:NAME}}`.
        raise AwsError("ValidationException", "Parameter value can't nest another parameter.")


@handles("ssm", "GetParameter")
def get_parameter(region: Region, params: Params) -> Params:
    """A public parameter of an image, or one that was put."""
    found = _parameter(region, params.get("Name", ""), bool(params.get("WithDecryption")))
    if found is None:
        raise AwsError("ParameterNotFound", f"{params.get('Name')}")
    return {"Parameter": found}


@handles("ssm", "GetParameters")
def get_parameters(region: Region, params: Params) -> Params:
    """Several at once; unknown ones are listed apart."""
    names: list[str] = params.get("Names") or []
    if len(names) > MOST:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '[{', '.join(names)}]' at 'names' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MOST}",
        )
    found = {n: _parameter(region, n, bool(params.get("WithDecryption"))) for n in names}
    return {
        "Parameters": [p for p in found.values() if p],
        "InvalidParameters": [n for n, p in found.items() if not p],
    }


@handles("ssm", "GetParametersByPath")
def get_by_path(region: Region, params: Params) -> Params:
    """The parameters below a path, public ones and those that were put, at most ten in an answer."""
    pattern = params.get("Path", "").rstrip("/") + "/*"
    known = [*images.PARAMETERS, *region.ssm._parameters]
    names = [
        n
        for n in known
        if fnmatch.fnmatchcase(n, pattern) and (params.get("Recursive") or n.count("/") == pattern.count("/"))
    ]
    decrypt = bool(params.get("WithDecryption"))
    found = [p for n in sorted(names) if (p := _parameter(region, n, decrypt))]
    return page(found, {"MaxResults": MOST, **params}, "Parameters")


def arn(region: Region, name: str) -> str:
    """The ARN of a parameter; AWS's public ones belong to no account."""
    account = "" if name.startswith("/aws/") else region.account
    return f"arn:aws:ssm:{region.name}:{account}:parameter/{name.lstrip('/')}"


def tags(region: Region, name: str) -> dict[str, str]:
    """The tags of a parameter that was put."""
    return dict(region.ssm._resource_tags.get("Parameter", {}).get(name, {}))


def _parameter(region: Region, name: str, decrypt: bool) -> dict[str, Any] | None:
    plain = name.split(":")[0] if name.startswith("/") else name
    if plain in images.PARAMETERS:
        return {
            "Name": plain,
            "Type": "String",
            "Value": images.PARAMETERS[plain],
            "Version": 1,
            "LastModifiedDate": utc_now(),
            "ARN": arn(region, plain),
            "DataType": "text",
        }
    stored = region.ssm.get_parameters([name]).get(name)
    if stored is None:
        return None
    return {
        "Name": stored.name,
        "Type": stored.parameter_type,
        "Value": _value(stored, decrypt),
        "Version": stored.version,
        "LastModifiedDate": stored.last_modified_date,
        "ARN": arn(region, stored.name),
        "DataType": stored.data_type,
    }


def _value(stored: Any, decrypt: bool) -> str:
    """The value; of a SecureString that is not to be decrypted something as opaque as AWS's ciphertext."""
    if stored.parameter_type != "SecureString" or decrypt:
        return str(stored.decrypt(stored.value))
    return base64.b64encode(hashlib.sha512(stored.value.encode()).digest()).decode()
