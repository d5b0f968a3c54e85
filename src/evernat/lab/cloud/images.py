"""The images of the lab and the public SSM parameters that name them.

Only what a deployment asks about is real: id, architecture, name, owner, root device. What an instance of them runs
is the lab's own boot program, whatever the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.filters import apply, page, select
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.state import Region


@dataclass(frozen=True)
class Image:
    """A machine image."""

    id: str
    name: str
    architecture: str
    owner: str
    owner_alias: str
    description: str
    root_device: str = "/dev/xvda"
    created: str = "2026-01-15T00:00:00.000Z"


AMAZON = ("137112412989", "amazon")
DEBIAN = ("136693071363", "")
CANONICAL = ("099720109477", "")
"""The accounts these distributions publish their images from (their own documentation)."""

IMAGES = (
    Image(
        "ami-0a12023a000000001",
        "al2023-ami-2023.9.20260115.0-kernel-6.1-arm64",
        "arm64",
        *AMAZON,
        "Amazon Linux 2023",
    ),
    Image(
        "ami-0a12023a000000002",
        "al2023-ami-2023.9.20260115.0-kernel-6.1-x86_64",
        "x86_64",
        *AMAZON,
        "Amazon Linux 2023",
    ),
    Image("ami-0deb1300000000001", "debian-13-arm64-20260115-1993", "arm64", *DEBIAN, "Debian 13"),
    Image("ami-0deb1300000000002", "debian-13-amd64-20260115-1993", "x86_64", *DEBIAN, "Debian 13"),
    Image(
        "ami-0bb24040000000001",
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-20260115",
        "arm64",
        *CANONICAL,
        "Ubuntu 24.04",
        "/dev/sda1",
    ),
    Image(
        "ami-0bb24040000000002",
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260115",
        "x86_64",
        *CANONICAL,
        "Ubuntu 24.04",
        "/dev/sda1",
    ),
)

BY_ID = {image.id: image for image in IMAGES}

LATEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-"

PARAMETERS = {
    **{f"{LATEST}{flavour}-arm64": IMAGES[0].id for flavour in ("kernel-default", "kernel-6.1")},
    **{f"{LATEST}{flavour}-x86_64": IMAGES[1].id for flavour in ("kernel-default", "kernel-6.1")},
    "/aws/service/debian/release/13/latest/arm64": IMAGES[2].id,
    "/aws/service/debian/release/13/latest/amd64": IMAGES[3].id,
    "/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id": IMAGES[4].id,
    "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id": IMAGES[5].id,
}
"""Public parameters (Systems Manager user guide, public parameters; the distributions' own pages)."""

FILTERS = {
    "image-id": "ImageId",
    "name": "Name",
    "architecture": "Architecture",
    "owner-id": "OwnerId",
    "owner-alias": "ImageOwnerAlias",
    "state": "State",
    "virtualization-type": "VirtualizationType",
    "root-device-type": "RootDeviceType",
    "is-public": "Public",
    "description": "Description",
    "hypervisor": "Hypervisor",
    "image-type": "ImageType",
}


def find(image_id: str) -> Image:
    """An image by id, or by `resolve:ssm:PARAMETER` as launch templates may say it."""
    if image_id.startswith("resolve:ssm:"):
        name = image_id.removeprefix("resolve:ssm:").split(":")[0]
        if name not in PARAMETERS:
            raise AwsError("InvalidParameterValue", f"The parameter {name} could not be resolved")
        image_id = PARAMETERS[name]
    if not image_id.startswith("ami-"):
        raise AwsError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')
    if image_id not in BY_ID:
        raise AwsError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    return BY_ID[image_id]


@handles("ec2", "DescribeImages")
def describe(_region: Region, params: Params) -> Params:
    """The lab's images."""
    owners = params.get("Owners")
    shown = [_described(i) for i in IMAGES if not owners or i.owner in owners or i.owner_alias in owners]
    for image_id in params.get("ImageIds") or []:
        find(image_id)
    shown = select(shown, "ImageId", params.get("ImageIds"), "InvalidAMIID.NotFound", "image")
    return page(apply(shown, params.get("Filters"), FILTERS), params, "Images")


def _described(image: Image) -> dict[str, Any]:
    ebs = {
        "DeleteOnTermination": True,
        "Encrypted": False,
        "VolumeSize": 8,
        "VolumeType": "gp3",
        "Iops": 3000,
        "Throughput": 125,
        "SnapshotId": "snap-0" + image.id[-16:],
    }
    return {
        "ImageId": image.id,
        "Name": image.name,
        "Description": image.description,
        "Architecture": image.architecture,
        "OwnerId": image.owner,
        "ImageOwnerAlias": image.owner_alias or None,
        "ImageLocation": f"{image.owner_alias or image.owner}/{image.name}",
        "ImageType": "machine",
        "Public": True,
        "State": "available",
        "CreationDate": image.created,
        "RootDeviceName": image.root_device,
        "RootDeviceType": "ebs",
        "BlockDeviceMappings": [{"DeviceName": image.root_device, "Ebs": ebs}],
        "VirtualizationType": "hvm",
        "Hypervisor": "xen",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "EnaSupport": True,
        "BootMode": "uefi" if image.architecture == "arm64" else "uefi-preferred",
        "ImdsSupport": "v2.0",
        "SriovNetSupport": "simple",
        "Tags": [],
    }


def system(image_id: str) -> str:
    """Which kind of system boots from an image: "al2023" (also for images nobody knows) or "debian"."""
    image = BY_ID.get(image_id)
    return "al2023" if image is None or image.owner == AMAZON[0] else "debian"
