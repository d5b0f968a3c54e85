"""Roles and instance profiles: where moto crashes and AWS answers."""

from __future__ import annotations

from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.registry import Params, guards
from evernat.lab.cloud.state import Region


@guards("iam", "RemoveRoleFromInstanceProfile")
def check_remove_role(region: Region, params: Params) -> None:
    """Refused if the role is not in it (IAM API reference)."""
    name, role = params.get("InstanceProfileName"), params.get("RoleName")
    profile = region.iam.instance_profiles.get(name)
    if profile is None or all(r.name != role for r in profile.roles):
        raise AwsError("NoSuchEntity", f"Role {role} in Instance Profile {name} cannot be found.", 404)
