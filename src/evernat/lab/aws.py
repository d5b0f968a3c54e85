"""A boto3 client of a lab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config


def client(service: str, variables: Mapping[str, str]) -> Any:
    """A client that talks to the lab whose `lab env` says `variables`."""
    make: Any = boto3.client  # the stubs want the service as a literal
    return make(
        service,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 3}),
    )
