"""The configuration with which the AWS provider talks to a lab instead of to AWS."""

from __future__ import annotations

from collections.abc import Mapping

SERVICES = ("autoscaling", "ec2", "iam", "ssm", "sts")
"""Those that the module's resources need."""

BLOCK = """\
provider "aws" {{
  region     = "{AWS_REGION}"
  access_key = "{AWS_ACCESS_KEY_ID}"
  secret_key = "{AWS_SECRET_ACCESS_KEY}"

  # A lab knows its own user only, and has no metadata service for this machine.
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true

  endpoints {{
{endpoints}  }}
}}
"""


def provider(environment: Mapping[str, str]) -> str:
    """The block, from the variables that `evernat lab env` prints."""
    width = max(map(len, SERVICES))
    url = environment["AWS_ENDPOINT_URL"]
    endpoints = "".join(f'    {service:{width}} = "{url}"\n' for service in SERVICES)
    return BLOCK.format(**environment, endpoints=endpoints)
