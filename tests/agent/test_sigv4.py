"""The signature, against botocore's signer."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import patch

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from evernat.agent.sigv4 import FORM, sign


@pytest.mark.parametrize("service", ["ec2", "autoscaling"])
@pytest.mark.parametrize(
    "body", ["Action=DescribeInstances&Version=2016-11-15", "Name=a%20b%2Bc&Wert=%C3%BC"]
)
def test_same_as_botocore(service: str, body: str) -> None:
    """For equal input our Authorization header is botocore's, to the letter."""
    host, when = f"{service}.us-west-2.amazonaws.com", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
    request = AWSRequest("POST", f"https://{host}/", data=body, headers={"content-type": FORM})
    with patch.object(botocore.auth, "get_current_datetime", lambda: when):
        botocore.auth.SigV4Auth(Credentials("AKID", "secret/+", "token//=="), service, "us-west-2").add_auth(
            request
        )
    ours = sign(service, "us-west-2", host, body, "AKID", "secret/+", "token//==", "20260131T235959Z")
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
