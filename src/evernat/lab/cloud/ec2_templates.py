"""Launch templates. moto ignores most of what is in them and crashes on user data of later versions."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from evernat.lab.cloud import ec2_tags
from evernat.lab.cloud.errors import AwsError, missing
from evernat.lab.cloud.filters import apply, page
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.resources import Template, TemplateVersion, new_id, utc_now
from evernat.lab.cloud.state import Region

USER_DATA_LIMIT = 16384
"""Bytes of user data before base64 (EC2 user guide, instance user data)."""

NAME = re.compile(r"^[a-zA-Z0-9()./_-]{3,128}$")

FILTERS = {"launch-template-name": "LaunchTemplateName", "create-time": "CreateTime"}

VERSION_FILTERS = {
    "is-default-version": "DefaultVersion",
    "image-id": "LaunchTemplateData.ImageId",
    "instance-type": "LaunchTemplateData.InstanceType",
    "iam-instance-profile": "LaunchTemplateData.IamInstanceProfile.Arn",
}


def decode_user_data(text: str) -> bytes:
    """User data as bytes; refused when it is no base64 or too long."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise AwsError("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from None
    if len(data) > USER_DATA_LIMIT:
        raise AwsError("InvalidParameterValue", f"User data is limited to {USER_DATA_LIMIT} bytes")
    return data


def find(region: Region, spec: Params) -> Template:
    """A template by LaunchTemplateId or LaunchTemplateName."""
    if spec.get("LaunchTemplateId"):
        template = region.templates.get(spec["LaunchTemplateId"])
        if template is None:
            raise AwsError(
                "InvalidLaunchTemplateId.NotFound",
                f"The specified launch template, with template ID {spec['LaunchTemplateId']}, does not exist.",
            )
        return template
    name = spec.get("LaunchTemplateName")
    if not name:
        raise missing("LaunchTemplateId or LaunchTemplateName")
    for template in region.templates.values():
        if template.name == name:
            return template
    raise AwsError(
        "InvalidLaunchTemplateName.NotFoundException",
        f"The specified launch template, with template name {name}, does not exist.",
    )


def resolve(template: Template, version: str | None) -> TemplateVersion:
    """A version by number, `$Latest` or `$Default`; none given means the default one."""
    number = {"$Latest": template.latest, "$Default": template.default, None: template.default}.get(version)
    if number is None and version is not None and version.isdigit():
        number = int(version)
    if number is None or number not in template.versions:
        raise AwsError(
            "InvalidLaunchTemplateId.VersionNotFound",
            f"Could not find the specified version {version} for the launch template with ID {template.id}.",
        )
    return template.versions[number]


def _checked(data: Params) -> Params:
    if data.get("UserData"):
        decode_user_data(data["UserData"])
    if data.get("NetworkInterfaces") and (data.get("SecurityGroupIds") or data.get("SecurityGroups")):
        raise AwsError(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level security groups may not be specified on the same request",
        )
    return data


@handles("ec2", "CreateLaunchTemplate")
def create(region: Region, params: Params) -> Params:
    """Version 1 of a new template."""
    name = params.get("LaunchTemplateName", "")
    if not NAME.match(name):
        raise AwsError(
            "InvalidLaunchTemplateName.MalformedException", f"Invalid launch template name: {name}"
        )
    token = params.get("ClientToken", "")
    for other in region.templates.values():
        if token and other.client_token == token and other.name == name:
            return {"LaunchTemplate": described(region, other)}
        if other.name == name:
            raise AwsError(
                "InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use."
            )
    tags = ec2_tags.specified(params, "launch-template")
    if not params.get("LaunchTemplateData"):
        raise missing("LaunchTemplateData")
    first = TemplateVersion(
        1, _checked(params["LaunchTemplateData"]), params.get("VersionDescription", ""), utc_now()
    )
    template = Template(new_id("lt"), name, utc_now(), {1: first}, client_token=token)
    region.templates[template.id] = template
    region.tag(template.id, tags)
    return {"LaunchTemplate": described(region, template)}


@handles("ec2", "CreateLaunchTemplateVersion")
def create_version(region: Region, params: Params) -> Params:
    """A new version, on top of SourceVersion's data if one is named."""
    template = find(region, params)
    data = dict(params.get("LaunchTemplateData") or {})
    if params.get("SourceVersion"):
        data = {**resolve(template, params["SourceVersion"]).data, **data}
    number = template.latest + 1
    version = TemplateVersion(number, _checked(data), params.get("VersionDescription", ""), utc_now())
    template.versions[number] = version
    return {"LaunchTemplateVersion": described_version(region, template, version)}


@handles("ec2", "ModifyLaunchTemplate")
def modify(region: Region, params: Params) -> Params:
    """Choose the default version."""
    template = find(region, params)
    template.default = resolve(template, params.get("DefaultVersion")).number
    return {"LaunchTemplate": described(region, template)}


@handles("ec2", "DeleteLaunchTemplate")
def delete(region: Region, params: Params) -> Params:
    """Remove a template with all its versions."""
    template = find(region, params)
    shown = described(region, template)
    del region.templates[template.id]
    region.untag(template.id)
    return {"LaunchTemplate": shown}


@handles("ec2", "DeleteLaunchTemplateVersions")
def delete_versions(region: Region, params: Params) -> Params:
    """The default version cannot go."""
    template = find(region, params)
    done, failed = [], []
    for text in params.get("Versions") or []:
        number = int(text) if str(text).isdigit() else -1
        item = {
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "VersionNumber": number,
        }
        if number == template.default or number not in template.versions:
            failed.append(
                item | {"ResponseError": {"Code": "launchTemplateVersionDoesNotExist", "Message": text}}
            )
        else:
            del template.versions[number]
            done.append(item)
    return {
        "SuccessfullyDeletedLaunchTemplateVersions": done,
        "UnsuccessfullyDeletedLaunchTemplateVersions": failed,
    }


@handles("ec2", "DescribeLaunchTemplates")
def describe(region: Region, params: Params) -> Params:
    """All templates, or those named."""
    wanted = [find(region, {"LaunchTemplateId": i}) for i in params.get("LaunchTemplateIds") or []]
    wanted += [find(region, {"LaunchTemplateName": n}) for n in params.get("LaunchTemplateNames") or []]
    shown = [described(region, t) for t in wanted or region.templates.values()]
    return page(apply(shown, params.get("Filters"), FILTERS), params, "LaunchTemplates")


@handles("ec2", "DescribeLaunchTemplateVersions")
def describe_versions(region: Region, params: Params) -> Params:
    """Versions of one template, or the latest or default ones of all."""
    asked = [str(v) for v in params.get("Versions") or []]
    named = params.get("LaunchTemplateId") or params.get("LaunchTemplateName")
    if not named and (not asked or not set(asked) <= {"$Latest", "$Default"}):
        raise missing("LaunchTemplateId or LaunchTemplateName")
    shown = []
    for template in [find(region, params)] if named else list(region.templates.values()):
        versions = [resolve(template, v) for v in asked] or list(reversed(template.versions.values()))
        low, high = int(params.get("MinVersion") or 1), int(params.get("MaxVersion") or template.latest)
        shown += [described_version(region, template, v) for v in versions if low <= v.number <= high]
    return page(apply(shown, params.get("Filters"), VERSION_FILTERS), params, "LaunchTemplateVersions")


def described(region: Region, template: Template) -> dict[str, Any]:
    """A template as DescribeLaunchTemplates shows it."""
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "CreateTime": template.created,
        "CreatedBy": f"arn:aws:iam::{region.account}:root",
        "DefaultVersionNumber": template.default,
        "LatestVersionNumber": template.latest,
        "Tags": region.tag_list(template.id),
    }


def described_version(region: Region, template: Template, version: TemplateVersion) -> dict[str, Any]:
    """A version as DescribeLaunchTemplateVersions shows it."""
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": version.number,
        "VersionDescription": version.description or None,
        "CreateTime": version.created,
        "CreatedBy": f"arn:aws:iam::{region.account}:root",
        "DefaultVersion": version.number == template.default,
        "LaunchTemplateData": version.data,
    }
